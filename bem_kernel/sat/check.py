"""SAT_CHECK: a verdict that can be believed, or none.

Small formulas go to our own compiled solver (`cdcl`); large ones, and those on which it spends its
budget, to CaDiCaL 1.9.5 through python-sat. A model is evaluated again before it is returned; an
unsatisfiable formula comes with a proof that a checker which has never seen the solvers can follow.

Source: BEM core spec 9.3.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bem_kernel.errors import CnfError
from bem_kernel.logic.cnf import Cnf, is_satisfied
from bem_kernel.logic.drat_text import parse_drat
from bem_kernel.logic.proof import Proof
from bem_kernel.sat import cdcl, clauses, layout, load, trail

DEFAULT_BUDGET = 10_000
MAX_SMALL_VARS = 5_000
MAX_SMALL_LITERALS = 200_000
HAND_OVER = "cadical195"

_Cells = NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Satisfiable:
    """The formula and the assumptions hold in this model.

    Attributes:
        model: (n_vars,) bool, variable v at v - 1; evaluated on every clause.
        solver: who found it.
    """

    model: NDArray[np.bool_]
    solver: str


@dataclass(frozen=True, eq=False)
class Unsatisfiable:
    """No model exists under the assumptions.

    Attributes:
        failed: assumptions that cannot hold together; empty if the formula alone is false.
        solver: who says so.
    """

    failed: tuple[int, ...]
    solver: str
    _steps: _Cells | Proof

    @cached_property
    def proof(self) -> Proof:
        """Steps that end in the empty clause, from the formula and `failed` as unit clauses."""
        if isinstance(self._steps, Proof):
            return self._steps
        return _proof_from_log(self._steps, bool(self.failed))


@dataclass(frozen=True)
class Unknown:
    """The budget is spent and nobody was asked to go on.

    Attributes:
        conflicts: those of this call.
    """

    conflicts: int


Verdict = Satisfiable | Unsatisfiable | Unknown


class Solver:
    """Our solver on one growing formula; `solve` may be called again and again.

    What was learnt is kept between calls. Not for use by two threads at once.

    Args:
        n_vars: number of variables, fixed.

    Raises:
        CnfError: n_vars is negative or too many for this solver.
    """

    def __init__(self, n_vars: int) -> None:
        if not 0 <= n_vars <= MAX_SMALL_VARS:
            raise CnfError(
                f"{n_vars} variables", where="sat.Solver", fix=f"use at most {MAX_SMALL_VARS}"
            )
        self.n_vars = n_vars
        self._cells = np.empty(2 * layout.cells_for(n_vars, 16, 64) + 1024, dtype=np.int32)
        self._log = np.empty(1024 + 4 * n_vars, dtype=np.int32)
        self._formulas: list[Cnf] = []
        load.start(self._cells, n_vars)

    def add(self, cnf: Cnf) -> None:
        """Add clauses.

        Raises:
            CnfError: the formula has more variables than the solver.
        """
        if cnf.n_vars > self.n_vars:
            raise CnfError(
                f"{cnf.n_vars} variables",
                where="sat.Solver.add",
                fix=f"use the solver's {self.n_vars}, or make a larger one",
            )
        self._formulas.append(cnf)
        cells, log = self._cells, self._log
        needed = int(cells[layout.USED]) + layout.cells_for(0, len(cnf), len(cnf.literals))
        self._cells = _grown(cells, needed + self.n_vars + 64)
        self._log = _grown(log, int(log_end(self._cells)) + 64)
        if len(self._formulas) == 1:  # quicker than clause by clause, and to search
            load.load(self._cells, self._log, cnf.offsets, cnf.literals)
            return
        trail.backtrack(self._cells, layout.stride(self.n_vars), 0)
        for i in range(len(cnf)):
            start, end = cnf.offsets[i], cnf.offsets[i + 1]
            clauses.add_clause(self._cells, self._log, cnf.literals, start, end)

    def solve(self, assumptions: Sequence[int] = (), *, budget: int = DEFAULT_BUDGET) -> Verdict:
        """Search for a model of all clauses added so far.

        Args:
            assumptions: DIMACS literals that are to hold, in this call only.
            budget: most conflicts.

        Raises:
            CnfError: an assumption names no variable.
        """
        assumed = _assumed(assumptions, self.n_vars)
        before = int(self._cells[layout.CONFLICTS])
        model = np.empty(self.n_vars, dtype=np.bool_)
        while True:
            left = budget - (int(self._cells[layout.CONFLICTS]) - before)
            status = cdcl.search(self._cells, self._log, assumed, model, left)
            if status == layout.WS_FULL:
                self._cells = _grown(self._cells, 2 * len(self._cells))
            elif status == layout.LOG_FULL:
                self._log = _grown(self._log, 2 * len(self._log) + int(self._cells[layout.USED]))
            else:
                break
        verdict = _verdict(status, self._cells, self._log, model, before)
        if isinstance(verdict, Satisfiable):
            for cnf in self._formulas:
                _confirm(cnf, verdict.model[: cnf.n_vars], ())
            _confirm(None, verdict.model, assumptions)
        return verdict


class _Arrays(threading.local):
    """The arrays of the last call in this thread, since making them costs more than a search."""

    def __init__(self) -> None:
        self.cells: _Cells = np.empty(1 << 17, dtype=np.int32)
        self.log: _Cells = np.empty(1 << 17, dtype=np.int32)


_arrays = _Arrays()
_NONE: _Cells = np.zeros(0, dtype=np.int32)


def check(
    cnf: Cnf,
    assumptions: Sequence[int] = (),
    *,
    budget: int = DEFAULT_BUDGET,
    hand_over: bool = True,
) -> Verdict:
    """Decide a formula under assumptions.

    Args:
        cnf: the formula.
        assumptions: DIMACS literals that are to hold.
        budget: most conflicts of our own solver.
        hand_over: go on with CaDiCaL, without a limit, when the budget is spent or the formula is
            large; otherwise such a formula is `Unknown`.

    Returns:
        A model, evaluated again; or a proof and the assumptions that failed; or `Unknown`.

    Raises:
        CnfError: an assumption names no variable.

    Source: BEM core spec 9.3, SAT_CHECK.
    """
    assumed = _assumed(assumptions, cnf.n_vars)
    small = cnf.n_vars <= MAX_SMALL_VARS and len(cnf.literals) <= MAX_SMALL_LITERALS
    verdict: Verdict = Unknown(0)
    if small and budget > 0:
        verdict = _check_small(cnf, assumed, budget)
    if isinstance(verdict, Unknown) and hand_over:
        verdict = _check_large(cnf, assumed.tolist())
    if isinstance(verdict, Satisfiable):
        _confirm(cnf, verdict.model, assumptions)
    return verdict


def _check_small(cnf: Cnf, assumed: _Cells, budget: int) -> Verdict:
    n = cnf.n_vars
    needed = layout.cells_for(n, len(cnf), len(cnf.literals)) + n + 64
    kept = _arrays
    if len(kept.cells) < 2 * needed:
        kept.cells = np.empty(2 * needed, dtype=np.int32)
    cells, log = kept.cells, kept.log
    if len(log) < 4 * n + 64:
        log = np.empty(4 * n + 64, dtype=np.int32)
    model = np.empty(n, dtype=np.bool_)
    status = cdcl.solve(cells, log, cnf.offsets, cnf.literals, assumed, model, budget)
    while status in (layout.WS_FULL, layout.LOG_FULL):
        if status == layout.WS_FULL:
            cells = _grown(cells, 2 * len(cells))
        else:
            log = _grown(log, 2 * len(log) + int(cells[layout.USED]))
        left = budget - int(cells[layout.CONFLICTS])
        status = cdcl.search(cells, log, assumed, model, left)
    kept.cells, kept.log = cells, log
    return _verdict(status, cells, log, model, 0)


def log_end(cells: _Cells) -> int:
    """How many cells of the log are in use."""
    return int(cells[layout.LOGGED])


def _verdict(
    status: int, cells: _Cells, log: _Cells, model: NDArray[np.bool_], conflicts_before: int
) -> Verdict:
    if status == layout.SATISFIABLE:
        return Satisfiable(model, "own")
    if status == layout.UNSATISFIABLE:
        failed: tuple[int, ...] = ()
        if count := int(cells[layout.FAILED_SIZE]):
            first = layout.SCALARS + layout.SCRATCH * layout.stride(len(model))
            inner = cells[first : first + count].tolist()
            failed = tuple(-(x >> 1) - 1 if x & 1 else (x >> 1) + 1 for x in inner)
        return Unsatisfiable(failed, "own", log[: log_end(cells)].copy())
    return Unknown(int(cells[layout.CONFLICTS]) - conflicts_before)


def _check_large(cnf: Cnf, assumptions: list[int]) -> Verdict:
    from pysat.solvers import Solver as External

    rows = cnf.clauses()
    failed: tuple[int, ...] = ()
    if assumptions:  # CaDiCaL gives no proof under assumptions, so find the failing ones first
        with External(HAND_OVER, bootstrap_with=rows) as solver:
            if solver.solve(assumptions=assumptions):
                return Satisfiable(_model(solver.get_model(), cnf.n_vars), HAND_OVER)
            failed = tuple(dict.fromkeys(solver.get_core() or ()))
    units = [[literal] for literal in failed]
    with External(HAND_OVER, bootstrap_with=[*rows, *units], with_proof=True) as solver:
        if solver.solve():
            return Satisfiable(_model(solver.get_model(), cnf.n_vars), HAND_OVER)
        steps = [line for line in solver.get_proof() or [] if line.split() != ["0"]]
    # An empty clause may be missing where the formula has one itself.
    return Unsatisfiable(failed, HAND_OVER, parse_drat([*steps, "0"], HAND_OVER))


def _model(literals: Iterable[int], n_vars: int) -> NDArray[np.bool_]:
    model = np.zeros(n_vars, dtype=np.bool_)
    for literal in literals:
        if abs(literal) <= n_vars:
            model[abs(literal) - 1] = literal > 0
    return model


def _confirm(cnf: Cnf | None, model: NDArray[np.bool_], assumptions: Sequence[int]) -> None:
    """A solver that is wrong is a defect, and nothing may be built on its answer."""
    holds = cnf is None or is_satisfied(cnf, model)
    if not (holds and all(model[abs(x) - 1] == (x > 0) for x in assumptions)):
        raise AssertionError("the solver's model does not satisfy the formula")


def _assumed(assumptions: Sequence[int], n_vars: int) -> _Cells:
    if not len(assumptions):
        return _NONE
    for literal in assumptions:
        if not 1 <= abs(literal) <= n_vars:
            raise CnfError(
                f"assumption {literal}", where="sat", fix=f"use 1 to {n_vars} or their negations"
            )
    return np.array(assumptions, dtype=np.int32)


def _grown(cells: _Cells, at_least: int) -> _Cells:
    """The same cells with room for more."""
    if len(cells) >= at_least:
        return cells
    larger = np.empty(2 * at_least, dtype=np.int32)
    larger[: len(cells)] = cells
    return larger


def _proof_from_log(log: _Cells, with_assumptions: bool) -> Proof:
    """The solver's log as a proof: counts become offsets.

    Under assumptions the last logged clause says that they fail; with them as unit clauses the
    empty clause follows.
    """
    if with_assumptions:
        log = np.append(log, np.int32(0))
    offsets = np.empty(len(log) + 1, dtype=np.int32)
    literals = np.empty(len(log), dtype=np.int32)
    deletes = np.empty(len(log), dtype=np.bool_)
    steps = clauses.read_steps(log, offsets, literals, deletes)
    return Proof(offsets[: steps + 1], literals[: offsets[steps]], deletes[:steps])
