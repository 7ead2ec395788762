"""The embedded base rail: train it anew, or show its model card."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(add_completion=False, no_args_is_help=True)


@app.command()
def train(
    out: Annotated[Path, typer.Option(help="Folder for the model.")],
    steps: Annotated[int | None, typer.Option(min=1, help="Steps instead of the recipe's.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of data and weights.")] = 0,
    compile_model: Annotated[
        bool, typer.Option("--compile", help="Compile the model first (needs a C++ compiler).")
    ] = False,
) -> None:
    """Train the base rail from nothing: about half an hour on two cores.

    An unfinished run in the same folder is continued from its last checkpoint.

    Example: bb base train --out my-base --steps 200
    """
    from bb_train.base_recipe import BaseRecipe, train_base

    recipe = BaseRecipe(seed=seed, compile=compile_model)
    card = train_base(replace(recipe, steps=steps) if steps else recipe, out)
    loss = card["training_loss_last_100_steps_nats"]
    typer.echo(f"base rail: {card['parameters']:,} parameters, loss {loss} nats per token")
    typer.echo(f"model: {out}")
    typer.echo(f"next: bb run --base {out}")


@app.command()
def card() -> None:
    """Print the model card of the embedded base rail.

    Example: bb base card
    """
    from bb_nn.base import EMBEDDED

    typer.echo((EMBEDDED / "README.md").read_text(encoding="utf-8"))
