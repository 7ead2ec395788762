"""`bb domain`: showing a domain to readers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bb_core.errors import UsageError

app = typer.Typer(add_completion=False)

_Where = Annotated[str, typer.Argument(help="Folder of a domain, or name of an installed one.")]


@app.command()
def show(
    where: _Where,
    tool: Annotated[str, typer.Argument(help="One tool; all if none is named.")] = "",
    requests: Annotated[
        int, typer.Option("--requests", min=0, help="Also so many requests of each split.")
    ] = 0,
    seed: Annotated[int, typer.Option(help="Makes the requests.")] = 0,
) -> None:
    """Say what a domain declares, and what is asked in it.

    Example: bb domain show api_json refund_order
    """
    from bb_core.plan import plan_text
    from bb_domains.domain import load_domain
    from bb_domains.domain_page import domain_page, markdown, tool_page
    from bb_domains.kit import make_requests
    from bb_domains.simulation import SPLITS

    domain = load_domain(where)
    if tool and tool not in domain.schema.tools:
        known = ", ".join(domain.schema.tools)
        raise UsageError(f"no tool {tool!r}", where=f"domain {domain.name}", fix=f"use {known}")
    page = tool_page(domain, tool) if tool else domain_page(domain)
    typer.echo(markdown(page), nl=False)
    for split in SPLITS if requests else ():
        for request in make_requests(domain, split, requests, seed):
            world = ", ".join(filter(None, (request.skin, request.layout, request.policy)))
            typer.echo(f"\n{request.id} ({world})\n{request.text}\n{plan_text(request.plan)}")


@app.command()
def doc(
    where: _Where,
    out: Annotated[Path | None, typer.Option("--out", help="File; .html for HTML.")] = None,
) -> None:
    """Write a domain's page: Markdown, or one HTML file with its picture.

    Example: bb domain doc api_json --out api_json.html
    """
    from bb_core.files import write_atomic
    from bb_domains.domain import load_domain
    from bb_domains.domain_page import domain_page, html_page, markdown

    domain = load_domain(where)
    if out is None:
        typer.echo(markdown(domain_page(domain)), nl=False)
        return
    write_atomic(out, html_page(domain) if out.suffix == ".html" else markdown(domain_page(domain)))
    typer.echo(f"written to {out}", err=True)
