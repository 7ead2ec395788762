"""`bem expert`: Boolean expressions and experts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bb_core.cli import JsonOption
from bb_core.errors import UsageError

if TYPE_CHECKING:
    from bem_kernel.cli.subject import Subject

app = typer.Typer(no_args_is_help=True, help="Boolean expressions and experts.")

MAX_TABLE_INPUTS = 10
MAX_FORM_INPUTS = 20
MAX_PRODUCTS = 32

ExpressionArgument = Annotated[
    list[str] | None, typer.Argument(help="Boolean expressions, one per output.")
]
NamesOption = Annotated[
    str | None, typer.Option("--names", help="Inputs in order, with commas; default: as found.")
]
FileOption = Annotated[
    Path | None,
    typer.Option("--file", help="A circuit record; with --expert a program, text or record."),
]
ExpertOption = Annotated[
    str | None, typer.Option("--expert", help="The expert of the program in --file.")
]


@app.command("eval")
def expert_eval(
    expressions: ExpressionArgument = None,
    names: NamesOption = None,
    file: FileOption = None,
    expert: ExpertOption = None,
    engine: Annotated[
        str | None, typer.Option("--engine", help="The engine to use: llvm, interpreter, triton, …")
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """Print the truth table of expressions, a circuit or an expert, and the size of its circuit.

    Example: bem expert eval "a & !b -> c" --names a,b,c
    """
    from bem_kernel.circuits.circuit import depth
    from bem_kernel.cli.subject import load_subject
    from bem_kernel.forms.truth_table import truth_table

    subject = load_subject(expressions or [], names, file, expert)
    circuit = subject.circuit
    if circuit.n_inputs > MAX_TABLE_INPUTS:
        raise UsageError(
            f"{circuit.n_inputs} inputs",
            where="expert eval",
            fix=f"give at most {MAX_TABLE_INPUTS}",
        )
    rows = truth_table(circuit, engine).tolist()
    if json_output:
        record = {
            "names": list(subject.inputs),
            "outputs": list(subject.outputs),
            "table": rows,
            "gates": len(circuit.gates),
            "depth": depth(circuit),
        }
        typer.echo(json.dumps(record))
        return
    # An expression is too long for the head of a column.
    heads = subject.outputs if file is not None else _numbered(circuit.n_outputs)
    widths = [len(name) for name in (*subject.inputs, *heads)]
    typer.echo(" ".join((*subject.inputs, *heads)))
    for row, values in enumerate(rows):
        bits = [*(row >> i & 1 for i in range(circuit.n_inputs)), *values]
        typer.echo(" ".join(f"{bit:>{width}}" for bit, width in zip(bits, widths, strict=True)))
    typer.echo(f"{len(circuit.gates)} gates, depth {depth(circuit)}", err=True)


def _numbered(count: int) -> tuple[str, ...]:
    return ("=",) if count == 1 else tuple(f"={j}" for j in range(count))


@app.command("show")
def expert_show(
    expressions: ExpressionArgument = None,
    names: NamesOption = None,
    file: FileOption = None,
    expert: ExpertOption = None,
    svg: Annotated[
        Path | None, typer.Option("--svg", help="Draw the circuit into this file.")
    ] = None,
    robdd_svg: Annotated[
        Path | None, typer.Option("--robdd-svg", help="Draw the decision diagram into this file.")
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """Print the size and the normal forms of expressions, a circuit or an expert.

    The algebraic normal form is cut after 32 products, and left out beyond 20 inputs, as is the
    decision diagram.

    Example: bem expert show "paid & !late | refunded" --svg circuit.svg --robdd-svg robdd.svg
    """
    from bem_kernel.cli.subject import load_subject

    subject = load_subject(expressions or [], names, file, expert)
    record = _record(subject)
    _draw(subject, svg, robdd_svg)
    if json_output:
        typer.echo(json.dumps(record, ensure_ascii=False))
        return
    typer.echo(f"inputs: {', '.join(subject.inputs) or 'none'}")
    typer.echo(
        f"circuit: {record['gates']} gates, depth {record['depth']}; "
        f"{record['luts']} look-up tables of 3 inputs"
    )
    if record["robdd_nodes"] is not None:
        typer.echo(f"robdd: {record['robdd_nodes']} nodes")
    for output in record["outputs"]:
        typer.echo(f"{output['name']}:")
        if output["anf"] is not None:
            typer.echo(f"  true in {output['ones']} of {1 << len(subject.inputs)} rows")
            cut = output["products"] - MAX_PRODUCTS
            more = f" ^ … {cut} more" if cut > 0 else ""
            typer.echo(f"  anf: {output['anf']}{more}")


def _record(subject: Subject) -> dict[str, Any]:
    """What is shown, as JSON values; the normal forms are None beyond 20 inputs."""
    from bem_kernel.circuits.circuit import depth
    from bem_kernel.circuits.lut_mapping import map_luts

    record: dict[str, Any] = {
        "inputs": list(subject.inputs),
        "gates": len(subject.circuit.gates),
        "depth": depth(subject.circuit),
        "luts": len(map_luts(subject.circuit).luts),
        "robdd_nodes": None,
        "outputs": [{"name": name, "anf": None} for name in subject.outputs],
    }
    if subject.circuit.n_inputs <= MAX_FORM_INPUTS:
        _add_forms(subject, record)
    return record


def _add_forms(subject: Subject, record: dict[str, Any]) -> None:
    import numpy as np

    from bem_kernel.forms.anf import anf_from_table, expression, products
    from bem_kernel.forms.packed_table import table_from_circuit
    from bem_kernel.forms.robdd import robdd_from_table

    table = table_from_circuit(subject.circuit)
    anf = anf_from_table(table)
    record["robdd_nodes"] = len(robdd_from_table(table).nodes)
    for j, output in enumerate(record["outputs"]):
        terms = products(anf, j)
        output["ones"] = int(np.bitwise_count(table.words[j]).sum())
        output["products"] = len(terms)
        output["anf"] = expression(terms[:MAX_PRODUCTS], subject.inputs)


def _draw(subject: Subject, svg: Path | None, robdd_svg: Path | None) -> None:
    from bb_core.files import write_atomic
    from bem_kernel.circuits.drawing import draw_circuit
    from bem_kernel.forms.robdd import robdd_from_circuit
    from bem_kernel.forms.robdd_drawing import draw_robdd

    if svg is not None:
        write_atomic(svg, draw_circuit(subject.circuit, subject.inputs, subject.outputs))
    if robdd_svg is not None:
        diagram = robdd_from_circuit(subject.circuit)
        write_atomic(robdd_svg, draw_robdd(diagram, subject.inputs, subject.outputs))
