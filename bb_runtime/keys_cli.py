"""API keys of `bb serve`: make, list and remove them."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__)

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="Key file, for bb serve.")]
NameArgument = Annotated[str, typer.Argument(help="Name of the key, for the log.")]


@app.command()
def new(
    file: FileArgument,
    name: NameArgument,
    domain: Annotated[
        list[str] | None,
        typer.Option("--domain", help="Domain whose plans it may ask for, * for all; repeatable."),
    ] = None,
    run: Annotated[bool, typer.Option("--run", help="It may run plans.")] = False,
    expires: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="Its last day, in UTC; without it, none."),
    ] = None,
) -> None:
    """Make a key and show it, once; the file keeps its hash.

    Example: bb keys new keys.yaml shop --domain api_json --run
    """
    from bb_runtime.http.keys import Key, key_hash, load_keys, new_key, save_keys

    key = new_key()
    known = load_keys(file).all if file.exists() else ()
    last = expires.date() if expires else None
    made = Key(name=name, sha256=key_hash(key), domains=tuple(domain or ()), run=run, expires=last)
    save_keys(file, (*known, made))
    typer.echo(key)


@app.command("list")
def list_(file: FileArgument) -> None:
    """List the keys and what they may do.

    Example: bb keys list keys.yaml
    """
    from bb_runtime.http.keys import load_keys

    for key in load_keys(file).all:
        runs = ", may run plans" if key.run else ""
        ends = f", until {key.expires}" if key.expires else ""
        typer.echo(f"{key.name}: {', '.join(key.domains) or 'no domain'}{runs}{ends}")


@app.command()
def remove(file: FileArgument, name: NameArgument) -> None:
    """Remove a key; a server must be started anew to forget it.

    Example: bb keys remove keys.yaml shop
    """
    from bb_core.errors import BBError
    from bb_runtime.http.keys import load_keys, save_keys

    known = load_keys(file).all
    left = tuple(key for key in known if key.name != name)
    if len(left) == len(known):
        raise BBError(f"holds no key {name!r}", where=str(file), fix="look at bb keys list")
    save_keys(file, left)
