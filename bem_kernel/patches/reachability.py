"""BAD unreachable, as a patch: invariants that imply it and that every expert keeps.

What a machine keeps has to be kept by each step alone, since experts come and go while it runs: a
proof by k-induction would be about one set of experts and one first state, and be worth nothing
after the next patch. So lemmas are searched for that are kept step by step from the states that
the lanes are in now, and the patch sets them as invariants beside the wanted one. Nothing of the
search is believed: the patch owes what every patch of invariants owes.

Shared memory may hold anything at each step, as in the obligations.

Source: BEM core spec 9.4 ("BAD state is unreachable"); decision 0016.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bem_kernel.circuits.builder import CircuitBuilder
from bem_kernel.circuits.circuit import Circuit, Gate, Op
from bem_kernel.errors import PatchError
from bem_kernel.experts.expert import Expert
from bem_kernel.experts.place import Place, state_bit
from bem_kernel.experts.table import ExpertTable
from bem_kernel.hoare.reach import DEFAULT_QUESTIONS, Bounded, Method, Reached, Unreachable, reach
from bem_kernel.hoare.reach_experts import (
    Claim,
    ExpertStep,
    ExpertSystem,
    Start,
    expert_system,
)
from bem_kernel.hoare.reach_proof import Lemma
from bem_kernel.hoare.transition import TransitionSystem
from bem_kernel.patches.invariant import read_invariants
from bem_kernel.patches.patch import Invariant, Kind, Patch, Predicate
from bem_kernel.patches.propose import Provenance, drafted

MOST_LEVELS = 256
NOT = Circuit(1, (Gate(Op.NOT, 0),), (1,))
_ALONE = 2  # depths 0 and 1: what 1-induction proves is kept by each step


@dataclass(frozen=True)
class BadRun:
    """Steps of experts that lead from a state that a lane is in now to BAD.

    Attributes:
        experts: names of those that run, in order.
        states: the state bits that are 1, before each of them and at the end.
    """

    experts: tuple[str, ...]
    states: tuple[tuple[Place, ...], ...]


def propose_kept(
    table: ExpertTable,
    wanted: Invariant,
    *,
    coming: Sequence[Expert] = (),
    reason: str,
    provenance: Provenance = (),
    questions: int = DEFAULT_QUESTIONS,
) -> Patch | BadRun:
    """Let a machine keep an invariant, with lemmas where it is not kept by itself.

    Args:
        table: of the machine; its experts, the states of its lanes and its invariants count.
        wanted: such as that BAD is 0, or one that is kept already, to find it other lemmas.
        coming: experts that are to keep it too, such as one that breaks the present lemmas.
        reason: why.
        provenance: from whom.
        questions: most questions to the solver.

    Returns:
        A patch, to be verified as any; or a run to where the invariant does not hold, which the
        experts have followed.

    Raises:
        PatchError: it is not known, after that many questions.
        KernelError: a bit does not exist, or there is no room.
    """
    own = (wanted.name, f"{wanted.name}: lemmas")
    others = tuple(each for each in read_invariants(table.memory) if each.name not in own)
    assumed = [each for each in others if not (each.lemma and coming)]
    system = _system(table, coming, wanted, assumed)
    verdict = _verdict(system.system, questions)
    if isinstance(verdict, Bounded):
        raise PatchError(
            f"not decided after {questions} questions, or {MOST_LEVELS} levels of lemmas",
            where=f"invariant {wanted.name}",
            fix="allow more, or name lemmas as invariants",
        )
    if isinstance(verdict, Reached):
        return _bad_run(system.steps(verdict.path), [expert.name for expert in system.experts])
    found = [wanted]
    if lemmas := verdict.evidence.reason.lemmas:
        holds = _conjunction(lemmas, verdict.cone.state)
        found.append(Invariant(own[1], holds, lemma=True))
    patch = Patch(Kind.INVARIANT, "", "", reason, provenance, invariants=(*others, *found))
    return drafted(table, patch)


def _system(
    table: ExpertTable, coming: Sequence[Expert], wanted: Invariant, assumed: Iterable[Invariant]
) -> ExpertSystem:
    """The table's experts and others, from the states of all lanes, with the wanted negated."""
    config = table.memory.config
    return expert_system(
        [*(table.expert(word) for word in table), *coming],
        Start(table.memory.planes, config.lanes, None),
        Claim(wanted.holds.bits, wanted.holds.circuit >> NOT),
        n_shared_bits=config.n_shared_bits,
        assumed=[Claim(each.holds.bits, each.holds.circuit) for each in assumed],
    )


def _verdict(system: TransitionSystem, questions: int) -> Reached | Unreachable | Bounded:
    """What is known of a system; without lemmas where the invariant is kept by itself."""
    alone = reach(system, depth=_ALONE, method=Method.INDUCTION)
    if not isinstance(alone, Bounded):
        return alone
    return reach(system, depth=MOST_LEVELS, method=Method.LEMMAS, questions=questions)


def _bad_run(steps: Sequence[ExpertStep], names: Sequence[str]) -> BadRun:
    ran = [names[step.expert] for step in steps[:-1] if step.expert is not None]
    states = [
        tuple(state_bit(bit) for bit, value in enumerate(step.state.tolist()) if value)
        for before, step in zip((None, *steps), steps, strict=False)
        if before is None or before.expert is not None
    ]
    return BadRun(tuple(ran), tuple(states))


def _conjunction(lemmas: Iterable[Lemma], state: Sequence[int]) -> Predicate:
    """All lemmas together, on the state bits that they name."""
    clauses = [[(state[abs(x) - 1], x > 0) for x in lemma] for lemma in lemmas]
    bits = sorted({bit for clause in clauses for bit, _ in clause})
    builder = CircuitBuilder(len(bits))
    holds = builder.const(True)
    for clause in clauses:
        met = builder.const(False)
        for bit, positive in clause:
            slot = bits.index(bit)
            met = builder.or_(met, slot if positive else builder.not_(slot))
        holds = builder.and_(holds, met)
    return Predicate(tuple(bits), builder.build([holds]))
