"""Building circuits gate by gate: constants folded, equal gates shared, dead gates dropped."""

from __future__ import annotations

from collections.abc import Sequence

from bem_kernel.circuits.circuit import ARITY, Circuit, Gate, Op
from bem_kernel.errors import CircuitError


class CircuitBuilder:
    """Collects gates over `n_inputs` inputs; every method returns the slot of its result.

    Structural hashing: asking twice for the same gate gives the same slot, whatever the order of
    commutative operands. The first `n_inputs` slots are the inputs.
    """

    def __init__(self, n_inputs: int) -> None:
        self.n_inputs = n_inputs
        self._gates: list[Gate] = []
        self._slot_of: dict[tuple[Op, int, int], int] = {}
        self._constants: dict[int, bool] = {}  # the value of each slot that is a constant
        self._complements: dict[int, int] = {}  # the operand of each slot that is a NOT

    def _check(self, *slots: int) -> None:
        n_slots = self.n_inputs + len(self._gates)
        for slot in slots:
            if not 0 <= slot < n_slots:
                raise CircuitError(
                    f"slot {slot} is not written yet", where="builder", fix="build it"
                )

    def _emit(self, op: Op, a: int = 0, b: int = 0) -> int:
        key = (op, a, b)
        slot = self._slot_of.get(key)
        if slot is None:
            slot = self.n_inputs + len(self._gates)
            self._gates.append(Gate(op, a, b))
            self._slot_of[key] = slot
        return slot

    def _are_complements(self, a: int, b: int) -> bool:
        return self._complements.get(a) == b or self._complements.get(b) == a

    def const(self, value: bool) -> int:
        """The constant 0 or 1."""
        slot = self._emit(Op.CONST1 if value else Op.CONST0)
        self._constants[slot] = bool(value)
        return slot

    def not_(self, a: int) -> int:
        """Complement of a."""
        self._check(a)
        value = self._constants.get(a)
        if value is not None:
            return self.const(not value)
        operand = self._complements.get(a)
        if operand is not None:
            return operand
        slot = self._emit(Op.NOT, a)
        self._complements[slot] = a
        return slot

    def and_(self, a: int, b: int) -> int:
        """Conjunction a & b; an operand that is a NOT becomes one ANDN gate."""
        self._check(a, b)
        if a in self._constants:
            a, b = b, a
        value = self._constants.get(b)
        if value is not None:
            return a if value else self.const(False)
        if a == b:
            return a
        if self._are_complements(a, b):
            return self.const(False)
        for x, y in ((a, b), (b, a)):
            operand = self._complements.get(y)
            if operand is not None:
                return self._emit(Op.ANDN, x, operand)
        return self._emit(Op.AND, min(a, b), max(a, b))

    def or_(self, a: int, b: int) -> int:
        """Disjunction a | b."""
        self._check(a, b)
        if a in self._constants:
            a, b = b, a
        value = self._constants.get(b)
        if value is not None:
            return self.const(True) if value else a
        if a == b:
            return a
        if self._are_complements(a, b):
            return self.const(True)
        return self._emit(Op.OR, min(a, b), max(a, b))

    def xor(self, a: int, b: int) -> int:
        """Sum modulo two, a ^ b."""
        self._check(a, b)
        if a in self._constants:
            a, b = b, a
        value = self._constants.get(b)
        if value is not None:
            return self.not_(a) if value else a
        if a == b:
            return self.const(False)
        if self._are_complements(a, b):
            return self.const(True)
        return self._emit(Op.XOR, min(a, b), max(a, b))

    def mux(self, select: int, low: int, high: int) -> int:
        """`high` where `select` is 1, else `low`."""
        self._check(select, low, high)
        if low == high or select in self._constants:
            return high if self._constants.get(select, True) else low
        high_constant, low_constant = self._constants.get(high), self._constants.get(low)
        if low_constant is not None and high_constant is not None:
            return select if high_constant else self.not_(select)
        if low_constant is not None:
            return self.or_(self.not_(select), high) if low_constant else self.and_(select, high)
        if high_constant is not None:
            return self.or_(select, low) if high_constant else self.and_(low, self.not_(select))
        # low ^ (select & (low ^ high)): three gates, where and/andn/or would also take three.
        return self.xor(low, self.and_(select, self.xor(low, high)))

    def apply(self, op: Op, a: int = 0, b: int = 0) -> int:
        """The gate `op` over slots `a` and `b`, simplified."""
        match op:
            case Op.AND:
                return self.and_(a, b)
            case Op.OR:
                return self.or_(a, b)
            case Op.XOR:
                return self.xor(a, b)
            case Op.NOT:
                return self.not_(a)
            case Op.ANDN:
                return self.and_(a, self.not_(b))
            case _:
                return self.const(op is Op.CONST1)

    def embed(self, circuit: Circuit, inputs: Sequence[int]) -> list[int]:
        """Copy `circuit` in with its inputs connected to slots `inputs`.

        Returns:
            The slot of each of its outputs.

        Raises:
            CircuitError: `inputs` has another length than the circuit has inputs.
        """
        if len(inputs) != circuit.n_inputs:
            raise CircuitError(
                f"{len(inputs)} slots for a circuit of {circuit.n_inputs} inputs",
                where="builder.embed",
                fix="give one slot per input",
            )
        slots = list(inputs)
        for gate in circuit.gates:
            match ARITY[gate.op]:
                case 0:
                    slots.append(self.apply(gate.op))
                case 1:
                    slots.append(self.apply(gate.op, slots[gate.a]))
                case _:
                    slots.append(self.apply(gate.op, slots[gate.a], slots[gate.b]))
        return [slots[s] for s in circuit.outputs]

    def build(self, outputs: Sequence[int]) -> Circuit:
        """The circuit with these output slots, without gates that no output needs."""
        return prune(Circuit(self.n_inputs, tuple(self._gates), tuple(outputs)))


def prune(circuit: Circuit) -> Circuit:
    """The same circuit without the gates that no output depends on; the order is kept."""
    live = set(circuit.outputs)
    for i in reversed(range(len(circuit.gates))):
        gate = circuit.gates[i]
        if circuit.n_inputs + i in live:
            live.update((gate.a, gate.b)[: ARITY[gate.op]])
    new_slot = {s: s for s in range(circuit.n_inputs)}
    gates: list[Gate] = []
    for i, gate in enumerate(circuit.gates):
        if circuit.n_inputs + i in live:
            new_slot[circuit.n_inputs + i] = circuit.n_inputs + len(gates)
            operands = [new_slot[s] for s in (gate.a, gate.b)[: ARITY[gate.op]]]
            gates.append(Gate(gate.op, *operands))
    return Circuit(circuit.n_inputs, tuple(gates), tuple(new_slot[s] for s in circuit.outputs))


def simplify(circuit: Circuit) -> Circuit:
    """An equal circuit with constants folded, equal gates shared and dead gates dropped."""
    builder = CircuitBuilder(circuit.n_inputs)
    return builder.build(builder.embed(circuit, range(circuit.n_inputs)))
