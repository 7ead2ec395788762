"""Rows padded on the left: Hugging Face's cache for models whose memory is more than attention.

All rows end at the same position. A new row is read by itself and then joined: what is shorter is
padded on the left, where the attention mask hides it. Every call reads the same number of tokens
of each row, so a row with forced tokens waits for none and takes none from the others.

The dual rail's own cache layer joins and trims its rows itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import DynamicCache

from bb_core.errors import BBError
from bb_nn.memory import RailCacheLayer
from bb_nn.rail import DualRailForCausalLM
from bb_nn.roomy import RoomyLayer
from bb_runtime.batching import ATTENTION, Fed, last_logits


class PaddedBatch:
    """A batch in a cache of transformers; see `batching.Batch`.

    Raises:
        BBError: the model's cache has layers that cannot be joined.
    """

    def __init__(self, model: Any) -> None:
        config = model.config.get_text_config(decoder=True)
        kinds = set(getattr(config, "layer_types", None) or ())
        if getattr(model, "_is_stateful", False) or not kinds <= ATTENTION:
            raise BBError(
                "the memory of this model cannot be shared by rows",
                where=type(model).__name__, fix="serve a model with attention layers only",
            )  # fmt: skip
        self._model, self._n_layers = model, int(config.num_hidden_layers)
        self._cache: Any = None
        self._read: list[int] = []  # tokens of each row in the cache, all rows but the new ones
        self.lengths: list[int] = []

    def _new_cache(self) -> Any:
        # Every layer keeps everything, whatever its window: windows are kept by the masks.
        cache = DynamicCache()
        cache.layers = [RoomyLayer() for _ in range(self._n_layers)]
        if isinstance(self._model, DualRailForCausalLM):
            cache.layers.append(RailCacheLayer())
        return cache

    def open(self) -> None:
        """Add an empty row as the last one."""
        self.lengths.append(0)

    def fork(self, row: int) -> None:
        """Add a copy of a row as the last one."""
        if len(self._read) != len(self.lengths):
            raise BBError("a row was forked before all were read", where="batch", fix="feed first")
        self._select([*range(len(self.lengths)), row])
        self.lengths.append(self.lengths[row])
        self._read = list(self.lengths)

    def close(self, row: int) -> None:
        """Forget a row; the last row takes its number."""
        order = list(range(len(self.lengths)))
        order[row] = order[-1]
        order.pop()
        joined = [i for i in order if i < len(self._read)]
        if joined != order[: len(joined)] and any(i >= len(self._read) for i in order):
            raise BBError("a row was closed before all were read", where="batch", fix="feed first")
        if len(joined) < len(self._read):
            self._select(joined)
        self.lengths = [self.lengths[i] for i in order]
        self._read = [self._read[i] for i in joined]
        self._trim()

    def feed(self, waiting: Sequence[Sequence[int]]) -> Fed:
        """Read the prompts of new rows whole, and of the others what the shortest has."""
        old = len(self._read)
        taken = [min(map(len, waiting[:old]), default=0)] * old + [len(w) for w in waiting[old:]]
        parts = []
        if old:
            width = taken[0]
            logits, self._cache = self._call(
                [list(w[:width]) for w in waiting[:old]], self._cache, self._read
            )
            parts.append(logits)
        if old < len(waiting):
            fresh = [list(tokens) for tokens in waiting[old:]]
            logits, cache = self._call(fresh, self._new_cache(), [0] * len(fresh))
            parts.append(logits)
            self._cache = cache if self._cache is None else _joined(self._cache, cache)
        self.lengths = [n + take for n, take in zip(self.lengths, taken, strict=True)]
        self._read = list(self.lengths)
        self._trim()
        return Fed(taken, torch.cat(parts))

    def _call(
        self, tokens: list[list[int]], cache: Any, lengths: Sequence[int]
    ) -> tuple[Tensor, Any]:
        """Read rows padded on the left; (rows, vocabulary) logits and the cache."""
        device, width = self._model.device, max(map(len, tokens))
        before = max(lengths)
        totals = [n + len(row) for n, row in zip(lengths, tokens, strict=True)]
        present = torch.zeros(len(tokens), before + width, dtype=torch.int64, device=device)
        for row, total in enumerate(totals):
            present[row, before + width - total :] = 1
        ids = [[0] * (width - len(row)) + row for row in tokens]
        inputs = {
            "input_ids": torch.tensor(ids, device=device),
            "attention_mask": present,
            "position_ids": (present.cumsum(1) - 1).clamp(min=0)[:, before:],
            "past_key_values": cache,
            "use_cache": True,
        }
        logits, cache = last_logits(self._model, inputs, 1)
        return logits[:, -1], cache

    def _select(self, rows: list[int]) -> None:
        if not rows:
            self._cache = None
            return
        index = torch.tensor(rows, device=self._model.device)
        for layer in self._cache.layers:
            layer.batch_select_indices(index)

    def _trim(self) -> None:
        """Drop positions that every row has as padding."""
        if self._cache is None or not self._read:
            return
        spare = self._cache.layers[0].get_seq_length() - max(self._read)
        if spare <= 0:
            return
        for layer in self._cache.layers:
            if isinstance(layer, RailCacheLayer):
                layer.forget_first(spare)
            else:
                layer.keys = layer.keys[:, :, spare:].contiguous()
                layer.values = layer.values[:, :, spare:].contiguous()


def _joined(one: Any, two: Any) -> Any:
    """The first cache with the rows of the second after its own."""
    width = max(one.layers[0].get_seq_length(), two.layers[0].get_seq_length())
    for a, b in zip(one.layers, two.layers, strict=True):
        if isinstance(a, RailCacheLayer):
            a.join(b)
            continue
        a.keys = _stacked(a.keys, b.keys, 2, width)
        a.values = _stacked(a.values, b.values, 2, width)
    return one


def _stacked(a: Tensor, b: Tensor, axis: int, width: int) -> Tensor:
    """Both along the first axis, padded in front along `axis` to `width`."""
    behind = (0, 0) * (a.ndim - axis - 1)
    return torch.cat([F.pad(t, (*behind, width - t.shape[axis], 0)) for t in (a, b)])
