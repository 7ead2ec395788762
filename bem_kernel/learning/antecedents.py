"""When a conditional effect takes place: the shortest conjunctions that the evidence leaves.

An effect that was seen to take place in some successes and not in others has an antecedent. Of the
conjunctions of one literal, of two, of three, the first size at which some explain the evidence is
taken, with all that do. A state in which all of them hold has the effect, one in which none holds
has it not, and about any other they disagree: there the effect is not foreseen. Where no such
conjunction explains the evidence, nothing is foreseen (`OPEN`).

Source: Mordoch, Scala, Stern and Juba 2024 (conditional effects with a bound on the antecedent).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from bem_kernel.learning.version_space import Clause, States, truth

MAX_LITERALS = 3


@dataclass(frozen=True)
class Antecedents:
    """All shortest conjunctions that explain where an effect took place.

    Attributes:
        size: literals of each.
        conjunctions: literals v or -v, ascending by v, of the fact v - 1.
    """

    size: int
    conjunctions: tuple[Clause, ...]

    def surely(self, states: States) -> NDArray[np.bool_]:
        """(states,) bool: every conjunction holds."""
        hold: States = np.all(self._hold(states), axis=1)
        return hold

    def never(self, states: States) -> NDArray[np.bool_]:
        """(states,) bool: no conjunction holds."""
        hold: States = np.any(self._hold(states), axis=1)
        return ~hold

    def _hold(self, states: States) -> NDArray[np.bool_]:
        # A conjunction is the negation of the clause of the negated literals.
        negated = tuple(tuple(-literal for literal in each) for each in self.conjunctions)
        return ~truth(negated, states)


OPEN = Antecedents(0, ((), (1, -1)))
"""Always or never, and nobody knows which."""


def antecedents(taken: States, missed: States) -> Antecedents:
    """The shortest conjunctions that hold in all of some states and in none of others.

    Args:
        taken: (states, facts) bool, in which the effect took place.
        missed: (states, facts) bool, in which it did not.

    Returns:
        `OPEN` if none of up to `MAX_LITERALS` literals does.
    """
    n_facts = taken.shape[1]
    common = [v for v in range(1, n_facts + 1) if taken[:, v - 1].all()]
    common += [-v for v in range(1, n_facts + 1) if not taken[:, v - 1].any()]
    common.sort(key=abs)
    for size in range(1, MAX_LITERALS + 1):
        every = list(combinations(common, size))
        negated = [tuple(-literal for literal in each) for each in every]
        explains = np.flatnonzero(np.all(truth(negated, missed), axis=0))
        found = tuple(every[i] for i in explains.tolist())
        if found:
            return Antecedents(size, found)
    return OPEN
