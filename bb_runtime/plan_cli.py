"""Plans: check, draw, compare and run them, and go on with runs that were stopped."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bb_core.cli import JsonOption, WorkOption
from bb_core.workspace import DEFAULT_ROOT
from bb_runtime.options import DEFAULT_DOMAIN, DomainOption

if TYPE_CHECKING:
    from bb_core.plan import Plan
    from bb_domains.domain import Domain
    from bb_runtime.check import Certificate

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__)

LogOption = Annotated[
    Path | None, typer.Option(help="Hash-chained log; WORK/logs/plans.ledger if not given.")
]
PlanArgument = Annotated[str, typer.Argument(metavar="FILE", help="Plan as JSON; - for stdin.")]


@app.command()
def check(
    file: PlanArgument,
    domain: DomainOption = DEFAULT_DOMAIN,
    prove: Annotated[
        bool, typer.Option("--prove", help="Also prove the machine program that it becomes.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option("--out", help="With --prove: also write program and claims.")
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """Check a plan: exit 0 if it may run, 1 with step, rule and repair if it may not.

    With --prove, a line for each claim about its program, with the step, and whether it holds;
    below one that does not, the run that breaks it. With --out FILE.bem, the program and, in
    FILE.hoare, the claims are written, which `bem prove FILE.bem FILE.hoare` proves again.

    Examples: bb plan check plan.json --domain api_json

    bb plan check plan.json --prove --out plan.bem
    """
    import json

    from bb_core.errors import UsageError

    if out is not None and not prove:
        raise UsageError("--out is for --prove", where="check", fix="add --prove")
    loaded, plan, certificate = _checked(file, domain)
    proof = _proof(loaded, plan, certificate, out, as_json=json_output) if prove else {}
    is_good = not proof or bool(proof["proof"]["accepted"])
    if json_output:
        shown = {
            "admissible": is_good,
            "steps": len(plan.steps),
            "plan_hash": certificate.plan_hash,
            "domain": loaded.name,
            "fingerprint": certificate.domain_fingerprint,
            **proof,
        }
        typer.echo(json.dumps(shown))
    else:
        verdict = "admissible" if is_good else "not admissible, its program is not proved"
        typer.echo(f"{verdict}: {len(plan.steps)} steps, plan {certificate.plan_hash[:12]}")
    if not is_good:
        raise typer.Exit(1)


@app.command()
def show(
    file: PlanArgument,
    picture: Annotated[
        Path | None, typer.Option("--out", help="Write a picture instead, .svg or .png.")
    ] = None,
    program: Annotated[
        bool, typer.Option("--program", help="Show the machine program that it becomes.")
    ] = False,
    domain: DomainOption = DEFAULT_DOMAIN,
) -> None:
    """Draw a plan in the terminal, or as a picture. It need not be admissible.

    Example: bb plan show plan.json --out plan.svg
    """
    from bb_core.plan import parse_plan
    from bb_runtime.draw import draw_terminal, write_picture
    from bb_runtime.plan_files import read_plan_text

    if program:
        from bb_runtime.plan_program import plan_program
        from bem_kernel.isa.disassembler import disassemble

        typer.echo(disassemble(plan_program(*_checked(file, domain))), nl=False)
        return
    plan = parse_plan(read_plan_text(file))
    if picture is None:
        typer.echo(draw_terminal(plan, width=_width()))
    else:
        write_picture(plan, picture)
        typer.echo(str(picture))


@app.command()
def run(
    file: PlanArgument,
    domain: DomainOption = DEFAULT_DOMAIN,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Call no tool.")] = False,
    log: LogOption = None,
    undo: Annotated[
        bool, typer.Option("--undo/--keep", help="Take steps back if a later one fails.")
    ] = True,
    work: WorkOption = DEFAULT_ROOT,
    json_output: JsonOption = False,
) -> None:
    """Check a plan, then run it against the domain's service. Exit 1 if a step fails.

    A run that a crash, a failure or a doubt stops can go on: see `bb plan resume`. Secrets come
    from the environment, under the names that the domain declares.

    Example: bb plan run plan.json --domain bb-work/domains/api_json
    """
    from bb_runtime.run_plan import run_and_report

    loaded, plan, certificate = _checked(file, domain)
    done = run_and_report(
        loaded,
        plan,
        certificate,
        log_path(log, work),
        dry_run=dry_run,
        undo=undo,
        as_json=json_output,
    )
    raise typer.Exit(0 if done.status == "done" else 1)


@app.command()
def resume(
    run: Annotated[
        str, typer.Argument(help="A run, or how it begins; the last if not given.")
    ] = "",
    domain: DomainOption = DEFAULT_DOMAIN,
    happened: Annotated[
        list[str] | None,
        typer.Option(metavar="STEP[=JSON]", help="This step in doubt happened, and answered."),
    ] = None,
    not_happened: Annotated[
        list[str] | None, typer.Option(metavar="STEP", help="This step in doubt did not happen.")
    ] = None,
    give_up: Annotated[
        bool, typer.Option("--give-up", help="Take back what was done instead of going on.")
    ] = False,
    log: LogOption = None,
    work: WorkOption = DEFAULT_ROOT,
    json_output: JsonOption = False,
) -> None:
    """Go on with a run that was stopped. Nothing that may have happened is done twice unasked.

    Exit 1 if it does not end well.

    Example: bb plan resume 3f2a --happened d
    """
    from bb_domains.domain import load_domain
    from bb_runtime.run_plan import parse_words, resume_and_report

    done = resume_and_report(
        load_domain(domain),
        run,
        log_path(log, work),
        parse_words(happened or (), not_happened or ()),
        give_up=give_up,
        as_json=json_output,
    )
    raise typer.Exit(0 if done.status == ("undone" if give_up else "done") else 1)


@app.command()
def status(
    run: Annotated[str, typer.Argument(help="A run, or how it begins; all if not given.")] = "",
    picture: Annotated[
        Path | None, typer.Option("--out", help="Write a picture of the run, .svg or .png.")
    ] = None,
    log: LogOption = None,
    work: WorkOption = DEFAULT_ROOT,
    json_output: JsonOption = False,
) -> None:
    """List runs, or show how the steps of one stand, by what the log says.

    Example: bb plan status 3f2a --out run.svg
    """
    import json

    from bb_core.errors import UsageError
    from bb_runtime.run_status import find_view, run_views, view_data, view_text

    path = log_path(log, work)
    views = run_views(path)
    if run:
        views = [find_view(views, run, path)]
    if picture is not None:
        from bb_runtime.draw import write_picture

        if not run:
            raise UsageError("a picture of which run", where="status", fix="name the run")
        write_picture(views[0].plan, picture, notes=views[0].steps)
    if json_output:
        typer.echo(json.dumps([view_data(view) for view in views]))
        return
    for view in views:
        typer.echo(view_text(view, width=_width() if run else None))


@app.command()
def diff(first: PlanArgument, second: PlanArgument, json_output: JsonOption = False) -> None:
    """Say what distinguishes two plans. Exit 0 if nothing does, 1 if something does.

    Example: bb plan diff old.json new.json
    """
    import json

    from bb_core.plan import parse_plan
    from bb_runtime.plan_diff import diff_plans, diff_text
    from bb_runtime.plan_files import read_plan_text

    changes = diff_plans(*(parse_plan(read_plan_text(file)) for file in (first, second)))
    if json_output:
        shown = [
            {
                "kind": change.kind,
                "old": change.old.id if change.old else None,
                "new": change.new.id if change.new else None,
                "details": list(change.details),
            }
            for change in changes
        ]
        typer.echo(json.dumps(shown))
    else:
        typer.echo(diff_text(changes))
    raise typer.Exit(int(any(change.kind != "same" for change in changes)))


@app.command()
def forget(
    run: Annotated[str, typer.Argument(help="A run, or how it begins.")],
    log: LogOption = None,
    work: WorkOption = DEFAULT_ROOT,
) -> None:
    """Erase what the journal keeps of a run that shall not go on; the log stays as it is.

    Example: bb plan forget 3f2a
    """
    from bb_runtime.journal import open_journal
    from bem_kernel.ledger.chain import Ledger

    path = log_path(log, work)
    with open_journal(path) as journal, Ledger(path):
        found = journal.find(run)
        journal.forget(found.run)
    typer.echo(f"forgotten: {found.run}")


def log_path(log: Path | None, work: Path) -> Path:
    """The log that was asked for, or the workspace's own."""
    from bb_core.workspace import Workspace

    return log if log is not None else Workspace(work).logs / "plans.ledger"


