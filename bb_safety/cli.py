"""Decide what becomes production, and see what is there and why."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bb_core.cli import JsonOption, WorkOption
from bb_core.errors import BBError
from bb_core.workspace import DEFAULT_ROOT, Workspace

if TYPE_CHECKING:
    from bb_safety.decision import Decision
    from bb_safety.registry import Registry

gate_app = typer.Typer(add_completion=False, no_args_is_help=True, help="The promotion gate.")
registry_app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="What is in production, and what was before."
)

PictureOption = Annotated[
    Path | None, typer.Option("--picture", help="Write the path of the e-value here, as PNG.")
]
_SHORT = 12


@gate_app.command("run")
def gate_run(
    measurement: Annotated[
        Path, typer.Argument(help="Paired risks and battery, as an evaluation wrote them.")
    ],
    policy: Annotated[Path, typer.Option(help="The gate's policy.")] = Path("configs/gate.yaml"),
    work: WorkOption = DEFAULT_ROOT,
    picture: PictureOption = None,
    json_output: JsonOption = False,
) -> None:
    """Decide on a measured candidate; promote it if it may be. Exits with 1 if it may not.

    The evaluation set is spent by this, whatever the decision.

    Example: bb gate run runs/7/measurement.json --policy configs/gate.yaml --picture gate.png
    """
    from bb_safety.evidence import load_measurement
    from bb_safety.policy import load_policy
    from bb_safety.submit import Measured, submit

    rules = load_policy(policy)
    risks, battery = load_measurement(measurement)
    registry = _open(work)
    candidate = registry.find(risks.candidate_revision)
    decision = submit(registry, candidate, rules, Measured(risks, battery))
    _show_decision(registry, decision, picture, json_output)
    if decision.verdict != "promote":
        raise typer.Exit(BBError.exit_code)


@gate_app.command("status")
def gate_status(work: WorkOption = DEFAULT_ROOT, json_output: JsonOption = False) -> None:
    """Show what is in production, and every submission with what became of it.

    Example: bb gate status --json
    """
    registry = _open(work)
    status = _status(registry)
    if json_output:
        typer.echo(json.dumps(status, indent=2))
        return
    for name, digest in status["aliases"].items():
        typer.echo(f"{name:<11}{digest}")
    for row in status["submissions"]:
        typer.echo(
            f"submission {row['number']}: {row['candidate'][:_SHORT]} against "
            f"{row['incumbent'][:_SHORT]}: {row['outcome']}"
        )
    typer.echo(f"next submission: {status['next_submission']}")


@gate_app.command("explain")
def gate_explain(
    sequence: Annotated[
        int | None, typer.Argument(help="Number of the decision; the latest if none.")
    ] = None,
    work: WorkOption = DEFAULT_ROOT,
    picture: PictureOption = None,
    json_output: JsonOption = False,
) -> None:
    """Say what was decided, why, and what would change it; the test is run again to check it.

    Example: bb gate explain 12 --picture decision.png
    """
    from bb_safety.decision import decision_from_json
    from bb_safety.promote import GateError, recompute

    registry = _open(work)
    recorded = registry.usage.decisions()
    chosen = [found for found in recorded if sequence in (None, found.sequence)]
    if not chosen:
        known = ", ".join(str(found.sequence) for found in recorded) or "none yet"
        raise GateError(
            "no such decision" if sequence is None else f"decision {sequence} is not recorded",
            where="bb gate explain",
            fix=f"recorded: {known}",
        )
    decision = decision_from_json(json.loads(chosen[-1].document))
    look = recompute(decision, registry.usage)
    _show_decision(registry, decision, picture, json_output)
    if not json_output:
        typer.echo(f"check    run again: {look.verdict} by the test after {look.n} requests")


@registry_app.command("list")
def registry_list(work: WorkOption = DEFAULT_ROOT, json_output: JsonOption = False) -> None:
    """List the revisions, oldest first, with the aliases that name them.

    Example: bb registry list
    """
    from bb_safety.registry import revision_to_json

    registry = _open(work)
    aliases = registry.store.aliases()
    rows = [
        revision_to_json(revision)
        | {"aliases": [name for name, digest in aliases.items() if digest == revision.digest]}
        for revision in registry.revisions()
    ]
    if json_output:
        typer.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        names = ", ".join(row["aliases"])
        typer.echo(f"{row['digest'][:_SHORT]}  {row['kind']:<5} {names}".rstrip())


@registry_app.command("show")
def registry_show(
    name: Annotated[str, typer.Argument(help="Alias, digest, or beginning of a digest.")],
    work: WorkOption = DEFAULT_ROOT,
    json_output: JsonOption = False,
) -> None:
    """Show one revision: where its files are, and what it came from.

    Example: bb registry show production
    """
    from bb_safety.registry import revision_to_json

    registry = _open(work)
    revision = registry.find(name)
    folder = registry.folder(revision)
    document = revision_to_json(revision) | {"folder": None if folder is None else str(folder)}
    if json_output:
        typer.echo(json.dumps(document, indent=2))
        return
    for key, value in document.items():
        shown = value if isinstance(value, str) else json.dumps(value)
        typer.echo(f"{key:<17}{shown}")


@registry_app.command("verify")
def registry_verify(work: WorkOption = DEFAULT_ROOT, json_output: JsonOption = False) -> None:
    """Check every file, record, log entry, decision and alias. Exits with 1 if any is wrong.

    Example: bb registry verify
    """
    from dataclasses import asdict

    from bb_safety.registry import RegistryError
    from bb_safety.verify import verify_registry

    registry = _open(work)
    problems = verify_registry(registry)
    checked = registry.log.verify()
    entries, head = (checked.entries, checked.head) if checked else (0, "")
    if json_output:
        found = [asdict(problem) for problem in problems]
        typer.echo(json.dumps({"problems": found, "entries": entries, "head": head}, indent=2))
    else:
        for problem in problems:
            typer.echo(f"{problem.where}: {problem.what}")
        typer.echo(
            f"{len(registry.store.digests())} objects, {len(registry.revisions())} revisions, "
            f"{entries} log entries, head {head}"
        )
    if problems:
        raise RegistryError(
            f"{len(problems)} problems",
            where="bb registry verify",
            fix="restore what is named from a copy, or register it again from its run",
        )


@registry_app.command("rollback")
def registry_rollback(
    reason: Annotated[str, typer.Option(help="Why; it becomes part of the log.")],
    work: WorkOption = DEFAULT_ROOT,
    json_output: JsonOption = False,
) -> None:
    """Put the previous revision back into production.

    Example: bb registry rollback --reason "refunds went to the wrong order"
    """
    registry = _open(work)
    revision = registry.rollback(reason)
    if json_output:
        typer.echo(json.dumps({"production": revision.digest}))
    else:
        typer.echo(f"production is {revision.digest} ({revision.kind}) again")


def _open(work: Path) -> Registry:
    """The registry of a workspace that exists."""
    from bb_safety.registry import Registry, RegistryError

    if not work.is_dir():
        raise RegistryError(
            "there is no such workspace", where=str(work), fix="make one with `bb run --work DIR`"
        )
    return Registry(Workspace(work))


def _status(registry: Registry) -> dict[str, Any]:
    """Aliases and submissions as plain JSON values."""
    recorded = {found.submission: found for found in registry.usage.decisions()}
    rows = []
    for spent in registry.usage.submissions():
        found = recorded.get(spent.number)
        outcome = "interrupted before a decision"
        if found is not None:
            outcome = f"{json.loads(found.document)['verdict']} (decision {found.sequence})"
        if found is not None and spent.state == "open":
            outcome += ", then interrupted"
        rows.append(
            {
                "number": spent.number,
                "candidate": spent.candidate,
                "incumbent": spent.incumbent,
                "state": spent.state,
                "outcome": outcome,
            }
        )
    return {
        "aliases": registry.store.aliases(),
        "submissions": rows,
        "next_submission": len(rows) + 1,
    }


def _show_decision(
    registry: Registry, decision: Decision, picture: Path | None, json_output: bool
) -> None:
    from bb_safety.decision import decision_to_json
    from bb_safety.promote import recorded_policy
    from bb_safety.report import decision_lines, save_picture

    if json_output:
        typer.echo(json.dumps(decision_to_json(decision), indent=2))
    else:
        typer.echo("\n".join(decision_lines(decision)))
    recorded = registry.usage.decision(decision.sequence)
    if picture is not None and recorded is not None:
        differences = registry.usage.differences(decision.submission, until=decision.sequence)
        save_picture(picture, decision, differences, recorded_policy(recorded))
        typer.echo(f"picture  {picture}", err=True)
