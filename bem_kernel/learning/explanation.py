"""The fewest preconditions that explain all failures, by SAT.

Each failure broke some of the clauses that are left, one of which at least was the reason. Which
clauses, the fewest, hit every failure is asked for one clause, two, three, … That one fewer does
not do is a formula too. Where the careful precondition is what is safe, this one is what is likely;
between the two lies what a simulator is asked about.
"""

from __future__ import annotations

from dataclasses import dataclass

from bem_kernel.learning.version_space import Clause, VersionSpace
from bem_kernel.logic.cnf import Cnf, cnf_from_clauses
from bem_kernel.logic.encodings import at_most
from bem_kernel.sat.check import Satisfiable, check


@dataclass(frozen=True, eq=False)
class Explanation:
    """A smallest set of clauses that explains the failures.

    Attributes:
        clauses: the set.
        refusal: says that one clause fewer explains them; unsatisfiable. None for no clause.
    """

    clauses: tuple[Clause, ...]
    refusal: Cnf | None


def explain_failures(space: VersionSpace) -> Explanation:
    """Find the fewest clauses of which each failure broke one."""
    named = sorted({i for reason in space.reasons for i in reason})
    variable = {position: v for v, position in enumerate(named, 1)}
    hits = [[variable[i] for i in reason] for reason in space.reasons]
    refusal: Cnf | None = None
    for count in range(max(0, len(space.needed) - 1), len(named) + 1):
        bound = at_most(list(variable.values()), count, len(named))
        cnf = cnf_from_clauses([*hits, *bound.rows], bound.top)
        verdict = check(cnf)
        if isinstance(verdict, Satisfiable):
            found = tuple(space.clauses[i] for i in named if verdict.model[variable[i] - 1])
            return Explanation(found, refusal)
        refusal = cnf
    raise AssertionError("all clauses together explain every failure")
