"""Plans: check them, draw them, run them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bb_core.cli import JsonOption, WorkOption
from bb_core.workspace import DEFAULT_ROOT
from bb_runtime.options import DEFAULT_DOMAIN, DomainOption

if TYPE_CHECKING:
    from bb_core.plan import Plan
    from bb_domains.domain import Domain
    from bb_runtime.check import Certificate

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__)

PlanArgument = Annotated[str, typer.Argument(metavar="FILE", help="Plan as JSON; - for stdin.")]


@app.command()
def check(
    file: PlanArgument, domain: DomainOption = DEFAULT_DOMAIN, json_output: JsonOption = False
) -> None:
    """Check a plan: exit 0 if it may run, 1 with step, rule and repair if it may not.

    Example: bb plan check plan.json --domain api_json
    """
    import json

    loaded, plan, certificate = _checked(file, domain)
    if json_output:
        shown = {
            "admissible": True,
            "steps": len(plan.steps),
            "plan_hash": certificate.plan_hash,
            "domain": loaded.name,
            "fingerprint": certificate.domain_fingerprint,
        }
        typer.echo(json.dumps(shown))
    else:
        typer.echo(f"admissible: {len(plan.steps)} steps, plan {certificate.plan_hash[:12]}")


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
    log: Annotated[
        Path | None, typer.Option(help="Hash-chained log; WORK/logs/plans.ledger if not given.")
    ] = None,
    work: WorkOption = DEFAULT_ROOT,
    json_output: JsonOption = False,
) -> None:
    """Check a plan, then run it against the domain's service. Exit 1 if a step fails.

    Secrets come from the environment, under the names that the domain declares.

    Example: bb plan run plan.json --domain bb-work/domains/api_json
    """
    from bb_runtime.run_plan import run_and_report

    loaded, plan, certificate = _checked(file, domain)
    done = run_and_report(
        loaded, plan, certificate, log_path(log, work), dry_run=dry_run, as_json=json_output
    )
    raise typer.Exit(0 if done.status == "done" else 1)


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


def _width() -> int:
    import shutil

    return shutil.get_terminal_size((100, 24)).columns
