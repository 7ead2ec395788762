"""What examples leave open about a conjunction: the version space of preconditions.

A hypothesis is a set of clauses over facts, all of which have to hold; a clause has at most `width`
literals, so that width 1 is STRIPS. What the examples say is two things. A clause that was false in
a positive example is not part of the truth; the rest are `clauses`, the most careful hypothesis.
And of the clauses that were false in a negative example one at least is part of the truth; these
are its `reasons`. So a state in which all clauses hold is positive under every hypothesis that
explains the examples (Mitchell's upper bound; SAM learning for width 1), one in which all clauses
of some reason are false is negative under every one, and about any other state they disagree.

A negative example in which no clause is false refutes the width.

Source: Mitchell 1982; Stern and Juba 2017 (width 1); Juba, Le and Stern 2021.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from bem_kernel.errors import LearningError

Clause = tuple[int, ...]
"""Literals v or -v, ascending by v, of the fact v - 1."""

States = NDArray[np.bool_]
"""(states, facts) bool, or one bool for each of some states."""

MAX_WIDTH = 3
MAX_CLAUSES = 100_000


@dataclass(frozen=True)
class VersionSpace:
    """All conjunctions that explain some examples.

    Attributes:
        n_facts: number of facts.
        width: most literals of a clause.
        clauses: that were true in every positive example, shorter ones first.
        reasons: for each negative example, positions of the clauses that were false in it; none
            contains another.
    """

    n_facts: int
    width: int
    clauses: tuple[Clause, ...]
    reasons: tuple[tuple[int, ...], ...]

    @cached_property
    def needed(self) -> frozenset[int]:
        """Positions of the clauses that every hypothesis has."""
        return frozenset(reason[0] for reason in self.reasons if len(reason) == 1)

    @cached_property
    def prime(self) -> tuple[int, ...]:
        """Positions of the clauses that do not follow from a shorter one."""
        sets = [frozenset(clause) for clause in self.clauses]
        known = set(sets)
        return tuple(
            i
            for i, clause in enumerate(sets)
            if not any(
                frozenset(part) in known
                for size in range(1, len(clause))
                for part in combinations(clause, size)
            )
        )

    def surely(self, states: States) -> NDArray[np.bool_]:
        """(states,) bool: positive under every hypothesis."""
        holds: States = np.all(truth(self.clauses, states), axis=1)
        return holds

    def never(self, states: States) -> NDArray[np.bool_]:
        """(states,) bool: negative under every hypothesis."""
        false = ~truth(self.clauses, states)
        found = np.zeros(len(states), dtype=np.bool_)
        for reason in self.reasons:
            found |= false[:, list(reason)].all(axis=1)
        return found


def narrowest(positive: States, negative: States, width: int = 1) -> VersionSpace:
    """The version space of the least width, from `width` on, that the examples do not refute.

    Args:
        positive: (examples, facts) bool.
        negative: (examples, facts) bool.
        width: that is believed in without evidence.

    Raises:
        LearningError: no width up to `MAX_WIDTH` explains the examples.
    """
    for wider in range(width, MAX_WIDTH + 1):
        space = version_space(positive, negative, wider)
        if space is not None:
            return space
    raise LearningError(
        f"no clauses of up to {MAX_WIDTH} facts tell success from failure",
        where="version space",
        fix="name more facts",
    )


def version_space(positive: States, negative: States, width: int) -> VersionSpace | None:
    """The version space of one width, or None if a negative example refutes the width.

    Raises:
        LearningError: the width is out of range, or makes too many clauses.
    """
    n_facts = positive.shape[1]
    positive, negative = np.unique(positive, axis=0), np.unique(negative, axis=0)
    # Clause by clause: a table of all clauses in all states could be large.
    clauses = tuple(c for c in all_clauses(n_facts, width) if np.all(truth([c], positive)))
    false = np.unique(~truth(clauses, negative), axis=0)
    if not np.all(np.any(false, axis=1)):
        return None
    reasons: list[frozenset[int]] = []
    for row in false[np.argsort(false.sum(axis=1), kind="stable")]:
        reason = frozenset(np.flatnonzero(row).tolist())
        if not any(smaller <= reason for smaller in reasons):
            reasons.append(reason)
    return VersionSpace(n_facts, width, clauses, tuple(tuple(sorted(r)) for r in reasons))


def all_clauses(n_facts: int, width: int) -> list[Clause]:
    """Every clause of at most `width` literals of different facts, shorter ones first.

    Raises:
        LearningError: the width is out of range, or there would be too many.
    """
    if not 1 <= width <= MAX_WIDTH:
        raise LearningError(f"width {width}", where="clauses", fix=f"use 1 to {MAX_WIDTH}")
    found: list[Clause] = []
    for size in range(1, width + 1):
        for variables in combinations(range(1, n_facts + 1), size):
            for signs in range(1 << size):
                found.append(tuple(v if signs >> i & 1 else -v for i, v in enumerate(variables)))
            if len(found) > MAX_CLAUSES:
                raise LearningError(
                    f"{n_facts} facts make more than {MAX_CLAUSES} clauses of {width}",
                    where="clauses",
                    fix="name fewer facts, or use a smaller width",
                )
    return found


def truth(clauses: list[Clause] | tuple[Clause, ...], states: States) -> NDArray[np.bool_]:
    """(states, clauses) bool: which clauses hold where."""
    found = np.zeros((len(states), len(clauses)), dtype=np.bool_)
    for i, clause in enumerate(clauses):
        for literal in clause:
            column = states[:, abs(literal) - 1]
            found[:, i] |= column if literal > 0 else ~column
    return found
