"""Text of a growing list of tokens, handed out as soon as it can no longer change.

Two things hold text back: bytes that are not yet a character, and an ending that may become a stop
string. What was handed out is never taken back, and all parts together are the whole text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from transformers import PreTrainedTokenizerBase

_REPLACEMENT = "�"


class StreamText:
    """The text of one answer.

    Args:
        tokenizer: decodes.
        stop: strings that end the text; the first to be complete wins, and is not part of it.

    Attributes:
        text: what was handed out so far.
        is_stopped: whether a stop string was met.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, stop: Sequence[str] = ()) -> None:
        self._tokenizer: Any = tokenizer
        self._stop = tuple(stop)
        self._tokens: list[int] = []
        self._first, self._known = 0, 0  # tokens decoded again each time; of these, handed on
        self._held = ""
        self.text = ""
        self.is_stopped = False

    def add(self, tokens: Sequence[int], is_last: bool = False) -> str:
        """Text that has become certain with these tokens.

        A decoder may look back at the token before (for a space, for half a character), so the
        last piece that was complete is decoded together with what is new.

        Args:
            tokens: the next ones.
            is_last: none will follow.
        """
        if self.is_stopped:
            return ""
        self._tokens += tokens
        before = self._decode(self._first, self._known)
        now = self._decode(self._first, len(self._tokens))
        if now.endswith(_REPLACEMENT) and not is_last:
            return ""
        self._first, self._known = self._known, len(self._tokens)
        return self._hand_out(now[len(before) :], is_last)

    def _decode(self, first: int, last: int) -> str:
        return str(
            self._tokenizer.decode(
                self._tokens[first:last], skip_special_tokens=True,
                clean_up_tokenization_spaces=False,
            )
        )  # fmt: skip

    def _hand_out(self, new: str, is_last: bool) -> str:
        if not self._stop:
            self.text += new
            return new
        text = self._held + new
        met = [(at, word) for word in self._stop if (at := text.find(word)) >= 0]
        if met:
            # The stop string that is complete first; of those, the one that begins first.
            at, _ = min(met, key=lambda found: (found[0] + len(found[1]), found[0]))
            self.is_stopped, self._held, certain = True, "", text[:at]
        else:
            keep = 0 if is_last else max(map(len, (_overlap(text, word) for word in self._stop)))
            certain, self._held = text[: len(text) - keep], text[len(text) - keep :]
        self.text += certain
        return certain


def _overlap(text: str, word: str) -> str:
    """The longest ending of a text that begins a word and is not all of it."""
    for size in range(min(len(text), len(word) - 1), 0, -1):
        if text.endswith(word[:size]):
            return word[:size]
    return ""
