"""`bem log`: hash-chained logs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from bb_core.cli import JsonOption

app = typer.Typer(no_args_is_help=True, help="Hash-chained ledgers.")

FileArgument = Annotated[Path, typer.Argument(help="The file to read.")]


@app.command("verify")
def log_verify(
    file: FileArgument,
    head: Annotated[
        str | None, typer.Option("--head", help="A chain hash kept elsewhere; it must occur.")
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """Check a ledger's chain; exit 1 and name the first bad entry if it is broken.

    Example: bem log verify bb-work/logs/run.jsonl
    """
    from bem_kernel.ledger.chain import verify

    found = verify(file, head)
    if json_output:
        record = {
            "entries": found.entries,
            "first_bad": found.first_bad,
            "head": found.head,
            "reason": found.reason,
        }
        typer.echo(json.dumps(record))
    elif found.ok:
        typer.echo(f"{found.entries} entries, unbroken; head {found.head}")
    else:
        typer.echo(f"entry {found.first_bad}: {found.reason}; {found.entries} good before it")
    if not found.ok:
        raise typer.Exit(1)


@app.command("show")
def log_show(file: FileArgument) -> None:
    """Print a ledger's entries, one JSON object a line, each checked against the chain.

    Example: bem log show bb-work/logs/run.jsonl
    """
    from bem_kernel.ledger.chain import read_entries

    for entry in read_entries(file):
        typer.echo(json.dumps(entry, ensure_ascii=False))
