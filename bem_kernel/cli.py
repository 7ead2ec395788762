"""The `bem` command: ledgers, programs and expressions of the machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bb_core.cli import JsonOption, run_app
from bb_core.errors import UsageError

if TYPE_CHECKING:
    from bem_kernel.isa.program import Program

app = typer.Typer(no_args_is_help=True, help="The Boolean Expert Machine.")
log_app = typer.Typer(no_args_is_help=True, help="Hash-chained ledgers.")
expert_app = typer.Typer(no_args_is_help=True, help="Boolean expressions and experts.")
app.add_typer(log_app, name="log")
app.add_typer(expert_app, name="expert")

MAX_TABLE_INPUTS = 10

FileArgument = Annotated[Path, typer.Argument(help="The file to read.")]


def main() -> None:
    """Run the `bem` command and exit the process."""
    run_app(app, "bem")


@log_app.command("verify")
def log_verify(
    file: FileArgument,
    head: Annotated[
        str | None, typer.Option("--head", help="A chain hash kept elsewhere; it must occur.")
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """Check a ledger's chain; exit 1 and name the first bad entry if it is broken.

    Example: bem log verify bb-work/logs/run.jsonl
    """
    from bem_kernel.ledger.chain import verify

    found = verify(file, head)
    if json_output:
        record = {
            "entries": found.entries,
            "first_bad": found.first_bad,
            "head": found.head,
            "reason": found.reason,
        }
        typer.echo(json.dumps(record))
    elif found.ok:
        typer.echo(f"{found.entries} entries, unbroken; head {found.head}")
    else:
        typer.echo(f"entry {found.first_bad}: {found.reason}; {found.entries} good before it")
    if not found.ok:
        raise typer.Exit(1)


@log_app.command("show")
def log_show(file: FileArgument) -> None:
    """Print a ledger's entries, one JSON object a line, each checked against the chain.

    Example: bem log show bb-work/logs/run.jsonl
    """
    from bem_kernel.ledger.chain import read_entries

    for entry in read_entries(file):
        typer.echo(json.dumps(entry, ensure_ascii=False))


@app.command()
def asm(
    file: FileArgument,
    out: Annotated[Path | None, typer.Option("--out", help="Where to; stdout if absent.")] = None,
) -> None:
    """Assemble a program text into its JSON record.

    Example: bem asm door.bem --out door.json
    """
    from bb_core.canonical import canonical_json
    from bb_core.files import read_text, write_atomic
    from bem_kernel.isa.assembler import assemble
    from bem_kernel.isa.record import program_record

    data = canonical_json(program_record(assemble(read_text(file), str(file)))) + b"\n"
    if out is None:
        typer.echo(data, nl=False)
    else:
        write_atomic(out, data)


@app.command()
def disasm(file: FileArgument) -> None:
    """Print the text of a program record.

    Example: bem disasm door.json
    """
    from bem_kernel.isa.assembler import disassemble

    typer.echo(disassemble(_load_program(file)), nl=False)


@app.command()
def run(
    file: FileArgument,
    fuel: Annotated[int, typer.Option("--fuel", min=0, help="Most instructions.")] = 10_000,
    set_bits: Annotated[
        list[str] | None, typer.Option("--set", metavar="BIT", help="A bit that starts as 1.")
    ] = None,
    answers: Annotated[
        list[str] | None,
        typer.Option("--answer", metavar="PORT=BITS", help="What a host call answers, as 0s, 1s."),
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """Run a program (text, or record if the name ends in .json) on one lane.

    Log texts go to stderr. Exits with 1 at a trap or when the fuel runs out.

    Example: bem run door.bem --set closed --answer knock=1
    """
    from bem_kernel.isa.machine import Machine, initial_state
    from bem_kernel.isa.program import bit_numbers
    from bem_kernel.lanes import unpack_bits

    program = _load_program(file)
    state = initial_state(program)
    numbers = bit_numbers(program)
    for name in set_bits or []:
        if name not in numbers:
            raise UsageError(f"no bit {name!r}", where="--set", fix="see the .bits of the program")
        state[numbers[name]] = 1
    host = {name: (lambda _, bits=bits: bits) for name, bits in _answers(answers or []).items()}
    machine = Machine(program, state, host, log=lambda pc, text: typer.echo(text, err=True))
    result = machine.run(fuel)
    row = unpack_bits(result.state, 1)[0]
    ones = [name for name, bit in zip(program.bit_names, row, strict=True) if bit]
    ended = "halted" if result.halted else "out of fuel"
    if result.trap is not None:
        ended = f"trap: {result.trap.text}"
    if json_output:
        record = {"ended": ended, "pc": result.pc, "steps": result.steps, "ones": ones}
        typer.echo(json.dumps(record))
    else:
        typer.echo(f"{ended} at {result.pc} after {result.steps} steps; ones: {' '.join(ones)}")
    if not result.halted:
        raise typer.Exit(1)


@expert_app.command("eval")
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


def _load_program(file: Path) -> Program:
    from bb_core.files import read_json, read_text
    from bem_kernel.isa.assembler import assemble
    from bem_kernel.isa.record import program_from_record

    if file.suffix == ".json":
        return program_from_record(read_json(file), where=str(file))
    return assemble(read_text(file), str(file))


def _answers(options: list[str]) -> dict[str, list[int]]:
    answers = {}
    for option in options:
        name, equals, bits = option.rpartition("=")
        if not equals or set(bits) - {"0", "1"}:
            raise UsageError(
                f"{option!r}", where="--answer", fix="write PORT=BITS, for example knock=10"
            )
        answers[name] = [int(bit) for bit in bits]
    return answers
