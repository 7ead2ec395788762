"""The BIT-ALU: a unit that works on vectors of W lanes behind a bounded queue of commands.

`submit` checks a command and puts it in the queue, or refuses when that is full; `run` executes in
order. Each command touches every word of its vectors a fixed number of times, so the time it takes
is bounded by `BitAlu.work_bound`, whatever the data.

Source: BEM core spec 3.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from bem_kernel.errors import QueueError, ShapeError
from bem_kernel.lanes import Planes, check_planes, words_for


class BitOp(IntEnum):
    """What a command computes, lane by lane or along the lanes."""

    AND = 0
    """target = a & b"""
    OR = 1
    """target = a | b"""
    XOR = 2
    """target = a ^ b"""
    NOT = 3
    """target = !a"""
    SHL = 4
    """lane j + amount of target = lane j of a; zeros come in"""
    SHR = 5
    """lane j of target = lane j + amount of a; zeros come in"""
    ROL = 6
    """like SHL, but what leaves at lane W-1 comes in at lane 0"""
    ROR = 7
    """like SHR, but what leaves at lane 0 comes in at lane W-1"""
    BLEND = 8
    """target = a where mask is 1, b where it is 0"""
    POPCOUNT = 9
    """the result is the number of ones in a; no row is written"""


_SHIFTS = frozenset((BitOp.SHL, BitOp.SHR, BitOp.ROL, BitOp.ROR))
_BINARY = frozenset((BitOp.AND, BitOp.OR, BitOp.XOR, BitOp.BLEND))
_PASSES = 3  # a rotate reads its row twice and writes through scratch


@dataclass(frozen=True)
class Command:
    """One operation on rows; fields that the operation does not use stay 0.

    Attributes:
        op: what to compute.
        target: row that is written; it may be one of the operands.
        a: row of the first operand.
        b: row of the second operand.
        mask: row that chooses between a and b.
        amount: lanes to shift or rotate by, 0 or more; rotates count modulo W.
    """

    op: BitOp
    target: int = 0
    a: int = 0
    b: int = 0
    mask: int = 0
    amount: int = 0


@dataclass(frozen=True)
class Completed:
    """What `BitAlu.run` executed.

    Attributes:
        first_ticket: ticket of the first command.
        values: (commands,) int64, the count of a POPCOUNT, 0 for the others.
    """

    first_ticket: int
    values: NDArray[np.int64]


@dataclass(frozen=True)
class AluStatistics:
    """What a unit has done so far.

    Attributes:
        executed: commands by operation.
        refused: commands that found the queue full.
        most_waiting: the largest number of commands in the queue at once.
        work: word operations executed, at most; see `BitAlu.work_bound`.
    """

    executed: dict[BitOp, int]
    refused: int
    most_waiting: int
    work: int


class BitAlu:
    """The unit over the rows of a state.

    Args:
        rows: (rows, pitch) uint64, C-contiguous, such as `Memory.plane_rows`; worked on in place.
        lanes: W; the rows hold at least that many.
        capacity: places in the queue, 1 or more.

    Raises:
        ShapeError: the rows are no planes, not contiguous or too short, or a size is below 1.
    """

    def __init__(self, rows: Planes, lanes: int, capacity: int = 64) -> None:
        check_planes(rows, "BIT-ALU")
        if lanes < 1 or capacity < 1:
            raise ShapeError(
                f"{lanes} lanes, {capacity} places", where="BIT-ALU", fix="use 1 or more of each"
            )
        if words_for(lanes) > rows.shape[1] or not rows.flags.c_contiguous:
            raise ShapeError(
                f"rows of {rows.shape[1]} words for {lanes} lanes",
                where="BIT-ALU",
                fix="give whole rows, contiguous, with room for all lanes",
            )
        self._rows = rows
        self._lanes = lanes
        self._queue = np.zeros((capacity, 6), dtype=np.int64)
        self._scratch = np.zeros(words_for(lanes), dtype=np.uint64)
        self._submitted = 0
        self._done = 0
        self._executed = dict.fromkeys(BitOp, 0)
        self._refused = 0
        self._most_waiting = 0

    @property
    def waiting(self) -> int:
        """Commands in the queue."""
        return self._submitted - self._done

    @property
    def capacity(self) -> int:
        """Places in the queue."""
        return len(self._queue)

    @property
    def work_bound(self) -> int:
        """Word operations that one command takes at most."""
        return _PASSES * len(self._scratch)

    @property
    def statistics(self) -> AluStatistics:
        """What the unit has done so far."""
        return AluStatistics(
            dict(self._executed), self._refused, self._most_waiting, self._done * self.work_bound
        )

    def submit(self, command: Command) -> int:
        """Put a command in the queue.

        Returns:
            Its ticket; tickets count up from 0.

        Raises:
            ShapeError: a row or the amount is out of range; the queue is as it was.
            QueueError: the queue is full; run it first.
        """
        checked = self._checked(command)
        if self.waiting == self.capacity:
            self._refused += 1
            raise QueueError(
                f"all {self.capacity} places are taken", where="BIT-ALU", fix="run the queue first"
            )
        self._queue[self._submitted % self.capacity] = checked
        ticket = self._submitted
        self._submitted += 1
        self._most_waiting = max(self._most_waiting, self.waiting)
        return ticket

    def run(self, limit: int | None = None) -> Completed:
        """Execute waiting commands in order.

        Args:
            limit: at most so many; None: all.

        Raises:
            ShapeError: the limit is negative.
        """
        from bem_kernel.memory.bit_alu_kernels import run_commands

        if limit is not None and limit < 0:
            raise ShapeError(f"limit {limit}", where="BIT-ALU", fix="use 0 or more")
        count = self.waiting if limit is None else min(limit, self.waiting)
        values = np.zeros(count, dtype=np.int64)
        first = self._done % self.capacity
        run_commands(self._rows, self._queue, first, count, self._lanes, self._scratch, values)
        for i in range(count):
            self._executed[BitOp(int(self._queue[(first + i) % self.capacity, 0]))] += 1
        completed = Completed(self._done, values)
        self._done += count
        return completed

    def _checked(self, command: Command) -> tuple[int, ...]:
        """The command as six numbers that the kernel may trust."""
        op = BitOp(command.op)
        rows = {"a": command.a}
        if op in _BINARY:
            rows["b"] = command.b
        if op is BitOp.BLEND:
            rows["mask"] = command.mask
        if op is not BitOp.POPCOUNT:
            rows["target"] = command.target
        for name, row in rows.items():
            if not 0 <= row < len(self._rows):
                raise ShapeError(
                    f"{name} is row {row}",
                    where=f"BIT-ALU {op.name}",
                    fix=f"use 0 to {len(self._rows) - 1}",
                )
        amount = 0
        if op in _SHIFTS:
            if command.amount < 0:
                raise ShapeError(
                    f"amount is {command.amount}", where=f"BIT-ALU {op.name}", fix="use 0 or more"
                )
            rotates = op in (BitOp.ROL, BitOp.ROR)
            amount = command.amount % self._lanes if rotates else min(command.amount, self._lanes)
        places = (rows.get(name, 0) for name in ("target", "a", "b", "mask"))
        return (int(op), *places, amount)
