"""Straight-line Boolean circuits: the normal form every engine runs.

Slots 0 .. n_inputs-1 hold the inputs; gate i writes slot n_inputs + i and reads earlier slots only,
so a circuit is acyclic by construction and one pass in order evaluates it.

`f >> g` is g after f and `f | g` is both side by side. Both only renumber and join the gate lists,
so they are associative to the last gate, `composition.identity(n)` is a unit of `>>`, and nothing
is simplified: `builder.simplify` does that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bem_kernel.errors import CircuitError

_MOST_SLOTS = 2**31 - 1  # slots are int32 in a packed gate


class Op(IntEnum):
    """Gate operations; the values are part of the stored form and never change."""

    AND = 0
    OR = 1
    XOR = 2
    NOT = 3
    ANDN = 4  # a & ~b, the operands in this order
    CONST0 = 5
    CONST1 = 6


ARITY: dict[Op, int] = {
    Op.AND: 2,
    Op.OR: 2,
    Op.XOR: 2,
    Op.NOT: 1,
    Op.ANDN: 2,
    Op.CONST0: 0,
    Op.CONST1: 0,
}


@dataclass(frozen=True, slots=True)
class Gate:
    """One gate: `op` applied to slots `a` and `b`; operands that `op` does not use are 0."""

    op: Op
    a: int = 0
    b: int = 0


@dataclass(frozen=True)
class Circuit:
    """A function {0,1}^n_inputs -> {0,1}^len(outputs) as a gate list.

    Attributes:
        n_inputs: number of input bits.
        gates: in order of evaluation; gate i writes slot n_inputs + i.
        outputs: the slot of each output bit; a slot may appear more than once.

    Raises:
        CircuitError: a gate reads a slot not yet written, an output slot does not exist, or an
            operand that the operation does not use is not 0.

    Source: BEM core spec 5.2.
    """

    n_inputs: int
    gates: tuple[Gate, ...]
    outputs: tuple[int, ...]

    def __post_init__(self) -> None:
        if self.n_inputs < 0:
            raise CircuitError(f"n_inputs is {self.n_inputs}", where="circuit", fix="use 0 or more")
        for i, gate in enumerate(self.gates):
            _check_gate(i, gate, self.n_inputs + i)
        for j, slot in enumerate(self.outputs):
            if not 0 <= slot < self.n_slots:
                raise CircuitError(
                    f"output {j} is slot {slot}, which does not exist",
                    where="circuit",
                    fix=f"use slots 0 to {self.n_slots - 1}",
                )

    @property
    def n_outputs(self) -> int:
        """Number of output bits."""
        return len(self.outputs)

    @property
    def n_slots(self) -> int:
        """Number of slots: inputs and gates."""
        return self.n_inputs + len(self.gates)

    def __rshift__(self, then: Circuit) -> Circuit:
        """`then` after this circuit: its input i is output i of this one.

        Raises:
            CircuitError: `then` does not have as many inputs as this circuit has outputs.
        """
        if not isinstance(then, Circuit):
            return NotImplemented
        if then.n_inputs != self.n_outputs:
            raise CircuitError(
                f"{self.n_outputs} outputs go to {then.n_inputs} inputs",
                where="circuit >> circuit",
                fix="give the second circuit one input per output of the first",
            )
        gates, outputs = _moved(then, self.outputs, self.n_slots)
        return Circuit(self.n_inputs, self.gates + gates, outputs)

    def __or__(self, other: Circuit) -> Circuit:
        """Both side by side: inputs and outputs of this circuit, then those of `other`."""
        if not isinstance(other, Circuit):
            return NotImplemented
        n_inputs = self.n_inputs + other.n_inputs
        gates, outputs = _moved(self, range(self.n_inputs), n_inputs)
        theirs = range(self.n_inputs, n_inputs)
        more_gates, more_outputs = _moved(other, theirs, n_inputs + len(gates))
        return Circuit(n_inputs, gates + more_gates, outputs + more_outputs)

    @cached_property
    def packed(self) -> NDArray[np.int32]:
        """The gates as the array that kernels read, made once; not to be changed.

        Returns:
            (gates, 3) int32, rows (operation, slot a, slot b).

        Raises:
            CircuitError: the circuit has 2**31 slots or more.
        """
        if self.n_slots > _MOST_SLOTS:
            raise CircuitError(
                f"{self.n_slots} slots", where="circuit.packed", fix=f"use at most {_MOST_SLOTS}"
            )
        rows = np.empty((len(self.gates), 3), dtype=np.int32)
        # A column at a time: three times as fast as rows of (IntEnum, int, int).
        rows[:, 0] = np.frombuffer(bytes([gate.op for gate in self.gates]), dtype=np.uint8)
        rows[:, 1] = [gate.a for gate in self.gates]
        rows[:, 2] = [gate.b for gate in self.gates]
        return rows

    @cached_property
    def _hash(self) -> int:
        return hash((self.n_inputs, self.gates, self.outputs))

    def __hash__(self) -> int:
        # Engines keep compiled programs in dictionaries keyed by circuit: hash each circuit once.
        return self._hash


def _moved(
    circuit: Circuit, inputs: Sequence[int], first_gate: int
) -> tuple[tuple[Gate, ...], tuple[int, ...]]:
    """Gates and outputs as they are when input i is slot inputs[i] and gate 0 writes `first_gate`.

    Operands that a gate does not use stay 0.
    """
    n = circuit.n_inputs

    def slot(old: int) -> int:
        return inputs[old] if old < n else old - n + first_gate

    gates = tuple(
        Gate(gate.op, *(slot(s) for s in (gate.a, gate.b)[: ARITY[gate.op]]))
        for gate in circuit.gates
    )
    return gates, tuple(slot(s) for s in circuit.outputs)


def _check_gate(index: int, gate: Gate, n_earlier: int) -> None:
    operands = (gate.a, gate.b)
    for position, slot in enumerate(operands):
        used = position < ARITY[gate.op]
        if used and not 0 <= slot < n_earlier:
            raise CircuitError(
                f"gate {index} ({gate.op.name}) reads slot {slot}, which is not written before it",
                where="circuit",
                fix=f"read slots below {n_earlier}",
            )
        if not used and slot != 0:
            raise CircuitError(
                f"gate {index} ({gate.op.name}) has operand {slot} where it takes none",
                where="circuit",
                fix="set unused operands to 0",
            )


def depth(circuit: Circuit) -> int:
    """Length in gates of the longest path from an input or constant to an output."""
    level = [0] * circuit.n_slots
    for i, gate in enumerate(circuit.gates):
        operands = (gate.a, gate.b)[: ARITY[gate.op]]
        level[circuit.n_inputs + i] = 1 + max((level[s] for s in operands), default=0)
    return max((level[s] for s in circuit.outputs), default=0)
