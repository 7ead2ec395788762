"""Networks of normal two-input gates with free negations: what the optimiser works on.

Slot 0 is the constant 0, slots 1 to n the inputs, then gates in order of evaluation. A literal is
2 * slot, plus 1 for its negation. A gate is (table, a, b) with a < b: bit a + 2 * b of the table
is its value. Gates are normal, 0 where both operands are 0, so the tables are 2, 4 (one operand and
not the other), 6 (XOR), 8 (AND) and 14 (OR): the operations of a `Circuit` but for NOT, and a
negation is needed at outputs only. The size of a network is its number of gates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bem_kernel.circuits.builder import CircuitBuilder
from bem_kernel.circuits.circuit import ARITY, Circuit, Op

_TABLES = {Op.AND: 8, Op.OR: 14, Op.XOR: 6, Op.ANDN: 2}
XOR, AND, OR = 6, 8, 14
OP_OF = {table: op for op, table in _TABLES.items()}
"""The operation of each table but 4, which is that of 2 with its operands the other way round."""


def table_of_op(op: int) -> int:
    """The table of a two-input operation of circuits."""
    return _TABLES[Op(op)]


@dataclass(frozen=True, eq=False)
class Network:
    """A multi-output function as normal gates.

    Attributes:
        n_inputs: number of inputs.
        gates: (1 + n_inputs + gates, 3) int64, rows (table, a, b); zeros for constant and inputs.
        outputs: (outputs,) int64 literals.
    """

    n_inputs: int
    gates: NDArray[np.int64]
    outputs: NDArray[np.int64]

    @property
    def size(self) -> int:
        """Number of gates."""
        return len(self.gates) - 1 - self.n_inputs


class NetworkBuilder:
    """Collects normal gates; equal gates are shared and constants folded."""

    def __init__(self, n_inputs: int) -> None:
        self.n_inputs = n_inputs
        self.gates: list[tuple[int, int, int]] = []
        self._slot_of: dict[tuple[int, int, int], int] = {}

    def gate(self, table: int, x: int, y: int) -> int:
        """The literal of a gate on two literals.

        Args:
            table: bit x + 2 * y is the value.
            x: literal of the first operand.
            y: literal of the second.
        """
        if x & 1:
            table = (table & 5) << 1 | (table & 10) >> 1
        if y & 1:
            table = (table & 3) << 2 | table >> 2
        a, b = x >> 1, y >> 1
        if a > b:
            a, b = b, a
            table = table & 9 | (table & 2) << 1 | (table & 4) >> 1
        if a == b:
            return _of_one(table & 1, table >> 3 & 1, a)
        if a == 0:
            return _of_one(table & 1, table >> 2 & 1, b)
        negated = table & 1
        table ^= 15 * negated
        if table in (0, 10, 12):  # needs fewer operands
            return (0 if table == 0 else 2 * a if table == 10 else 2 * b) ^ negated
        key = (table, a, b)
        slot = self._slot_of.get(key)
        if slot is None:
            slot = 1 + self.n_inputs + len(self.gates)
            self.gates.append(key)
            self._slot_of[key] = slot
        return 2 * slot + negated

    def build(self, outputs: Sequence[int]) -> Network:
        """The network with these output literals, without gates that nothing reads."""
        first = 1 + self.n_inputs
        live = {literal >> 1 for literal in outputs}
        for slot in range(first + len(self.gates) - 1, first - 1, -1):
            if slot in live:
                live.update(self.gates[slot - first][1:])
        new = dict(enumerate(range(first)))
        rows = [(0, 0, 0)] * first
        for slot, (table, a, b) in enumerate(self.gates, start=first):
            if slot in live:
                new[slot] = len(rows)
                rows.append((table, new[a], new[b]))
        gates = np.array(rows, dtype=np.int64).reshape(-1, 3)
        literals = [2 * new[literal >> 1] + (literal & 1) for literal in outputs]
        return Network(self.n_inputs, gates, np.array(literals, dtype=np.int64))


def _of_one(low: int, high: int, slot: int) -> int:
    """The literal that is `low` where the slot is 0 and `high` where it is 1."""
    if low == high:
        return low
    return 2 * slot + low


def network_from_circuit(circuit: Circuit) -> Network:
    """The circuit as normal gates; negations are pushed to the outputs and equal gates shared."""
    builder = NetworkBuilder(circuit.n_inputs)
    literals = [2 * (1 + i) for i in range(circuit.n_inputs)]
    for gate in circuit.gates:
        match ARITY[gate.op]:
            case 0:
                literals.append(int(gate.op is Op.CONST1))
            case 1:
                literals.append(literals[gate.a] ^ 1)
            case _:
                table = _TABLES[gate.op]
                literals.append(builder.gate(table, literals[gate.a], literals[gate.b]))
    return builder.build([literals[slot] for slot in circuit.outputs])


def circuit_from_network(network: Network) -> Circuit:
    """The network as a circuit: one gate each, and one NOT for each negated output literal."""
    builder = CircuitBuilder(network.n_inputs)
    slots = [-1, *range(network.n_inputs)]
    for table, a, b in network.gates[1 + network.n_inputs :].tolist():
        x, y = slots[a], slots[b]
        match table:
            case 2:
                slots.append(builder.apply(Op.ANDN, x, y))
            case 4:
                slots.append(builder.apply(Op.ANDN, y, x))
            case 6:
                slots.append(builder.xor(x, y))
            case 8:
                slots.append(builder.and_(x, y))
            case _:
                slots.append(builder.or_(x, y))
    outputs = []
    for literal in network.outputs.tolist():
        if literal < 2:
            outputs.append(builder.const(literal == 1))
        else:
            slot = slots[literal >> 1]
            outputs.append(builder.not_(slot) if literal & 1 else slot)
    return builder.build(outputs)
