"""The machine's program: what it runs and what is claimed of that, as part of its structure.

It lies in CODE as a record, beside the words that a run loads, and so is in every image. Whoever
builds the machine installs it; once the table is sealed, only a patch changes it. A run goes on
with the program that it has loaded.

    install_program(machine.table, program, "always !bad")
    Machine(read_program(memory).program, memory=memory)

Source: BEM core spec 2.4, 9.2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from bb_core.canonical import canonical_json
from bem_kernel.errors import PatchError
from bem_kernel.experts.check import check_fits
from bem_kernel.experts.table import ExpertTable
from bem_kernel.hoare.annotations import ENTRY, EXIT, parse_annotations
from bem_kernel.isa.core import CODE
from bem_kernel.isa.program import Program
from bem_kernel.isa.record import program_from_record, program_record
from bem_kernel.memory.memory import Memory
from bem_kernel.memory.segments import Segment

_REGION = "patches.program"
_SPARE, _LEAST_WORDS, _LEAST_BYTES = 4, 256, 1 << 14
"""Room for a program and its record: so many times what they take when installed, and no less."""


@dataclass(frozen=True)
class Installed:
    """A machine's program.

    Attributes:
        program: without lines of a source.
        annotations: what is claimed of it, as `hoare.annotations` has it; "" for nothing.
        lanes: in which it runs: those of the machine.
    """

    program: Program
    annotations: str = ""
    lanes: int = 1


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid")

    program: dict[str, object]
    annotations: str


def install_program(table: ExpertTable, program: Program, annotations: str = "") -> None:
    """Give a machine that is being built its program; one that it had before is replaced.

    The annotations are proved with the first patch of the program, as with every one after it.

    Args:
        table: of the machine.
        program: what it will run.
        annotations: what has to hold of it, at nodes marked by `.cfg`, at entry and exit.

    Raises:
        ExpertError: the table is sealed, or an expert of the program does not fit the machine.
        HoareError: the annotations do not parse.
        PatchError: they are about a node without a mark, or the machine has more than the one lane
            that annotations are about; or the program needs more state bits, or more room.
        SegmentError: CODE has no room.
    """
    table.check_open()
    memory, config = table.memory, table.memory.config
    if program.n_bits > config.n_bits:
        raise PatchError(
            f"{program.n_bits} state bits, the machine has {config.n_bits}",
            where="program",
            fix="make a larger machine",
        )
    for expert in program.experts:
        check_fits(expert, config.n_bits, config.n_shared_bits)
    if annotations.strip() and config.lanes > 1:
        raise PatchError(
            f"annotations are about one lane, the machine has {config.lanes}",
            where="program",
            fix="make a machine of one lane, or install the program without them",
        )
    installed = Installed(program, annotations, config.lanes)
    check_marks(installed)
    if not memory.has(Segment.CODE, _REGION):
        size = max(_LEAST_BYTES, _SPARE * len(_bytes(installed)))
        memory.allocate(Segment.CODE, _REGION, np.uint8, (size,), protected=True)
        if not memory.has(Segment.CODE, CODE):
            words = max(_LEAST_WORDS, _SPARE * len(program.code))
            memory.allocate(Segment.CODE, CODE, np.uint64, (words,))
    write_program(memory, installed)


def check_marks(installed: Installed) -> None:
    """Refuse annotations of nodes that have no mark, since their names move with the code.

    Raises:
        HoareError: the annotations do not parse.
        PatchError: a node has no mark.
    """
    program = installed.program
    claims = parse_annotations(installed.annotations, program)
    for name in set(claims.at) - {ENTRY, EXIT} - {node.name for node in program.nodes}:
        raise PatchError(
            f"no mark {name!r} in the program",
            where="annotations",
            fix=f"write .cfg {name} before its first instruction",
        )


def program_bytes(memory: Memory) -> bytes:
    """The record as it lies in memory; empty if there is none."""
    if not memory.has(Segment.CODE, _REGION):
        return b""
    region: NDArray[np.uint8] = memory.region(Segment.CODE, _REGION)
    return region.tobytes().rstrip(b"\0")


def read_program(memory: Memory) -> Installed:
    """The program of a machine.

    Raises:
        PatchError: it has none, or the record is damaged.
        ProgramError: the program in it is none.
    """
    found, where = program_bytes(memory), f"memory CODE.{_REGION}"
    if not found:
        raise PatchError("the machine has no program", where=where, fix="install one")
    try:
        read = TypeAdapter(_Record).validate_json(found)
    except ValidationError as error:
        raise PatchError(
            "the record is damaged", where=where, fix="restore the machine from an image"
        ) from error
    program = program_from_record(read.program, where)
    return Installed(program, read.annotations, memory.config.lanes)


def write_program(memory: Memory, installed: Installed) -> None:
    """Set the program, without a proof of what it does.

    Raises:
        PatchError: there is no room for it.
    """
    region, record = memory.region(Segment.CODE, _REGION), _bytes(installed)
    words = len(memory.region(Segment.CODE, CODE))
    if len(record) > len(region) or len(installed.program.code) > words:
        raise PatchError(
            f"a program of {len(installed.program.code)} instructions, {len(record)} bytes",
            where="program",
            fix=f"keep within {words} and {len(region)}, or install it in a larger machine",
        )
    region[:] = np.frombuffer(record.ljust(len(region), b"\0"), dtype=np.uint8)


def _bytes(installed: Installed) -> bytes:
    record = program_record(installed.program, debug=False)
    return canonical_json({"annotations": installed.annotations, "program": record})
