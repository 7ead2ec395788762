"""`bem check`: formulas decided, and proofs checked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bb_core.cli import JsonOption
from bb_core.errors import UsageError

if TYPE_CHECKING:
    from bem_kernel.logic.cnf import Cnf


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this file to `app`."""
    app.command()(check)


def check(
    formula: Annotated[Path, typer.Argument(help="A formula, DIMACS CNF.")],
    proof: Annotated[
        Path | None, typer.Argument(help="A DRAT proof, text or binary, that it has no model.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Without a proof: where to write the one found.")
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """Check a proof that a formula has no model, or decide the formula and prove it.

    The proof is followed by a checker that never saw a solver. Exits with 1 if it is rejected.
    Without a proof the formula is decided; a verdict without a model has been proved and checked.

    Example: bem check formula.cnf proof.drat
    """
    from bb_core.files import read_text
    from bem_kernel.logic.dimacs import parse_dimacs

    cnf = parse_dimacs(read_text(formula), str(formula))
    if proof is not None and out is not None:
        raise UsageError("a proof is given and asked for", where="--out", fix="drop one of them")
    record = _decide(cnf, out) if proof is None else _check(cnf, proof)
    typer.echo(json.dumps(record) if json_output else _line(record))
    if record["verdict"] == "rejected":
        raise typer.Exit(1)


def _check(cnf: Cnf, file: Path) -> dict[str, object]:
    from bem_kernel.logic.drat_file import load_drat
    from bem_kernel.proofs.check import Mode, Rejected, check_proof

    found = check_proof(cnf, load_drat(file), mode=Mode.BACKWARD)
    if isinstance(found, Rejected):
        return {"verdict": "rejected", "step": found.step, "reason": found.reason}
    core = [] if found.core is None else found.core.tolist()
    return {"verdict": "accepted", "checked": found.checked, "rats": found.rats, "core": core}


def _decide(cnf: Cnf, out: Path | None) -> dict[str, object]:
    from bem_kernel.logic.drat_file import save_drat
    from bem_kernel.proofs.check import Rejected, check_proof
    from bem_kernel.sat.check import Satisfiable, Unsatisfiable
    from bem_kernel.sat.check import check as sat_check

    verdict = sat_check(cnf)
    if isinstance(verdict, Satisfiable):
        model = [v if value else -v for v, value in enumerate(verdict.model.tolist(), start=1)]
        return {"verdict": "satisfiable", "solver": verdict.solver, "model": model}
    assert isinstance(verdict, Unsatisfiable), "without a limit there is a verdict"
    found = check_proof(cnf, verdict.proof)
    if isinstance(found, Rejected):
        return {"verdict": "rejected", "step": found.step, "reason": found.reason}
    if out is not None:
        save_drat(out, verdict.proof)
    return {"verdict": "unsatisfiable", "solver": verdict.solver, "steps": len(verdict.proof)}


def _line(record: dict[str, object]) -> str:
    match record["verdict"]:
        case "accepted":
            core = record["core"]
            assert isinstance(core, list)
            return f"accepted: {record['checked']} steps checked, {len(core)} clauses needed"
        case "rejected":
            return f"rejected: step {record['step']}: {record['reason']}"
        case "satisfiable":
            model = record["model"]
            assert isinstance(model, list)
            return " ".join(["satisfiable:", *map(str, model)])
        case _:
            return f"unsatisfiable: proved in {record['steps']} steps, checked"
