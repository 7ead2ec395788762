"""VC(Δ): the formulas that have to be unsatisfiable for a patch to be right.

Replacing, splitting and merging owe equivalence on the patch's scope. With old experts O, new
experts N, and "o applies" for o's condition, in every lane of the scope:

    o and n both apply       they write the same
    o applies and no n does  o changes nothing
    n applies and no o does  n changes nothing

Each line, for each pair or expert, is a formula that asserts the opposite; its variables are the
bits that the experts read or write. Two address expressions that may mean one bit get a variable
each, which asks for more than is needed and so is sound. Experts that scatter have to scatter to
the same places in the same order, or there is no formula to say that they agree. That the policy
chooses, in a lane, a new expert that applies there is not claimed.

Retiring, adding and remapping owe no formula: what they do is all there is to know, and the
certificate binds it.

Source: BEM core spec 9.4; Tseitin 1968.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bem_kernel.circuits.circuit import Circuit, Gate, Op
from bem_kernel.errors import PatchError
from bem_kernel.experts.expert import Expert
from bem_kernel.experts.place import Place, state_bit
from bem_kernel.experts.table import ExpertTable
from bem_kernel.logic.cnf import Cnf, cnf_from_clauses
from bem_kernel.logic.tseitin import encode_gates, gate_clauses, output_literals
from bem_kernel.patches.patch import Patch, Scope


@dataclass(frozen=True, eq=False)
class Obligation:
    """One formula that has to be unsatisfiable.

    Attributes:
        claim: what its unsatisfiability says.
        cnf: the formula; a model is a counterexample.
        places: the bits that variables 1, 2, 3 … stand for.
    """

    claim: str
    cnf: Cnf
    places: tuple[Place, ...]


def obligations(table: ExpertTable, patch: Patch) -> tuple[Obligation, ...]:
    """The formulas of a patch of this table.

    Args:
        table: with the structure that the patch changes.
        patch: all of it.

    Raises:
        PatchError: experts scatter to different places.
        IdentifierError: the patch names an expert that is not in the table.
    """
    old = [table.expert(word) for word in patch.replaced]
    new = [entry.expert for entry in patch.added] if old else []
    found = [_agree(before, after, patch.scope) for before in old for after in new]
    found += [_idle(before, new, patch.scope, "the new experts") for before in old]
    found += [_idle(after, old, patch.scope, "the old experts") for after in new]
    return tuple(found)


def _agree(before: Expert, after: Expert, scope: Scope) -> Obligation:
    formula = _Formula((before, after), scope)
    left, right = formula.effect(before), formula.effect(after)
    differences = [
        formula.gate(Op.XOR, left.written(bit, formula), right.written(bit, formula))
        for bit in {**left.writes, **right.writes}
    ]
    if [place for place, _, _ in left.scatters] != [place for place, _, _ in right.scatters]:
        raise PatchError(
            f"{before.name} and {after.name} scatter to different places",
            where="patch",
            fix="give the new expert the scatters of the old one, in the same order",
        )
    for (_, on, value), (_, other_on, other) in zip(left.scatters, right.scatters, strict=True):
        differences.append(formula.gate(Op.XOR, on, other_on))
        differences.append(formula.gate(Op.AND, on, formula.gate(Op.XOR, value, other)))
    claim = f"{before.name!r} and {after.name!r} write the same where both apply"
    return formula.asserting(claim, [[left.applies], [right.applies], differences])


def _idle(expert: Expert, others: Sequence[Expert], scope: Scope, who: str) -> Obligation:
    formula = _Formula((expert, *others), scope)
    effect = formula.effect(expert)
    changes = [
        formula.gate(Op.XOR, literal, formula.variable(state_bit(bit)))
        for bit, literal in effect.writes.items()
    ]
    changes += [on for _, on, _ in effect.scatters]
    elsewhere = [[-formula.applies(other)] for other in others]
    claim = f"{expert.name!r} changes nothing where none of {who} applies"
    return formula.asserting(claim, [[effect.applies], *elsewhere, changes])


@dataclass(frozen=True)
class _Effect:
    """What an expert does in a lane, as literals.

    Attributes:
        applies: whether its condition holds.
        writes: the value of each fixed state bit that it writes.
        scatters: place, whether it is written, and the value, in order.
    """

    applies: int
    writes: dict[int, int]
    scatters: tuple[tuple[Place, int, int], ...]

    def written(self, bit: int, formula: _Formula) -> int:
        """The value of a state bit after the expert."""
        return self.writes.get(bit, formula.variable(state_bit(bit)))


class _Formula:
    """Clauses about some experts in one lane."""

    def __init__(self, experts: Iterable[Expert], scope: Scope) -> None:
        places: dict[Place, int] = {}
        for expert in experts:
            conditions = () if expert.condition is None else (expert.condition.bit,)
            bits = (*expert.reads, *expert.writes, *conditions)
            for place in (*map(state_bit, bits), *expert.gathers):
                places.setdefault(place, len(places) + 1)
        for bit in scope.bits:
            places.setdefault(state_bit(bit), len(places) + 1)
        self._variables = places
        self._next = len(places) + 1
        self._clauses: list[list[int]] = []
        self._true = self.gate(Op.CONST1, 0, 0)
        if scope.care is not None:
            inputs = [self.variable(state_bit(bit)) for bit in scope.bits]
            self._clauses.append(list(self._embedded(scope.care, inputs)))

    def variable(self, place: Place) -> int:
        """The variable of a bit."""
        return self._variables[place]

    def gate(self, op: Op, a: int, b: int) -> int:
        """A new literal that is op(a, b)."""
        out = self._next
        self._next += 1
        self._clauses += gate_clauses(Gate(op), out, a, b)
        return out

    def applies(self, expert: Expert) -> int:
        """Whether an expert's condition holds."""
        if expert.condition is None:
            return self._true
        literal = self.variable(state_bit(expert.condition.bit))
        return literal if expert.condition.value else -literal

    def effect(self, expert: Expert) -> _Effect:
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
        return _Effect(
            self.applies(expert), dict(zip(expert.writes, outputs, strict=False)), scatters
        )

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
