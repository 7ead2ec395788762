"""The `bb` command and what every command of ours shares.

Sub-commands come from the entry-point group `bb.commands`; each is a typer application that is
imported only when it is called. The one-line summaries in `bb --help` are the first lines of the
modules' docstrings, read without importing them.
"""

from __future__ import annotations

import ast
import importlib.machinery
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import EntryPoint, EntryPoints, entry_points
from pathlib import Path
from typing import Annotated

import typer

from bb_core.errors import BBError, UsageError
from bb_core.extras import extra_of, install_command
from bb_core.workspace import DEFAULT_ROOT

COMMANDS = "bb.commands"
INTERRUPTED = 130

WorkOption = Annotated[
    Path, typer.Option("--work", help="Workspace folder.", show_default=str(DEFAULT_ROOT))
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]


def main(args: Sequence[str] | None = None) -> None:
    """Run the `bb` command and exit the process."""
    argv = list(sys.argv[1:] if args is None else args)
    commands = entry_points(group=COMMANDS)
    if not argv or argv[0] in ("-h", "--help"):
        typer.echo(_overview(commands))
        raise SystemExit(0 if argv else UsageError.exit_code)
    if argv[0] == "--version":
        from bb_core import __version__

        typer.echo(__version__)
        raise SystemExit(0)
    name, rest = argv[0], argv[1:]
    raise SystemExit(_guarded(lambda: _call(_load(commands, name), f"bb {name}", rest)))


def run_app(app: typer.Typer, name: str, args: Sequence[str] | None = None) -> None:
    """Run a typer application as the command `name` and exit the process.

    A `BBError` ends as `error: …` on stderr with its exit code and without a traceback; Ctrl-C
    ends as one line and exit code 130.
    """
    argv = list(sys.argv[1:] if args is None else args)
    raise SystemExit(_guarded(lambda: _call(app, name, argv)))


def _call(app: typer.Typer, name: str, args: Sequence[str]) -> None:
    """Run an application; its own usage errors exit with code 2 and a hint."""
    typer.main.get_command(app).main(args=list(args), prog_name=name)


def _guarded(run: Callable[[], None]) -> int:
    """Run a command and return its exit code, with one line for what was refused."""
    try:
        run()
    except BBError as error:
        typer.echo(f"error: {error}", err=True)
        return error.exit_code
    except ModuleNotFoundError as error:
        extra = extra_of(error.name or "")
        if extra is None:
            raise
        what = f"error: this command needs the package {error.name}; {install_command(extra)}"
        typer.echo(what, err=True)
        return BBError.exit_code
    except KeyboardInterrupt:
        return _interrupted()
    except SystemExit as stop:
        if stop.code == INTERRUPTED:
            return _interrupted()
        if isinstance(stop.code, str):
            typer.echo(stop.code, err=True)
            return BBError.exit_code
        return stop.code or 0
    return 0


def _interrupted() -> int:
    typer.echo("interrupted", err=True)
    return INTERRUPTED


def _load(commands: EntryPoints, name: str) -> typer.Typer:
    """Import one sub-command.

    Raises:
        UsageError: there is none of that name.
    """
    found = sorted(commands.select(name=name))
    if not found:
        names = ", ".join(sorted(commands.names))
        raise UsageError(f"no command {name!r}", where="bb", fix=f"use one of {names}")
    app = found[0].load()
    if not isinstance(app, typer.Typer):
        raise BBError(f"{found[0].value} is no typer application", where=f"bb {name}")
    return app


def _overview(commands: EntryPoints) -> str:
    """Return the text of `bb --help`."""
    lines = [
        "Usage: bb COMMAND [OPTIONS]",
        "",
        "Plans by a builder rail beside a frozen language model, checked before they run.",
        "",
        "Commands:",
    ]
    width = max((len(name) for name in commands.names), default=0)
    for entry in sorted(commands, key=lambda entry: entry.name):
        lines.append(f"  {entry.name:{width}}  {_summary(entry)}".rstrip())
    return "\n".join(
        [*lines, "", "Example: bb doctor", "Each command explains itself: bb COMMAND --help"]
    )


def _summary(entry: EntryPoint) -> str:
    """Return the first line of a command module's docstring without importing anything."""
    path: Sequence[str] | None = None
    origin = None
    for part in entry.module.split("."):
        spec = importlib.machinery.PathFinder.find_spec(part, path)
        if spec is None:
            return ""
        path, origin = spec.submodule_search_locations, spec.origin
    if origin is None or not origin.endswith(".py"):
        return ""
    docstring = ast.get_docstring(ast.parse(Path(origin).read_text(encoding="utf-8"))) or ""
    return docstring.partition("\n")[0]
