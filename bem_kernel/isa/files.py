"""Programs on disk: text, or a record if the name ends in .json."""

from __future__ import annotations

from pathlib import Path

from bb_core.files import read_json, read_text
from bem_kernel.isa.assembler import assemble
from bem_kernel.isa.program import Program
from bem_kernel.isa.record import program_from_record


def load_program(path: Path) -> Program:
    """Read a program.

    Raises:
        AssembleError: the text does not assemble, with line and column.
        ProgramError: the record is not one.
        BBError: the file cannot be read.
    """
    if path.suffix == ".json":
        return program_from_record(read_json(path), where=str(path))
    return assemble(read_text(path), str(path))
