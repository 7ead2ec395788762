"""Circuits as JSON records: the stored form, and what fingerprints are taken over.

    {"format": "bem-circuit-1", "n_inputs": 2, "gates": [[4, 0, 1]], "outputs": [2]}

A gate is [operation, a, b] with the numbers of `circuit.Op`; unused operands are 0.

Source: DESIGN 7 (records are canonical JSON).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bem_kernel.circuits.circuit import Circuit, Gate, Op
from bem_kernel.errors import CircuitError, KernelError

FORMAT = "bem-circuit-1"

_Number = Annotated[int, Field(ge=0, lt=1 << 31, strict=True)]
_Op = Annotated[int, Field(ge=0, le=max(Op), strict=True)]


class CircuitModel(BaseModel):
    """The shape of a circuit record, for records that hold one as a field."""

    model_config = ConfigDict(extra="forbid")

    format: Literal["bem-circuit-1"]
    n_inputs: _Number
    gates: list[tuple[_Op, _Number, _Number]]
    outputs: list[_Number]

    def circuit(self) -> Circuit:
        """The circuit in the record.

        Raises:
            CircuitError: it is not straight-line.
        """
        gates = tuple(Gate(Op(op), a, b) for op, a, b in self.gates)
        return Circuit(self.n_inputs, gates, tuple(self.outputs))


def circuit_record(circuit: Circuit) -> dict[str, Any]:
    """The circuit as JSON values."""
    return {
        "format": FORMAT,
        "n_inputs": circuit.n_inputs,
        "gates": [[int(gate.op), gate.a, gate.b] for gate in circuit.gates],
        "outputs": list(circuit.outputs),
    }


def circuit_from_record(record: object, where: str = "circuit record") -> Circuit:
    """Inverse of `circuit_record`.

    Args:
        record: JSON values from anywhere.
        where: the file, for messages.

    Raises:
        CircuitError: the record has another shape, or its gates are not straight-line; the
            message names the field or the gate.
    """
    try:
        return CircuitModel.model_validate(record).circuit()
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise CircuitError(
            f"{place or 'the record'}: {first['msg']}",
            where=where,
            fix="write it with circuits.record.circuit_record",
        ) from error
    except KernelError as error:
        raise CircuitError(error.what, where=f"{where}: {error.where}", fix=error.fix) from error
