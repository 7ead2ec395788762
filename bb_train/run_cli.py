"""Do the main job: service, domain, traces, training, comparison, gate, one answered request."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bb_core.cli import JsonOption, WorkOption
from bb_core.workspace import DEFAULT_ROOT

app = typer.Typer(add_completion=False)


@app.command()
def run(
    work: WorkOption = DEFAULT_ROOT,
    config: Annotated[
        Path | None, typer.Option(help="Job file; configs/main_job.yaml if not given.")
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Do every step again.")] = False,
    base: Annotated[
        str | None, typer.Option(help="Base model, id or folder; the embedded one if not given.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda or auto.")] = "cpu",
    dtype: Annotated[str, typer.Option(help="float32 or bfloat16.")] = "float32",
    as_json: JsonOption = False,
) -> None:
    """Do the main job, reusing the finished steps of earlier runs.

    Ctrl-C stops everything that was started; the next run goes on from there.

    Example: bb run --work bb-work
    """
    import json

    from bb_train.main_job import run_main_job
    from bb_train.processes import child_speaks
    from bb_train.session import open_place
    from bb_train.study import Model

    model = Model(base, device, dtype)
    with child_speaks(), open_place(work, config, model, fresh=fresh) as place:
        summary = run_main_job(place)
    if as_json:
        typer.echo(json.dumps(summary))
