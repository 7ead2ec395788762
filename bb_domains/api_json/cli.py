"""The demonstration service: run it, and record traces against it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bb_core.cli import JsonOption, WorkOption
from bb_core.workspace import DEFAULT_ROOT

app = typer.Typer(no_args_is_help=True, help=__doc__)

DEFAULT_PORT = 8077
SeedOption = Annotated[int, typer.Option(help="Makes the service's data and the requests.")]


@app.command()
def serve(
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1; 0 for a free one.")] = DEFAULT_PORT,
    seed: SeedOption = 0,
    work: WorkOption = DEFAULT_ROOT,
) -> None:
    """Run the service in the foreground until Ctrl-C.

    Its database and its credentials stay in the workspace; the adapters read the credentials from
    the environment.

    Example: bb demo serve --port 8077
    """
    from bb_core.workspace import Workspace
    from bb_domains.api_json.demo import serve_in_workspace

    serve_in_workspace(Workspace(work), port=port, seed=seed)


@app.command()
def traces(
    out: Annotated[Path, typer.Option(help="Folder for the JSONL files, one per split.")],
    n_train: Annotated[int, typer.Option(min=1, help="Traces in train.jsonl.")] = 6000,
    n_eval: Annotated[int, typer.Option(min=1, help="Traces in each other split.")] = 200,
    seed: SeedOption = 0,
    json_output: JsonOption = False,
) -> None:
    """Drive a fresh service with scripted workflows and write what happened, split by split.

    Example: bb demo traces --out bb-work/traces --n-train 6000 --n-eval 200 --seed 0
    """
    import json

    from bb_domains.api_json.demo import make_splits

    written = make_splits(out, n_train=n_train, n_eval=n_eval, seed=seed)
    if json_output:
        typer.echo(json.dumps({"out": str(out), "traces": written}))
    else:
        for split, count in written.items():
            typer.echo(f"{out / split}.jsonl  {count} traces")
