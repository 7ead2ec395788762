"""The BIT-ALU: its queue, what it refuses, and its statistics."""

from __future__ import annotations

import numpy as np
import pytest

from bem_kernel.errors import QueueError, ShapeError
from bem_kernel.memory.bit_alu import BitAlu, BitOp, Command
from bem_kernel.memory.configuration import MachineConfig
from bem_kernel.memory.memory import Memory


def test_commands_run_in_order_on_the_state_of_a_memory() -> None:
    memory = Memory(MachineConfig(n_bits=4, lanes=5000))
    memory.planes[0] = np.uint64(0b1011)
    alu = BitAlu(memory.plane_rows, 5000)
    words = memory.planes.shape[1]
    assert memory.pitch > words
    tickets = [
        alu.submit(command)
        for command in (
            Command(BitOp.SHL, target=1, a=0, amount=1),
            Command(BitOp.XOR, target=1, a=0, b=1),
            Command(BitOp.POPCOUNT, a=1),
            Command(BitOp.NOT, target=2, a=2),
            Command(BitOp.POPCOUNT, a=2),
        )
    ]
    assert tickets == [0, 1, 2, 3, 4]
    first = alu.run(2)
    assert (first.first_ticket, first.values.tolist()) == (0, [0, 0])
    assert int(memory.planes[1, 0]) == 0b1011 ^ 0b10110
    rest = alu.run()
    assert (rest.first_ticket, rest.values.tolist()) == (2, [4 * words, 0, 5000])
    assert alu.run().values.tolist() == []
    assert not memory.plane_rows[:, words:].any()  # the padding between rows is never written


def test_a_full_queue_refuses_and_goes_on_after_a_run() -> None:
    alu = BitAlu(np.zeros((2, 1), dtype=np.uint64), 64, capacity=3)
    flip = Command(BitOp.NOT)
    for _ in range(3):
        alu.submit(flip)
    for _ in range(2):
        with pytest.raises(QueueError, match="BIT-ALU: all 3 places are taken; run the queue"):
            alu.submit(flip)
    alu.run(2)
    count = Command(BitOp.POPCOUNT, a=0)
    assert [alu.submit(count), alu.submit(count)] == [3, 4]
    assert alu.waiting == 3
    assert alu.run().values.tolist() == [0, 64, 64]
    statistics = alu.statistics
    assert statistics.executed[BitOp.NOT] == 3
    assert statistics.executed[BitOp.POPCOUNT] == 2
    assert statistics.refused == 2
    assert statistics.most_waiting == 3
    assert statistics.work == 5 * alu.work_bound
    assert alu.work_bound == 3


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (Command(BitOp.AND, target=2), "BIT-ALU AND: target is row 2; use 0 to 1"),
        (Command(BitOp.NOT, a=-1), "BIT-ALU NOT: a is row -1"),
        (Command(BitOp.OR, b=9), "b is row 9"),
        (Command(BitOp.BLEND, mask=2), "mask is row 2"),
        (Command(BitOp.POPCOUNT, a=2), "a is row 2"),
        (Command(BitOp.ROL, amount=-1), "BIT-ALU ROL: amount is -1; use 0 or more"),
    ],
)
def test_bad_commands_are_refused_at_once(command: Command, message: str) -> None:
    alu = BitAlu(np.zeros((2, 1), dtype=np.uint64), 3)
    with pytest.raises(ShapeError, match=message):
        alu.submit(command)
    assert (alu.waiting, alu.statistics.refused) == (0, 0)


def test_bad_rows_are_refused() -> None:
    rows = np.zeros((4, 2), dtype=np.uint64)
    with pytest.raises(ShapeError, match="rows of 2 words for 129 lanes; give whole rows"):
        BitAlu(rows, 129)
    with pytest.raises(ShapeError, match="contiguous"):
        BitAlu(rows[:, :1], 64)
    with pytest.raises(ShapeError, match="0 lanes, 64 places; use 1 or more"):
        BitAlu(rows, 0)
    with pytest.raises(ShapeError, match="64 lanes, 0 places"):
        BitAlu(rows, 64, capacity=0)
    with pytest.raises(ShapeError, match=r"BIT-ALU: expected \(bits, words\) uint64, got int64"):
        BitAlu(rows.astype(np.int64), 64)  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match="limit -1; use 0 or more"):
        BitAlu(rows, 64).run(-1)
