"""Decoding plans with as few calls of the model as their masks allow.

Where a mask leaves one token, the model is not asked: the token waits and is read together with the
next one that was chosen. In a batch the rows read as many tokens at a time as the shortest queue
holds, so that no padding ever stands inside a row: a rail that looks at neighbouring tokens sees
the same as if they had come one by one. A row that has ended leaves the batch.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel

from bb_runtime.errors import MaskError
from bb_runtime.masks import apply_masks, only_token
from bb_runtime.plan_mask import PlanLanguage
from bb_runtime.plan_row import PlanRow


@dataclass
class Written:
    """What one row has written.

    Attributes:
        tokens: all tokens, the end of sequence included.
        chosen: how many of them the model was asked for.
    """

    tokens: list[int] = field(default_factory=list)
    chosen: int = 0


class _Queue:
    """One row: its constraint, what it has written, and what the model has not read yet."""

    def __init__(self, language: PlanLanguage) -> None:
        self.row: PlanRow = language.start()
        self.words = np.zeros(language.n_words, dtype=np.int32)
        self.written = Written()
        self.unread: list[int] = []
        self.take_forced()

    def take(self, token: int) -> None:
        """Write a token.

        Raises:
            MaskError: its mask forbids it.
        """
        if not self.row.consume(token):
            raise MaskError(f"token {token} was not allowed", where="masks", fix="report this")
        self.written.tokens.append(token)
        self.unread.append(token)

    def take_forced(self) -> None:
        """Write all tokens to which there is no alternative; leave the mask of the next."""
        row = self.row
        while not row.finished:
            for token in row.forced():
                self.take(token)
            row.fill(self.words)
            only = only_token(self.words)
            if only is None:
                return
            self.take(only)


@torch.no_grad()
def decode_rows(
    model: PreTrainedModel,
    language: PlanLanguage,
    ids: torch.Tensor,
    attention: torch.Tensor,
    temperature: float,
) -> list[Written]:
    """Write one plan per prompt.

    Args:
        model: any causal LM of transformers, or a dual rail.
        language: whose plans.
        ids: (rows, longest) int64, prompts padded on the left.
        attention: (rows, longest) int64, 0 for padding.
        temperature: 0 for greedy decoding, else of plain sampling from the global generator.

    Returns:
        What each row has written, in order.
    """
    queues = [_Queue(language) for _ in range(len(ids))]
    written = [queue.written for queue in queues]
    new_cache = getattr(model, "new_cache", None)
    cache = new_cache() if new_cache is not None else None
    unread = ids
    while not all(queue.row.finished for queue in queues):
        block, attention = _with_next(queues, unread, attention)
        scores, cache = _read(model, block, attention, cache)
        asked = [i for i, queue in enumerate(queues) if not queue.unread]
        if asked:
            _choose(queues, asked, scores, temperature)
        going = [i for i, queue in enumerate(queues) if not queue.row.finished]
        if len(going) < len(queues):
            queues = [queues[i] for i in going]
            kept = torch.tensor(going, dtype=torch.int64, device=ids.device)
            attention = attention[kept]
            cache.reorder_cache(kept)
        unread = ids[: len(queues), :0]
    return written


def _with_next(
    queues: list[_Queue], ids: torch.Tensor, attention: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens to read and the mask over all so far, grown by what every row has waiting."""
    width = min(len(queue.unread) for queue in queues)
    rows = [_chunk(queue, width) for queue in queues]
    block = torch.tensor(rows, device=ids.device, dtype=ids.dtype).reshape(len(rows), width)
    present = torch.ones_like(block)
    return torch.cat([ids, block], dim=1), torch.cat([attention, present], dim=1)


def _chunk(queue: _Queue, width: int) -> list[int]:
    """The next tokens of a row."""
    chunk, queue.unread = queue.unread[:width], queue.unread[width:]
    return chunk


def _read(
    model: PreTrainedModel, ids: torch.Tensor, attention: torch.Tensor, cache: Any
) -> tuple[torch.Tensor, Any]:
    """Have the model read tokens: (rows, vocabulary) logits after the last, and the cache."""
    positions = (attention.cumsum(dim=1) - 1).clamp(min=0)[:, -ids.shape[1] :]
    output = model(
        input_ids=ids,
        attention_mask=attention,
        position_ids=positions,
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
    )
    return output.logits[:, -1].float(), output.past_key_values


def _choose(
    queues: list[_Queue], asked: list[int], scores: torch.Tensor, temperature: float
) -> None:
    """One token for each row that has read all it has written."""
    words = np.stack([queues[i].words for i in asked])
    masked = apply_masks(scores[asked], words)
    if temperature > 0:
        chances = torch.softmax(masked / temperature, dim=-1)
        tokens = torch.multinomial(chances, 1)[:, 0].tolist()
    else:
        tokens = masked.argmax(dim=-1).tolist()
    for i, token in zip(asked, tokens, strict=True):
        queue = queues[i]
        queue.take(token)
        queue.written.chosen += 1
        queue.take_forced()
