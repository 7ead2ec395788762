"""What both interpreters work on: registers, call stack, program counter, and windows on memory.

`plain.execute` is the obvious interpreter; `loop.execute` is compiled. Both take a `Core`, go on
from where it stands, and say why they stopped; `machine.Machine` acts on that and calls again.

Source: BEM core spec 3.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bem_kernel.errors import MachineError
from bem_kernel.experts.check import check_fits
from bem_kernel.isa.instructions import (
    ADDRESS_BITS,
    MAILBOX_WORDS,
    REGISTERS,
    SPACES,
    STACK_DEPTH,
    Instruction,
    Space,
)
from bem_kernel.isa.program import Program
from bem_kernel.lanes import Word, lane_mask, words_for
from bem_kernel.memory.configuration import MachineConfig
from bem_kernel.memory.memory import LINE_WORDS, Memory
from bem_kernel.memory.segments import Rights, Segment

# Cells of `Core.control`.
PC: Final = 0
SPENT: Final = 1  # instructions executed in this call
DEPTH: Final = 2  # calls that have not returned
DETAIL: Final = 3  # what a stop is about: an address, a count, an expert


class Stop(IntEnum):
    """Why an interpreter returned. The program counter is at the instruction, except at END."""

    FUEL = 0
    END = 1
    HOST = 2  # a port's doorbell was stored to; its number is in DETAIL
    LOG = 3
    UNIT = 4  # a co-processor's instruction
    RAISED = 5  # the others are traps; see TRAPS
    BOUNDS = 6
    RIGHTS = 7
    STACK_FULL = 8
    STACK_EMPTY = 9
    LANES = 10
    BITS = 11
    EXPERT = 12
    NO_UNIT = 13
    REFUSED = 14
    LATENCY = 15


TRAPS: dict[Stop, str] = {
    Stop.RAISED: "the program said so, by TRAP or TRAP_IF",
    Stop.BOUNDS: "an address is in no space, or past the end of its space",
    Stop.RIGHTS: "a program may not read or write there, such as storing to CODE",
    Stop.STACK_FULL: "too many calls have not returned",
    Stop.STACK_EMPTY: "RET without CALL",
    Stop.LANES: "more lanes than the machine has",
    Stop.BITS: "state bits that do not exist",
    Stop.EXPERT: "an expert computed an address that does not exist; nothing was changed",
    Stop.NO_UNIT: "the co-processor is not attached",
    Stop.REFUSED: "the co-processor refused, with its message",
    Stop.LATENCY: "the co-processor took more work than it is allowed",
}
"""What each trap means."""


@dataclass
class Core:
    """One program's place in a memory.

    Attributes:
        program: what runs.
        memory: where it runs; its regions CODE "program", SHARED "program.data" and
            "program.host" are this program's.
        lanes: lanes in use.
        active: (pitch,) uint64, one bit per lane in use.
        registers: (32,) int64.
        stack: (STACK_DEPTH,) int64, return addresses.
        control: (8,) int64; see the constants of this file.
    """

    program: Program
    memory: Memory
    lanes: int
    active: Word
    registers: NDArray[np.int64] = field(
        default_factory=lambda: np.zeros(REGISTERS, dtype=np.int64)
    )
    stack: NDArray[np.int64] = field(default_factory=lambda: np.zeros(STACK_DEPTH, dtype=np.int64))
    control: NDArray[np.int64] = field(default_factory=lambda: np.zeros(8, dtype=np.int64))
    _spans: NDArray[np.int64] = field(
        default_factory=lambda: np.zeros((SPACES, 2), dtype=np.int64), init=False
    )

    def __post_init__(self) -> None:
        own = self.memory.arrays.spans
        data = sum(len(entry.words) for entry in self.program.data)
        host = MAILBOX_WORDS * len(self.program.ports)
        for space, name, size in ((Space.DATA, DATA, data), (Space.HOST, HOST, host)):
            first = self.memory.entry(Segment.SHARED, name).first_word
            self._spans[space] = own[Segment.SHARED, 0] + first, size

    def spans(self) -> NDArray[np.int64]:
        """(SPACES, 2) int64: where each space begins among the words of memory, and its size."""
        own = self.memory.arrays.spans
        self._spans[: len(own)] = own  # regions may have been added
        return self._spans


CODE, DATA, HOST = "program", "program.data", "program.host"
"""Names of the regions of a loaded program."""


def load(program: Program, lanes: int, memory: Memory | None = None) -> Core:
    """Put a program into a memory: code, first data, empty mailboxes.

    Args:
        program: what will run.
        lanes: lanes in use.
        memory: where; None makes one that just fits. Regions that a program of the same sizes
            has left are used again.

    Raises:
        MachineError: the memory has fewer state bits or lanes, or regions of other sizes.
        ExpertError: an expert uses bits that the memory does not have.
        SegmentError: the memory has no room.
    """
    data = [word for entry in program.data for word in entry.words]
    mailboxes = MAILBOX_WORDS * len(program.ports)
    if memory is None:
        memory = Memory(_fitting(program, lanes, len(data) + mailboxes))
    config = memory.config
    if program.n_bits > config.n_bits or words_for(lanes) != words_for(config.lanes):
        raise MachineError(
            f"the memory has {config.n_bits} state bits and {config.lanes} lanes, the program "
            f"needs {program.n_bits} and {lanes}",
            where="machine",
            fix="make a memory that fits",
        )
    for expert in program.experts:
        check_fits(expert, config.n_bits, config.n_shared_bits)
    code = _region(memory, Segment.CODE, CODE, len(program.code), longer=True)
    code[: len(program.code)], code[len(program.code) :] = program.words, 0
    _region(memory, Segment.SHARED, DATA, len(data))[:] = np.array(data, dtype=np.uint64)
    _region(memory, Segment.SHARED, HOST, mailboxes)[:] = 0
    return Core(program, memory, lanes, lane_mask(lanes, memory.pitch))


def signed(value: int) -> int:
    """The value modulo 2^64 as a number from -2^63 to 2^63 - 1."""
    return ((value + (1 << 63)) & ((1 << 64) - 1)) - (1 << 63)


def effective_address(instruction: Instruction, register: int) -> int:
    """The whole address of an operand, `register` being the value of ra; negative if it is none."""
    index = signed(register + instruction.imm)
    if instruction.space is Space.ANY:
        return index
    if not 0 <= index < 1 << ADDRESS_BITS:
        return -1
    return int(instruction.space) << ADDRESS_BITS | index


def locate(
    memory: Memory, spans: Sequence[Sequence[int]], address: int, count: int, needed: Rights
) -> tuple[int, Stop | None]:
    """Where `count` words from an address lie among the words of memory, or why they do not."""
    space, index = address >> ADDRESS_BITS, address & ((1 << ADDRESS_BITS) - 1)
    if not 0 <= space < SPACES or index + count > spans[space][1]:
        return 0, Stop.BOUNDS
    place = spans[space][0] + index
    lines = memory.arrays.rights[place // LINE_WORDS : (place + count - 1) // LINE_WORDS + 1]
    if any(line & needed != needed for line in lines.tolist()):
        return 0, Stop.RIGHTS
    return place, None


def _fitting(program: Program, lanes: int, n_words: int) -> MachineConfig:
    n_bits = max(1, program.n_bits)
    return MachineConfig(
        n_bits=n_bits,
        n_shared_bits=(n_bits // 64 + 1) * 64,
        n_parameters=1,
        lanes=max(1, lanes),
        max_experts=1,
        shared_words=n_words + 2 * LINE_WORDS,
        expert_words=0,
        code_words=len(program.code),
        trace_words=0,
        proof_words=0,
        teach_words=0,
    )


def _region(
    memory: Memory, segment: Segment, name: str, size: int, *, longer: bool = False
) -> Word:
    """The program's region, made if it is not there; one with room to spare will do if `longer`."""
    if not memory.has(segment, name):
        made: Word = memory.allocate(segment, name, np.uint64, (size,))
        return made
    found: Word = memory.region(segment, name)
    if found.shape != (size,) and not (longer and len(found) > size):
        raise MachineError(
            f"another program left {len(found)} words in {segment.name}.{name}, {size} are needed",
            where="machine",
            fix="use a memory of its own for each program",
        )
    return found
