"""`bem asm`, `disasm`, `run`, `trace` and `isa`: programs."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bb_core.cli import JsonOption
from bb_core.errors import UsageError

if TYPE_CHECKING:
    from bem_kernel.isa.machine import HostFunction, Machine, RunResult
    from bem_kernel.isa.program import Program
    from bem_kernel.isa.trace import Step
    from bem_kernel.lanes import Planes
    from bem_kernel.ledger.chain import Ledger

FileArgument = Annotated[Path, typer.Argument(help="The file to read.")]


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this file to `app`."""
    for command in (asm, disasm, run, trace, isa):
        app.command()(command)


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


def disasm(file: FileArgument) -> None:
    """Print the text of a program record.

    Example: bem disasm door.json
    """
    from bem_kernel.isa.disassembler import disassemble
    from bem_kernel.isa.files import load_program

    typer.echo(disassemble(load_program(file)), nl=False)


def isa() -> None:
    """Print the instruction set: what is written, what it means, how it traps.

    Example: bem isa
    """
    from bem_kernel.isa.page import instruction_page

    typer.echo(instruction_page(), nl=False)


FuelOption = Annotated[int, typer.Option("--fuel", min=0, help="Most instructions.")]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", metavar="BIT", help="A bit that starts as 1.")
]
RegisterOption = Annotated[
    list[str] | None,
    typer.Option("--register", metavar="R=NUMBER", help="A register's first value."),
]
AnswerOption = Annotated[
    list[str] | None,
    typer.Option("--answer", metavar="PORT=BITS", help="What a host call answers, as 0s, 1s."),
]
LogOption = Annotated[
    Path | None, typer.Option("--log", help="A ledger that LOG and BEM_LOG_APPEND append to.")
]
ImageOption = Annotated[
    Path | None,
    typer.Option("--image", help="Run in the memory of an image; its experts are attached."),
]


