"""Serve a model over HTTP: the OpenAI protocol under masks, and plans."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bb_core.cli import WorkOption
from bb_core.workspace import DEFAULT_ROOT
from bb_runtime.options import (
    DEFAULT_BUDGET,
    BaseOption,
    BudgetOption,
    DeviceOption,
    DtypeOption,
    ModelOption,
)

app = typer.Typer(add_completion=False, help=__doc__)


@app.command()
def serve(
    model: ModelOption = None,
    base: BaseOption = None,
    device: DeviceOption = "cpu",
    dtype: DtypeOption = "float32",
    domain: Annotated[
        list[str] | None,
        typer.Option(
            "--domain", help="Domain of plans and channels, installed or a folder; repeatable."
        ),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 for a free one.")] = 8080,
    name: Annotated[
        list[str] | None,
        typer.Option("--name", help="Further host name that requests may use; repeatable."),
    ] = None,
    max_new_tokens: BudgetOption = DEFAULT_BUDGET,
    deadline_s: Annotated[
        float | None, typer.Option(min=0.001, help="An answer ends after so many seconds.")
    ] = None,
    drain_s: Annotated[
        float, typer.Option(min=0, help="At the end, how long requests may still take.")
    ] = 30.0,
    keys: Annotated[
        Path | None, typer.Option(help="API keys, from bb keys; without it anybody may ask.")
    ] = None,
    allow_run: Annotated[
        bool, typer.Option("--allow-run", help="Let /v1/plans run plans, not only decode them.")
    ] = False,
    fallback: Annotated[
        bool, typer.Option(help="Let the base plan where a rule refuses or stops a rail's plan.")
    ] = True,
    resume: Annotated[
        bool, typer.Option("--resume", help="At the start, go on with runs that a crash stopped.")
    ] = False,
    warm_up: Annotated[
        bool, typer.Option(help="Compile what plans need before /ready says yes.")
    ] = True,
    work: WorkOption = DEFAULT_ROOT,
) -> None:
    """Serve until Ctrl-C. Without --keys keep it on loopback: then anybody may ask anything.

    Domains: api_json if none is given; --domain "" for none.

    Example: bb serve --model bb-work/runs/rail/model --keys keys.yaml --port 8080
    """
    from bb_core.store import Store
    from bb_core.workspace import Workspace
    from bb_domains.domain import load_domain
    from bb_runtime.http.app import create_app
    from bb_runtime.http.keys import load_keys
    from bb_runtime.http.limits import ServerLimits
    from bb_runtime.http.planning import Planner
    from bb_runtime.http.serve import answered_hosts, serve_app
    from bb_runtime.load import ModelSource, load_engine
    from bb_runtime.plan_cli import log_path

    known = load_keys(keys) if keys else None
    domains = [load_domain(one) for one in domain or ["api_json"] if one]
    limits = ServerLimits(
        max_new_tokens=max_new_tokens,
        deadline_s=deadline_s,
        drain_s=drain_s,
        hosts=answered_hosts(host, tuple(name or ())),
    )
    engine = load_engine(ModelSource(model, base, device, dtype))
    log = log_path(None, work) if allow_run else None
    planner = Planner(engine, domains, log, fallback=fallback)
    served = create_app(
        engine,
        limits,
        planner=planner if domains else None,
        keys=known,
        feedback=Store(Workspace(work).artifacts),
        resumes=resume,
        warms=warm_up,
    )
    serve_app(served, engine.name, (host, port))
