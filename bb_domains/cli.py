"""Make, import, test, draw and document domains, and record traces of their tools."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bb_core.cli import JsonOption
from bb_core.errors import UsageError
from bb_domains import authoring_cli, pages_cli, traces_cli

if TYPE_CHECKING:
    from bb_domains.domain import Domain

app = typer.Typer(add_completion=False, no_args_is_help=True)
for _part in (authoring_cli, pages_cli, traces_cli):
    app.registered_commands += _part.app.registered_commands

_Where = Annotated[str, typer.Argument(help="Folder of a domain, or name of an installed one.")]


@app.callback()
def _domain() -> None:
    """Make, import, test, draw and document domains, and record traces of their tools."""


@app.command("import-openapi")
def import_openapi(
    source: Annotated[str, typer.Argument(help="URL or file of an OpenAPI 3 document.")],
    out: Annotated[Path, typer.Option("--out", help="Folder to make or replace.")],
    overlay: Annotated[
        Path | None, typer.Option("--overlay", help="YAML merged over what OpenAPI says.")
    ] = None,
    json_: JsonOption = False,
) -> None:
    """Make a domain from an OpenAPI document.

    Writes plan_schema.yaml, grammar.lark and arguments.schema.json, all or nothing; also grammars
    that channels of the overlay name, from beside it.

    Example: bb domain import-openapi petstore.yaml --out bb-work/domains/petstore
    """
    from bb_domains.domain import make_domain, save_domain
    from bb_domains.lint import lint_service
    from bb_domains.openapi import import_openapi as read
    from bb_domains.profile.channels import channel_files

    domain = make_domain(read(source, overlay), out)
    save_domain(domain, out, channel_files(domain.schema, overlay, out))
    findings = lint_service(domain)
    lines = [f"written to {out}", *(f"look at {f.where}: {f.what}" for f in findings)]
    found = [{"where": f.where, "what": f.what} for f in findings]
    _say(domain, json_, lines, {"out": str(out), "findings": found})


@app.command()
def check(
    where: _Where,
    write: Annotated[
        bool, typer.Option("--write", help="Write grammar.lark and arguments.schema.json anew.")
    ] = False,
    start: Annotated[str, typer.Option("--start", help="Start rule of a grammar file.")] = "start",
    json_: JsonOption = False,
) -> None:
    """Compile a domain and say what looks like a mistake; or judge a grammar file, or a folder's.

    Of each grammar, that of plans and those of channels, it names what the engine of the mask and
    the parser would read differently. Errors end with exit code 1; findings do not.

    Example: bb domain check bb-work/domains/petstore
    """
    from bb_domains.profile.check import check_grammars, is_grammar, raise_refused, say_grammars

    if is_grammar(where):
        say_grammars(where, start, json_)
        return
    from bb_domains.domain import load_domain, make_domain, save_domain, schema_path
    from bb_domains.lint import lint
    from bb_domains.schema import load_schema

    if write:
        if not Path(where).is_dir():
            raise UsageError("is no folder", where=where, fix="--write needs a domain's folder")
        domain = make_domain(load_schema(schema_path(where)), Path(where))
        save_domain(domain, Path(where))
    else:
        domain = load_domain(where)
    findings = lint(domain)
    lines = [f"look at {f.where}: {f.what}" for f in findings] or ["nothing looks wrong"]
    found = [{"where": f.where, "what": f.what} for f in findings]
    grammars, refused = check_grammars(domain)
    lines += [line for grammar in grammars for line in ("", *grammar.lines())]
    grammars_data = [grammar.as_data() for grammar in grammars]
    _say(domain, json_, lines, {"findings": found, "grammars": grammars_data})
    raise_refused(refused)


@app.command()
def graph(
    where: _Where,
    form: Annotated[str, typer.Option("--format", help="dot or svg.")] = "dot",
    out: Annotated[Path | None, typer.Option("--out", help="File instead of stdout.")] = None,
) -> None:
    """Draw which tool needs and sets which fluents.

    Example: bb domain graph api_json --format svg --out api_json.svg
    """
    from bb_core.files import write_atomic
    from bb_domains.domain import load_domain
    from bb_domains.graph import domain_graph, dot_text
    from bb_domains.svg import svg_text

    writers = {"dot": dot_text, "svg": svg_text}
    if form not in writers:
        raise UsageError(f"no format {form!r}", where="--format", fix="use dot or svg")
    text = writers[form](domain_graph(load_domain(where).machine))
    if out is None:
        typer.echo(text, nl=False)
    else:
        write_atomic(out, text)
        typer.echo(f"written to {out}", err=True)


@app.command("list")
def list_(
    work: Annotated[Path | None, typer.Option("--work", help="Also those of a workspace.")] = None,
    json_: JsonOption = False,
) -> None:
    """List installed domains, and those of a workspace.

    Example: bb domain list --work bb-work
    """
    import json

    from bb_domains.domain import SCHEMA_FILE, installed_domains

    rows = [{"name": n, "place": point.value} for n, point in installed_domains().items()]
    if work is not None:
        found = sorted((work / "domains").glob(f"*/{SCHEMA_FILE}"))
        rows += [{"name": path.parent.name, "place": str(path.parent)} for path in found]
    if json_:
        typer.echo(json.dumps(rows))
    for row in [] if json_ else rows:
        typer.echo(f"{row['name']}\t{row['place']}")


def _say(domain: Domain, as_json: bool, lines: list[str], more: dict[str, Any]) -> None:
    """Print what a domain is, and then these lines."""
    import json

    machine = domain.machine
    completion = machine.completion(machine.initial())
    facts = {
        "domain": domain.name,
        "tools": len(machine.tools),
        "fluents": len(domain.schema.fluents),
        "state_bits": machine.layout.n_bits,
        "calls": len(machine.lanes),
        "invariants": len(domain.schema.invariants),
        "grammar_bytes": len(domain.grammar),
        "longest_call_bytes": max(machine.max_bytes(tool) for tool in machine.tools),
        "shortest_plan_bytes": completion[1] if completion else None,
        "fingerprint": domain.fingerprint,
    }
    if as_json:
        typer.echo(json.dumps({**facts, **more}))
        return
    for name, value in facts.items():
        typer.echo(f"{name.replace('_', ' '):20} {value}")
    for line in lines:
        typer.echo(line)
