"""Train the builder rail, LoRA or the whole base on traces; plan what that will take."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
import typer.core

from bb_core.cli import JsonOption

if TYPE_CHECKING:
    from click import Context


class _RunByDefault(typer.core.TyperGroup):
    """Takes `bb train FILE …` for `bb train run FILE …`."""

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        if args and args[0] not in (*self.commands, "--help"):
            args = ["run", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    add_completion=False,
    cls=_RunByDefault,
    no_args_is_help=True,
    help="""Train one method on traces, or plan a training.

    `bb train FILE [KEY=VALUE]...` is short for `bb train run FILE [KEY=VALUE]...`.

    Example: bb train configs/train_rail.yaml seed=1
    """,
)


@app.command(name="run")
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


@app.command()
def plan(
    base: Annotated[
        str | None,
        typer.Option(help="Id, folder or config.json of a base.", show_default="the embedded one"),
    ] = None,
    gpu: Annotated[str, typer.Option(help="GPU that trains, such as h100 or l40s.")] = "h100",
    batch: Annotated[int, typer.Option(min=1, help="Rows of a step.")] = 8,
    length: Annotated[int, typer.Option(min=2, help="Tokens of a row.")] = 512,
    rank: Annotated[int, typer.Option(min=1, help="Of LoRA, beside it.")] = 16,
    weights: Annotated[
        str, typer.Option(help="Number type of the base: float32, bfloat16, mxfp4.")
    ] = "bfloat16",
    rail: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="Field of the rail's shape.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Print parameters, memory and step time of rail and LoRA; no weights are needed.

    Example: bb train plan --base openai/gpt-oss-20b --gpu h100
    """
    from bb_core.errors import UsageError
    from bb_nn.base import quiet_transformers
    from bb_train.config import words_as_mapping
    from bb_train.gpus import find_gpu
    from bb_train.published_shapes import base_config
    from bb_train.training_plan import WEIGHTS, plan_lines, plan_training

    if weights not in WEIGHTS:
        raise UsageError(
            f"no number type {weights!r}", where="--weights", fix=f"use {', '.join(WEIGHTS)}"
        )
    quiet_transformers()
    found = plan_training(
        base or "embedded", base_config(base), find_gpu(gpu), batch=batch, length=length,
        weights=weights, rank=rank, rail_fields=words_as_mapping(rail or []),
    )  # fmt: skip
    if as_json:
        typer.echo(json.dumps(found.to_json()))
        return
    for line in plan_lines(found):
        typer.echo(line)
