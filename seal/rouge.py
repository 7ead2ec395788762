"""ROUGE-L between word sequences, by the bit-parallel longest common subsequence.

`rouge-score` gets the same numbers from a quadratic table in Python; it is the tests' oracle.
Two differences, both on purpose: there is no stemming, and words are Unicode (rouge-score keeps
`[a-z0-9]` only, so that a text in any other script has no words at all).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

# Thai, Lao, Burmese, Khmer, Kana and Han are written without spaces: each sign counts as a word.
_UNSPACED = (
    r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
)
_SIGN = re.compile(rf"[{_UNSPACED}]")
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W_{_UNSPACED}]+")


@dataclass(frozen=True)
class RougeL:
    """ROUGE-L of a candidate against a reference; every field lies in [0, 1]."""

    precision: float
    recall: float
    fmeasure: float


def words(text: str) -> list[str]:
    """Split a text into lower-case words.

    A word is a run of letters and digits, or one sign of a script that is written without spaces.
    """
    return _WORD.findall(unicodedata.normalize("NFKC", text).lower())


def is_unspaced(word: str) -> bool:
    """Whether a word is a sign of a script that is written without spaces."""
    return _SIGN.match(word) is not None


def lcs_length(a: Sequence[str], b: Sequence[str]) -> int:
    """Length of the longest common subsequence, one word operation per element of the longer side.

    Bit i of `row` is 0 when the LCS grows at position i of the shorter sequence.

    Source: Hyyrö, "Bit-parallel LCS-length computation revisited", 2004.
    """
    short, long = (a, b) if len(a) <= len(b) else (b, a)
    where: dict[str, int] = {}
    for index, word in enumerate(short):
        where[word] = where.get(word, 0) | (1 << index)
    full = (1 << len(short)) - 1
    row = full
    for word in long:
        hits = row & where.get(word, 0)
        if hits:
            row = ((row + hits) | (row - hits)) & full
    return len(short) - row.bit_count()


def rouge_l(reference: Sequence[str], candidate: Sequence[str]) -> RougeL:
    """ROUGE-L of `candidate` against `reference`, both as words; all zero when either is empty.

    Source: Lin, "ROUGE: A Package for Automatic Evaluation of Summaries", 2004, section 3.
    """
    if not reference or not candidate:
        return RougeL(0.0, 0.0, 0.0)
    common = lcs_length(reference, candidate)
    precision, recall = common / len(candidate), common / len(reference)
    total = precision + recall
    return RougeL(precision, recall, 2 * precision * recall / total if total else 0.0)
