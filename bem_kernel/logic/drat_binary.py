"""DRAT proofs in bytes: `a` or `d`, the literals, and 0 for each step.

A literal is the number 2 * v for v and 2 * v + 1 for its negation, seven bits a byte, the lowest
first; all bytes of a number but its last have the top bit set.

Source: Wetzler, Heule and Hunt 2014 (DRAT-trim), binary DRAT.
"""

from __future__ import annotations

import numpy as np

from bem_kernel.compiled import kernel
from bem_kernel.errors import ProofError
from bem_kernel.logic.proof import Proof

_ADD, _DELETE = ord("a"), ord("d")
_DONE, _NO_STEP, _NO_LITERAL, _UNFINISHED = 0, 1, 2, 3
_FAULTS = {
    _NO_STEP: ("byte {byte} begins no step", "begin each with `a` or `d`"),
    _NO_LITERAL: ("a literal has more than 32 bits, or is a negated 0", "renumber variables"),
    _UNFINISHED: ("the last step has no end", "end it with a byte 0, or fetch the whole file"),
}
_MAX_NUMBER = (1 << 32) - 1  # the literal -(2**31 - 1)


@kernel("int64(uint8[::1], int32[::1], int32[::1], boolean[::1], int64[::1])")
def _decode(data, offsets, literals, deletes, at):  # type: ignore[no-untyped-def]
    """Read all steps; _DONE or a fault. `at` gets position, steps and literals so far."""
    position, steps, count = np.int64(0), np.int64(0), np.int64(0)
    fault = _DONE
    while position < data.shape[0] and fault == _DONE:
        at[0] = position
        if data[position] != _ADD and data[position] != _DELETE:
            fault = _NO_STEP
            break
        deletes[steps] = data[position] == _DELETE
        position += 1
        fault = _UNFINISHED
        while position < data.shape[0] and fault == _UNFINISHED:
            at[0] = position
            number, shift, more = np.int64(0), np.int64(0), True
            while more and shift < 35 and position < data.shape[0]:
                number |= (np.int64(data[position]) & 127) << shift
                more = data[position] > 127
                shift += 7
                position += 1
            if more:
                fault = _UNFINISHED if shift < 35 else _NO_LITERAL
                break
            if number == 1 or number > _MAX_NUMBER:
                fault = _NO_LITERAL
            elif number == 0:
                fault = _DONE
            else:
                literals[count] = -(number >> 1) if number & 1 else number >> 1
                count += 1
        if fault == _DONE:
            steps += 1
            offsets[steps] = count
    at[1] = steps
    at[2] = count
    return fault


@kernel("int64(int32[::1], int32[::1], boolean[::1], uint8[::1])")
def _encode(offsets, literals, deletes, data):  # type: ignore[no-untyped-def]
    """Write all steps; the number of bytes."""
    used = np.int64(0)
    for step in range(deletes.shape[0]):
        data[used] = _DELETE if deletes[step] else _ADD
        used += 1
        for k in range(offsets[step], offsets[step + 1]):
            signed = np.int64(literals[k])
            number = 2 * abs(signed) + np.int64(signed < 0)
            while number > 127:
                data[used] = np.uint8(128 | (number & 127))
                used += 1
                number >>= 7
            data[used] = np.uint8(number)
            used += 1
        data[used] = 0
        used += 1
    return used


def decode_drat(data: bytes, where: str = "proof") -> Proof:
    """Read a binary proof.

    Args:
        data: the whole file.
        where: what the bytes are, for messages.

    Raises:
        ProofError: a byte begins no step, a literal does not fit in 32 bits, or the last step is
            not ended; the message names the byte, counted from 0.
    """
    offsets = np.zeros(len(data) // 2 + 2, dtype=np.int32)
    literals = np.empty(len(data), dtype=np.int32)
    deletes = np.empty(len(data) // 2 + 1, dtype=np.bool_)
    at = np.zeros(3, dtype=np.int64)
    fault = _decode(np.frombuffer(bytearray(data), dtype=np.uint8), offsets, literals, deletes, at)
    if fault != _DONE:
        place = int(at[0])
        what, fix = _FAULTS[fault]
        raise ProofError(what.format(byte=data[place]), where=f"{where}: byte {place}", fix=fix)
    steps = int(at[1])
    return Proof(offsets[: steps + 1].copy(), literals[: int(at[2])].copy(), deletes[:steps].copy())


def encode_drat(proof: Proof) -> bytes:
    """The bytes of a proof."""
    data = np.empty(2 * len(proof) + 5 * len(proof.literals), dtype=np.uint8)
    used = _encode(proof.offsets, proof.literals, proof.deletes, data)
    return data[:used].tobytes()
