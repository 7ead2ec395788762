"""That a learned action model says no more than its traces do, as formulas with checked proofs.

The learner lists and intersects; here nothing of that is believed. A hypothesis is left open: a
variable for each clause that there is says whether it belongs to the precondition, a success
forbids the clauses that were false in it, a failure asks for one of those. That some state, which
the learned circuit admits, is refused by such a hypothesis, must be unsatisfiable. Likewise no
antecedent that explains the traces may contradict a foreseen effect.

Source: Mitchell 1982; Stern and Juba 2017, safety.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from bem_kernel.circuits.circuit import Circuit
from bem_kernel.errors import LearningError
from bem_kernel.learning.action_circuits import effect_circuit, pre_circuit
from bem_kernel.learning.action_model import ActionModel, Effect, states_of
from bem_kernel.learning.action_traces import Attempt
from bem_kernel.learning.version_space import Clause, States, all_clauses, truth
from bem_kernel.logic.cnf import cnf_from_clauses
from bem_kernel.logic.encodings import at_most
from bem_kernel.logic.proof import Proof
from bem_kernel.logic.tseitin import encode_gates, output_literals
from bem_kernel.patches.formula import Obligation
from bem_kernel.patches.verify import Refuted, Undecided, prove
from bem_kernel.proofs.check import Rejected, check_proof


@dataclass(frozen=True, eq=False)
class Justified:
    """What was proved of an action model.

    Attributes:
        claims: in words and as formulas that have no model.
        proofs: one for each, accepted by the checker.
    """

    claims: tuple[Obligation, ...]
    proofs: tuple[Proof, ...]


def justify(model: ActionModel, attempts: Sequence[Attempt]) -> Justified:
    """Prove that traces justify a model.

    Args:
        model: of one action, learned or made otherwise.
        attempts: at this action.

    Raises:
        LearningError: they do not; the message names what is not justified.
    """
    _check_plain_effects(model, attempts)
    claims = tuple(claims_of(model, attempts))
    proofs = prove(claims)
    if isinstance(proofs, Refuted | Undecided):
        raise _unjustified(model, f"not {proofs.claim}")
    for claim, proof in zip(claims, proofs, strict=True):
        outcome = check_proof(claim.cnf, proof)
        if isinstance(outcome, Rejected):
            raise _unjustified(model, f"no proof that {claim.claim}: {outcome.reason}")
    return Justified(claims, proofs)


def claims_of(model: ActionModel, attempts: Sequence[Attempt]) -> Iterator[Obligation]:
    """What has to be unsatisfiable: one formula for the precondition, one for each antecedent."""
    before = states_of([each.before for each in attempts], model.facts)
    ok = np.array([each.ok for each in attempts], dtype=np.bool_)
    yield _admission(model, before[ok], before[~ok])
    successes = [each for each in attempts if each.ok]
    for effect in model.effects:
        if effect.when is not None and effect.when.size:
            yield _foresight(model, effect, successes)


class _Clauses:
    """Clauses over the facts 1 to n and further variables."""

    def __init__(self, n_facts: int) -> None:
        self.inputs = tuple(range(1, n_facts + 1))
        self.rows: list[list[int]] = []
        self.last = n_facts

    def new(self, count: int) -> list[int]:
        """So many new variables."""
        self.last += count
        return list(range(self.last - count + 1, self.last + 1))

    def embed(self, circuit: Circuit) -> tuple[int, ...]:
        """The output literals of a circuit on the facts."""
        first = self.last + 1
        self.rows += encode_gates(circuit, self.inputs, first)
        self.last += len(circuit.gates)
        return output_literals(circuit, self.inputs, first)

    def obligation(self, claim: str) -> Obligation:
        """The formula."""
        return Obligation(claim, cnf_from_clauses(self.rows, self.last), ())


def _admission(model: ActionModel, positive: States, negative: States) -> Obligation:
    formula = _Clauses(len(model.facts))
    (admitted,) = formula.embed(pre_circuit(model))
    every = all_clauses(len(model.facts), model.pre.width)
    chosen, broken = formula.new(len(every)), formula.new(len(every))
    formula.rows += [[-chosen[i]] for i in _ever_false(every, positive)]
    formula.rows += [[chosen[i] for i in row] for row in _false_in_each(every, negative)]
    for clause, own, falsified in zip(every, chosen, broken, strict=True):
        formula.rows += [[-falsified, own], *([-falsified, -literal] for literal in clause)]
    formula.rows += [[admitted], broken]
    return formula.obligation(
        f"every precondition that explains the traces holds where {model.action} is admitted"
    )


def _foresight(model: ActionModel, effect: Effect, successes: Sequence[Attempt]) -> Obligation:
    assert effect.when is not None
    taken, missed = _occurrences(model, effect, successes)
    formula = _Clauses(len(model.facts))
    takes_place, foreseen = formula.embed(effect_circuit(model, effect))
    every = all_clauses(len(model.facts), 1)
    chosen, broken = formula.new(len(every)), formula.new(len(every))
    formula.rows += [[-chosen[i]] for i in _ever_false(every, taken)]
    formula.rows += [[chosen[i] for i in row] for row in _false_in_each(every, missed)]
    bound = at_most(chosen, effect.when.size, formula.last)
    formula.rows += bound.rows
    formula.last = bound.top
    (fails,) = formula.new(1)  # the hypothesis says that it does not take place
    for (literal,), own, falsified in zip(every, chosen, broken, strict=True):
        formula.rows += [[-falsified, own], [-falsified, -literal], [fails, -own, literal]]
    formula.rows += [[-fails, takes_place], [fails, -takes_place], [-fails, *broken], [foreseen]]
    return formula.obligation(
        f"every antecedent of up to {effect.when.size} literals that explains the traces agrees "
        f"with what {model.action} is foreseen to do to {effect.fact}"
    )


def _ever_false(clauses: list[Clause], states: States) -> list[int]:
    return np.flatnonzero(~np.all(truth(clauses, states), axis=0)).tolist()


def _false_in_each(clauses: list[Clause], states: States) -> list[list[int]]:
    rows = np.unique(~truth(clauses, states), axis=0)
    return [np.flatnonzero(row).tolist() for row in rows]


def _occurrences(
    model: ActionModel, effect: Effect, successes: Sequence[Attempt]
) -> tuple[States, States]:
    """States in which an effect took place, and in which it could have and did not."""
    open_ = [each for each in successes if each.before[effect.fact] != effect.value]
    taken = [each.before for each in open_ if each.after[effect.fact] == effect.value]
    missed = [each.before for each in open_ if each.after[effect.fact] != effect.value]
    return states_of(taken, model.facts), states_of(missed, model.facts)


def _check_plain_effects(model: ActionModel, attempts: Sequence[Attempt]) -> None:
    """Refuse a model that a success contradicts: each is replayed."""
    successes = [each for each in attempts if each.ok]
    before = states_of([each.before for each in successes], model.facts)
    after, foreseen = model.after(before), model.foresees(before)
    for each, expected, sure in zip(successes, after, foreseen, strict=True):
        found = dict(zip(model.facts, expected.tolist(), strict=True))
        found |= {e.fact: e.value for e in model.effects if e.fact not in model.facts}
        wrong = [fact for fact, value in found.items() if each.after.get(fact, value) != value]
        if sure and wrong:
            raise _unjustified(model, f"{each.source or 'a success'} contradicts {wrong[0]} after")


def _unjustified(model: ActionModel, what: str) -> LearningError:
    return LearningError(what, where=f"action {model.action}", fix="learn it from these traces")
