"""What `bem expert` looks at: expressions, a circuit record, or an expert of a program."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bb_core.errors import UsageError

if TYPE_CHECKING:
    from bem_kernel.circuits.circuit import Circuit
    from bem_kernel.experts.expert import Expert
    from bem_kernel.experts.place import Place
    from bem_kernel.isa.program import Program

MAX_INPUTS = 4096


@dataclass(frozen=True)
class Subject:
    """A circuit with a name for each input and output."""

    circuit: Circuit
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def load_subject(
    expressions: Sequence[str], names: str | None, file: Path | None, expert: str | None
) -> Subject:
    """Find out what is meant, and read it.

    Args:
        expressions: Boolean expressions, one per output.
        names: of the inputs, with commas; None: as found in the expressions, or x0, x1, ….
        file: a circuit record, or a program if `expert` is given.
        expert: the name of an expert of the program.

    Raises:
        UsageError: the arguments do not go together, or there is no such expert.
        KernelError: what is given does not parse.
    """
    if bool(expressions) == (file is not None):
        raise UsageError(
            "nothing to look at" if file is None else "expressions and a file",
            where="expert",
            fix="give expressions, or --file",
        )
    given = None if names is None else names.split(",")
    if file is None:
        if expert is not None:
            raise UsageError(
                f"{expert!r} is in no program", where="--expert", fix="give its program: --file"
            )
        return _of_expressions(expressions, given)
    if expert is None:
        return _of_record(file, given)
    if given is not None:
        raise UsageError("an expert has names", where="--names", fix="leave them out")
    return _of_program(file, expert)


def _of_expressions(expressions: Sequence[str], names: Sequence[str] | None) -> Subject:
    from bem_kernel.circuits.expression import atoms, compile_expressions

    inputs = tuple(dict.fromkeys(a for e in expressions for a in atoms(e)))
    inputs = inputs if names is None else tuple(names)
    outputs = tuple(" ".join(expression.split()) for expression in expressions)
    return Subject(compile_expressions(expressions, inputs), inputs, outputs)


def _of_record(file: Path, names: Sequence[str] | None) -> Subject:
    from bb_core.files import read_json
    from bem_kernel.circuits.record import circuit_from_record

    circuit = circuit_from_record(read_json(file), where=str(file))
    if circuit.n_inputs > MAX_INPUTS:
        raise UsageError(
            f"{circuit.n_inputs} inputs", where=str(file), fix=f"show at most {MAX_INPUTS}"
        )
    if names is not None and len(names) != circuit.n_inputs:
        raise UsageError(
            f"{len(names)} names for {circuit.n_inputs} inputs",
            where="--names",
            fix="name each input",
        )
    inputs = tuple(f"x{i}" for i in range(circuit.n_inputs)) if names is None else tuple(names)
    return Subject(circuit, inputs, tuple(f"y{j}" for j in range(circuit.n_outputs)))


def _of_program(file: Path, name: str) -> Subject:
    from bem_kernel.isa.files import load_program

    program = load_program(file)
    for expert in program.experts:
        if expert.name == name:
            return _of_expert(expert, program)
    known = ", ".join(expert.name for expert in program.experts) or "none"
    raise UsageError(f"no expert {name!r} in {file}", where="--expert", fix=f"there are: {known}")


def _of_expert(expert: Expert, program: Program) -> Subject:
    """Inputs and outputs under the names of the bits they are read from and written to."""
    bits = program.bit_names
    inputs = [*(bits[b] for b in expert.reads), *(place_name(p, bits) for p in expert.gathers)]
    outputs = [*(bits[b] for b in expert.writes)]
    outputs += [place_name(scatter.place, bits) for scatter in expert.scatters]
    spare = expert.circuit.n_outputs - len(outputs)
    outputs += [f"enable{i}" for i in range(spare)]
    return Subject(expert.circuit, tuple(inputs), tuple(outputs))


def place_name(place: Place, bits: Sequence[str]) -> str:
    """A bit, for people: the name of a state bit, or where it lies."""
    from bem_kernel.experts.place import Space

    if place.space is Space.STATE and not place.terms and place.base < len(bits):
        return bits[place.base]
    terms = "".join(f"+{stride}*M[{f.offset}:{f.offset + f.width}]" for f, stride in place.terms)
    return f"{'s' if place.space is Space.STATE else 'M'}[{place.base}{terms}]"
