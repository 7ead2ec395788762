"""Running learned programs over long words, millions of tokens a second on one thread."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from bem_kernel.errors import LearningError
from bem_kernel.learning.template import Learned, Table

MAX_WIDTH = 64
_GROUP = 16  # words per table

_Words = NDArray[np.uint64]


@dataclass(frozen=True, eq=False)
class Reading:
    """What a program said.

    Attributes:
        verdicts: (read,) bool, after each token that was read.
        state: where it stopped; `read` takes it to go on.
        trapped: the next token would have carried a bit out of the row, or has an address beyond
            it; the state is that before it.
    """

    verdicts: NDArray[np.bool_]
    state: _Words
    trapped: bool


@dataclass(frozen=True, eq=False)
class _Packed:
    control: _Words
    masks: _Words
    shape: NDArray[np.int64]


def read(
    program: Learned,
    tokens: NDArray[np.int32],
    state: _Words | None = None,
    width: int = MAX_WIDTH,
) -> Reading:
    """Read a word, or go on with one.

    Args:
        program: what reads.
        tokens: (n,) int32, see `Alphabet`.
        state: of an earlier reading at the same width; None: the start of a word.
        width: of the row, 1 to 64.

    Raises:
        LearningError: a token is none of the alphabet's, or the width is out of range.
    """
    from bem_kernel.learning.run_kernel import STATE_SIZE, read_tokens

    if not 1 <= width <= MAX_WIDTH:
        raise LearningError(f"width {width}", where="run.read", fix=f"use 1 to {MAX_WIDTH}")
    word = np.ascontiguousarray(tokens)
    if word.dtype != np.int32 or word.ndim != 1:
        raise LearningError(
            f"tokens are {word.dtype} of shape {word.shape}",
            where="run.read",
            fix="give (n,) int32",
        )
    _check_tokens(program, word)
    packed = _pack(program, width)
    after = np.zeros(STATE_SIZE, dtype=np.uint64) if state is None else state.copy()
    verdicts = np.zeros(len(word), dtype=np.uint8)
    writable = word if word.flags.writeable else word.copy()
    count = read_tokens(packed.control, packed.masks, packed.shape, writable, after, verdicts)
    return Reading(verdicts[:count].astype(np.bool_), after, int(count) < len(word))


def _check_tokens(program: Learned, word: NDArray[np.int32]) -> None:
    if not len(word):
        return
    alphabet = program.alphabet
    n = len(alphabet)
    unkeyed = [i for i, name in enumerate(alphabet.symbols) if name not in alphabet.keyed]
    symbols, addressed = word % n, word >= n
    bad = word < 0
    if alphabet.keyed:
        bad |= np.isin(symbols, np.array(unkeyed, dtype=np.int32)) == addressed
    else:
        bad |= addressed
    if bad.any():
        at = int(np.flatnonzero(bad)[0])
        raise LearningError(
            f"token {int(word[at])}", where=f"run.read: token {at}", fix="use Alphabet.read"
        )


@lru_cache(maxsize=64)
def _pack(program: Learned, width: int) -> _Packed:
    shape, tables = program.shape, program.tables
    masks: list[bool] = []
    for d in (0, 1):
        cell = _where(tables.cell, 2, d)
        carry = _where(tables.carry, 2, d)
        masks += _padded(cell)
        masks += _padded(_where(carry, 1, 0)) + _padded(_where(carry, 1, 1))
    masks += _padded(_where(tables.fold, 0, 0)) + _padded(_where(tables.fold, 0, 1))
    ones = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
    control = []
    for rows in tables.control:
        for row in range(1 << shape.control_inputs):
            bits = [table[row] for table in rows]
            q = sum(1 << i for i, bit in enumerate(bits[: shape.n_flags]) if bit)
            bits += [tables.output[2 * q], tables.output[2 * q + 1]]
            control.append(sum(1 << i for i, bit in enumerate(bits) if bit))
    numbers = [shape.n_symbols, shape.n_flags, shape.keyed, shape.upward, width]
    return _Packed(
        np.array(control, dtype=np.uint64),
        np.where(np.array(masks), ones, np.uint64(0)),
        np.array(numbers, dtype=np.int64),
    )


def _where(table: Table, position: int, value: int) -> Table:
    """The table with one input fixed."""
    return tuple(bit for row, bit in enumerate(table) if row >> position & 1 == value)


def _padded(table: Table) -> list[bool]:
    return [*table, *([False] * (_GROUP - len(table)))]
