"""Which tokens spell the beginning of a step: a trie of heads, with a mask for each place in it.

A head (`bb_domains.heads`) is a text that the plan state decides. Where several may follow, the
tokens allowed are the beginnings of what is left of each; the masks are kept by what is left, since
many states share it. A token that runs past a head into the tool's own grammar is asked of that.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from bb_domains.heads import Choice, Head

if TYPE_CHECKING:
    from bb_runtime.plan_mask import PlanLanguage

Rest = tuple[bytes, Head]
"""What is left of a head."""


class TokenTexts:
    """The bytes of a vocabulary's tokens, to be found by what they begin with.

    Args:
        texts: bytes per token id; special tokens have none.
    """

    def __init__(self, texts: Sequence[bytes]) -> None:
        order = sorted((text, token) for token, text in enumerate(texts) if text)
        self._texts = [text for text, _ in order]
        self._ids = [token for _, token in order]
        self._exact: dict[bytes, list[int]] = {}
        self._longest = [0] * 256
        for text, token in order:
            self._exact.setdefault(text, []).append(token)
            self._longest[text[0]] = max(self._longest[text[0]], len(text))

    def cut(self, text: bytes) -> bytes:
        """As much of a text as its first token might spell."""
        return text[: self._longest[text[0]]]

    def exactly(self, text: bytes) -> Sequence[int]:
        """Tokens with this text."""
        return self._exact.get(text, ())

    def starting(self, text: bytes) -> list[int]:
        """Tokens whose text begins like this, or is this."""
        if len(text) > self._longest[text[0]]:
            return []
        found = bisect_left(self._texts, text)
        end = found
        while end < len(self._texts) and self._texts[end].startswith(text):
            end += 1
        return self._ids[found:end]


class Node:
    """A place before the end of one or more heads.

    Attributes:
        rests: what is left of each head.
    """

    __slots__ = ("_after", "_forced", "_words", "rests")

    def __init__(self, rests: tuple[Rest, ...]) -> None:
        self.rests = rests
        self._after: dict[bytes, Node | Head | None] = {}
        self._words: np.ndarray | None = None
        self._forced: tuple[int, ...] | None = None

    def after(self, text: bytes) -> Node | Head | None:
        """The place after a token, or the head that it completes; None where no head goes so."""
        if text not in self._after:
            self._after[text] = self._find(text)
        return self._after[text]

    def _find(self, text: bytes) -> Node | Head | None:
        size = len(text)
        for rest, head in self.rests:
            if rest == text or (not head.is_whole and text.startswith(rest)):
                return head
        left = tuple((rest[size:], head) for rest, head in self.rests if rest.startswith(text))
        return Node(left) if left else None

    def words(self, language: PlanLanguage) -> np.ndarray:
        """(n_words,) int32, the mask of the next token; not to be written to."""
        if self._words is None:
            self._words = language.head_words(self.rests)
        return self._words

    def forced(self, language: PlanLanguage) -> tuple[int, ...]:
        """Tokens that every head goes on with, up to the first that might be written otherwise."""
        if self._forced is None:
            self._forced = self._find_forced(language)
        return self._forced

    def _find_forced(self, language: PlanLanguage) -> tuple[int, ...]:
        text = self._shared()
        if not text:
            return ()
        tokens = language.ll_tokenizer.tokenize_bytes(text)
        place = self.after(text)
        if isinstance(place, Head) and place.is_whole:
            return tuple(tokens)
        following = [rest for rest, _ in place.rests] if isinstance(place, Node) else []
        kept, suffix = len(tokens), b""
        for at in reversed(range(len(tokens))):
            suffix = language.plain_bytes[tokens[at]] + suffix
            for longer in language.texts.starting(suffix):
                more = language.plain_bytes[longer][len(suffix) :]
                if more and (not following or any(_fits(more, rest) for rest in following)):
                    kept = at
                    break
        return tuple(tokens[:kept])

    def _texts(self) -> list[bytes]:
        return [rest for rest, _ in self.rests]

    def _shared(self) -> bytes:
        """What all heads go on with."""
        low, high = min(self._texts()), max(self._texts())
        pairs = enumerate(zip(low, high, strict=False))
        return low[: next((i for i, (a, b) in pairs if a != b), len(low))]


def _fits(text: bytes, rest: bytes) -> bool:
    return rest.startswith(text) or text.startswith(rest)


def root_of(choice: Choice) -> Node:
    """The place where all heads begin."""
    return Node(tuple((head.text, head) for head in choice.heads))


def spelling(texts: TokenTexts, beginnings: Iterable[bytes]) -> set[int]:
    """Tokens that are the beginning of one of these texts, each no longer than `texts.cut`."""
    found: set[int] = set()
    for text in beginnings:
        for size in range(1, len(text) + 1):
            found.update(texts.exactly(text[:size]))
    return found
