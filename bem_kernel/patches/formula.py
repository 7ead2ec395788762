"""Clauses about experts in one lane: what applies, what is read, what is written.

Variables 1, 2, 3 … are the bits that the experts read or write, by place. Two address expressions
that may mean one bit get a variable each, which admits more states than there are and so is sound.

Source: BEM core spec 9.1; Tseitin 1968.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bem_kernel.circuits.circuit import Circuit, Gate, Op
from bem_kernel.experts.expert import Expert
from bem_kernel.experts.place import Place, Space, state_bit
from bem_kernel.logic.cnf import Cnf, cnf_from_clauses
from bem_kernel.logic.tseitin import encode_gates, gate_clauses, output_literals
from bem_kernel.patches.patch import Predicate


@dataclass(frozen=True, eq=False)
class Obligation:
    """One formula that has to be unsatisfiable.

    Attributes:
        claim: what its unsatisfiability says.
        cnf: the formula; a model is a counterexample.
        places: the bits that variables 1, 2, 3 … stand for.
        names: in the place of `places`, for bits of a program's registers and words.
    """

    claim: str
    cnf: Cnf
    places: tuple[Place, ...]
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Effect:
    """What an expert does in a lane, as literals.

    Attributes:
        applies: whether its condition holds.
        writes: the value of each fixed state bit that it writes.
        scatters: place, whether it is written, and the value, in order.
    """

    applies: int
    writes: dict[int, int]
    scatters: tuple[tuple[Place, int, int], ...]

    def written(self, bit: int, formula: Formula) -> int:
        """The value of a state bit after the expert."""
        return self.writes.get(bit, formula.variable(state_bit(bit)))


class Formula:
    """Clauses about some experts in one lane.

    Args:
        experts: the only ones it will be asked about.
        predicates: likewise.
    """

    def __init__(self, experts: Iterable[Expert], predicates: Iterable[Predicate] = ()) -> None:
        places: dict[Place, int] = {}
        for expert in experts:
            conditions = () if expert.condition is None else (expert.condition.bit,)
            bits = (*expert.reads, *expert.writes, *conditions)
            for place in (*map(state_bit, bits), *expert.gathers):
                places.setdefault(place, len(places) + 1)
        for bit in (bit for predicate in predicates for bit in predicate.bits):
            places.setdefault(state_bit(bit), len(places) + 1)
        self._variables = places
        self._next = len(places) + 1
        self._clauses: list[list[int]] = []
        self._true = self.gate(Op.CONST1, 0, 0)

    def variable(self, place: Place) -> int:
        """The variable of a bit."""
        return self._variables[place]

    def gate(self, op: Op, a: int, b: int) -> int:
        """A new literal that is op(a, b)."""
        out = self._next
        self._next += 1
        self._clauses += gate_clauses(Gate(op), out, a, b)
        return out

    def require(self, literal: int) -> None:
        """Assert a literal."""
        self._clauses.append([literal])

    def applies(self, expert: Expert) -> int:
        """Whether an expert's condition holds."""
        if expert.condition is None:
            return self._true
        literal = self.variable(state_bit(expert.condition.bit))
        return literal if expert.condition.value else -literal

    def effect(self, expert: Expert) -> Effect:
        """What an expert does."""
        places = (*map(state_bit, expert.reads), *expert.gathers)
        outputs = self._embedded(expert.circuit, [self.variable(place) for place in places])
        n_writes = len(expert.writes)
        scatters = tuple(
            (
                scatter.place,
                self._true if scatter.enable is None else outputs[scatter.enable],
                value,
            )
            for scatter, value in zip(expert.scatters, outputs[n_writes:], strict=False)
        )
        return Effect(
            self.applies(expert), dict(zip(expert.writes, outputs, strict=False)), scatters
        )

    def holds(self, predicate: Predicate, after: Effect | None = None) -> int:
        """Whether a predicate holds in the lane, or after an expert has run there."""
        if after is None:
            inputs = [self.variable(state_bit(bit)) for bit in predicate.bits]
        else:
            inputs = [self._next_value(bit, after) for bit in predicate.bits]
        (literal,) = self._embedded(predicate.circuit, inputs)
        return literal

    def _next_value(self, bit: int, effect: Effect) -> int:
        """A state bit after an expert; a computed address may be that of any bit."""
        value = effect.written(bit, self)
        for place, on, written in effect.scatters:
            if place.space is not Space.STATE or (not place.terms and place.base != bit):
                continue
            hit = on if not place.terms else self.gate(Op.AND, on, self._free())
            kept = self.gate(Op.ANDN, value, hit)
            value = self.gate(Op.OR, kept, self.gate(Op.AND, hit, written))
        return value

    def _free(self) -> int:
        """A new variable that may be either."""
        self._next += 1
        return self._next - 1

    def asserting(self, claim: str, clauses: list[list[int]]) -> Obligation:
        """The formula with more clauses."""
        cnf = cnf_from_clauses([*self._clauses, *clauses], self._next - 1)
        return Obligation(claim, cnf, tuple(self._variables))

    def _embedded(self, circuit: Circuit, inputs: Sequence[int]) -> tuple[int, ...]:
        """The outputs of a circuit on given literals."""
        first = self._next
        self._clauses += encode_gates(circuit, inputs, first)
        self._next += len(circuit.gates)
        return output_literals(circuit, inputs, first)
