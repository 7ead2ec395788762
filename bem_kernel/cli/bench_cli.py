"""`bem bench`: how quick this machine is."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from bb_core.cli import JsonOption

app = typer.Typer(no_args_is_help=True, help="How quick this machine is.")

_DEFAULT_ENGINES = ("reference", "integer", "interpreter", "llvm")


@app.callback()
def bench() -> None:
    """How quick this machine is."""


@app.command("micro")
def bench_micro(
    engine: Annotated[
        list[str] | None,
        typer.Option("--engine", help="An engine to measure; repeat for more. Default: all CPU's."),
    ] = None,
    gates: Annotated[int, typer.Option("--gates", min=1, help="Gates of the circuit.")] = 256,
    inputs: Annotated[int, typer.Option("--inputs", min=2, help="Its inputs.")] = 32,
    outputs: Annotated[int, typer.Option("--outputs", min=1, help="Its outputs.")] = 9,
    lanes: Annotated[int, typer.Option("--lanes", min=1, help="Lanes at once.")] = 65_536,
    seed: Annotated[int, typer.Option("--seed", help="Of the circuit and the lanes.")] = 0,
    json_output: JsonOption = False,
) -> None:
    """Time each engine on a random circuit, and check it against the reference.

    Example: bem bench micro --gates 256 --lanes 262144 --engine llvm
    """
    from bem_kernel.engines.micro import measure_engine, micro_problem

    circuit, planes = micro_problem(gates, inputs, outputs, lanes, seed)
    found = [measure_engine(name, circuit, planes) for name in engine or _DEFAULT_ENGINES]
    if json_output:
        typer.echo(json.dumps([asdict(times) for times in found]))
        return
    typer.echo(
        f"{'engine':<12} {'first ns':>12} {'call ns':>10} {'wide ns':>12} {'gate-lanes/s':>16}"
    )
    for times in found:
        typer.echo(
            f"{times.engine:<12} {times.first_ns:>12} {times.call_ns:>10} {times.wide_ns:>12} "
            f"{times.gate_lanes_per_s:>16}"
        )
