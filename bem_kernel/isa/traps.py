"""Traps: why a run stopped early, in words and with the place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bem_kernel.isa.core import DETAIL, PC, Core, Stop
from bem_kernel.isa.disassembler import instruction_text
from bem_kernel.isa.instructions import ADDRESS_BITS, SPACES, STACK_DEPTH, Opcode, Space
from bem_kernel.lanes import Word


@dataclass(frozen=True)
class Trap:
    """Why a run stopped early.

    Attributes:
        kind: RAISED by the program, or what the machine refused.
        pc: the instruction.
        text: the program's message, or the machine's.
        where: source and line of the instruction, or its number where there is no source.
        bit: the state bit of a TRAP_IF; -1 otherwise.
        lanes: (words,) uint64, the lanes in which that bit is 1; 0 otherwise.
    """

    kind: Stop
    pc: int
    text: str
    where: str
    bit: int
    lanes: Word

    def __str__(self) -> str:
        return f"{self.where}: {self.text}"


def place(core: Core, pc: int) -> str:
    """Source and line of an instruction, or its number, for messages."""
    instruction = core.program.code[pc]
    if instruction.line:
        return f"{core.program.source or 'program'}: line {instruction.line} (instruction {pc})"
    return f"instruction {pc}: {instruction_text(instruction, core.program)}"


def trap_of(core: Core, kind: Stop, text: str = "") -> Trap:
    """The trap that a core stopped at; `text` for what only the caller knows."""
    pc = int(core.control[PC])
    instruction = core.program.code[pc]
    words = core.memory.planes.shape[1]
    bit, lanes = -1, np.zeros(words, dtype=np.uint64)
    if kind is Stop.RAISED:
        text = instruction.text
        if instruction.opcode is Opcode.TRAP_IF_BIT:
            bit = instruction.bit
            lanes = core.memory.planes[bit] & core.active[:words]
    elif not text:
        text = _TEXTS[kind](core, int(core.control[DETAIL]))
    return Trap(kind, pc, text, place(core, pc), bit, lanes)


def _bounds(core: Core, address: int) -> str:
    space, index = address >> ADDRESS_BITS, address & ((1 << ADDRESS_BITS) - 1)
    if not 0 <= space < SPACES:
        return f"the address {address} is in no space; write SPACE[index]"
    size = int(core.spans()[space, 1])
    return f"{Space(space).name}[{index}] does not exist; it has {size} words"


def _rights(core: Core, address: int) -> str:
    space, index = address >> ADDRESS_BITS, address & ((1 << ADDRESS_BITS) - 1)
    return f"a program may not access {Space(space).name}[{index}] this way"


_TEXTS: dict[Stop, Callable[[Core, int], str]] = {
    Stop.BOUNDS: _bounds,
    Stop.RIGHTS: _rights,
    Stop.STACK_FULL: lambda _, depth: f"{depth} calls deep; at most {STACK_DEPTH} may be open",
    Stop.STACK_EMPTY: lambda *_: "RET without CALL",
    Stop.LANES: lambda core, n: f"{n} lanes; the machine has {core.lanes}",
    Stop.BITS: lambda core, bit: (
        f"state bit {bit} and those after it do not all exist; there are "
        f"{core.memory.config.n_bits}"
    ),
    Stop.EXPERT: lambda core, index: (
        f"expert {core.program.experts[index].name} computed an address that does not exist"
    ),
    Stop.NO_UNIT: lambda core, _: (
        f"no co-processor for {core.program.code[int(core.control[PC])].opcode.name} is attached"
    ),
    Stop.LATENCY: lambda _, work: f"the co-processor took {work} units of work, more than it may",
}
