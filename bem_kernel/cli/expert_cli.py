"""`bem expert`: Boolean expressions and experts."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from bb_core.cli import JsonOption
from bb_core.errors import UsageError

app = typer.Typer(no_args_is_help=True, help="Boolean expressions and experts.")

MAX_TABLE_INPUTS = 10


@app.command("eval")
def expert_eval(
    expression: Annotated[str, typer.Argument(help="A Boolean expression.")],
    names: Annotated[
        str | None, typer.Option("--names", help="Inputs in order, with commas; default: as found.")
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """Print the truth table of an expression and the size of its circuit.

    Example: bem expert eval "a & !b -> c" --names a,b,c
    """
    from bem_kernel.circuits.circuit import depth
    from bem_kernel.circuits.expression import atoms, compile_expression
    from bem_kernel.forms.truth_table import truth_table

    inputs = tuple(names.split(",")) if names is not None else atoms(expression)
    if len(inputs) > MAX_TABLE_INPUTS:
        raise UsageError(
            f"{len(inputs)} inputs", where="--names", fix=f"give at most {MAX_TABLE_INPUTS}"
        )
    circuit = compile_expression(expression, inputs)
    column = truth_table(circuit)[:, 0].tolist()
    if json_output:
        record = {
            "names": list(inputs),
            "table": column,
            "gates": len(circuit.gates),
            "depth": depth(circuit),
        }
        typer.echo(json.dumps(record))
        return
    typer.echo(" ".join((*inputs, "=")))
    for row, value in enumerate(column):
        bits = [f"{row >> i & 1:>{len(name)}}" for i, name in enumerate(inputs)]
        typer.echo(" ".join((*bits, str(value))))
    typer.echo(f"{len(circuit.gates)} gates, depth {depth(circuit)}", err=True)
