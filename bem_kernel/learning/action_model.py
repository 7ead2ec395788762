"""Action models from traces: preconditions and effects that are safe to rely on.

The learned model admits an action only where every precondition that explains the traces does
(`version_space`), so an action it admits succeeds, if preconditions are conjunctions of clauses of
the model's width; the traces can refute a width, and then a wider one is used, but they cannot
prove one. An effect is unconditional until the traces show otherwise, then it has an antecedent
(`antecedents`). An action that the facts do not explain has no model, and is never admitted.

Source: Stern and Juba 2017, SAM learning; use of failures after Mitchell 1982.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np

from bem_kernel.errors import LearningError
from bem_kernel.learning.action_traces import Attempt, by_action
from bem_kernel.learning.antecedents import Antecedents, antecedents
from bem_kernel.learning.version_space import Clause, States, VersionSpace, narrowest


class Verdict(StrEnum):
    """What is known of an action in a state.

    ADMITTED: it succeeds, by every model that explains the traces.
    REFUSED: it fails, by every one.
    OPEN: they disagree, so it is not to be taken.
    """

    ADMITTED = "admitted"
    REFUSED = "refused"
    OPEN = "open"


@dataclass(frozen=True)
class Effect:
    """What a success does to a fact that was otherwise.

    Attributes:
        fact: its name.
        value: what it becomes.
        when: in which states; None: in all.
    """

    fact: str
    value: bool
    when: Antecedents | None = None


@dataclass(frozen=True)
class ActionModel:
    """What is known of one action.

    Attributes:
        action: its name.
        parameters: type of each parameter by name.
        facts: all that may matter before; fact i is variable i + 1 of clauses.
        pre: what is left open about its precondition.
        of_call: those of the facts that are about the call itself; it has no effect on them.
        effects: on the other facts, and on facts about what it brings about.
        successes: number of attempts that succeeded.
        failures: number of those that did not.
    """

    action: str
    parameters: Mapping[str, str] = field(hash=False)
    facts: tuple[str, ...]
    pre: VersionSpace
    of_call: tuple[str, ...]
    effects: tuple[Effect, ...]
    successes: int
    failures: int

    @property
    def precondition(self) -> tuple[Clause, ...]:
        """The most careful precondition, without clauses that follow from shorter ones."""
        return tuple(self.pre.clauses[i] for i in self.pre.prime)

    def literal(self, literal: int) -> str:
        """A literal in the syntax of expressions: `!refunded(order)`."""
        return ("" if literal > 0 else "!") + self.facts[abs(literal) - 1]

    def verdict(self, before: Mapping[str, bool]) -> Verdict:
        """What is known of the action in one state.

        A fact that holds and that no trace spoke of leaves it open.

        Raises:
            LearningError: the state does not say whether a fact holds.
        """
        state = state_of(before, self.facts, f"action {self.action}")[None]
        if bool(self.pre.never(state)[0]):
            return Verdict.REFUSED
        new = any(value for fact, value in before.items() if value and fact not in self.facts)
        sure = bool(self.pre.surely(state)[0]) and not new
        return Verdict.ADMITTED if sure else Verdict.OPEN

    def why_not(self, before: Mapping[str, bool]) -> tuple[str, ...]:
        """The clauses of the careful precondition that a state breaks; those needed come first.

        Raises:
            LearningError: as `verdict`.
        """
        state = state_of(before, self.facts, f"action {self.action}")
        broken = [
            i for i in self.pre.prime if not any(_true(lit, state) for lit in self.pre.clauses[i])
        ]
        broken.sort(key=lambda i: i not in self.pre.needed)
        return tuple(" | ".join(map(self.literal, self.pre.clauses[i])) for i in broken)

    def foresees(self, states: States) -> States:
        """(states,) bool: every effect surely takes place or surely does not."""
        found = np.ones(len(states), dtype=np.bool_)
        for effect in self.effects:
            if effect.when is not None:
                already = states[:, self.facts.index(effect.fact)] == effect.value
                found &= already | effect.when.surely(states) | effect.when.never(states)
        return found

    def after(self, states: States) -> States:
        """(states, facts) bool: the facts after a success; see `foresees`."""
        result = states.copy()
        for effect in self.effects:
            if effect.fact not in self.facts:
                continue
            here = np.ones(len(states), np.bool_)
            if effect.when is not None:
                here = effect.when.surely(states)
            column = self.facts.index(effect.fact)
            result[here & (states[:, column] != effect.value), column] = effect.value
        return result


@dataclass(frozen=True)
class ActionModels:
    """What was learned from some traces.

    Attributes:
        models: by action.
        unexplained: why an action has none, by action.
    """

    models: Mapping[str, ActionModel]
    unexplained: Mapping[str, str]


def learn_actions(attempts: Iterable[Attempt], width: int = 1) -> ActionModels:
    """Learn a model of every action.

    Args:
        attempts: at any actions.
        width: most literals of a clause of a precondition that is believed in without evidence.

    Raises:
        LearningError: attempts at one action do not fit each other.
    """
    models: dict[str, ActionModel] = {}
    unexplained: dict[str, str] = {}
    for action, group in by_action(attempts).items():
        try:
            models[action] = learn_action(group, width)
        except LearningError as error:
            unexplained[action] = str(error)
    return ActionModels(models, unexplained)


def learn_action(attempts: Sequence[Attempt], width: int = 1) -> ActionModel:
    """Learn the model of one action.

    Args:
        attempts: at this action, one at least; see `by_action`.
        width: as for `learn_actions`.

    Raises:
        LearningError: its facts do not explain what happened, or there are too many of them.
    """
    first = attempts[0]
    facts = tuple(first.before)
    before = states_of([each.before for each in attempts], facts)
    ok = np.array([each.ok for each in attempts], dtype=np.bool_)
    where = f"action {first.action}"
    _check_consistent(attempts, before, ok, where)
    try:
        pre = narrowest(before[ok], before[~ok], width)
    except LearningError as error:
        raise LearningError(error.what, where=f"{where}: precondition", fix=error.fix) from None
    successes = [each for each in attempts if each.ok]
    lasting = [fact for fact in facts if not successes or fact in successes[0].after]
    of_call = tuple(fact for fact in facts if fact not in lasting)
    changes = _changes(successes, before[ok], facts, lasting)
    n = len(successes)
    return ActionModel(
        first.action,
        dict(first.parameters),
        facts,
        pre,
        of_call,
        (*changes, *_brought_about(successes, facts)),
        n,
        len(attempts) - n,
    )


def states_of(rows: Sequence[Mapping[str, bool]], facts: Sequence[str]) -> States:
    """(rows, facts) bool."""
    return np.array([[row[fact] for fact in facts] for row in rows], dtype=np.bool_).reshape(
        len(rows), len(facts)
    )


def state_of(row: Mapping[str, bool], facts: Sequence[str], where: str) -> States:
    """(facts,) bool.

    Raises:
        LearningError: a fact is missing.
    """
    missing = [fact for fact in facts if fact not in row]
    if missing:
        raise LearningError(f"nothing says whether {missing[0]}", where=where, fix="say it")
    state: States = states_of([row], facts)[0]
    return state


def _true(literal: int, state: States) -> bool:
    return bool(state[abs(literal) - 1]) == (literal > 0)


def _check_consistent(attempts: Sequence[Attempt], before: States, ok: States, where: str) -> None:
    """Refuse two attempts in one state that differ in their success."""
    seen: dict[bytes, int] = {}
    for i, row in enumerate(before):
        other = seen.setdefault(row.tobytes(), i)
        if ok[other] != ok[i]:
            pair = " and ".join(attempts[j].source or f"attempt {j}" for j in (other, i))
            raise LearningError(
                f"the same facts before, and only one success: {pair}",
                where=where,
                fix="name the fact that tells them apart",
            )


def _changes(
    successes: Sequence[Attempt], before: States, facts: Sequence[str], lasting: Sequence[str]
) -> Iterable[Effect]:
    """What successes do to the facts that are known before and last."""
    for fact in lasting:
        column = facts.index(fact)
        after = np.array([each.after[fact] for each in successes], dtype=np.bool_)
        for value in (True, False):
            other = before[:, column] != value
            taken = other & (after == value)
            if not taken.any():
                continue
            missed = other & ~taken
            when = antecedents(before[taken], before[missed]) if missed.any() else None
            yield Effect(fact, value, when)


def _brought_about(successes: Sequence[Attempt], facts: Sequence[str]) -> Iterable[Effect]:
    """Facts that only `after` names and that held after every success."""
    for fact in dict.fromkeys(fact for each in successes for fact in each.after):
        if fact not in facts and all(each.after.get(fact, False) for each in successes):
            yield Effect(fact, True)
