"""DRAT proofs as text: the literals of a clause and a 0, after `d` where it is deleted.

Source: Wetzler, Heule and Hunt 2014 (DRAT-trim).
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from bem_kernel.compiled import kernel
from bem_kernel.errors import ProofError
from bem_kernel.logic.proof import Proof

_DONE, _NO_LITERAL, _UNFINISHED = 0, 1, 2
_SHOWN = 40
_SPACE, _MINUS, _ZERO, _NINE = ord(" "), ord("-"), ord("0"), ord("9")
_COMMENT, _DELETE, _NEWLINE = ord("c"), ord("d"), ord("\n")
_MAX_LITERAL = (1 << 31) - 1


@kernel("int64(uint8[::1], int64)")
def _after_number(data, position):  # type: ignore[no-untyped-def]
    """Where the literal at a position ends, or -1 if there is none of 31 bits followed by space."""
    negative = data[position] == _MINUS
    start = position + np.int64(negative)
    position = start
    value = np.int64(0)
    while position < data.shape[0] and _ZERO <= data[position] <= _NINE:
        if value <= _MAX_LITERAL:
            value = 10 * value + np.int64(data[position]) - _ZERO
        position += 1
    ended = position == data.shape[0] or data[position] <= _SPACE
    plain = position > start and (data[start] != _ZERO or (position == start + 1 and not negative))
    return position if plain and ended and value <= _MAX_LITERAL else -1


@kernel("int64(uint8[::1], int32[::1], int32[::1], boolean[::1], int64[::1])")
def _scan(data, offsets, literals, deletes, at):  # type: ignore[no-untyped-def]
    """Read all steps; _DONE or a fault. `at` gets position, steps and literals so far."""
    position, steps, count = np.int64(0), np.int64(0), np.int64(0)
    inside, fault = False, _DONE
    while position < data.shape[0]:
        byte = data[position]
        if byte <= _SPACE:
            position += 1
            continue
        at[0] = position
        if not inside and byte == _COMMENT:
            while position < data.shape[0] and data[position] != _NEWLINE:
                position += 1
            continue
        if not inside:
            inside = True
            deletes[steps] = byte == _DELETE
            if byte == _DELETE:
                position += 1
                continue
        end = _after_number(data, position)
        if end < 0:
            fault = _NO_LITERAL
            break
        value = np.int64(0)
        for k in range(position + np.int64(byte == _MINUS), end):
            value = 10 * value + np.int64(data[k]) - _ZERO
        position = end
        if value:
            literals[count] = -value if byte == _MINUS else value
            count += 1
        else:
            steps += 1
            offsets[steps] = count
            inside = False
    at[1] = steps
    at[2] = count
    return _UNFINISHED if inside and fault == _DONE else fault


def parse_drat(lines: Iterable[str], where: str = "proof") -> Proof:
    """Read a textual proof; a `c` where a step could begin makes the rest of its line a comment.

    Args:
        lines: pieces of text without their line ends, such as `1 -2 0` or `d 1 -2 0`.
        where: what the lines are, for messages.

    Raises:
        ProofError: a word is no literal of 32 bits, or the last step is not ended; the message
            names line and column, counted from 1.
    """
    return parse_drat_bytes("\n".join(lines).encode(), where)


def parse_drat_bytes(data: bytes, where: str = "proof") -> Proof:
    """Read the contents of a textual file; otherwise as `parse_drat`."""
    # A step takes a digit and a space at least, and so does a literal.
    room = len(data) // 2 + 2
    offsets = np.zeros(room, dtype=np.int32)
    literals = np.empty(room, dtype=np.int32)
    deletes = np.empty(room, dtype=np.bool_)
    at = np.zeros(3, dtype=np.int64)
    fault = _scan(np.frombuffer(bytearray(data), dtype=np.uint8), offsets, literals, deletes, at)
    if fault != _DONE:
        position = int(at[0])
        line = data.count(b"\n", 0, position) + 1
        column = position - data.rfind(b"\n", 0, position)
        place = f"{where}: line {line}, column {column}"
        if fault == _UNFINISHED:
            raise ProofError("the last step has no end", where=place, fix="end it with 0")
        word = data[position : position + _SHOWN + 1].split(maxsplit=1)[0][:_SHOWN]
        raise ProofError(
            f"{word.decode(errors='replace')!r} is no literal",
            where=place,
            fix="write literals of 32 bits and a 0 at the end of a step, after `d` to delete",
        )
    steps = int(at[1])
    return Proof(offsets[: steps + 1].copy(), literals[: int(at[2])].copy(), deletes[:steps].copy())


def write_drat(proof: Proof) -> str:
    """The text of a proof, a step a line."""
    lines = []
    flat, ends = proof.literals.tolist(), proof.offsets.tolist()
    for index, deletes in enumerate(proof.deletes.tolist()):
        row = flat[ends[index] : ends[index + 1]]
        lines.append(" ".join([*(["d"] if deletes else []), *map(str, row), "0"]))
    return "\n".join(lines) + "\n" if lines else ""
