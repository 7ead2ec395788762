"""`bem log`: hash-chained logs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bb_core.cli import JsonOption
from bb_core.errors import UsageError

if TYPE_CHECKING:
    from bem_kernel.ledger.heads import ExportedHead

app = typer.Typer(no_args_is_help=True, help="Hash-chained ledgers.")

FileArgument = Annotated[Path, typer.Argument(help="The file to read.")]


@app.command("verify")
def log_verify(
    file: FileArgument,
    head: Annotated[
        str | None, typer.Option("--head", help="A chain hash kept elsewhere; it must occur.")
    ] = None,
    heads: Annotated[
        Path | None, typer.Option("--heads", help="A file of exported heads; all must agree.")
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """Check a ledger's chain; exit 1 and name the first bad entry if it is broken.

    Example: bem log verify bb-work/logs/run.jsonl
    """
    from bem_kernel.ledger.chain import verify

    found = verify(file, head, _known_heads(heads))
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


@app.command("export-head")
def log_export_head(
    file: FileArgument,
    to: Annotated[
        Path | None, typer.Option("--to", help="A file of heads to add it to; stdout if absent.")
    ] = None,
) -> None:
    """Check a ledger and export its head, to be kept where the ledger's writer does not reach.

    With --to the ledger must also agree with the heads that the file holds already.

    Example: bem log export-head bb-work/logs/run.jsonl --to /media/safe/heads.jsonl
    """
    from bem_kernel.errors import LedgerError
    from bem_kernel.ledger.chain import verify
    from bem_kernel.ledger.heads import ExportedHead, add_head, encode_head, read_heads

    found = verify(file, heads=() if to is None else read_heads(to))
    if not found.ok:
        raise LedgerError(
            found.reason,
            where=f"{file}: entry {found.first_bad}",
            fix="export nothing from a ledger that is damaged or was changed",
        )
    exported = ExportedHead(found.entries, found.head)
    if to is None:
        typer.echo(encode_head(exported), nl=False)
    else:
        add_head(to, exported)
        typer.echo(f"{exported.entries} entries, head {exported.head}", err=True)


@app.command("show")
def log_show(file: FileArgument) -> None:
    """Print a ledger's entries, one JSON object a line, each checked against the chain.

    Example: bem log show bb-work/logs/run.jsonl
    """
    from bem_kernel.ledger.chain import read_entries

    for entry in read_entries(file):
        typer.echo(json.dumps(entry, ensure_ascii=False))


def _known_heads(path: Path | None) -> tuple[ExportedHead, ...]:
    """The heads in a file that was named; it must exist."""
    from bem_kernel.ledger.heads import read_heads

    if path is None:
        return ()
    if not path.exists():
        raise UsageError("no such file", where="--heads", fix="name a file of exported heads")
    return read_heads(path)
