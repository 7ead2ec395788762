"""`bb domain`: making and testing domains."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bb_core.cli import JsonOption
from bb_core.errors import BBError, UsageError

if TYPE_CHECKING:
    from bb_domains.domain import Domain
    from bb_domains.schema import PlanSchema

app = typer.Typer(add_completion=False)

_Where = Annotated[str, typer.Argument(help="Folder of a domain, or name of an installed one.")]
_Out = Annotated[Path, typer.Option("--out", help="Folder to make or replace.")]
_Overlay = Annotated[
    Path | None, typer.Option("--overlay", help="YAML merged over what was imported.")
]
_Name = Annotated[str, typer.Option("--name", help="Name of the domain; the folder's if empty.")]


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="Name of the domain: small letters, digits, _.")],
    out: Annotated[Path | None, typer.Option("--out", help="Folder to make; NAME if none.")] = None,
) -> None:
    """Make a domain that works as it is, to change step by step.

    Example: bb domain new greenhouse
    """
    from bb_domains.scaffold import new_domain

    folder = out or Path(name)
    new_domain(name, folder)
    typer.echo(f"written to {folder}; next: bb domain test {folder}")


@app.command("import-jsonschema")
def import_jsonschema(
    source: Annotated[Path, typer.Argument(help="JSON file: a list of tools, or one schema.")],
    out: _Out,
    overlay: _Overlay = None,
    name: _Name = "",
) -> None:
    """Make a domain from tools whose arguments are described in JSON Schema.

    OpenAI's and Anthropic's lists of tools, bare lists of functions, or the schema of one object.

    Example: bb domain import-jsonschema tools.json --out bb-work/domains/tools
    """
    from bb_domains.tool_lists import import_tools

    _save(import_tools(source, name or _domain_name(out), overlay), out, overlay)


@app.command("import-mcp")
def import_mcp(
    out: _Out,
    command: Annotated[
        str, typer.Option("--command", help="Command that runs the server on stdin and stdout.")
    ] = "",
    url: Annotated[str, typer.Option("--url", help="Address of a server instead.")] = "",
    file: Annotated[
        Path | None, typer.Option("--file", help="JSON answer to tools/list instead.")
    ] = None,
    variable: Annotated[
        list[str] | None,
        typer.Option("--env", help="Variable that the command sees, besides PATH and such."),
    ] = None,
    overlay: _Overlay = None,
    name: _Name = "",
) -> None:
    """Make a domain from the tools of a server of the Model Context Protocol.

    With --command or --url the folder's package also calls the tools, in the same way. The variable
    BB_MCP_TOKEN is sent to --url as bearer token; a command sees no variable that --env leaves out.

    Example: bb domain import-mcp --command "python -m my_server" --out bb-work/domains/mine
    """
    import os
    import shlex

    from bb_domains.mcp import package_text, remote_server, running_server
    from bb_domains.tool_lists import import_tools

    if [bool(command), bool(url), file is not None].count(True) != 1:
        what = "takes one of --command, --url and --file"
        raise UsageError(what, where="import-mcp", fix="give one of them")
    if variable and not command:
        raise UsageError("--env needs --command", where="import-mcp", fix="leave it out")
    called = name or _domain_name(out)
    if file is not None:
        _save(import_tools(file, called, overlay), out, overlay)
        return
    words = shlex.split(command)
    seen = tuple(variable or ())
    reached = remote_server(url, os.environ) if url else running_server(words, variables=seen)
    with reached as server:
        schema = import_tools({"tools": server.list_tools()}, called, overlay)
    _save(schema, out, overlay, package_text(url or words, seen))


@app.command()
def derive(
    traces: Annotated[list[Path], typer.Argument(help="JSONL files of traces.")],
    out: _Out,
    base: Annotated[
        str, typer.Option("--base", help="Domain that declares arguments and operations.")
    ] = "",
    name: _Name = "",
    likely: Annotated[
        bool, typer.Option("--likely", help="Keep only conditions that failures speak for.")
    ] = False,
    json_: JsonOption = False,
) -> None:
    """Draft a plan schema from traces of tool calls, with the evidence for each condition.

    Writes the domain's folder and EVIDENCE.md in it.

    Example: bb domain derive traces/*.jsonl --out bb-work/domains/draft
    """
    import json

    from bb_core.files import write_atomic
    from bb_core.trace import load_traces
    from bb_domains.derive import derive as drafted
    from bb_domains.domain import load_domain
    from bb_domains.domain_page import markdown
    from bb_domains.evidence_page import evidence_page, open_questions

    kept = [trace for path in traces for trace in load_traces(path)]
    schema = load_domain(base).schema if base else None
    called = name or ("" if base else _domain_name(out))
    draft = drafted(kept, called, schema, "likely" if likely else "safe")
    _save(draft.schema, out, say=not json_)
    write_atomic(out / "EVIDENCE.md", markdown(evidence_page(draft)))
    questions = open_questions(draft)
    if json_:
        typer.echo(json.dumps({"out": str(out), "traces": len(kept), "open": questions}))
        return
    for question in questions:
        typer.echo(f"open  {question}")
    typer.echo(f"evidence in {out / 'EVIDENCE.md'}")


@app.command("test")
def compare(
    where: _Where,
    write: Annotated[
        bool, typer.Option("--write", help="Renew the golden files instead of comparing.")
    ] = False,
    n: Annotated[int, typer.Option("-n", min=1, help="Requests to try of each split.")] = 20,
    seed: Annotated[int, typer.Option(help="Makes the requests.")] = 0,
    json_: JsonOption = False,
) -> None:
    """Compare a domain with its golden files and try its requests in its simulator.

    Exit code 1 if anything differs or fails.

    Example: bb domain test api_json
    """
    import json

    from bb_domains.domain import load_domain
    from bb_domains.golden import FOLDER, check_golden, check_simulator, write_golden
    from bb_domains.kit import has_simulator

    domain = load_domain(where)
    if domain.root is None:
        raise BBError("has no folder", where=f"domain {domain.name}", fix="save it first")
    folder = domain.root / FOLDER
    if write:
        typer.echo(f"{write_golden(domain, folder)} golden plans in {folder}", err=True)
    faults = check_golden(domain, folder) + check_simulator(domain, n, seed)
    if json_:
        listed = [{"where": fault.where, "what": fault.what} for fault in faults]
        typer.echo(json.dumps({"domain": domain.name, "faults": listed}))
    else:
        for fault in faults:
            typer.echo(f"{fault.where}: {fault.what}")
        tried = "requests tried" if has_simulator(domain) else "no simulator"
        typer.echo(f"{domain.name}: {len(faults)} faults; golden plans judged, {tried}")
    if faults:
        raise typer.Exit(1)


def _domain_name(out: Path) -> str:
    import re

    name = re.sub(r"[^a-z0-9]+", "_", out.resolve().name.lower()).strip("_")
    return name if name[:1].isalpha() else f"domain_{name}"


def _save(
    schema: PlanSchema, out: Path, overlay: Path | None = None, package: str = "", say: bool = True
) -> Domain:
    """Compile and write a domain, with the files that an overlay names, and say so."""
    from bb_domains.domain import make_domain, save_domain
    from bb_domains.profile.channels import channel_files

    domain = make_domain(schema, out)
    files = channel_files(schema, overlay, out)
    if package:
        files["__init__.py"] = package
    save_domain(domain, out, files)
    if say:
        typer.echo(f"{domain.name}: {len(schema.tools)} tools, written to {out}")
    return domain
