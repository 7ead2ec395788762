"""Programs as JSON records: the stored form, and what fingerprints are taken over.

Instructions are their 64-bit words in hex; `texts` is the table that they refer to. `debug` says
where each instruction came from and is no part of the fingerprint.

Source: DESIGN 7 (records are canonical JSON).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bb_core.canonical import fingerprint
from bem_kernel.errors import KernelError, ProgramError
from bem_kernel.experts.record import ExpertModel, expert_record
from bem_kernel.isa.encoding import decode
from bem_kernel.isa.program import Data, HostPort, Node, Program, check_text

FORMAT = "bem-program-2"

_Number = Annotated[int, Field(ge=0, lt=1 << 31, strict=True)]
_Hex = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Port(_Record):
    name: str
    writes: list[_Number]


class _Data(_Record):
    name: str
    words: list[_Hex]


class _Node(_Record):
    name: str
    start: _Number
    end: _Number


class _Debug(_Record):
    source: str
    lines: list[_Number]


class _Program(_Record):
    format: Literal["bem-program-2"]
    bits: list[str]
    experts: list[ExpertModel]
    ports: list[_Port]
    data: list[_Data]
    nodes: list[_Node]
    texts: list[str]
    code: list[_Hex]
    debug: _Debug | None = None


def program_record(program: Program, debug: bool = True) -> dict[str, Any]:
    """The program as JSON values; `debug` adds the lines of its source."""
    record: dict[str, Any] = {
        "format": FORMAT,
        "bits": list(program.bit_names),
        "experts": [expert_record(expert) for expert in program.experts],
        "ports": [{"name": p.name, "writes": list(p.writes)} for p in program.ports],
        "data": [{"name": d.name, "words": [f"{w:016x}" for w in d.words]} for d in program.data],
        "nodes": [{"name": n.name, "start": n.start, "end": n.end} for n in program.nodes],
        "texts": list(program.texts),
        "code": [f"{word:016x}" for word in program.words.tolist()],
    }
    if debug and any(i.line for i in program.code):
        lines = [i.line for i in program.code]
        record["debug"] = {"source": program.source, "lines": lines}
    return record


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
        return _program(read)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ProgramError(
            f"{place or 'the record'}: {first['msg']}", where=where, fix="write it with bem asm"
        ) from error
    except KernelError as error:
        place = f"{where}: {error.where}"
        raise ProgramError(error.what, where=place, fix=error.fix) from error


def _program(read: _Program) -> Program:
    for text in read.texts:
        check_text(text, "texts")
    code = [decode(int(w, 16), read.texts, f"code.{pc}") for pc, w in enumerate(read.code)]
    lines = read.debug.lines if read.debug else []
    if lines and len(lines) != len(code):
        raise ProgramError(
            f"{len(lines)} lines for {len(code)} instructions", where="debug", fix="drop debug"
        )
    for pc, line in enumerate(lines):
        code[pc] = replace(code[pc], line=line)
    program = Program(
        tuple(read.bits),
        tuple(e.expert() for e in read.experts),
        tuple(HostPort(p.name, tuple(p.writes)) for p in read.ports),
        tuple(code),
        tuple(Data(d.name, tuple(int(w, 16) for w in d.words)) for d in read.data),
        tuple(Node(n.name, n.start, n.end) for n in read.nodes),
        read.debug.source if read.debug else "",
    )
    if program.texts != tuple(read.texts):
        raise ProgramError(
            "not the texts of the code in order of first use", where="texts", fix="assemble again"
        )
    return program


def program_fingerprint(program: Program) -> str:
    """SHA-256 of the canonical record without `debug`, hex."""
    return fingerprint(program_record(program, debug=False))