def run(
    file: FileArgument,
    fuel: FuelOption = 1_000_000,
    set_bits: SetOption = None,
    registers: RegisterOption = None,
    answers: AnswerOption = None,
    log: LogOption = None,
    image: ImageOption = None,
    save: Annotated[
        Path | None, typer.Option("--save", help="Write the memory afterwards, as an image.")
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """Run a program (text, or record if the name ends in .json).

    It runs on one lane, or on those of the image; bits are shown of lane 0. Log texts go to
    stderr. Exits with 1 at a trap or when the fuel runs out.

    Example: bem run door.bem --set closed --register r1=3 --answer knock=1
    """
    from bem_kernel.isa.files import load_program

    program = load_program(file)
    with _open_ledger(log) as ledger:
        machine = _machine(program, set_bits, registers, answers, image, ledger)
        result = machine.run(fuel)
    if save is not None:
        from bem_kernel.memory.image import save_image

        save_image(machine.memory, save)
    _report(program, result, json_output)
    if not result.halted:
        raise typer.Exit(1)


def _report(program: Program, result: RunResult, as_json: bool) -> None:
    """Print what a run left."""
    ones = _ones(program, result.state)
    numbers = {f"r{i}": value for i, value in enumerate(result.registers) if value}
    ended = "halted" if result.halted else "out of fuel"
    if result.trap is not None:
        ended = f"trap at {result.trap.where}: {result.trap.text}"
    if as_json:
        record = {
            "ended": ended,
            "trap": None if result.trap is None else result.trap.kind.name,
            "pc": result.pc,
            "steps": result.steps,
            "ones": ones,
            "registers": numbers,
        }
        typer.echo(json.dumps(record))
    else:
        shown = [f"ones: {' '.join(ones)}"] if ones else []
        shown += [" ".join(f"{name}={value}" for name, value in numbers.items())] * bool(numbers)
        line = f"{ended}; instruction {result.pc} after {result.steps} steps"
        typer.echo("; ".join([line, *shown]))


def trace(
    file: FileArgument,
    fuel: Annotated[int, typer.Option("--fuel", min=0, help="Most instructions.")] = 1000,
    set_bits: SetOption = None,
    registers: RegisterOption = None,
    answers: AnswerOption = None,
    log: LogOption = None,
    image: ImageOption = None,
    picture: Annotated[
        Path | None, typer.Option("--out", help="Write the state over time as a picture, .svg.")
    ] = None,
    changes: Annotated[
        bool, typer.Option("--changes", help="Show only steps that change a state bit.")
    ] = False,
    json_output: JsonOption = False,
) -> None:
    """Run a program step by step: a line for each instruction, or a picture.

    Exits with 1 at a trap or when the fuel runs out.

    Example: bem trace door.bem --set closed --answer knock=1 --out door.svg
    """
    from bb_core.files import write_atomic
    from bem_kernel.isa import trace as tracing
    from bem_kernel.isa.files import load_program

    if picture is not None and picture.suffix != ".svg":
        raise UsageError(f"{picture.name!r}", where="--out", fix="write a file that ends in .svg")
    program = load_program(file)
    with _open_ledger(log) as ledger:
        machine = _machine(program, set_bits, registers, answers, image, ledger)
        start = machine.state
        steps = list(tracing.trace(machine, fuel))
    shown = [step for step in steps if not changes or step.set_bits or step.cleared_bits]
    if picture is not None:
        drawn = tracing.draw_trace(program, start, shown, machine.lanes)
        write_atomic(picture, drawn.encode())
        typer.echo(str(picture))
    else:
        _list_steps(shown, json_output)
    if machine.pc < len(program.code):
        raise typer.Exit(1)


def _list_steps(steps: list[Step], as_json: bool) -> None:
    """Print a line for each step: line, instruction number, instruction, changes."""
    width = max((len(step.text) for step in steps), default=0)
    for step in steps:
        if as_json:
            typer.echo(json.dumps(_step_record(step)))
        else:
            place = f"{step.line or '':>5} {step.pc:>5}"
            typer.echo(f"{place}  {step.text:<{width}}  {step.changes}".rstrip())


def _step_record(step: Step) -> dict[str, Any]:
    return {
        "line": step.line,
        "pc": step.pc,
        "instruction": step.text,
        "set": step.set_bits,
        "cleared": step.cleared_bits,
        "registers": {f"r{number}": value for number, value in step.registers.items()},
        "trap": step.result.trap.text if step.result.trap else None,
    }


def _machine(
    program: Program,
    set_bits: list[str] | None,
    registers: list[str] | None,
    answers: list[str] | None,
    image: Path | None,
    ledger: Ledger | None,
) -> Machine:
    """The machine that the options of a command describe; six of them."""
    from bem_kernel.isa.attach import table_in
    from bem_kernel.isa.machine import Machine
    from bem_kernel.patches.attach import all_units

    ones, host = _bits(program, set_bits or []), _host(answers or [])
    memory = None
    if image is not None:
        from bem_kernel.memory.image import load_image

        memory = load_image(image)
    units = all_units(program, table=table_in(memory), ledger=ledger)
    machine = Machine(
        program,
        host=host,
        lanes=1 if memory is None else memory.config.lanes,
        memory=memory,
        log=_text_log(program, ledger),
        units=units,
    )
    for bit in ones:
        machine.memory.planes[bit] = machine.active
    for number, value in _registers(registers or []):
        machine.set_register(number, value)
    return machine


def _text_log(program: Program, ledger: Ledger | None) -> Callable[[int, str], None]:
    """What happens to the texts of LOG: they are shown, and kept where there is a ledger."""
    from bem_kernel.isa.record import program_fingerprint

    name = program_fingerprint(program)

    def note(pc: int, text: str) -> None:
        typer.echo(text, err=True)
        if ledger is not None:
            ledger.append({"event": "text", "program": name, "pc": pc, "text": text})

    return note


def _open_ledger(path: Path | None) -> contextlib.AbstractContextManager[Ledger | None]:
    if path is None:
        return contextlib.nullcontext()
    from bem_kernel.ledger.chain import Ledger

    return Ledger(path)


def _ones(program: Program, state: Planes) -> list[str]:
    """Names of the bits that are 1 in lane 0."""
    from bem_kernel.lanes import unpack_bits

    row = unpack_bits(state, 1)[0]
    return [name for name, bit in zip(program.bit_names, row, strict=True) if bit]


def _registers(options: list[str]) -> list[tuple[int, int]]:
    values = []
    for option in options:
        match = re.fullmatch(r"[rR](\d{1,2})=(-?\d{1,19})", option)
        if match is None:
            raise UsageError(
                f"{option!r}", where="--register", fix="write R=NUMBER, for example r1=3"
            )
        values.append((int(match.group(1)), int(match.group(2))))
    return values


def _bits(program: Program, names: list[str]) -> list[int]:
    from bem_kernel.isa.program import bit_numbers

    numbers = bit_numbers(program)
    for name in names:
        if name not in numbers:
            raise UsageError(f"no bit {name!r}", where="--set", fix="see the .bits of the program")
    return [numbers[name] for name in names]


def _host(options: list[str]) -> dict[str, HostFunction]:
    """Host functions that always answer the same."""

    def answering(bits: list[int]) -> HostFunction:
        return lambda _: bits

    table = {}
    for option in options:
        name, equals, bits = option.rpartition("=")
        if not equals or set(bits) - {"0", "1"}:
            raise UsageError(
                f"{option!r}", where="--answer", fix="write PORT=BITS, for example knock=10"
            )
        table[name] = answering([int(bit) for bit in bits])
    return table
