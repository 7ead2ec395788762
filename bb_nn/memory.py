"""What the builder rail remembers between calls of a generation, in Hugging Face's cache.

All of it is kept by position, so that cropping, reordering, repeating and selecting rows are
slices, and a crop followed by other tokens leaves no trace.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import CacheLayerMixin

from bb_nn.reader import Cursor


class Memory:
    """Named tensors (B, S, …) that grow along their second axis. Empty outside generation.

    One `Memory` serves one forward pass: it reads what earlier passes left and collects what
    this one adds; `keep` is false when nothing need outlive the pass.
    """

    def __init__(self, stored: dict[str, Tensor], keep: bool) -> None:
        self._stored, self._keep = stored, keep

    def grow(self, name: str, new: Tensor) -> Tensor:
        """Append `new` and return the whole, (B, S, …)."""
        whole = torch.cat([self._stored[name], new], dim=1) if name in self._stored else new
        if self._keep:
            self._stored[name] = whole
        return whole

    def append(self, name: str, new: Tensor) -> None:
        """Append `new` without asking for the whole."""
        if self._keep:
            self.grow(name, new)

    def last(self, name: str, count: int, like: Tensor) -> Tensor:
        """The last `count` positions, (B, count, …), zeros where there were none."""
        empty = like.new_zeros(like.shape[0], count, *like.shape[2:])
        if name not in self._stored:
            return empty
        return torch.cat([empty, self._stored[name]], dim=1)[:, -count:]

    def final(self, name: str) -> Tensor | None:
        """The last position, (B, …), or None at the start."""
        return self._stored[name][:, -1] if name in self._stored else None


class RailCacheLayer(CacheLayerMixin):
    """The builder rail's state as one more layer of a Hugging Face cache."""

    is_croppable = True
    supports_early_init = False
    is_sliding = False

    def __init__(self) -> None:
        super().__init__()
        self.stored: dict[str, Tensor] = {}
        self.cursors: list[list[Cursor]] = []
        self.words: Any = None  # WordTensors of the requests, made anew after any change of rows
        self.is_initialized = True

    def memory(self) -> Memory:
        """The memory of one forward pass that stays in this cache."""
        return Memory(self.stored, keep=True)

    def last_cursors(self) -> list[Cursor] | None:
        """Where each row's lane stands, or None at the start."""
        return [line[-1] for line in self.cursors] if self.cursors else None

    def add_cursors(self, lines: list[list[Cursor]]) -> None:
        """Record the cursors after each new token."""
        old = self.cursors or [[] for _ in lines]
        self.cursors = [a + b for a, b in zip(old, lines, strict=True)]

    def lazy_initialization(self, *_: Any) -> None:
        """Nothing to do: tensors appear with their first use."""

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> Any:
        """No attention layer of the base writes here."""
        raise AssertionError("a layer of the base rail wrote into the builder rail's cache layer")

    def get_seq_length(self) -> int:
        """Positions remembered."""
        return len(self.cursors[0]) if self.cursors else 0

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """(length, offset) of the keys that a mask would cover."""
        return self.get_seq_length() + query_length, 0

    def get_max_length(self) -> int:
        """No limit."""
        return -1

    get_max_cache_shape = get_max_length

    def reset(self) -> None:
        """Forget everything."""
        self.stored.clear()
        self.cursors = []
        self.words = None

    def _rows(self, index: Tensor) -> None:
        self.words = None
        self.stored.update(
            {k: v.index_select(0, index.to(v.device)) for k, v in self.stored.items()}
        )
        self.cursors = [self.cursors[i] for i in index.tolist()] if self.cursors else []

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Row i becomes what row `beam_idx[i]` was."""
        self._rows(beam_idx)

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep the rows `indices`."""
        self._rows(indices)

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Repeat each row `repeats` times."""
        if self.cursors:
            self._rows(torch.arange(len(self.cursors)).repeat_interleave(repeats))

    def crop(self, max_length: int) -> None:
        """Forget the last `-max_length` positions; a positive number is what to keep instead.

        Zero forgets nothing: assisted decoding crops by the number of refused tokens.
        """
        have = self.get_seq_length()
        length = min(max_length, have) if max_length > 0 else have + max_length
        if length <= 0:
            self.reset()
        elif length < have:
            self.words = None
            self.stored.update({k: v[:, :length] for k, v in self.stored.items()})
            self.cursors = [line[:length] for line in self.cursors]

    def activate_past_recording(self, *_: Any, **__: Any) -> None:
        """The past is always recorded."""

    def offload(self) -> None:
        """Stays where it is: the state is small."""

    prefetch = offload
