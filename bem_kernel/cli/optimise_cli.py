"""`bem optimise`: a smaller circuit within a time budget, proved equal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bb_core.cli import JsonOption
from bb_core.errors import UsageError

if TYPE_CHECKING:
    from bem_kernel.circuits.circuit import Circuit
    from bem_kernel.synthesis.optimise import Optimised

_MAX_SECONDS = 86_400


def optimise_command(
    expressions: Annotated[
        list[str] | None, typer.Argument(help="Boolean expressions, one per output.")
    ] = None,
    names: Annotated[
        str | None, typer.Option("--names", help="Inputs in order, with commas.")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("--file", help="A circuit record, an AIGER file, or a program."),
    ] = None,
    expert: Annotated[
        str | None, typer.Option("--expert", help="The expert of the program in --file.")
    ] = None,
    code: Annotated[
        bool, typer.Option("--code", help="Shorten the code of the program in --file.")
    ] = False,
    together: Annotated[
        str | None,
        typer.Option("--together", help="Experts of the program, with commas: what they share."),
    ] = None,
    care: Annotated[
        str | None,
        typer.Option("--care", help="An expression: where it is false, anything may result."),
    ] = None,
    seconds: Annotated[
        int, typer.Option("--seconds", min=0, max=_MAX_SECONDS, help="Time for the search.")
    ] = 10,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the random walk.")] = 0,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the circuit record here.")
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """Search for a smaller circuit, and prove it equal.

    Sizes are numbers of two-input gates; negations do not count.

    With --code the straight lines of a program: experts that follow one another become one, and
    arithmetic becomes shorter. With --together what several experts of a program compute alike.

    Example: bem optimise "a & b | a & c | b & c" --seconds 2 --output majority.json
    Example: bem optimise --file door.bem --code --output shorter.bem
    """
    budget_ms = 1000 * seconds
    if code or together is not None:
        from bem_kernel.cli.optimise_program import optimise_code, optimise_together

        program = _program(file, expressions, names, expert, care)
        if together is None:
            optimise_code(program, budget_ms, seed, output, json_output)
        else:
            optimise_together(program, together, budget_ms, seed, json_output)
        return
    circuit, inputs = _subject(expressions or [], names, file, expert)
    result = _optimised(circuit, budget_ms, seed, None if care is None else _care(care, inputs))
    if output is not None:
        from bb_core.files import write_atomic
        from bem_kernel.circuits.record import circuit_record

        write_atomic(output, json.dumps(circuit_record(result.circuit)) + "\n")
    _print(circuit, result, where="" if care is None else " on the care set", as_json=json_output)


def _optimised(circuit: Circuit, budget_ms: int, seed: int, care: Circuit | None) -> Optimised:
    """Search, with a progress bar."""
    from bb_core.progress import Progress
    from bem_kernel.synthesis.optimise import optimise

    with Progress(budget_ms, "optimise") as progress:
        return optimise(
            circuit,
            budget_ms,
            seed=seed,
            care=care,
            report=lambda spent, size: progress.update(min(spent, budget_ms), note=f"{size} gates"),
        )


def _print(circuit: Circuit, result: Optimised, *, where: str, as_json: bool) -> None:
    record = {
        "inputs": circuit.n_inputs,
        "outputs": circuit.n_outputs,
        "before": result.before,
        "after": result.after,
        "optimal": result.optimal,
        "gates": len(result.circuit.gates),
        "spent_ms": result.spent_ms,
        "solver": result.equality.solver,
        "proof_steps": len(result.equality.proof),
    }
    if as_json:
        typer.echo(json.dumps(record))
        return
    least = ", and no fewer will do" if result.optimal else ""
    typer.echo(f"{result.before} two-input gates before, {result.after} after{least}")
    typer.echo(
        f"equal{where}: refuted a difference in {record['proof_steps']} steps "
        f"({result.equality.solver}), which the checker accepts"
    )


def _program(file: Path | None, *others: object) -> Path:
    """The file of --code and --together, which go with few of the other options."""
    if file is None or any(others):
        raise UsageError(
            "no program, or options that do not go together",
            where="optimise",
            fix="give --code, or --together, with --file alone",
        )
    return file


def _subject(
    expressions: list[str], names: str | None, file: Path | None, expert: str | None
) -> tuple[Circuit, tuple[str, ...]]:
    """The circuit, and a name for each of its inputs."""
    if file is None or file.suffix not in (".aig", ".aag"):
        from bem_kernel.cli.subject import load_subject

        subject = load_subject(expressions, names, file, expert)
        return subject.circuit, subject.inputs
    from bem_kernel.synthesis.aiger import read_aiger

    if expressions or expert is not None:
        raise UsageError(
            "an AIGER file holds one circuit", where="optimise", fix="give --file alone"
        )
    circuit = read_aiger(file)
    given = [f"x{i}" for i in range(circuit.n_inputs)] if names is None else names.split(",")
    if len(given) != circuit.n_inputs:
        raise UsageError(
            f"{len(given)} names for {circuit.n_inputs} inputs",
            where="--names",
            fix="name each input",
        )
    return circuit, tuple(given)


def _care(text: str, inputs: tuple[str, ...]) -> Circuit:
    from bem_kernel.circuits.expression import compile_expression

    return compile_expression(text, inputs)


def add_commands(app: typer.Typer) -> None:
    """Add `bem optimise` to the command."""
    app.command("optimise")(optimise_command)
