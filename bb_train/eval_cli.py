"""Compare base, LoRA and dual rail over several training seeds; tune the baseline."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bb_core.cli import JsonOption, WorkOption
from bb_core.workspace import DEFAULT_ROOT

app = typer.Typer(add_completion=False, invoke_without_command=True)

ConfigOption = Annotated[
    Path | None, typer.Option("--config", help="Job file; configs/main_job.yaml if not given.")
]
BaseOption = Annotated[
    str | None, typer.Option(help="Base model, id or folder; the embedded one if not given.")
]
DeviceOption = Annotated[str, typer.Option(help="cpu, cuda or auto.")]
DtypeOption = Annotated[str, typer.Option(help="float32 or bfloat16.")]


@app.callback()
def evaluate(
    context: typer.Context,
    work: WorkOption = DEFAULT_ROOT,
    config: ConfigOption = None,
    seeds: Annotated[int, typer.Option(min=1, help="Training seeds, from the job's on.")] = 1,
    methods: Annotated[str, typer.Option(help="Among base, lora, rail.")] = "base,lora,rail",
    base: BaseOption = None,
    device: DeviceOption = "cpu",
    dtype: DtypeOption = "float32",
    as_json: JsonOption = False,
) -> None:
    """Train what is missing, decode all splits with and without masks, and print the table.

    Example: bb eval --work bb-work --seeds 3
    """
    if context.invoked_subcommand is not None:
        return
    import json

    from bb_train.main_job import compare_seeds
    from bb_train.processes import child_speaks
    from bb_train.session import open_place
    from bb_train.study import Model, check_methods

    chosen = check_methods(methods.split(","))
    model = Model(base, device, dtype)
    with child_speaks(), open_place(work, config, model, fresh=False) as place:
        document = compare_seeds(place, seeds, chosen)
    if as_json:
        typer.echo(json.dumps(document))


@app.command("tune-lora")
def tune_lora(
    work: WorkOption = DEFAULT_ROOT,
    config: ConfigOption = None,
    rates: Annotated[
        str, typer.Option(help="Learning rates to try, ascending.")
    ] = "5e-4,1e-3,2e-3,4e-3,8e-3",
    base: BaseOption = None,
    device: DeviceOption = "cpu",
    dtype: DtypeOption = "float32",
    as_json: JsonOption = False,
) -> None:
    """Find LoRA's best learning rate on the tuning split, which no table reports.

    Every rate is trained in full, with the rail's number of parameters, steps and batches.

    Example: bb eval tune-lora --rates 1e-3,2e-3,4e-3
    """
    import json

    from bb_train.processes import child_speaks
    from bb_train.session import open_place
    from bb_train.study import Model
    from bb_train.tune import parse_rates, tune

    grid = parse_rates(rates)
    model = Model(base, device, dtype)
    with child_speaks(), open_place(work, config, model, fresh=False) as place:
        document = tune(place, grid, typer.echo)
    if as_json:
        typer.echo(json.dumps(document))
