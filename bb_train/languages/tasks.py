"""Parity, Dyck-1, majority, mod-k and key-value retrieval as labelled strings.

A string has a verdict after each of its characters: that on what was read so far. Verdicts are
stated here in numpy, in other words than the kernel's references, which the learners never see.

Source: BEM suite 3.1 to 3.3.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bb_core.errors import UsageError

Bits = NDArray[np.bool_]

KEYS = "abcdefgh"


@dataclass(frozen=True)
class Labelled:
    """A string and what holds after each character.

    Attributes:
        text: its characters.
        verdicts: (characters,) bool.
        scored: (characters,) bool, which verdicts are asked for in a test; all are shown in
            training.
    """

    text: str
    verdicts: Bits
    scored: Bits


@dataclass(frozen=True)
class Task:
    """A language.

    Attributes:
        name: as the kernel's references are called.
        draw: a string of some length.
        verdicts: of a string.
        scored: characters whose verdicts are asked for; empty for all.
    """

    name: str
    draw: Callable[[np.random.Generator, int], str]
    verdicts: Callable[[str], Bits]
    scored: str = ""

    def label(self, text: str) -> Labelled:
        """The string with its verdicts."""
        scored = np.array([not self.scored or char in self.scored for char in text], np.bool_)
        return Labelled(text, self.verdicts(text), scored)

    def strings(self, count: int, shortest: int, longest: int, seed: int) -> list[Labelled]:
        """Strings whose lengths are drawn evenly."""
        rng = np.random.default_rng(seed)
        lengths = rng.integers(shortest, longest + 1, count)
        return [self.label(self.draw(rng, int(length))) for length in lengths]


def task_named(name: str) -> Task:
    """One of `NAMES`, or `mod-k` for any k from 2.

    Raises:
        UsageError: there is no such task.
    """
    plain = {
        "parity": Task("parity", _bits, lambda text: _ones(text) % 2 == 1),
        "majority": Task("majority", _bits, _majority),
        "dyck-final": Task("dyck-final", _brackets, _balanced),
        "key-value": Task("key-value", _keys_and_bits, _held, scored=KEYS),
    }
    if name in plain:
        return plain[name]
    head, _, number = name.partition("-")
    if head == "mod" and number.isascii() and number.isdigit() and int(number) >= 2:
        modulus = int(number)
        return Task(name, _bits, lambda text: _ones(text) % modulus == 0)
    raise UsageError(f"no task {name!r}", where="task", fix=f"use {', '.join(NAMES)}")


NAMES = ("parity", "dyck-final", "majority", "key-value", "mod-3", "mod-5")


def _bits(rng: np.random.Generator, length: int) -> str:
    return "".join("01"[bit] for bit in rng.integers(0, 2, length))


def _ones(text: str) -> NDArray[np.int64]:
    """How many ones there are up to each character."""
    found: NDArray[np.int64] = np.cumsum(_equal(text, "1"), dtype=np.int64)
    return found


def _equal(text: str, char: str) -> Bits:
    found: Bits = np.frombuffer(text.encode("ascii"), np.uint8) == ord(char)
    return found


def _majority(text: str) -> Bits:
    """At least half are ones."""
    found: Bits = 2 * _ones(text) >= np.arange(1, len(text) + 1)
    return found


def _brackets(rng: np.random.Generator, length: int) -> str:
    """A walk that turns round at the ground, as it is, or with one bracket turned; or anything.

    Without strings of the last kind nothing says what follows a second bracket too many.
    """
    kind, coins = rng.integers(4), rng.integers(0, 2, length)
    if kind == 0:
        return "".join("()"[coin] for coin in coins)
    depth, closes = 0, np.zeros(length, np.int64)
    for at, coin in enumerate(coins):
        closes[at] = depth > 0 and coin
        depth += 1 - 2 * closes[at]
    if kind == 1 and length:
        closes[rng.integers(length)] ^= 1
    return "".join("()"[bit] for bit in closes)


def _balanced(text: str) -> Bits:
    """All that is open is closed, and nothing was closed that was not open."""
    depth = np.cumsum(1 - 2 * _equal(text, ")").astype(np.int64))
    found: Bits = (depth == 0) & (np.minimum.accumulate(depth) >= 0)
    return found


def _keys_and_bits(rng: np.random.Generator, length: int) -> str:
    """Keys and bits in any order, two keys to a bit: most keys are asked about, or hold already."""
    return "".join(
        KEYS[rng.integers(len(KEYS))] if rng.integers(3) else "01"[rng.integers(2)]
        for _ in range(length)
    )


def _held(text: str) -> Bits:
    """The bit that the last key named holds: the last one given to it, 0 if none was."""
    holds: dict[str, bool] = {}
    last, found = "", np.zeros(len(text), np.bool_)
    for at, char in enumerate(text):
        if char in KEYS:
            last = char
        elif last:
            holds[last] = char == "1"
        found[at] = holds.get(last, False)
    return found
