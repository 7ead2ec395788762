"""Measure the benchmark rows and print the table."""

from __future__ import annotations

import json
import math
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any

import typer

from bb_core.cli import run_app
from bb_core.doctor import CPU_FEATURES, cpu_features
from bb_core.errors import BBError
from bb_core.files import write_atomic
from benchmarks.frame import Context, Result, Row, discover, run_row, select

_VERSIONS = ("builderbrain", "numpy", "torch", "transformers", "llguidance", "python-sat")

app = typer.Typer(add_completion=False)


@app.command()
def benchmarks(
    patterns: Annotated[
        list[str] | None, typer.Argument(help="Names of rows, such as 'machine.*'; all if none.")
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Full sizes, not a row in seconds.")] = False,
    data: Annotated[
        Path | None, typer.Option(envvar="BB_DATA", help="Folder of data files.")
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the results here.")
    ] = None,
    list_only: Annotated[bool, typer.Option("--list", help="Name the rows and stop.")] = False,
    seed: Annotated[int, typer.Option(help="Seed of every random choice.")] = 0,
) -> None:
    """Measure ours against its peers; exit 0 when every row holds, 1 when one falls short.

    A row that cannot be measured on this machine is shown with its reason and does not count.

    Example: python -m benchmarks 'machine.*' --json results.json
    """
    rows = select(discover(), patterns or [])
    if list_only:
        for entry in rows:
            typer.echo(f"{entry.name}  against {entry.peer_name}, at least {entry.target:g} times")
        return
    context = Context(full=full, data=data, seed=seed)
    results = _run(rows, context)
    _print_table(results)
    if json_file is not None:
        write_atomic(json_file, json.dumps(_report(results, context), indent=2) + "\n")
    short = [result.name for result in results if result.available and not result.holds]
    if short:
        raise BBError(f"{', '.join(short)} fall short", where="benchmarks")


def _run(rows: Sequence[Row], context: Context) -> list[Result]:
    """Measure the rows one after the other and say which is being measured."""
    results = []
    for i, entry in enumerate(rows, start=1):
        typer.echo(f"[{i}/{len(rows)}] {entry.name}", err=True)
        results.append(run_row(entry, context))
    return results


def _print_table(results: Sequence[Result]) -> None:
    """Print one line for each row, and the problems below."""
    from rich.console import Console
    from rich.table import Table

    table = Table()
    for title in ("row", "ours", "peer", "against", "unit", "ratio", "target", "holds", "spread"):
        table.add_column(title, justify="left" if title in ("row", "against", "unit") else "right")
    for result in results:
        holds = "yes" if result.holds else "NO" if result.available else "not measured"
        table.add_row(
            result.name,
            _figure(result.ours),
            _figure(result.peer),
            result.peer_name,
            result.unit,
            _figure(result.ratio),
            f"{result.target:g}",
            holds,
            f"{result.spread:.0%} of {result.repetitions}",
        )
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(table)
    for result in results:
        if result.problem:
            console.print(f"{result.name}: {result.problem}", markup=False)


def _figure(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.4g}"


def _report(results: Sequence[Result], context: Context) -> dict[str, Any]:
    """Return everything that is saved: the rows, and on what they were measured."""
    return {
        "commit": _commit(),
        "machine": {
            "platform": platform.platform(),
            "cores": os.cpu_count(),
            "cpu_features": [name for name in CPU_FEATURES if name in cpu_features()],
        },
        "versions": {"python": platform.python_version()} | _versions(),
        "seed": context.seed,
        "full": context.full,
        "rows": [
            {key: _json_value(value) for key, value in asdict(result).items()} for result in results
        ],
    }


def _json_value(value: Any) -> Any:
    """Return None for the numbers that JSON does not have."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _versions() -> dict[str, str]:
    found = {}
    for name in _VERSIONS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _commit() -> str | None:
    """Return the commit of the checkout, with a mark if files differ; None outside a checkout."""
    root = Path(__file__).parent.parent
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout.strip() or None


if __name__ == "__main__":
    run_app(app, "python -m benchmarks")
