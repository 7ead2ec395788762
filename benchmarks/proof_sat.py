"""How quickly are small formulas decided, building the solver included?

Random 3-CNF with n = 32, 64, 128 variables and 4n (mostly satisfiable) or 8n (never) clauses. Ours
starts from arrays, the peer from lists, as each is used; a measurement is the sum over 400 formulas
(2,000 with `--full`).
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from benchmarks.frame import Context, Measured, row, time_pair

if TYPE_CHECKING:
    from bem_kernel.logic.cnf import Cnf


def random_3cnf(rng: Random, n: int, m: int) -> list[list[int]]:
    """Clauses of three different variables with random signs."""
    return [[v * rng.choice((1, -1)) for v in rng.sample(range(1, n + 1), 3)] for _ in range(m)]


def _problem(context: Context, n: int, density: int) -> tuple[list[Cnf], list[list[list[int]]]]:
    from bem_kernel.logic.cnf import cnf_from_clauses

    rng = Random(context.seed)
    lists = [random_3cnf(rng, n, density * n) for _ in range(2000 if context.full else 400)]
    return [cnf_from_clauses(clauses, n) for clauses in lists], lists


def _against_minisat(context: Context, n: int, density: int) -> Measured:
    from pysat.solvers import Solver

    from bem_kernel.logic.cnf import Cnf
    from bem_kernel.sat.check import Satisfiable, check

    cnfs, lists = _problem(context, n, density)

    def ours() -> list[bool]:
        # A formula is made from its arrays, which checks them, as the peer builds its solver.
        again = (Cnf(cnf.n_vars, cnf.offsets, cnf.literals) for cnf in cnfs)
        return [isinstance(check(cnf), Satisfiable) for cnf in again]

    def peer() -> list[bool]:
        verdicts = []
        for clauses in lists:
            with Solver("minisat22", bootstrap_with=clauses) as solver:
                verdicts.append(solver.solve())
        return verdicts

    assert ours() == peer()
    return time_pair(ours, peer, repetitions=9)


def _declare(n: int, density: int, target: float) -> None:
    @row(
        f"proof.sat_{n}_{density}n",
        peer_name="python-sat minisat22, from lists",
        unit="s",
        target=target,
        better="less",
    )
    def measure(context: Context) -> Measured:
        return _against_minisat(context, n, density)


for _n, _target in ((32, 5.0), (64, 5.0), (128, 3.0)):
    for _density in (4, 8):
        _declare(_n, _density, _target)
