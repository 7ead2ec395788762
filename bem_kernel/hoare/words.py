"""Integers as slots of a circuit: what the instructions compute, gate by gate.

A word is a tuple of slots, the lowest bit first, read as two's complement. Registers and memory
words have 64; expressions may use any width, so that they never wrap.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bem_kernel.circuits.builder import CircuitBuilder
from bem_kernel.circuits.circuit import ARITY, Circuit
from bem_kernel.errors import HoareError
from bem_kernel.hoare.transition import with_inputs
from bem_kernel.logic.cnf import Cnf
from bem_kernel.logic.tseitin import gate_clauses

Word = tuple[int, ...]

WIDTH = 64
MAX_INPUTS = 1 << 16
MAX_GATES = 1 << 20


class WordBuilder:
    """Builds gates over words; inputs are handed out as they are needed.

    Attributes:
        zero: the slot that is always 0.
        one: the slot that is always 1.
    """

    def __init__(self) -> None:
        self._bits = CircuitBuilder(MAX_INPUTS)
        self._used = 0
        self.zero = self._bits.const(False)
        self.one = self._bits.const(True)

    @property
    def n_inputs(self) -> int:
        """Inputs handed out so far: slots 0 to n_inputs - 1."""
        return self._used

    def fresh(self, width: int = WIDTH) -> Word:
        """New inputs.

        Raises:
            HoareError: there are none left.
        """
        if self._used + width > MAX_INPUTS:
            raise HoareError(
                f"more than {MAX_INPUTS} unknown bits",
                where="hoare",
                fix="declare widths, or annotate more nodes",
            )
        self._used += width
        return tuple(range(self._used - width, self._used))

    def constant(self, value: int, width: int = WIDTH) -> Word:
        """A number, modulo 2^width."""
        return tuple(self.one if value >> i & 1 else self.zero for i in range(width))

    def value(self, word: Word) -> int | None:
        """The number that a word always is, signed; None if it depends on inputs."""
        if any(slot not in (self.zero, self.one) for slot in word):
            return None
        number = sum(1 << i for i, slot in enumerate(word) if slot == self.one)
        return number - (1 << len(word)) if word[-1] == self.one else number

    def not_(self, a: int) -> int:
        """Complement."""
        return self._bits.not_(a)

    def and_(self, a: int, b: int) -> int:
        """Conjunction."""
        return self._bits.and_(a, b)

    def or_(self, a: int, b: int) -> int:
        """Disjunction."""
        return self._bits.or_(a, b)

    def xor(self, a: int, b: int) -> int:
        """Sum modulo two."""
        return self._bits.xor(a, b)

    def all(self, slots: Iterable[int]) -> int:
        """Conjunction of any number of slots."""
        result = self.one
        for slot in slots:
            result = self.and_(result, slot)
        return result

    def any(self, slots: Iterable[int]) -> int:
        """Disjunction of any number of slots."""
        result = self.zero
        for slot in slots:
            result = self.or_(result, slot)
        return result

    def embed(self, circuit: Circuit, inputs: Sequence[int]) -> list[int]:
        """The slots of a circuit's outputs over given inputs."""
        return self._bits.embed(circuit, inputs)

    def choose(self, select: int, low: Word, high: Word) -> Word:
        """`high` where `select` is 1, else `low`."""
        return tuple(self._bits.mux(select, a, b) for a, b in zip(low, high, strict=True))

    def extend(self, a: Word, width: int) -> Word:
        """The same number in at least as many bits."""
        return a + (a[-1],) * (width - len(a))

    def complement(self, a: Word) -> Word:
        """Every bit negated."""
        return tuple(self.not_(slot) for slot in a)

    def add(self, a: Word, b: Word, carry: int | None = None) -> Word:
        """The sum a + b + carry, modulo 2^width."""
        carry = self.zero if carry is None else carry
        result = []
        for x, y in zip(a, b, strict=True):
            either = self.xor(x, y)
            result.append(self.xor(either, carry))
            carry = self.or_(self.and_(x, y), self.and_(either, carry))
        return tuple(result)

    def subtract(self, a: Word, b: Word) -> Word:
        """The difference a - b, modulo 2^width."""
        return self.add(a, self.complement(b), self.one)

    def multiply(self, a: Word, b: Word, width: int) -> Word:
        """The product of two signed numbers, modulo 2^width."""
        if sum(slot == self.zero for slot in a) > sum(slot == self.zero for slot in b):
            a, b = b, a
        a = self.extend(a, width)[:width]
        result = self.constant(0, width)
        for i, bit in enumerate(b[:width]):
            row = (self.zero,) * i + tuple(self.and_(bit, slot) for slot in a[: width - i])
            last = i == len(b) - 1  # the sign counts negative
            result = self.subtract(result, row) if last else self.add(result, row)
        return result

    def equal(self, a: Word, b: Word) -> int:
        """Whether two words of one width are equal."""
        return self.all(self.not_(self.xor(x, y)) for x, y in zip(a, b, strict=True))

    def equals(self, a: Word, value: int) -> int:
        """Whether a word is a number."""
        return self.equal(a, self.constant(value, len(a)))

    def not_zero(self, a: Word) -> int:
        """Whether any bit is 1."""
        return self.any(a)

    def below(self, a: Word, b: Word) -> int:
        """Whether a < b as unsigned numbers."""
        less = self.zero
        for x, y in zip(a, b, strict=True):
            less = self.choose(self.xor(x, y), (less,), (y,))[0]
        return less

    def less(self, a: Word, b: Word) -> int:
        """Whether a < b as signed numbers."""
        return self.below((*a[:-1], b[-1]), (*b[:-1], a[-1]))

    def shift_left(self, a: Word, amount: Word) -> Word:
        """Shift left by amount mod 64."""
        for i in range(6):
            moved = (self.zero,) * (1 << i) + a[: -(1 << i)]
            a = self.choose(amount[i], a, moved)
        return a

    def shift_right(self, a: Word, amount: Word, fill: int) -> Word:
        """Shift right by amount mod 64, `fill` coming in."""
        for i in range(6):
            moved = a[1 << i :] + (fill,) * (1 << i)
            a = self.choose(amount[i], a, moved)
        return a

    def circuit(self, outputs: Sequence[int], inputs: Sequence[int]) -> Circuit:
        """The gates of some slots, as a circuit of its own inputs.

        Args:
            outputs: any slots.
            inputs: the inputs that they depend on, in the order that they get.
        """
        return with_inputs(self._bits.build(outputs), inputs)

    def formulas(self, slots: Sequence[int]) -> list[Formula]:
        """For each slot, what must be satisfied for it to be 1.

        Raises:
            HoareError: there are too many gates.
        """
        whole = self._bits.build(slots)  # once for all of them: it costs as much as all gates
        if len(whole.gates) > MAX_GATES:
            raise HoareError(
                f"conditions of {len(whole.gates)} gates",
                where="hoare",
                fix="declare widths, or annotate more nodes",
            )
        return [_formula(whole, slot) for slot in whole.outputs]


