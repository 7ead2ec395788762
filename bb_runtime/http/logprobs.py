"""Log-probabilities as the two endpoints tell them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from transformers import PreTrainedTokenizerBase

from bb_runtime.choose import TokenLogprob
from bb_runtime.masks import vocabulary_of

_LOWEST = -9999.0  # JSON has no minus infinity; the protocol's own word for "impossible"


def chat_logprobs(
    tokenizer: PreTrainedTokenizerBase, entries: Sequence[TokenLogprob]
) -> dict[str, Any]:
    """`logprobs` of a chat choice or chunk; `allowed` and `forced` are ours (`TokenLogprob`)."""
    told = [
        {
            **_entry(tokenizer, entry.token, entry.logprob),
            "allowed": entry.allowed,
            "forced": entry.is_forced,
            "top_logprobs": [_entry(tokenizer, *other) for other in entry.top],
        }
        for entry in entries
    ]
    return {"content": told, "refusal": None}


class LegacyLogprobs:
    """`logprobs` of a completion choice, whose chunks go on counting characters.

    Args:
        tokenizer: the model's.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        self._offset = 0

    def add(self, entries: Sequence[TokenLogprob]) -> dict[str, Any]:
        """What to tell of the next tokens."""
        tokens = [_text(self._tokenizer, entry.token) for entry in entries]
        offsets = []
        for text in tokens:
            offsets.append(self._offset)
            self._offset += len(text)
        top = [
            {_text(self._tokenizer, token): _finite(value) for token, value in entry.top}
            for entry in entries
        ]
        return {
            "tokens": tokens,
            "token_logprobs": [_finite(entry.logprob) for entry in entries],
            "top_logprobs": top,
            "text_offset": offsets,
        }


def _entry(tokenizer: PreTrainedTokenizerBase, token: int, logprob: float) -> dict[str, Any]:
    found = vocabulary_of(tokenizer).token_bytes
    data = list(found[token]) if token < len(found) else None
    return {"token": _text(tokenizer, token), "logprob": _finite(logprob), "bytes": data}


def _finite(logprob: float) -> float:
    return logprob if math.isfinite(logprob) else _LOWEST


def _text(tokenizer: PreTrainedTokenizerBase, token: int) -> str:
    return str(tokenizer.decode([token]))
