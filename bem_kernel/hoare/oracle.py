"""A solver that is asked again and again while a proof or a path is searched for.

Nothing that it says is believed: a path is run, and what is proved is asked once more of
`sat.check`, whose proof the checker follows. So it may be Glucose 4, which is quick on thousands
of small questions under assumptions, and can be told when to give up.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

SOLVER = "glucose4"


class Oracle:
    """Use it as a context manager: the solver's memory is not Python's."""

    def __init__(self) -> None:
        from pysat.solvers import Solver

        self._solver = Solver(SOLVER, incr=False)

    def __enter__(self) -> Oracle:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._solver.delete()

    def add(self, clauses: Iterable[Sequence[int]]) -> None:
        """Add clauses."""
        self._solver.append_formula(clauses)

    def ask(self, assumptions: Sequence[int], budget: int | None = None) -> bool | None:
        """Whether the clauses can hold under assumptions; None: the budget of conflicts is spent.

        Args:
            assumptions: DIMACS literals.
            budget: most conflicts; None: no limit.
        """
        if budget is None:
            answer: bool = self._solver.solve(assumptions=assumptions)
            return answer
        self._solver.conf_budget(budget)
        limited: bool | None = self._solver.solve_limited(assumptions=assumptions)
        return limited

    def values(self, literals: NDArray[np.int32]) -> NDArray[np.bool_]:
        """What the last model says of some literals; variables without a clause are 0."""
        model = np.array(self._solver.get_model(), dtype=np.int64)
        true = np.zeros(int(max(len(model), np.abs(literals).max(initial=0))) + 1, dtype=np.bool_)
        true[model[model > 0]] = True
        found: NDArray[np.bool_] = true[np.abs(literals)] == (literals > 0)
        return found

    def core(self) -> frozenset[int]:
        """Assumptions that could not hold together in the last question."""
        return frozenset(self._solver.get_core() or ())