@dataclass(frozen=True)
class Formula:
    """The clauses of the gates that one slot depends on, with the slot asserted (Tseitin 1968).

    Attributes:
        cnf: satisfied exactly by the evaluations that make the slot 1.
        inputs: the input of each of its first variables.
    """

    cnf: Cnf
    inputs: tuple[int, ...]


def _formula(circuit: Circuit, slot: int) -> Formula:
    n_inputs, gates = circuit.n_inputs, circuit.gates
    cone, todo = {slot}, [slot]
    while todo:
        at = todo.pop()
        if at >= n_inputs:
            gate = gates[at - n_inputs]
            operands = {*(gate.a, gate.b)[: ARITY[gate.op]]} - cone
            cone |= operands
            todo += operands
    ordered = sorted(cone)
    variable = {s: i for i, s in enumerate(ordered, 1)}
    literals, sizes = [variable[slot]], [0, 1]  # flat: many small lists keep the collector busy
    for s in ordered:
        if s >= n_inputs:
            gate = gates[s - n_inputs]
            a, b = variable.get(gate.a, 0), variable.get(gate.b, 0)
            for clause in gate_clauses(gate, variable[s], a, b):
                literals += clause
                sizes.append(len(clause))
    offsets = np.cumsum(np.array(sizes, dtype=np.int32), dtype=np.int32)
    inputs = tuple(s for s in ordered if s < n_inputs)
    return Formula(Cnf(len(ordered), offsets, np.array(literals, dtype=np.int32)), inputs)


def number(word: Word, inputs: Mapping[int, bool], one: int) -> int:
    """The value of a word of inputs and constants, unsigned; inputs left out are 0."""
    return sum(1 << i for i, slot in enumerate(word) if slot == one or inputs.get(slot, False))
