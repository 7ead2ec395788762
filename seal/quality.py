"""Quality filters: which candidate edits are kept, each refusal with its reason.

The order is form, length, characters, repetition, duplicate, within, source: the cheap and certain
ones first, the two that compute ROUGE-L last.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields

from bb_core.errors import UsageError
from seal.rouge import is_unspaced, rouge_l, words


@dataclass(frozen=True)
class QualityLimits:
    """Bounds of the filters.

    Attributes:
        min_words, max_words: length of an edit, in words (see `seal.rouge.words`).
        min_letter_share: share of letters, marks and digits among the visible characters.
        max_repeated_share: share of an edit's 2-, 3- or 4-word sequences that repeat others.
        max_within: ROUGE-L F-measure with an edit already kept for the passage.
        min_source: ROUGE-L precision against the passage; below it the edit is off the subject.
        max_source: the same from above; beyond it the edit is a copy.
        min_shared: words in common with the passage that say something, see `content_words`.

    Raises:
        UsageError: a bound out of range, or a lowest bound above its highest.
    """

    min_words: int = 4
    max_words: int = 120
    min_letter_share: float = 0.7
    max_repeated_share: float = 0.3
    max_within: float = 0.7
    min_source: float = 0.1
    max_source: float = 0.95
    min_shared: int = 1

    def __post_init__(self) -> None:
        shares = [f.name for f in fields(self) if isinstance(f.default, float)]
        for name in shares:
            if not 0.0 <= getattr(self, name) <= 1.0:
                _refuse_limit(f"{name} is {getattr(self, name)}", "choose a share from 0 to 1")
        if not 1 <= self.min_words <= self.max_words:
            _refuse_limit(
                f"min_words is {self.min_words} and max_words {self.max_words}",
                "choose 1 <= min_words <= max_words",
            )
        if self.min_shared < 0:
            _refuse_limit(f"min_shared is {self.min_shared}", "choose 0 or more")
        if self.min_source > self.max_source:
            _refuse_limit(
                f"min_source {self.min_source} is above max_source {self.max_source}",
                "choose min_source <= max_source",
            )


@dataclass(frozen=True)
class Verdict:
    """What the filters say of one candidate.

    Attributes:
        refused_by: name of the filter that refused it, or "" if it is kept.
        reason: why, in words; "" if it is kept.
        scores: what was measured up to the decision, rounded to six digits.
    """

    refused_by: str
    reason: str
    scores: dict[str, float]

    @property
    def is_kept(self) -> bool:
        """Whether no filter refused it."""
        return not self.refused_by


@dataclass
class SeenEdits:
    """Hashes of the edits kept so far in a corpus, 16 bytes each; exact up to case and spacing."""

    digests: set[bytes] = field(default_factory=set)

    def add(self, text: str) -> None:
        """Remember an edit."""
        self.digests.add(_digest(text))

    def __contains__(self, text: str) -> bool:
        return _digest(text) in self.digests


@dataclass
class PassageJudge:
    """Judges the candidates of one passage, remembering which were kept."""

    passage_words: list[str]
    seen: SeenEdits
    limits: QualityLimits
    kept_words: list[list[str]] = field(default_factory=list)

    def judge(self, text: str) -> Verdict:
        """Run the filters in order; a kept candidate joins those later ones are compared with."""
        candidate = _Candidate(text, words(text), self)
        scores: dict[str, float] = {}
        for name, test in FILTERS.items():
            reason = test(candidate, scores)
            if reason:
                return Verdict(name, reason, scores)
        self.kept_words.append(candidate.words)
        self.seen.add(text)
        return Verdict("", "", scores)


@dataclass(frozen=True)
class _Candidate:
    text: str
    words: list[str]
    judge: PassageJudge

    @property
    def limits(self) -> QualityLimits:
        return self.judge.limits


def _check_form(candidate: _Candidate, scores: dict[str, float]) -> str:
    """An introduction such as "Here are five statements:" is no statement."""
    return "ends in a colon" if candidate.text.endswith((":", "：")) else ""


def _check_length(candidate: _Candidate, scores: dict[str, float]) -> str:
    count = len(candidate.words)
    scores["words"] = count
    if count < candidate.limits.min_words:
        return f"{count} words, fewer than {candidate.limits.min_words}"
    if count > candidate.limits.max_words:
        return f"{count} words, more than {candidate.limits.max_words}"
    return ""


def _check_characters(candidate: _Candidate, scores: dict[str, float]) -> str:
    categories = [unicodedata.category(char) for char in candidate.text]
    if "\ufffd" in candidate.text:
        return "holds U+FFFD: bytes that are no text"
    if any(category in {"Cc", "Cs", "Co", "Cn"} for category in categories):
        return "holds control, private or unassigned characters"
    visible = [category for category in categories if category[0] != "Z"]
    share = sum(category[0] in "LMN" for category in visible) / max(1, len(visible))
    scores["letter_share"] = round(share, 6)
    if share < candidate.limits.min_letter_share:
        return f"{share:.2f} letters, less than {candidate.limits.min_letter_share}"
    return ""


def _check_repetition(candidate: _Candidate, scores: dict[str, float]) -> str:
    """Share of repeated word sequences, after the rules of Gopher (Rae et al. 2021, A1.1)."""
    share = max(_repeated_share(candidate.words, n) for n in (2, 3, 4))
    scores["repeated_share"] = round(share, 6)
    if share > candidate.limits.max_repeated_share:
        return f"{share:.2f} repeated, more than {candidate.limits.max_repeated_share}"
    return ""


def _check_duplicate(candidate: _Candidate, scores: dict[str, float]) -> str:
    return "equal to an edit already kept" if candidate.text in candidate.judge.seen else ""


def _check_within(candidate: _Candidate, scores: dict[str, float]) -> str:
    kept = candidate.judge.kept_words
    nearest = max((rouge_l(other, candidate.words).fmeasure for other in kept), default=0.0)
    scores["rouge_l_within"] = round(nearest, 6)
    if nearest > candidate.limits.max_within:
        return f"ROUGE-L {nearest:.2f} with an edit kept for the passage"
    return ""


def _check_source(candidate: _Candidate, scores: dict[str, float]) -> str:
    # Precision: the passage is longer than the edit, so an F-measure would call no copy a copy.
    overlap = rouge_l(candidate.judge.passage_words, candidate.words).precision
    scores["rouge_l_source"] = round(overlap, 6)
    if overlap > candidate.limits.max_source:
        return f"ROUGE-L precision {overlap:.2f}: copied from the passage"
    if overlap < candidate.limits.min_source:
        return f"ROUGE-L precision {overlap:.2f}: not about the passage"
    # Short words alone ("the", "by") give garbage an overlap above that bound.
    shared = content_words(candidate.words) & content_words(candidate.judge.passage_words)
    scores["shared_words"] = len(shared)
    if len(shared) < candidate.limits.min_shared:
        return f"{len(shared)} content words of the passage: not about it"
    return ""


# Order matters: the first filter that refuses decides, and later ones are not run.
FILTERS: dict[str, Callable[[_Candidate, dict[str, float]], str]] = {
    "form": _check_form,
    "length": _check_length,
    "characters": _check_characters,
    "repetition": _check_repetition,
    "duplicate": _check_duplicate,
    "within": _check_within,
    "source": _check_source,
}


def content_words(text_words: Iterable[str]) -> set[str]:
    """Words that say what a text is about, cut to four letters so that inflections agree.

    Words of fewer letters are left out, except the signs of scripts written without spaces.
    """
    return {word[:4] for word in text_words if len(word) >= 4 or is_unspaced(word)}


def _repeated_share(sequence: list[str], n: int) -> float:
    grams = [tuple(sequence[i : i + n]) for i in range(len(sequence) - n + 1)]
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def _digest(text: str) -> bytes:
    normal = " ".join(unicodedata.normalize("NFKC", text).casefold().split()).rstrip(".!?。！？ ")
    return hashlib.sha256(normal.encode("utf-8")).digest()[:16]


def _refuse_limit(what: str, fix: str) -> None:
    raise UsageError(what, where="quality limits", fix=fix)
