"""Philox4x32-10 against the known answers that the authors publish with Random123."""

from __future__ import annotations

import numpy as np
import pytest

from bem_kernel.policy.counter import philox, stream_ticket, ticket

# counter words, key words, result words: Random123's kat_vectors, philox4x32 with 10 rounds
VECTORS = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000",
     "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff",
     "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0",
     "d16cfe09 94fdcceb 5001e420 24126ea1"),
]  # fmt: skip


def pairs(words: str) -> list[np.uint64]:
    """Words by two, the first in the low half."""
    numbers = [int(word, 16) for word in words.split()]
    return [np.uint64(a | b << 32) for a, b in zip(numbers[::2], numbers[1::2], strict=True)]


@pytest.mark.parametrize(("counter", "key", "result"), VECTORS)
def test_known_answers(counter: str, key: str, result: str) -> None:
    assert list(philox(*pairs(counter), *pairs(key))) == [int(x) for x in pairs(result)]


def test_a_ticket_is_the_first_half_of_the_block_of_its_counter() -> None:
    key, counter, stream = (np.uint64(x) for x in (0x299F31D0A4093822, 77, 2**63 + 5))
    assert ticket(key, counter) == philox(counter, np.uint64(0), key)[0]
    assert stream_ticket(key, np.uint64(0), counter) == ticket(key, counter)
    assert stream_ticket(key, stream, counter) == philox(counter, stream, key)[0]
    assert len({int(ticket(key, np.uint64(c))) for c in range(1000)}) == 1000
