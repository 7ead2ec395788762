"""The integer engine: a circuit as generated straight-line Python over big integers.

One plane is one Python integer, so a gate costs about 30 ns up to a few words, a tenth of a numpy
call. The generated source holds nothing but slot numbers of a validated circuit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import cast

import numpy as np

from bem_kernel.circuits.circuit import Circuit, Gate, Op
from bem_kernel.lanes import WORD_BITS, Planes, check_planes

IntegerFunction = Callable[[Sequence[int], int], tuple[int, ...]]
"""(one integer per input, the all-ones integer) -> one integer per output."""

_FORMS: dict[Op, str] = {
    Op.AND: "s{a} & s{b}",
    Op.OR: "s{a} | s{b}",
    Op.XOR: "s{a} ^ s{b}",
    Op.NOT: "s{a} ^ ones",
    Op.ANDN: "s{a} & (s{b} ^ ones)",
    Op.CONST0: "0",
    Op.CONST1: "ones",
}


def python_source(circuit: Circuit) -> str:
    """The circuit as the source of a Python function `circuit(inputs, ones)`."""

    def right_hand_side(gate: Gate) -> str:
        return _FORMS[gate.op].format(a=gate.a, b=gate.b)

    lines = ["def circuit(inputs, ones):"]
    if circuit.n_inputs:
        names = ", ".join(f"s{i}" for i in range(circuit.n_inputs))
        lines.append(f"    ({names},) = inputs")
    for i, gate in enumerate(circuit.gates):
        lines.append(f"    s{circuit.n_inputs + i} = {right_hand_side(gate)}")
    outputs = "".join(f"s{slot}, " for slot in circuit.outputs)
    lines.append(f"    return ({outputs})")
    return "\n".join(lines) + "\n"


@lru_cache(maxsize=256)
def compile_integer(circuit: Circuit) -> IntegerFunction:
    """The circuit as a Python function over integers, one per plane."""
    namespace: dict[str, object] = {}
    exec(compile(python_source(circuit), "<circuit>", "exec"), namespace)  # noqa: S102
    return cast(IntegerFunction, namespace["circuit"])


def evaluate(circuit: Circuit, planes: Planes) -> Planes:
    """Evaluate `circuit` in every lane.

    Args:
        circuit: the gates.
        planes: (n_inputs, words) uint64; not changed.

    Returns:
        (n_outputs, words) uint64, a new array.

    Raises:
        ShapeError: `planes` does not have one plane per input.
    """
    check_planes(planes, where="integer.evaluate", n_bits=circuit.n_inputs)
    return run_integers(compile_integer(circuit), planes)


def run_integers(function: IntegerFunction, planes: Planes) -> Planes:
    """Run a compiled circuit on planes that have been checked."""
    words = planes.shape[1]
    ones = (1 << (WORD_BITS * words)) - 1
    return integers_to_planes(function(planes_to_integers(planes), ones), words)


def planes_to_integers(planes: Planes) -> list[int]:
    """One integer per plane; bit l is lane l.

    Args:
        planes: (bits, words) uint64.

    Returns:
        `bits` integers of 64 * words bits.
    """
    if planes.shape[1] == 1:
        column: list[int] = planes[:, 0].tolist()
        return column
    stored = np.ascontiguousarray(planes).astype("<u8", copy=False)
    return [int.from_bytes(row.tobytes(), "little") for row in stored]


def integers_to_planes(integers: list[int] | tuple[int, ...], words: int) -> Planes:
    """Inverse of `planes_to_integers`.

    Args:
        integers: one per plane, below 2 ** (64 * words).
        words: words per plane.

    Returns:
        (len(integers), words) uint64.
    """
    if words == 1:
        return np.array(integers, dtype=np.uint64).reshape(len(integers), 1)
    size = words * WORD_BITS // 8
    octets = b"".join(value.to_bytes(size, "little") for value in integers)
    stored = np.frombuffer(octets, dtype="<u8").reshape(len(integers), words)
    return stored.astype(np.uint64)
