"""CaDiCaL on a formula that grows: for synthesis by examples, which asks again and again.

`check` starts afresh for every question, and `check.Solver` is made for formulas of a few thousand
variables. Only models are taken from here, and each is evaluated; whoever needs a proof that there
is none gives `cnf()` to `check`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from bem_kernel.errors import CnfError
from bem_kernel.logic.cnf import Cnf, cnf_from_clauses, is_satisfied

SOLVER = "cadical195"


class GrowingFormula:
    """A formula with a solver that keeps what it has learnt.

    Use it as a context manager: the solver's memory is not Python's.
    """

    def __init__(self) -> None:
        from pysat.solvers import Solver

        self._solver = Solver(SOLVER)
        self._fresh: list[list[int]] = []
        self._cnf = cnf_from_clauses([], 0)
        self.n_vars = 0

    def __enter__(self) -> GrowingFormula:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._solver.delete()

    def new(self, count: int) -> range:
        """Fresh variables."""
        first = self.n_vars + 1
        self.n_vars += count
        return range(first, self.n_vars + 1)

    def add(self, clauses: Iterable[Sequence[int]]) -> None:
        """Add clauses over variables made by `new`.

        Raises:
            CnfError: a literal is 0 or names another variable.
        """
        rows = [list(clause) for clause in clauses]
        for row in rows:
            if not all(0 < abs(literal) <= self.n_vars for literal in row):
                raise CnfError(
                    f"clause {row}", where="sat.growing", fix=f"use variables 1 to {self.n_vars}"
                )
        self._fresh += rows
        self._solver.append_formula(rows)

    def cnf(self) -> Cnf:
        """All clauses so far."""
        if self._fresh or self._cnf.n_vars != self.n_vars:
            known, more = self._cnf, cnf_from_clauses(self._fresh, self.n_vars)
            offsets = np.concatenate([known.offsets, more.offsets[1:] + known.offsets[-1]])
            self._cnf = Cnf(self.n_vars, offsets, np.concatenate([known.literals, more.literals]))
            self._fresh = []
        return self._cnf

    def solve(self, assumptions: Sequence[int] = ()) -> NDArray[np.bool_] | None:
        """(n_vars,) bool, a model, evaluated on all clauses; None: there is none."""
        if not self._solver.solve(assumptions=list(assumptions)):
            return None
        model = np.zeros(self.n_vars, dtype=np.bool_)
        literals = np.array(self._solver.get_model() or [0], dtype=np.int64)
        true = literals[(literals > 0) & (literals <= self.n_vars)]
        model[true - 1] = True
        if not is_satisfied(self.cnf(), model):
            raise AssertionError("the solver's model does not satisfy the formula")
        return model
