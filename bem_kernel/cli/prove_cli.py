"""`bem prove`: Hoare annotations of a program."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bb_core.cli import JsonOption

if TYPE_CHECKING:
    pass


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this file to `app`."""
    app.command()(prove)


def prove(
    program: Annotated[Path, typer.Argument(help="A program: text, or record if .json.")],
    annotations: Annotated[Path, typer.Argument(help="What is claimed of it.")],
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

    Example: bem prove queue.bem queue.hoare
    """
    from bb_core.files import read_text
    from bem_kernel.hoare.annotations import parse_annotations
    from bem_kernel.hoare.check import hoare_check
    from bem_kernel.hoare.report import report_lines, report_record
    from bem_kernel.isa.files import load_program

    code = load_program(program)
    claims = parse_annotations(read_text(annotations), code, str(annotations))
    report = hoare_check(code, claims, budget=budget, hand_over=hand_over)
    if json_output:
        typer.echo(json.dumps(report_record(report, code)))
    else:
        for line in report_lines(report, code):
            typer.echo(line)
    if not report.accepted:
        raise typer.Exit(1)
