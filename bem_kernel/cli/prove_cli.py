"""`bem prove`: what annotations claim of a program, and that BAD is unreachable."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bb_core.cli import JsonOption
from bb_core.errors import UsageError

if TYPE_CHECKING:
    from bem_kernel.hoare.annotations import Annotations
    from bem_kernel.isa.program import Program


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this file to `app`."""
    app.command()(prove)


def prove(
    program: Annotated[Path, typer.Argument(help="A program: text, or record if .json.")],
    annotations: Annotated[Path | None, typer.Argument(help="What is claimed of it.")] = None,
    bad: Annotated[
        str | None,
        typer.Option("--bad", help="A state bit, or a condition, that no run may reach."),
    ] = None,
    k: Annotated[
        int, typer.Option("--k", min=1, help="With --bad: most blocks of a run, and of induction.")
    ] = 32,
    budget: Annotated[
        int, typer.Option("--budget", min=0, help="Most conflicts of our own solver for an edge.")
    ] = 20_000,
    hand_over: Annotated[
        bool, typer.Option(help="Let CaDiCaL go on where the budget does not do.")
    ] = True,
    json_output: JsonOption = False,
) -> None:
    """Prove what annotations claim of a program, or refute it by a run of the machine.

    A line for each way from one annotated node to the next; below one that does not hold, the
    state and the trace that violate it. Exits with 1 unless everything was proved.

    Lines of annotations: `at NODE: 0 <= r1 < 8 & !bad` with a name of .cfg, `line 12`, `entry` or
    `exit`; `always !bad`; `allow RAISED` for traps that are good ends; `width r1 4` or `s8`.

    With --bad, also that no run from the beginning is ever bad, by bounded model checking,
    k-induction and lemmas; without annotations a run begins with registers and state bits 0.

    Examples: bem prove queue.bem queue.hoare

    bem prove door.bem --bad open_twice --k 20
    """
    from bb_core.files import read_text
    from bem_kernel.hoare.annotations import parse_annotations
    from bem_kernel.isa.files import load_program

    if annotations is None and bad is None:
        raise UsageError("nothing to prove", where="prove", fix="give annotations, or --bad BIT")
    code, claims = load_program(program), None
    if annotations is not None:
        claims = parse_annotations(read_text(annotations), code, str(annotations))
        if not _claims_hold(code, claims, (budget, hand_over), json_output):
            raise typer.Exit(1)
    if bad is not None and not _is_unreachable(code, bad, claims, k, json_output):
        raise typer.Exit(1)


def _claims_hold(
    program: Program, claims: Annotations, effort: tuple[int, bool], as_json: bool
) -> bool:
    """Check annotations and say how it went."""
    from bem_kernel.hoare.check import hoare_check
    from bem_kernel.hoare.report import report_lines, report_record

    report = hoare_check(program, claims, budget=effort[0], hand_over=effort[1])
    if as_json:
        typer.echo(json.dumps(report_record(report, program)))
    else:
        for line in report_lines(report, program):
            typer.echo(line)
    return report.accepted


def _is_unreachable(
    program: Program, bad: str, claims: Annotations | None, k: int, as_json: bool
) -> bool:
    """Search for a bad run and say how it went."""
    from bem_kernel.hoare.reach import Unreachable, reach
    from bem_kernel.hoare.reach_program import program_system
    from bem_kernel.hoare.reach_report import reach_lines, reach_record

    system = program_system(program, bad, claims)
    verdict = reach(system.system, depth=k)
    if as_json:
        typer.echo(json.dumps(reach_record(verdict, system)))
    else:
        for line in reach_lines(verdict, system):
            typer.echo(line)
    return isinstance(verdict, Unreachable)