def _checked(file: str, domain: str) -> tuple[Domain, Plan, Certificate]:
    from bb_core.plan import parse_plan
    from bb_domains.domain import load_domain
    from bb_runtime.check import check_plan
    from bb_runtime.plan_files import read_plan_text

    text = read_plan_text(file)
    loaded = load_domain(domain)
    certificate = check_plan(loaded, text)
    return loaded, parse_plan(text), certificate


def _proof(
    domain: Domain, plan: Plan, certificate: Certificate, out: Path | None, *, as_json: bool
) -> dict[str, dict[str, Any]]:
    """Prove a plan's program; print what was proved, or return it as JSON data only."""
    import time

    from bb_runtime.plan_program import plan_program
    from bb_runtime.plan_proof import claim_name, proof_lines, prove_program, save_claims
    from bem_kernel.hoare.report import report_record

    started_s = time.perf_counter()
    program = plan_program(domain, plan, certificate)
    if out is not None:
        claims = save_claims(program, out)
        if not as_json:
            typer.echo(f"written to {out} and {claims}")
    report = prove_program(program)
    seconds = time.perf_counter() - started_s
    if not as_json:
        for line in proof_lines(report, program):
            typer.echo(line)
        typer.echo(f"program of {len(program.code)} instructions, {seconds:.1f} s")
    record = report_record(report, program)
    edges = [
        {"claim": claim_name(edge, program), **told}
        for edge, told in zip(report.edges, record["edges"], strict=True)
    ]
    told = {**record, "edges": edges, "instructions": len(program.code), "seconds": seconds}
    return {"proof": told}


def _width() -> int:
    import shutil

    return shutil.get_terminal_size((100, 24)).columns
