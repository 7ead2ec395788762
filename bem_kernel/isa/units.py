"""Co-processors as ports of the machine.

A `BEM_*` instruction whose unit is not attached traps. A unit says beforehand how much work one of
its calls may take, in units of work of its own choice; a call that took more traps, so whoever
counts the fuel of a program has counted its time. What units did is kept in `UnitStatistics`.

Source: BEM core spec 3, 4.2, 10.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from bem_kernel.isa.core import PC, Core, Stop, effective_address, locate
from bem_kernel.isa.instructions import Instruction, Opcode
from bem_kernel.memory.segments import Rights

ALL_LANES = (1 << 64) - 1
"""In a descriptor, in the place of a mask's address: all lanes in use."""


class Answer(NamedTuple):
    """What a call gave.

    Attributes:
        value: goes to rd, signed.
        work: units of work it took.
    """

    value: int
    work: int


class Unit(Protocol):
    """A co-processor."""

    @property
    def bound(self) -> int:
        """Most units of work that one call may take."""
        ...

    def call(self, request: Request) -> Answer:
        """Do what an instruction asks.

        Raises:
            KernelError: the unit refuses; the program traps with the message.
            AccessFault: a word of the request does not exist, or may not be accessed.
        """
        ...


class AccessFault(Exception):  # noqa: N818 - it becomes a trap, never reaches a caller
    """A unit was asked to read or write words that it must not."""

    def __init__(self, stop: Stop, address: int) -> None:
        super().__init__(f"{stop.name} at {address:#x}")
        self.stop = stop
        self.address = address


@dataclass(frozen=True)
class Request:
    """A call as the unit sees it; memory is reached with the program's rights."""

    core: Core
    instruction: Instruction

    @property
    def pc(self) -> int:
        """The instruction's number."""
        return int(self.core.control[PC])

    @property
    def opcode(self) -> Opcode:
        """The instruction."""
        return self.instruction.opcode

    @property
    def value(self) -> int:
        """The number in rb."""
        return int(self.core.registers[self.instruction.rb])

    @property
    def count(self) -> int:
        """The count in the instruction, 1 to 32."""
        return self.instruction.count

    @property
    def address(self) -> int:
        """The address in the instruction."""
        return effective_address(self.instruction, int(self.core.registers[self.instruction.ra]))

    def read(self, address: int, count: int) -> NDArray[np.uint64]:
        """A copy of `count` words.

        Raises:
            AccessFault: one of them may not be read.
        """
        return self._view(address, count, Rights.READ).copy()

    def write(self, address: int, words: NDArray[np.uint64]) -> None:
        """Set words.

        Raises:
            AccessFault: one of them may not be written.
        """
        self._view(address, len(words), Rights.WRITE)[:] = words

    def check_writable(self, address: int, count: int) -> None:
        """Refuse words that may not be written, before work is done for them.

        Raises:
            AccessFault: one of them may not be written.
        """
        self._view(address, count, Rights.WRITE)

    @cached_property
    def _spans(self) -> list[list[int]]:
        spans: list[list[int]] = self.core.spans().tolist()
        return spans

    def _view(self, address: int, count: int, needed: Rights) -> NDArray[np.uint64]:
        memory = self.core.memory
        place, stop = locate(memory, self._spans, address, count, needed)
        if stop is not None:
            raise AccessFault(stop, address)
        view: NDArray[np.uint64] = memory.arrays.words[place : place + count]
        return view


@dataclass
class UnitStatistics:
    """What a unit did for one machine.

    Attributes:
        calls: answered ones.
        work: their units of work together.
        most: the most that one took.
    """

    calls: int = 0
    work: int = 0
    most: int = 0

    def add(self, work: int) -> None:
        """Count one call."""
        self.calls += 1
        self.work += work
        self.most = max(self.most, work)
