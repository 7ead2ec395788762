"""Circuit records come back equal; anything else is refused with the place in the message."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from bb_core.canonical import canonical_json
from bb_core.files import decode_json
from bem_kernel.circuits.circuit import Circuit, Gate, Op
from bem_kernel.circuits.random_circuit import random_circuit
from bem_kernel.circuits.record import circuit_from_record, circuit_record
from bem_kernel.errors import CircuitError

ANDN: dict[str, Any] = {
    "format": "bem-circuit-1",
    "n_inputs": 2,
    "gates": [[4, 0, 1]],
    "outputs": [2],
}


def test_a_record_is_what_the_docstring_shows() -> None:
    assert circuit_record(Circuit(2, (Gate(Op.ANDN, 0, 1),), (2,))) == ANDN


@pytest.mark.parametrize("seed", range(20))
def test_records_survive_canonical_json(seed: int) -> None:
    rng = Random(seed)
    circuit = random_circuit(rng, rng.randrange(5), rng.randrange(1, 20), rng.randrange(4))
    text = canonical_json(circuit_record(circuit)).decode()
    assert circuit_from_record(decode_json(text, where="test")) == circuit


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "bem-circuit-2"}, "^door.json: format: Input should be 'bem-circuit-1'; write"),
        ({"n_inputs": -1}, "^door.json: n_inputs: Input should be greater than or equal to 0"),
        ({"n_inputs": 2.0}, "n_inputs: Input should be a valid integer"),
        ({"n_inputs": True}, "n_inputs: Input should be a valid integer"),
        ({"n_inputs": 1 << 40}, "n_inputs: Input should be less than 2147483648"),
        ({"gates": [[7, 0, 1]]}, r"gates\.0\.0: Input should be less than or equal to 6"),
        ({"gates": [[4, 0]]}, r"gates\.0\.2: Field required"),
        ({"gates": [[4, 0, 2]]}, r"^door.json: circuit: gate 0 \(ANDN\) reads slot 2"),
        ({"gates": [[3, 0, 1]]}, "operand 1 where it takes none; set unused operands to 0"),
        ({"gates": None}, "gates: Input should be a valid list"),
        ({"outputs": [3]}, "^door.json: circuit: output 0 is slot 3, which does not exist"),
        ({"outputs": ["2"]}, r"outputs\.0: Input should be a valid integer"),
        ({"extra": 1}, "extra: Extra inputs are not permitted"),
    ],
)
def test_a_damaged_record_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(CircuitError, match=message):
        circuit_from_record({**ANDN, **change}, where="door.json")


@pytest.mark.parametrize("record", [None, 3, [], "circuit", {}])
def test_what_is_no_record_is_refused(record: object) -> None:
    with pytest.raises(CircuitError, match="circuit record: .*; write it with circuits.record"):
        circuit_from_record(record)
