"""A solver that is asked again and again while a proof or a path is searched for.

Nothing that it says is believed: a path is run, and what is proved is asked once more of
`sat.check`, whose proof the checker follows. Steps of a few gates go to Glucose 4, which answers a
small question at once, others to CaDiCaL. 300 small systems took 30 s with Glucose and 55 s with
CaDiCaL; a path of 25 blocks of 11,000 gates 7 s and 1.6 s.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

SMALL, SMALL_GATES, LARGE = "glucose4", 2000, "cadical195"


class Oracle:
    """Use it as a context manager: the solver's memory is not Python's.

    Args:
        gates: of one step of what will be asked about.
    """

    def __init__(self, gates: int) -> None:
        from pysat.solvers import Solver

        self._solver = Solver(SMALL if gates <= SMALL_GATES else LARGE)

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

    def ask(self, assumptions: Sequence[int]) -> bool:
        """Whether the clauses can hold under assumptions, as DIMACS literals."""
        answer: bool = self._solver.solve(assumptions=assumptions)
        return answer

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
