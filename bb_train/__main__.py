"""Train one method on traces: `accelerate launch -m bb_train --config FILE [key=value …]`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bb_core.cli import run_app

app = typer.Typer(add_completion=False)


@app.command()
def train(
    config: Annotated[Path, typer.Option(help="YAML file with the run's configuration.")],
    words: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Overrides.")
    ] = None,
    processes: Annotated[
        int | None, typer.Option(min=1, help="Refuse to start with another number of processes.")
    ] = None,
) -> None:
    """Train one method on traces, resuming an unfinished run of the same configuration.

    Example: accelerate launch -m bb_train --config configs/train_rail.yaml seed=1
    """
    from bb_nn.base import quiet_transformers
    from bb_train.config import load_config
    from bb_train.loop import train as run_training

    quiet_transformers()
    run_training(load_config(config, words), processes)


if __name__ == "__main__":
    run_app(app, "python -m bb_train")
