"""A batch of texts that grow together: rows join and leave between two calls of the model.

What a model remembers of a text decides how its rows share a call. A model whose memory is
attention alone keeps one slot per row and reads all new tokens packed (`slots`); anything else,
the dual rail among them, keeps Hugging Face's cache with rows padded on the left (`padded`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

ATTENTION = frozenset({"full_attention", "sliding_attention"})
"""Kinds of layers, as configurations of transformers name them, that remember by position."""


@dataclass(frozen=True)
class Fed:
    """What one call of the model read.

    Attributes:
        taken: tokens read of each row.
        logits: (rows, vocabulary) float32 after each row's last token read.
    """

    taken: list[int]
    logits: Tensor


class Batch(Protocol):
    """Rows that share calls of one model. Rows are numbered from 0 without gaps."""

    @property
    def lengths(self) -> list[int]:
        """Tokens read so far, by row."""
        ...

    def open(self) -> None:
        """Add an empty row as the last one."""
        ...

    def fork(self, row: int) -> None:
        """Add a copy of a row as the last one."""
        ...

    def close(self, row: int) -> None:
        """Forget a row; the last row takes its number."""
        ...

    def feed(self, waiting: Sequence[Sequence[int]]) -> Fed:
        """Read tokens: at least one of every row, as many of each as suit the call.

        Args:
            waiting: by row, the tokens to read next, at least one.
        """
        ...


def open_batch(
    model: Any, max_rows: int, max_length: int, max_tokens: int, packed: bool = True
) -> Batch:
    """An empty batch of the kind that suits a model.

    Args:
        model: any causal LM of Hugging Face's, or the dual rail.
        max_rows: most rows at a time.
        max_length: most tokens of a row.
        max_tokens: about how many tokens one call may read; a long prompt is read in parts.
        packed: whether a model of attention alone may be packed.

    Raises:
        BBError: the model keeps a state that rows cannot share.
    """
    from bb_runtime.batching_padded import PaddedBatch
    from bb_runtime.batching_slots import SlotBatch, is_attention_only

    if packed and is_attention_only(model):
        return SlotBatch(model, max_rows, max_length, max_tokens)
    return PaddedBatch(model)


def last_logits(model: Any, inputs: dict[str, Any], keep: Tensor | int) -> tuple[Tensor, Any]:
    """Call a model without gradients; float32 logits at the kept positions, and its cache."""
    with torch.no_grad():
        output = model(**inputs, logits_to_keep=keep)
    return output.logits.float(), output.past_key_values
