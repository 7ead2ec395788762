"""VC(Δ): the formulas that have to be unsatisfiable for a patch to be right.

Replacing, splitting and merging owe equivalence on the patch's scope. With old experts O, new
experts N, and "o applies" for o's condition, in every lane of the scope:

    o and n both apply       they write the same
    o applies and no n does  o changes nothing
    n applies and no o does  n changes nothing

Each line, for each pair or expert, is a formula that asserts the opposite. Experts that scatter
have to scatter to the same places in the same order, or there is no formula to say that they agree;
and they have to compute the same addresses, since an address out of range stops the machine.
That the policy chooses, in a lane, a new expert that applies there is not claimed.

Where the machine keeps invariants, every new expert owes that it keeps each: from a lane in which
all hold, whatever the scope, to one in which it holds. A patch that sets the invariants owes that
for every expert of the machine, and that what was kept before follows, lemmas aside. With
invariants that hold now (`invariant.check_hold_now`) this is induction: no steps of experts lead to
a lane where one does not hold. What the world, a host or a program writes to the state is not
claimed.

What patches of the program owe is in `program_obligations`. Retiring and remapping owe no formula,
and adding none but the invariants: what they do is all there is to know, and the certificate binds
it.

Source: BEM core spec 9.4; Tseitin 1968.
"""

from __future__ import annotations

from collections.abc import Sequence

from bem_kernel.circuits.circuit import Op
from bem_kernel.errors import PatchError
from bem_kernel.experts.expert import Expert
from bem_kernel.experts.place import Place, state_bit
from bem_kernel.experts.table import ExpertTable
from bem_kernel.patches.formula import Formula, Obligation
from bem_kernel.patches.invariant import read_invariants
from bem_kernel.patches.patch import Invariant, Kind, Patch, Predicate, Scope
from bem_kernel.patches.program import read_program
from bem_kernel.patches.program_obligations import program_equivalence, program_safety


def obligations(table: ExpertTable, patch: Patch) -> tuple[Obligation, ...]:
    """The formulas of a patch of this table: all that has to be proved.

    Args:
        table: with the structure that the patch changes.
        patch: all of it.

    Raises:
        PatchError: experts scatter to different places, or the machine's invariants are damaged.
        IdentifierError: the patch names an expert that is not in the table.
    """
    return (*equivalence(table, patch), *safety(table, patch))


def equivalence(table: ExpertTable, patch: Patch) -> tuple[Obligation, ...]:
    """That old and new experts do the same on the patch's scope; none where none is replaced.

    Raises:
        PatchError, IdentifierError: as `obligations`.
    """
    if patch.region is not None:
        return program_equivalence(read_program(table.memory), patch.region, patch.scope)
    old = [table.expert(word) for word in patch.replaced]
    new = [entry.expert for entry in patch.added] if old else []
    found = [_agree(before, after, patch.scope) for before in old for after in new]
    found += [_idle(before, new, patch.scope, "the new experts") for before in old]
    found += [_idle(after, old, patch.scope, "the old experts") for after in new]
    return tuple(found)


def safety(table: ExpertTable, patch: Patch) -> tuple[Obligation, ...]:
    """That the machine's invariants are kept, or the annotations of its program.

    Raises:
        PatchError, IdentifierError: as `obligations`.
    """
    if patch.region is not None:
        return program_safety(read_program(table.memory), patch.region)
    kept = read_invariants(table.memory)
    found: list[Obligation] = []
    if patch.kind is Kind.INVARIANT:
        found += [_follows(each, patch.invariants) for each in kept if not each.lemma]
        kept, comers = patch.invariants, [table.expert(word) for word in table]
    else:
        comers = [entry.expert for entry in patch.added]
    found += [_keeps(expert, each, kept) for expert in comers for each in kept]
    return tuple(found)


def _keeps(expert: Expert, invariant: Invariant, all_: Sequence[Invariant]) -> Obligation:
    formula = Formula((expert,), [each.holds for each in all_])
    for each in all_:
        formula.require(formula.holds(each.holds))
    effect = formula.effect(expert)
    broken = -formula.holds(invariant.holds, effect)
    claim = f"{expert.name!r} keeps the invariant {invariant.name!r}"
    return formula.asserting(claim, [[effect.applies], [broken]])


def _follows(invariant: Invariant, from_: Sequence[Invariant]) -> Obligation:
    formula = Formula((), [each.holds for each in (*from_, invariant)])
    for each in from_:
        formula.require(formula.holds(each.holds))
    claim = f"the invariant {invariant.name!r} follows from the new ones"
    return formula.asserting(claim, [[-formula.holds(invariant.holds)]])


def _scoped(experts: Sequence[Expert], scope: Scope) -> Formula:
    """A formula in which a lane of the scope is asserted."""
    if scope.care is None:
        return Formula(experts)
    care = Predicate(scope.bits, scope.care)
    formula = Formula(experts, [care])
    formula.require(formula.holds(care))
    return formula


def _agree(before: Expert, after: Expert, scope: Scope) -> Obligation:
    formula = _scoped((before, after), scope)
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
    if _computed(before) != _computed(after):
        raise PatchError(
            f"{before.name} and {after.name} compute different addresses",
            where="patch",
            fix="let the new expert gather from and scatter to the places of the old one",
        )
    for (_, on, value), (_, other_on, other) in zip(left.scatters, right.scatters, strict=True):
        differences.append(formula.gate(Op.XOR, on, other_on))
        differences.append(formula.gate(Op.AND, on, formula.gate(Op.XOR, value, other)))
    claim = f"{before.name!r} and {after.name!r} write the same where both apply"
    return formula.asserting(claim, [[left.applies], [right.applies], differences])


def _computed(expert: Expert) -> set[Place]:
    """The places whose address is found when an expert runs."""
    places = (*expert.gathers, *(scatter.place for scatter in expert.scatters))
    return {place for place in places if place.terms}


def _idle(expert: Expert, others: Sequence[Expert], scope: Scope, who: str) -> Obligation:
    formula = _scoped((expert, *others), scope)
    effect = formula.effect(expert)
    changes = [
        formula.gate(Op.XOR, literal, formula.variable(state_bit(bit)))
        for bit, literal in effect.writes.items()
    ]
    changes += [on for _, on, _ in effect.scatters]
    elsewhere = [[-formula.applies(other)] for other in others]
    claim = f"{expert.name!r} changes nothing where none of {who} applies"
    return formula.asserting(claim, [[effect.applies], *elsewhere, changes])
