"""`python -m bb_domains.phone`: draw screens, record macros, read them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from bb_core.errors import BBError

app = typer.Typer(no_args_is_help=True, help=__doc__)


@app.command()
def draw(
    screen: Annotated[str, typer.Argument(help="A screen of elements.yaml.")],
    layout: Annotated[str, typer.Option(help="How the phone looks.")] = "plain",
    seed: Annotated[int, typer.Option(help="Makes the phone.")] = 0,
) -> None:
    """Draw a screen of a simulated phone as SVG, to stdout.

    Example: python -m bb_domains.phone draw bank --layout dense > bank.svg
    """
    from bb_domains.phone.drawing import svg_text
    from bb_domains.phone.elements import load_book
    from bb_domains.phone.handset import make_handset
    from bb_domains.phone.layouts import LAYOUTS
    from bb_domains.phone.policies import POLICIES

    phone = make_handset(LAYOUTS[layout], POLICIES["open"], seed)
    book = load_book()
    if screen not in book.screens:
        known = ", ".join(book.screens)
        raise BBError(f"no screen {screen!r}", where="draw", fix=f"use one of {known}")
    phone.person = next(iter(phone.contacts))
    typer.echo(svg_text(phone.picture_of(screen), book), nl=False)


@app.command()
def record(
    out: Annotated[Path, typer.Argument(help="Folder to make.")],
    seconds: Annotated[float, typer.Option(min=1, max=3600, help="How long.")] = 60,
) -> None:
    """Record what you do on the phone that BB_PHONE_ADB and BB_PHONE_SERIAL name.

    Example: BB_PHONE_ADB=/usr/bin/adb python -m bb_domains.phone record monday --seconds 90
    """
    from bb_domains.phone.adb import AdbDevice
    from bb_domains.phone.recorder import record as record_phone

    adb = os.environ.get("BB_PHONE_ADB", "")
    if not adb:
        raise BBError("is not set", where="BB_PHONE_ADB", fix="name the adb executable")
    device = AdbDevice(adb, os.environ.get("BB_PHONE_SERIAL", ""))
    device.check()
    typer.echo(f"{record_phone(device, seconds, out)} screens in {out}", err=True)


@app.command()
def read(
    recording: Annotated[Path, typer.Argument(help="Folder that `record` made.")],
    request: Annotated[str, typer.Option(help="What it does, in words.")] = "",
    name: Annotated[str, typer.Option(help="Name of the trace.")] = "macro",
) -> None:
    """Write a recording as a trace, one JSON line, to stdout; what is not understood to stderr.

    Example: python -m bb_domains.phone read monday --request "call Ann Bell." >> traces.jsonl
    """
    from bb_core.trace import trace_line
    from bb_domains.phone import plan_schema
    from bb_domains.phone.elements import ELEMENTS, load_book
    from bb_domains.phone.macros import macro_trace
    from bb_domains.phone.recorder import load_macro

    book = load_book(Path(os.environ.get("BB_PHONE_ELEMENTS", ELEMENTS)))
    found = load_macro(recording, plan_schema(), book)
    for strange in found.strange:
        typer.echo(f"not understood: {strange}", err=True)
    typer.echo(trace_line(macro_trace(found, name, request)))


def main() -> None:
    """Run a command; what is refused is said on stderr, exit code 1 or 2."""
    try:
        app()
    except BBError as error:
        typer.echo(str(error), err=True)
        raise SystemExit(error.exit_code) from None


if __name__ == "__main__":
    main()
