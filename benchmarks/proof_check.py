"""How quickly are proofs checked, and what does a verdict cost with its proof checked?

Random 3-CNF that has no model. Against DRAT-trim: CaDiCaL's proofs of formulas with n = 32, 64,
128 variables and 8n clauses, and of one with 200 variables and 1,000 clauses; ours starts from
arrays, DRAT-trim from files, its start-up included. Both check backward. Against CaDiCaL: our
verdict from arrays with its proof followed step by step, CaDiCaL's from lists with a proof that
nobody has followed; a measurement is the sum over 40 formulas (200 with `--full`).
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from benchmarks.frame import Context, Measured, UnavailableError, row, time_pair
from benchmarks.proof_sat import random_3cnf

if TYPE_CHECKING:
    from bem_kernel.logic.cnf import Cnf
    from bem_kernel.logic.proof import Proof

CADICAL = "cadical195"


def refuted(rng: Random, n: int, m: int) -> tuple[Cnf, Proof]:
    """A random formula without a model, and CaDiCaL's proof."""
    from pysat.solvers import Solver

    from bem_kernel.logic.cnf import cnf_from_clauses
    from bem_kernel.logic.drat_text import parse_drat

    while True:
        clauses = random_3cnf(rng, n, m)
        with Solver(CADICAL, bootstrap_with=clauses, with_proof=True) as solver:
            if not solver.solve():
                return cnf_from_clauses(clauses, n), parse_drat(solver.get_proof() or [])


def _against_drat_trim(context: Context, n: int, m: int, count: int) -> Measured:
    from bem_kernel.logic.drat_text import write_drat
    from bem_kernel.proofs.check import Accepted, Mode, check_proof

    program = shutil.which("drat-trim")
    if program is None:
        raise UnavailableError("needs the program drat-trim on the PATH")
    rng = Random(context.seed)
    problems = [refuted(rng, n, m) for _ in range(count)]
    with tempfile.TemporaryDirectory() as folder:
        files: list[tuple[Path, Path]] = []
        for i, (cnf, proof) in enumerate(problems):
            files.append((Path(folder, f"{i}.cnf"), Path(folder, f"{i}.drat")))
            lines = [f"p cnf {n} {len(cnf)}"]
            lines += [" ".join(map(str, [*clause, 0])) for clause in cnf.clauses()]
            files[-1][0].write_text("\n".join(lines) + "\n")
            files[-1][1].write_text(write_drat(proof))

        def ours() -> bool:
            outcomes = [check_proof(cnf, proof, mode=Mode.BACKWARD) for cnf, proof in problems]
            return all(isinstance(outcome, Accepted) for outcome in outcomes)

        def peer() -> bool:
            runs = [
                subprocess.run([program, *pair, "-I"], capture_output=True, check=False, text=True)
                for pair in files
            ]
            return all("s VERIFIED" in run.stdout for run in runs)

        assert ours()
        assert peer()
        return time_pair(ours, peer, repetitions=5)


def _declare_check(name: str, n: int, m: int, target: float, count: int) -> None:
    @row(f"proof.{name}", peer_name="drat-trim", unit="s", target=target, better="less")
    def measure(context: Context) -> Measured:
        return _against_drat_trim(context, n, m, count * 4 if context.full else count)


for _n in (32, 64, 128):
    _declare_check(f"check_{_n}", _n, 8 * _n, 100.0, 5)
_declare_check("check_200_1000", 200, 1000, 3.0, 1)


def _verified_verdict(context: Context, n: int) -> Measured:
    from pysat.solvers import Solver

    from bem_kernel.logic.cnf import Cnf
    from bem_kernel.proofs.check import Accepted, check_proof
    from bem_kernel.sat.check import Unsatisfiable, check

    rng = Random(context.seed)
    problems = [refuted(rng, n, 8 * n)[0] for _ in range(200 if context.full else 40)]
    lists = [cnf.clauses() for cnf in problems]

    def ours() -> bool:
        accepted = True
        for cnf in problems:
            # A formula is made from its arrays, which checks them, as the peer builds its solver.
            again = Cnf(cnf.n_vars, cnf.offsets, cnf.literals)
            verdict = check(again)
            assert isinstance(verdict, Unsatisfiable)
            accepted &= isinstance(check_proof(again, verdict.proof), Accepted)
        return accepted

    def peer() -> bool:
        proved = True
        for clauses in lists:
            with Solver(CADICAL, bootstrap_with=clauses, with_proof=True) as solver:
                proved &= not solver.solve() and bool(solver.get_proof())
        return proved

    assert ours()
    assert peer()
    return time_pair(ours, peer, repetitions=25)


def _declare_verdict(n: int) -> None:
    @row(
        f"proof.sat_verified_{n}",
        peer_name="python-sat CaDiCaL 1.9.5, proof unverified",
        unit="s",
        target=5.0,
        better="less",
    )
    def measure(context: Context) -> Measured:
        return _verified_verdict(context, n)


for _n in (32, 64):
    _declare_verdict(_n)
