"""Programs and circuits as JSON records: the stored form, and what fingerprints are taken over.

Source: DESIGN 7 (records are canonical JSON).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bb_core.canonical import fingerprint
from bem_kernel.circuits.circuit import Circuit, Gate, Op
from bem_kernel.errors import KernelError, ProgramError
from bem_kernel.experts.expert import Expert
from bem_kernel.isa.program import HostPort, Instruction, Opcode, Program

FORMAT = "bem-program-1"

_Number = Annotated[int, Field(ge=0, lt=1 << 31, strict=True)]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Circuit(_Record):
    n_inputs: _Number
    gates: list[tuple[_Number, _Number, _Number]]
    outputs: list[_Number]


class _Expert(_Record):
    name: str
    reads: list[_Number]
    circuit: _Circuit
    writes: list[_Number]


class _Port(_Record):
    name: str
    writes: list[_Number]


class _Program(_Record):
    format: Literal["bem-program-1"]
    bits: list[str]
    experts: list[_Expert]
    ports: list[_Port]
    code: list[tuple[_Number, _Number, _Number, str]]


def circuit_record(circuit: Circuit) -> dict[str, Any]:
    """The circuit as JSON values; a gate is [op, a, b]."""
    return {
        "n_inputs": circuit.n_inputs,
        "gates": [[int(gate.op), gate.a, gate.b] for gate in circuit.gates],
        "outputs": list(circuit.outputs),
    }


def program_record(program: Program) -> dict[str, Any]:
    """The program as JSON values; an instruction is [opcode, operand, target, text]."""
    return {
        "format": FORMAT,
        "bits": list(program.bit_names),
        "experts": [
            {
                "name": expert.name,
                "reads": list(expert.reads),
                "circuit": circuit_record(expert.circuit),
                "writes": list(expert.writes),
            }
            for expert in program.experts
        ],
        "ports": [{"name": p.name, "writes": list(p.writes)} for p in program.ports],
        "code": [[int(i.opcode), i.operand, i.target, i.text] for i in program.code],
    }


def program_from_record(record: object, where: str = "program record") -> Program:
    """Inverse of `program_record`.

    Args:
        record: JSON values from anywhere.
        where: the file, for messages.

    Raises:
        ProgramError: the record has another shape (the message names the field), or the program
            in it is not valid.
    """
    try:
        read = _Program.model_validate(record)
        experts = tuple(_expert(e) for e in read.experts)
        ports = tuple(HostPort(p.name, tuple(p.writes)) for p in read.ports)
        code = tuple(Instruction(Opcode(i[0]), i[1], i[2], i[3]) for i in read.code)
        return Program(tuple(read.bits), experts, ports, code)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ProgramError(
            f"{place or 'the record'}: {first['msg']}", where=where, fix="write it with bem asm"
        ) from error
    except ValueError as error:  # an operation number that does not exist
        raise ProgramError(str(error), where=where, fix="write it with bem asm") from error
    except KernelError as error:
        place = f"{where}: {error.where}"
        raise ProgramError(error.what, where=place, fix=error.fix) from error


def _expert(read: _Expert) -> Expert:
    gates = tuple(Gate(Op(op), a, b) for op, a, b in read.circuit.gates)
    circuit = Circuit(read.circuit.n_inputs, gates, tuple(read.circuit.outputs))
    return Expert(read.name, tuple(read.reads), circuit, tuple(read.writes))


def program_fingerprint(program: Program) -> str:
    """SHA-256 of the canonical record, hex."""
    return fingerprint(program_record(program))
