"""The words of a request, as the plan would write them: what the builder rail may copy.

A causal model meets the first piece of `ada.brun@example.com` before it can know that this is an
address, and the pieces it met (` ada`, with the space) are not the pieces it must write (`ada`,
after a quote). Once the request is complete both are settled. So when the plan begins, the
request is cut into words, each word is tokenised as it stands inside a plan, and every piece
becomes an entry that the rail's copy attention can point at.

Numbers are written as JSON writes them (`86.70` becomes `86.7`); runs of capitalised words are
entries of their own besides their single words.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bb_nn.reader import PLAN_MARKER, literal_key

KINDS = ("other", "address", "integer", "decimal", "capital", "lower", "phrase")
N_SHAPES = 2 * len(KINDS)  # kind by kind: inside a word, first of a word
_WORD = re.compile(rb"[^\s(){}\[\],;:!?\"'$#]+")
_PHRASE = re.compile(rb"[A-Z][a-z]+(?: [A-Z][a-z]+)+")
_START = b"### Request\n"

Encode = Callable[[str], list[int]]


@dataclass(frozen=True)
class Entries:
    """What may be copied in each row; rows are padded with `valid` false. All (B, N).

    Attributes:
        ids: token of the entry.
        prefix: `literal_key` of the word's bytes before the entry.
        first, last: position of the word's first and last token in the sequence.
        shape: kind of the word, and whether the entry is its first token.
        valid: whether there is an entry.
    """

    ids: NDArray[np.int64]
    prefix: NDArray[np.int64]
    first: NDArray[np.int64]
    last: NDArray[np.int64]
    shape: NDArray[np.int64]
    valid: NDArray[np.bool_]


def kind_of(word: bytes) -> int:
    """Index into `KINDS` of a word without surrounding punctuation."""
    if b"@" in word:
        return 1
    if word.isdigit():
        return 2
    if re.fullmatch(rb"\d+\.\d+", word):
        return 3
    if word[:1].isupper():
        return 4
    return 5 if word.isalpha() else 0


def spelling(word: bytes) -> str:
    """A word as a plan would write it: decimals without trailing zeros, all else unchanged."""
    text = word.decode(errors="replace")
    if kind_of(word) == 3:
        return text.rstrip("0").rstrip(".")
    return text


def words_of(text: bytes) -> list[tuple[int, int, int, str]]:
    """(start, end, kind, spelling) of every word and phrase; offsets in bytes."""
    found = []
    for match in _WORD.finditer(text):
        core = match.group().strip(b".-/")
        if core:
            start = match.start() + match.group().index(core)
            found.append((start, start + len(core), kind_of(core), spelling(core)))
    for match in _PHRASE.finditer(text):
        found.append((match.start(), match.end(), len(KINDS) - 1, match.group().decode()))
    return found


def plan_encoder(tokenizer: Any, table: Sequence[bytes]) -> Encode:
    """How a tokenizer writes a word inside a plan, that is, right after a quote."""

    @lru_cache(maxsize=1 << 16)
    def encode(text: str) -> tuple[int, ...]:
        quoted = tokenizer('"' + text, add_special_tokens=False)["input_ids"]
        spelled = [table[i] if i < len(table) else b"" for i in quoted]
        if spelled and spelled[0].lstrip() == b'"':
            return tuple(quoted[1:])
        return tuple(tokenizer(text, add_special_tokens=False)["input_ids"])

    return lambda text: list(encode(text))


def _row_entries(
    pieces: Sequence[bytes], encode: Encode, table: Sequence[bytes]
) -> list[tuple[int, ...]]:
    """Entries of one row: (id, prefix, first, last, shape)."""
    text = b"".join(pieces)
    end = text.find(PLAN_MARKER)
    if end < 0:
        return []
    begin = len(_START) if text.startswith(_START) else 0
    holder = np.repeat(np.arange(len(pieces)), [len(p) for p in pieces])
    entries = []
    for start, stop, kind, word in words_of(text[begin:end]):
        first, last = int(holder[begin + start]), int(holder[begin + stop - 1])
        written = b""
        for k, token in enumerate(encode(word)):
            entries.append((token, literal_key(written), first, last, 2 * kind + (k == 0)))
            written += table[token]
    return entries


def entries_of(rows: Sequence[Sequence[bytes]], encode: Encode, table: Sequence[bytes]) -> Entries:
    """Entries of a batch; none for a row whose request is not complete.

    Args:
        rows: bytes of the tokens of each row, b"" for padding and special tokens.
        encode: token ids of a word inside a plan.
        table: bytes of each token id.
    """
    lists = [_row_entries(pieces, encode, table) for pieces in rows]
    width = max(1, max((len(entries) for entries in lists), default=1))
    numbers = np.zeros((len(rows), width, 5), np.int64)
    valid = np.zeros((len(rows), width), bool)
    for row, entries in enumerate(lists):
        if entries:
            numbers[row, : len(entries)] = entries
            valid[row, : len(entries)] = True
    return Entries(*np.moveaxis(numbers, 2, 0), valid=valid)
