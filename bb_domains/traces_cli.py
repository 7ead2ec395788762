"""`bb domain`: traces, made in a simulator, recorded from a service, or imported from a log."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bb_core.cli import JsonOption
from bb_core.errors import BBError

if TYPE_CHECKING:
    from bb_domains.recording import Recorder

app = typer.Typer(add_completion=False)

_Where = Annotated[str, typer.Argument(help="Folder of a domain, or name of an installed one.")]
DEFAULT_PORT = 8079


@app.command()
def traces(
    where: _Where,
    out: Annotated[Path, typer.Option("--out", help="Folder of the files, one for each split.")],
    split: Annotated[
        list[str] | None, typer.Option("--split", help="Only this split; may be repeated.")
    ] = None,
    n: Annotated[int, typer.Option("-n", min=1, help="Traces of each split.")] = 200,
    seed: Annotated[int, typer.Option(help="Makes the requests and their worlds.")] = 0,
    json_: JsonOption = False,
) -> None:
    """Carry requests out in a domain's simulator and write what happened.

    Example: bb domain traces api_json --out bb-work/traces -n 1000
    """
    import json

    from bb_core.progress import Progress
    from bb_core.trace import save_traces
    from bb_domains.domain import load_domain
    from bb_domains.kit import make_requests, make_simulator
    from bb_domains.simulation import SPLITS, record

    domain = load_domain(where)
    wanted = split or list(SPLITS)
    written = {}
    with Progress(len(wanted) * n, "traces") as progress:
        for name in wanted:
            made = []
            for request in make_requests(domain, name, n, seed):
                made.append(record(domain.name, make_simulator(domain, request), request))
                progress.advance()
            out.mkdir(parents=True, exist_ok=True)
            save_traces(out / f"{name}.jsonl", made)
            written[name] = len(made)
    if json_:
        typer.echo(json.dumps({"out": str(out), "traces": written}))
    for name, count in {} if json_ else written.items():
        typer.echo(f"{out / name}.jsonl  {count} traces")


@app.command("import-log")
def import_log(
    file: Annotated[Path, typer.Argument(help="JSON or JSONL file.")],
    out: Annotated[Path, typer.Option("--out", help="JSONL file of traces to write.")],
    form: Annotated[str, typer.Option("--format", help="chat, langchain or temporal.")] = "chat",
    domain: Annotated[
        str, typer.Option("--domain", help="Domain whose handles say what refers to what.")
    ] = "",
) -> None:
    """Make traces of an orchestrator's log: chats with tools, run trees, workflow histories.

    Example: bb domain import-log chats.jsonl --format chat --out traces.jsonl
    """
    from bb_core.trace import save_traces
    from bb_domains.domain import load_domain
    from bb_domains.transcripts import import_log as imported

    loaded = load_domain(domain) if domain else None
    name = loaded.name if loaded else "imported"
    found = imported(file, form, name, loaded.schema if loaded else None)
    if not found:
        raise BBError("holds no answered call", where=str(file), fix="export whole conversations")
    save_traces(out, found)
    calls = sum(len(trace.steps) for trace in found)
    typer.echo(f"{out}  {len(found)} traces, {calls} calls")


@app.command()
def record(
    where: _Where,
    upstream: Annotated[str, typer.Option("--upstream", help="Address of the service.")],
    out: Annotated[Path, typer.Option("--out", help="JSONL file that traces are appended to.")],
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1 to listen on.")] = DEFAULT_PORT,
    idle_s: Annotated[
        float, typer.Option("--idle", min=0.1, help="Seconds after which a session is over.")
    ] = 300.0,
) -> None:
    """Stand before a service, pass everything on, and record the calls of a domain's tools.

    Private fields are kept as hashes, keyed by FILE.key. Ends with Ctrl-C.

    Example: bb domain record api_json --upstream http://127.0.0.1:8077 --out life.jsonl
    """
    import asyncio

    from bb_domains.domain import load_domain
    from bb_domains.privacy import Redactor, load_log_key
    from bb_domains.recording import Recorder

    redactor = Redactor(load_log_key(Path(f"{out}.key")))
    recorder = Recorder(load_domain(where).schema, out, redactor, idle_s)
    typer.echo(f"listening on http://127.0.0.1:{port}, for {upstream}", err=True)
    try:
        asyncio.run(_serve(recorder, upstream, port))
    finally:
        recorder.close()
        typer.echo(f"{out}  {recorder.written} traces", err=True)


async def _serve(recorder: Recorder, upstream: str, port: int) -> None:
    import httpx
    import uvicorn

    from bb_domains.middleware import RecordAsgi
    from bb_domains.proxy import reverse_proxy

    async with httpx.AsyncClient(trust_env=False) as client:
        app = RecordAsgi(reverse_proxy(upstream, client), recorder)
        config = uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning")
        await uvicorn.Server(config).serve()
