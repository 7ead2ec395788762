"""Serve a model over HTTP: OpenAI-style completions under masks, and plans."""

from __future__ import annotations

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
        str, typer.Option("--domain", help="Domain of /v1/plans; empty for none.")
    ] = "api_json",
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 for a free one.")] = 8080,
    max_new_tokens: BudgetOption = DEFAULT_BUDGET,
    allow_run: Annotated[
        bool, typer.Option("--allow-run", help="Let /v1/plans run plans, not only decode them.")
    ] = False,
    work: WorkOption = DEFAULT_ROOT,
) -> None:
    """Serve until Ctrl-C. There is no login: keep it on loopback, or behind something that has one.

    Example: bb serve --model bb-work/runs/rail/model --port 8080
    """
    from bb_runtime.load import ModelSource, load_engine
    from bb_runtime.plan_cli import log_path
    from bb_runtime.serving import serve_engine

    engine = load_engine(ModelSource(model, base, device, dtype))
    log = log_path(None, work) if allow_run else None
    serve_engine(engine, domain or None, (host, port), max_new_tokens=max_new_tokens, log=log)
