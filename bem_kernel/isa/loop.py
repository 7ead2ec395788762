"""Programs made ready for the compiled loop: decoded instructions and packed experts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bem_kernel.experts.descriptor import (
    DESCRIPTOR_COLUMNS,
    FIRST_GATE,
    FIRST_PLACE,
    FIRST_TERM,
    IDENTIFIER,
    PLACE_COLUMNS,
    TERM_COLUMNS,
    encode_expert,
)
from bem_kernel.experts.scratch import Scratch, make_scratch
from bem_kernel.experts.table import TableArrays
from bem_kernel.isa.core import Core, Stop
from bem_kernel.isa.instructions import Opcode
from bem_kernel.isa.loop_kernel import COLUMNS, run_code
from bem_kernel.isa.program import Program
from bem_kernel.lanes import words_for


def decode_rows(program: Program) -> NDArray[np.int32]:
    """(8 * L,) int32, the fields of each instruction."""
    rows = np.zeros((len(program.code), COLUMNS), dtype=np.int32)
    for row, i in zip(rows, program.code, strict=True):
        amount = i.shift if i.opcode in (Opcode.MUL, Opcode.MUL_I) else i.count
        row[:] = (i.opcode, i.rd, i.ra, i.rb, i.imm, amount, i.space, i.bit)
    return rows.reshape(-1)


def pack_experts(program: Program) -> TableArrays:
    """The program's experts as a table; the expert's number is its slot."""
    parts = [encode_expert(replace(e, name=f"e{i}")) for i, e in enumerate(program.experts)]
    firsts = {FIRST_GATE: 0, FIRST_PLACE: 0, FIRST_TERM: 0}
    for part in parts:
        part.descriptor[IDENTIFIER] = 1
        for column, rows in (
            (FIRST_GATE, len(part.gates)),
            (FIRST_PLACE, len(part.places)),
            (FIRST_TERM, len(part.terms)),
        ):
            part.descriptor[column] = firsts[column]
            firsts[column] += rows
    return (
        _stacked([p.descriptor[None] for p in parts], DESCRIPTOR_COLUMNS, np.int64),
        _stacked([p.gates for p in parts], 3, np.int32),
        _stacked([p.places for p in parts], PLACE_COLUMNS, np.int64),
        _stacked([p.terms for p in parts], TERM_COLUMNS, np.int64),
        np.zeros(len(parts), dtype=np.uint64),
    )


def _stacked(parts: list[NDArray[Any]], columns: int, dtype: type) -> NDArray[Any]:
    return np.concatenate([np.zeros((0, columns), dtype=dtype), *parts]).astype(dtype)


@dataclass(frozen=True)
class Loop:
    """A program made ready for the compiled loop: decoded, its experts packed as `arrays`."""

    code: NDArray[np.int32]
    arrays: TableArrays
    scratch: Scratch

    @staticmethod
    def ready(core: Core) -> Loop:
        """Decode the program of a core and pack its experts."""
        program = core.program
        circuits = [expert.circuit for expert in program.experts]
        scratch = make_scratch(
            max((max(c.n_slots, c.n_inputs + c.n_outputs) for c in circuits), default=1),
            max((e.n_reads + e.n_writes for e in program.experts), default=1),
            sum(len(e.scatters) for e in program.experts),
            max_experts=max(1, len(program.experts)),
            words=words_for(core.lanes),
        )
        return Loop(decode_rows(program), pack_experts(program), scratch)

    def execute(self, core: Core, fuel: int) -> Stop:
        """`plain.execute`, compiled."""
        memory = core.memory
        words, _, rights = memory.arrays
        return Stop(
            run_code(
                self.code,
                core.control,
                core.registers,
                core.stack,
                fuel,
                core.lanes,
                memory.config.n_bits,
                (words, core.spans(), rights),
                memory.plane_rows,
                words_for(core.lanes),
                core.active,
                memory.shared_bits,
                self.arrays,
                self.scratch.arrays,
            )
        )
