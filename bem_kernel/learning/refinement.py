"""Refinement: asking a simulator about the states in which hypotheses disagree.

A solver looks for a state in doubt: one that some precondition which explains the attempts admits
and another refuses, or one in which antecedents of an effect disagree. A simulator tries the action
there, its answer is one more attempt, and the model is learned anew (CEGIS). States that break one
clause only, near one that succeeded, come first: their answer settles the clause. When the formula
has no model, no state is left in doubt, and the model is exact if the width is right and effects
depend on no more than it says. That cannot be proved by questions; states drawn at random among the
admitted and the refused ones are asked about too, and what they refute begins the search again.

Source: Solar-Lezama 2006 (CEGIS); Mitchell 1982 (queries from a version space).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Protocol

from bem_kernel.errors import LearningError
from bem_kernel.learning.action_model import ActionModel, learn_action
from bem_kernel.learning.action_traces import Attempt
from bem_kernel.learning.antecedents import Antecedents
from bem_kernel.learning.version_space import Clause
from bem_kernel.logic.cnf import Cnf, cnf_from_clauses
from bem_kernel.proofs.check import Accepted, check_proof
from bem_kernel.sat.check import Satisfiable, Unsatisfiable, check

PATIENCE = 8
"""Most questions about one clause, which a simulator may not bring about, or which is of a width at
which single states settle nothing; and, for each fact, about states of any kind."""

MAX_BASES = 16
"""Most successes near which a state in doubt is looked for."""


class Simulator(Protocol):
    """Something on which actions can be tried."""

    def attempt(self, action: str, before: Mapping[str, bool]) -> Attempt | None:
        """Bring a state about and try an action there.

        Args:
            action: its name.
            before: the facts that are to hold or not.

        Returns:
            What happened, there or in another state if that one cannot be brought about; None if
            nothing could be tried.
        """


@dataclass(frozen=True, eq=False)
class Refined:
    """A model after questions.

    Attributes:
        model: explains all attempts.
        attempts: those given, then those made by the simulator.
        n_asked: states that the simulator was asked for.
        n_missed: those of them that it did not bring about.
        n_random: how many at the end were drawn at random and refuted nothing.
        settled: says that a state is in doubt, other than those missed; unsatisfiable, with a
            checked proof. None if some is left in doubt.
    """

    model: ActionModel
    attempts: tuple[Attempt, ...]
    n_asked: int
    n_missed: int
    n_random: int
    settled: Cnf | None


def refine(
    attempts: Sequence[Attempt],
    simulator: Simulator,
    *,
    width: int = 1,
    possible: Iterable[Sequence[str]] = (),
    max_questions: int = 1000,
    n_random: int = 64,
    seed: int = 0,
) -> Refined:
    """Ask a simulator until nothing is in doubt about an action.

    Args:
        attempts: at this action, one at least.
        simulator: tries it.
        width: as for `learn_action`.
        possible: clauses that hold in every state that there is, of literals such as `!open(door)`.
        max_questions: then the model is as good as it is.
        n_random: random states in a row that have to refute nothing.
        seed: of these.

    Raises:
        LearningError: the facts do not explain what happened, or a clause names no fact.
    """
    known, blocked, rng = list(attempts), list[list[int]](), Random(seed)
    asked, agreed, questions = 0, 0, Counter[Clause]()
    model = learn_action(known, width)
    world = [[_literal(model, text) for text in clause] for clause in possible]
    while True:
        doubt = _Doubt(model, [*world, *blocked])
        before = _state_in_doubt(doubt, _bases(model, known), questions, rng)
        agreed = 0 if before is not None else agreed
        if before is None and agreed < n_random:
            before, agreed = _random_state(doubt, rng), agreed + 1
        if before is None or asked == max_questions:
            counts = (asked, len(blocked), agreed)
            return Refined(model, tuple(known), *counts, _settled(doubt))
        asked += 1
        found = simulator.attempt(model.action, before)
        if found is None or found.before != before:
            blocked.append([-literal for literal in _literals(before, model)])
        if found is not None:
            known.append(found)
            model = learn_action(known, width)


class _Doubt:
    """The formula that says that a state is in doubt; variables 1 to n are the facts.

    Attributes:
        model: whose hypotheses disagree.
        cnf: the formula.
        holds: by position of a clause of `model.pre`, the variable that says that it holds.
        about_pre: says that the doubt is about the precondition.
        undisputed: the same without saying that a state is in doubt.
    """

    def __init__(self, model: ActionModel, world: Sequence[Sequence[int]]) -> None:
        self.model = model
        self._rows: list[list[int]] = [list(clause) for clause in world]
        self._last = len(model.facts)
        self.holds = [self._any(clause) for clause in model.pre.clauses]
        kinds = [self._pre_in_doubt()]
        self.about_pre = kinds[0]
        for effect in model.effects:
            if effect.when is not None and effect.when.size:
                fact = model.facts.index(effect.fact) + 1
                kinds.append(self._effect_in_doubt(-fact if effect.value else fact, effect.when))
        self.undisputed = cnf_from_clauses(self._rows, self._last)
        self.cnf = cnf_from_clauses([*self._rows, kinds], self._last)

    def _new(self) -> int:
        self._last += 1
        return self._last

    def _any(self, literals: Sequence[int]) -> int:
        """A variable that is true where a literal is."""
        own = self._new()
        self._rows += [[-own, *literals], *([own, -literal] for literal in literals)]
        return own

    def _pre_in_doubt(self) -> int:
        doubt = self._new()
        self._rows.append([-doubt, *(-self.holds[i] for i in self.model.pre.prime)])
        self._rows += [
            [-doubt, *(self.holds[i] for i in reason)] for reason in self.model.pre.reasons
        ]
        return doubt

    def _effect_in_doubt(self, open_: int, when: Antecedents) -> int:
        doubt = self._new()
        fails = [self._any([-literal for literal in each]) for each in when.conjunctions]
        self._rows += [[-doubt, self.holds[i]] for i in self.model.pre.prime]
        self._rows += [[-doubt, open_], [-doubt, *fails], [-doubt, *(-each for each in fails)]]
        return doubt


def _state_in_doubt(
    doubt: _Doubt, bases: Sequence[list[int]], asked: Counter[Clause], rng: Random
) -> dict[str, bool] | None:
    """A state that the simulator is to be asked about; None if none is, or patience has ended."""
    pre = doubt.model.pre
    wishes = _random_wishes(pre.n_facts, rng)
    if (
        pre.width == 1 and bases
    ):  # wider clauses are told apart by states that have little in common
        wishes = rng.choice(bases)
    for i in pre.prime:
        clause = pre.clauses[i]
        if i not in pre.needed and asked[clause] < PATIENCE:
            others = [doubt.holds[j] for j in pre.prime if j != i]
            found = _wished(doubt, doubt.cnf, [doubt.about_pre, -doubt.holds[i], *others], wishes)
            if found is not None:
                asked[clause] += 1
                return found
    asked[()] += 1
    return _wished(doubt, doubt.cnf, [], wishes) if asked[()] <= PATIENCE * pre.n_facts else None


def _settled(doubt: _Doubt) -> Cnf | None:
    """The formula, if it has no model and the proof of that is accepted."""
    verdict = check(doubt.cnf)
    if not isinstance(verdict, Unsatisfiable):
        return None
    assert isinstance(check_proof(doubt.cnf, verdict.proof), Accepted)
    return doubt.cnf


def _random_state(doubt: _Doubt, rng: Random) -> dict[str, bool] | None:
    """A possible state: every other time one that is admitted, if there is; None if none is."""
    wishes = _random_wishes(doubt.model.pre.n_facts, rng)
    admitted = [doubt.holds[i] for i in doubt.model.pre.prime]
    found = _wished(doubt, doubt.undisputed, admitted, wishes) if rng.randrange(2) else None
    return _wished(doubt, doubt.undisputed, [], wishes) if found is None else found


def _random_wishes(n_facts: int, rng: Random) -> list[int]:
    return [rng.choice((-v, v)) for v in range(1, n_facts + 1)]


def _wished(
    doubt: _Doubt, cnf: Cnf, demands: Sequence[int], wishes: Sequence[int]
) -> dict[str, bool] | None:
    """A state of a formula in which demands hold, and as many wishes as come easily."""
    left = list(wishes)
    verdict = check(cnf, [*demands, *left])
    while isinstance(verdict, Unsatisfiable):
        clash = [wish for wish in left if wish in verdict.failed]
        if not clash:
            return None
        left.remove(clash[-1])
        verdict = check(cnf, [*demands, *left])
    assert isinstance(verdict, Satisfiable)
    facts = doubt.model.facts
    return dict(zip(facts, verdict.model[: len(facts)].tolist(), strict=True))


def _bases(model: ActionModel, attempts: Sequence[Attempt]) -> list[list[int]]:
    """States that succeeded, the latest first, as literals."""
    successes = [each.before for each in attempts if each.ok][::-1]
    states = dict.fromkeys(tuple(_literals(each, model)) for each in successes)
    return [list(state) for state in states][:MAX_BASES]


def _literals(before: Mapping[str, bool], model: ActionModel) -> list[int]:
    return [v if before[fact] else -v for v, fact in enumerate(model.facts, 1)]


def _literal(model: ActionModel, text: str) -> int:
    fact = text.removeprefix("!")
    if fact not in model.facts:
        raise LearningError(
            f"no fact {fact!r}",
            where=f"action {model.action}: possible",
            fix=f"known are {', '.join(model.facts[:8])}",
        )
    variable = model.facts.index(fact) + 1
    return -variable if text.startswith("!") else variable
