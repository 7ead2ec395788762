"""Every operation of the BIT-ALU against Python's integers, one bit per lane."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bem_kernel.lanes import words_for
from bem_kernel.memory.bit_alu import BitAlu, BitOp, Command

ROWS = 4
COMMANDS = st.builds(
    Command,
    st.sampled_from(BitOp),
    target=st.integers(0, ROWS - 1),
    a=st.integers(0, ROWS - 1),
    b=st.integers(0, ROWS - 1),
    mask=st.integers(0, ROWS - 1),
    amount=st.integers(0, 300),
)


def expected(command: Command, rows: list[int], lanes: int) -> int:
    """What a command computes, on rows as integers of W bits; the count for POPCOUNT."""
    full = (1 << lanes) - 1
    a, b, mask = rows[command.a], rows[command.b], rows[command.mask]
    turn = command.amount % lanes
    table = {
        BitOp.AND: a & b,
        BitOp.OR: a | b,
        BitOp.XOR: a ^ b,
        BitOp.NOT: ~a,
        BitOp.SHL: a << command.amount,
        BitOp.SHR: a >> command.amount,
        BitOp.ROL: a << turn | a >> lanes - turn,
        BitOp.ROR: a >> turn | a << lanes - turn,
        BitOp.BLEND: (a & mask) | (b & ~mask),
        BitOp.POPCOUNT: a.bit_count(),
    }
    return table[command.op] & full if command.op is not BitOp.POPCOUNT else table[command.op]


def as_integer(row: np.ndarray) -> int:
    return int.from_bytes(row.astype("<u8").tobytes(), "little")


@settings(max_examples=150)
@given(
    st.one_of(st.integers(1, 200), st.sampled_from([64, 128])),
    st.lists(COMMANDS, min_size=1, max_size=12),
    st.integers(0, 2**32 - 1),
)
def test_a_sequence_of_commands_is_what_integers_say(
    lanes: int, commands: list[Command], seed: int
) -> None:
    words = words_for(lanes)
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, 1 << 63, (ROWS, words + 1), dtype=np.uint64)  # padding is not 0
    beyond = rows[:, words].copy()
    full = (1 << lanes) - 1
    plain = [as_integer(row[:words]) & full for row in rows]
    alu = BitAlu(rows, lanes, capacity=len(commands))
    for command in commands:
        alu.submit(command)
    values = alu.run().values.tolist()
    written = set()
    for command, value in zip(commands, values, strict=True):
        result = expected(command, plain, lanes)
        if command.op is BitOp.POPCOUNT:
            assert value == result
        else:
            assert value == 0
            plain[command.target] = result
            written.add(command.target)
    for index, row in enumerate(rows):
        number = as_integer(row[:words])
        # Rows that were written have no padding; the others keep whatever was there.
        assert (number if index in written else number & full) == plain[index]
    assert (rows[:, words] == beyond).all()


@pytest.mark.parametrize("lanes", [1, 63, 64, 65, 127, 128, 130])
@pytest.mark.parametrize("op", [BitOp.SHL, BitOp.SHR, BitOp.ROL, BitOp.ROR])
def test_every_distance_in_place(op: BitOp, lanes: int) -> None:
    rng = np.random.default_rng(lanes)
    start = rng.integers(0, 1 << 63, (1, words_for(lanes)), dtype=np.uint64)
    plain = [as_integer(start[0]) & (1 << lanes) - 1] * ROWS
    for amount in range(2 * lanes + 2):
        rows = start.copy()
        alu = BitAlu(rows, lanes)
        alu.submit(Command(op, amount=amount))
        alu.run()
        assert as_integer(rows[0]) == expected(Command(op, amount=amount), plain, lanes), amount
