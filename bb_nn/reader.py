"""Reading a prompt and a plan byte by byte: where sentences end, which tool is called.

The reader finds the events that a lane's clock counts; it holds no counts itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

PLAN_MARKER = b"### Plan\n"


@dataclass(frozen=True)
class Cursor:
    """Where a lane stands in its text, between two tokens.

    Attributes:
        tail: last bytes of the request read, to find the plan's marker.
        previous: the last byte, 0 at the start.
        depth: nesting of braces in the plan.
        quoted: inside a string of the plan.
        escaped: after a backslash in a string.
        string: bytes of the string being read or read last.
        number: bytes of the number being read; None outside numbers.
        naming: the next string is a tool's name.
        tool: number of the tool being called or called last, 0 for none.
        step: steps of the plan begun so far.
        source: number of the last step, counted from 1, that refers to no other; 0 for none.
        refers: whether the step being read refers to another.
        state: state bits of the clock, bit k is state bit k.
    """

    tail: bytes = b""
    previous: int = 0
    depth: int = 0
    quoted: bool = False
    escaped: bool = False
    string: bytes = b""
    number: bytes | None = None
    naming: bool = False
    tool: int = 0
    step: int = 0
    source: int = 0
    refers: bool = False
    state: int = 0

    @property
    def in_plan(self) -> bool:
        """Whether the plan has begun."""
        return bool(self.state & 1)


@lru_cache(maxsize=1 << 12)
def literal_key(written: bytes) -> int:
    """A non-negative 56-bit key of a literal's beginning; equal keys mean equal beginnings."""
    return int.from_bytes(blake2b(written, digest_size=7).digest())


Snapshot = tuple[
    bytes, int, int, bool, bool, bytes, bytes | None, bool, int, int, int, bool
]  # fmt: skip


@dataclass(frozen=True)
class Rules:
    """The learned circuits of a lane program, tabulated by evaluating every input once.

    Attributes:
        ending: (256, 256) bool, a byte pair (previous, this) ends a sentence.
        marking: (256,) bool, a byte marks a goal.
        completing: (tools + 1,) bool, the numbered tool completes a goal.
        numbers: number of each tool by name, counted from 1.
    """

    ending: NDArray[np.bool_]
    marking: NDArray[np.bool_]
    completing: NDArray[np.bool_]
    numbers: Mapping[bytes, int]


class Reader:
    """Reads the bytes of one row: a `Cursor` while it moves.

    Args:
        rules: what ends a sentence, marks a goal, and completes one.
        cursor: where to begin.
    """

    def __init__(self, rules: Rules, cursor: Cursor) -> None:
        self._rules = rules
        self.in_plan = cursor.in_plan
        self.tail, self.previous, self.depth = cursor.tail, cursor.previous, cursor.depth
        self.quoted, self.escaped, self.naming = cursor.quoted, cursor.escaped, cursor.naming
        self.string, self.number, self.tool = cursor.string, cursor.number, cursor.tool
        self.step, self.source, self.refers = cursor.step, cursor.source, cursor.refers

    def snapshot(self) -> Snapshot:
        """Where it stands now: the fields of a `Cursor` before the clock's state."""
        return (
            self.tail, self.previous, self.depth, self.quoted, self.escaped, self.string,
            self.number, self.naming, self.tool, self.step, self.source, self.refers,
        )  # fmt: skip

    def prefix(self) -> int:
        """Key of the plan's literal that is open, -1 for none."""
        literal = self.string if self.quoted else self.number
        return -1 if literal is None or self.depth <= 0 else literal_key(literal)

    def feed(self, piece: bytes) -> tuple[bool, bool, bool, bool]:
        """Events within the bytes of one token, each at most once."""
        end = mark = begins = complete = False
        for byte in piece:
            if self.in_plan:
                complete |= self._plan_byte(byte)
                continue
            end |= bool(self._rules.ending[self.previous, byte])
            mark |= bool(self._rules.marking[byte])
            self.previous = byte
            self.tail = (self.tail + bytes([byte]))[-len(PLAN_MARKER) :]
            if self.tail == PLAN_MARKER:
                begins, self.in_plan, self.tail = True, True, b""
        return end, mark, begins, complete

    def _plan_byte(self, byte: int) -> bool:
        """Follow the plan's JSON by one byte; whether it completes a goal."""
        if self.quoted:
            if self.escaped:
                self.escaped = False
            elif byte == 0x5C:
                self.escaped = True
            elif byte == 0x22:
                self._end_string()
                return False
            self.string += bytes([byte])
            return False
        if byte == 0x3A:
            self.number = b""
        elif self.number is not None:
            self.number = self.number + bytes([byte]) if byte in b"+-.0123456789eE" else None
        if byte == 0x22:
            self.quoted, self.string = True, b""
        elif byte == 0x7B:
            self.depth += 1
            if self.depth == 2:
                self.step, self.refers = self.step + 1, False
        elif byte == 0x7D:
            self.depth -= 1
            return self.depth == 1 and self._end_step()
        return False

    def _end_step(self) -> bool:
        """Close a step of the plan; whether it completes a goal."""
        if not self.refers:
            self.source = self.step
        complete = bool(self._rules.completing[self.tool])
        if complete:
            self.tool = 0
        return complete

    def _end_string(self) -> None:
        self.quoted = False
        self.refers |= self.depth > 2 and self.string.startswith(b"$")
        if self.naming and self.depth == 2:
            self.tool = self._rules.numbers.get(self.string, 0)
        self.naming = self.depth == 2 and self.string == b"tool"
