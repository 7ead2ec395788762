"""Train the builder rail, LoRA or the whole base on traces."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from bb_core.cli import JsonOption

app = typer.Typer(add_completion=False)


@app.command()
def train(
    config: Annotated[Path, typer.Argument(help="YAML file with the run's configuration.")],
    words: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Overrides.")
    ] = None,
    processes: Annotated[int, typer.Option(min=1, help="Data-parallel processes.")] = 1,
    as_json: JsonOption = False,
) -> None:
    """Train one method in child processes started by `accelerate launch`.

    An unfinished run of the same configuration is resumed; a finished one is never overwritten.

    Example: bb train configs/train_rail.yaml data.train=bb-work/traces/train.jsonl seed=1
    """
    from bb_train.config import load_config
    from bb_train.processes import child_speaks, run_child, training_command
    from bb_train.run_dir import read_record

    resolved = load_config(config, words)
    command = training_command(config, words or [], processes, resolved.device)
    with child_speaks():
        run_child(command, where="training", fix="run it again to resume")
    record = read_record(resolved.out)
    if as_json:
        typer.echo(json.dumps(record))
        return
    typer.echo(
        f"{resolved.method}: {record['steps']} steps in {record['seconds']:.0f} s, loss "
        f"{record['final_loss']:.4f}, {record['trainable_parameters']:,} trained parameters"
    )
    typer.echo(f"run: {resolved.out}")
