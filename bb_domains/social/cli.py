"""What people at a desk do themselves: read the inbox, look at drafts, decide.

A server to try it all with is `python -m bb_domains.social serve`.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from bb_domains.social.mastodon import RealDesk

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="A desk on a social network: inbox, drafts, approval.",
)


def _desk() -> AbstractContextManager[RealDesk]:
    from bb_domains.social import plan_schema
    from bb_domains.social.mastodon import open_desk

    return open_desk(plan_schema(), os.environ)


@app.command()
def inbox() -> None:
    """List messages with the numbers that plans call them by.

    Example: python -m bb_domains.social inbox
    """
    from bb_domains.social.mastodon import MastodonNetwork

    with _desk() as real:
        assert isinstance(real.desk.network, MastodonNetwork)
        for message in real.desk.network.inbox():
            typer.echo(f"{message.number}  {message.sender} ({message.audience})  {message.text}")


@app.command()
def drafts() -> None:
    """List drafts that are not published yet, and whose approval they need.

    Example: python -m bb_domains.social drafts
    """
    with _desk() as real:
        for draft in real.store.drafts():
            state = "checked" if draft.checked else "not checked"
            needed = real.desk.needed(draft)
            typer.echo(f"{draft.id}  {draft.audience}, {state}, needs {needed}  {draft.text}")


@app.command()
def decide(
    draft: Annotated[str, typer.Argument(help="Name of the draft.")],
    role: Annotated[str, typer.Option("--as", help="In which role you decide.")],
    who: Annotated[str, typer.Option("--by", help="Who you are.")],
    no: Annotated[bool, typer.Option("--no", help="Do not approve it.")] = False,
) -> None:
    """Approve a draft as it stands, or not; a later change of its text voids the decision.

    Example: python -m bb_domains.social decide draft-1f00 --as editor --by "Nora Lund"
    """
    from bb_core.errors import BBError
    from bb_domains.social.policies import ROLES

    if role not in ROLES:
        raise BBError(f"no role {role!r}", where="--as", fix=f"use one of {', '.join(ROLES)}")
    with _desk() as real:
        found = real.store.get(draft)
        if found is None:
            raise BBError(
                "there is no such draft", where=draft, fix="see python -m bb_domains.social drafts"
            )
        name = ROLES[ROLES.index(role)]
        real.store.record_decision(found, name, yes=not no, who=who)
        typer.echo(f"{draft} {'not ' * no}approved by the {name}")


@app.command()
def number(
    remote: Annotated[str, typer.Argument(help="The server's identifier of a post.")],
) -> None:
    """Give a post on the server a number that plans can call it by.

    Example: python -m bb_domains.social number 109372843234
    """
    with _desk() as real:
        typer.echo(str(real.store.number_of("status", remote)))


@app.command()
def serve(
    port: Annotated[int, typer.Option("--port", help="On 127.0.0.1; 0 for a free one.")] = 3000,
    seed: Annotated[int, typer.Option("--seed", help="Makes the network.")] = 0,
    layout: Annotated[str, typer.Option("--layout", help="Kind of organisation.")] = "club",
) -> None:
    """Speak Mastodon over a made-up network until Ctrl-C; the token is `BB_SOCIAL_TOKEN`.

    Example: BB_SOCIAL_TOKEN=secret python -m bb_domains.social serve --port 3000
    """
    import threading

    from bb_core.errors import BBError
    from bb_domains.social import server
    from bb_domains.social.world import make_world

    token = os.environ.get("BB_SOCIAL_TOKEN", "")
    if not token:
        raise BBError("not set", where="BB_SOCIAL_TOKEN", fix="export a word of your choice")
    instance = server.Instance(make_world(seed, layout, "standard"), token)
    with server.serve(instance, port) as url:
        typer.echo(url)
        threading.Event().wait()


@app.command()
def check(
    text: Annotated[str, typer.Argument(help="The text to look at.")],
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Look for personal data in a text; exit 1 if there is any.

    Example: python -m bb_domains.social check "call Nora on 030 5550123"
    """
    from bb_domains.social.pii.find import find_pii, redact_pii

    spans = find_pii(text)
    if as_json:
        found = [{"kind": s.kind, "start": s.start, "end": s.end} for s in spans]
        typer.echo(json.dumps(found))
    else:
        typer.echo(redact_pii(text, spans))
    raise typer.Exit(1 if spans else 0)
