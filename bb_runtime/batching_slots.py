"""Rows in slots: keys and values of each row at a fixed place, all new tokens packed in one call.

The model sees one sequence of all rows' new tokens, so that its linear layers waste nothing on
padding, whatever each row reads: one sampled token, a few that its mask forces, or a prompt. Only
attention needs to know rows apart. It is registered with transformers as one more attention
implementation; it writes each token's key and value into its row's slot, in place, and attends

    short rows  together, as a view of the slots: no key is copied
    long rows   (prompts) one by one, causally

The idea of packing is Orca's [Yu et al., OSDI 2022]; slots are contiguous, not paged as in vLLM
[Kwon et al., SOSP 2023], because a contiguous view is what a CPU's attention kernel reads fastest.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from bb_core.errors import BBError
from bb_runtime.batching import ATTENTION, Fed, last_logits

IMPLEMENTATION = "builderbrain_slots"
SHORT = 8
"""Rows with at most so many new tokens attend together."""
_FIRST_LENGTH = 256
_NOT_PACKED = {"attn_logit_softcapping", "num_kv_shared_layers", "position_bias", "alibi"}


def is_attention_only(model: Any) -> bool:
    """Whether a model's memory is attention that can be packed, as its configuration tells."""
    config = model.config.get_text_config(decoder=True)
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    return bool(
        getattr(model, "_supports_sdpa", False)
        and getattr(model, "_supports_attention_backend", False)
        and not getattr(model, "_is_stateful", False)
        and config.model_type != "dual_rail"
        and kinds <= ATTENTION
        and not any(getattr(config, name, None) for name in _NOT_PACKED)
    )


class Slots:
    """Keys and values of all rows, one pair of tensors (rows, heads, positions, width) a layer.

    They grow by doubling to the most rows and positions ever in use, and no further.
    """

    def __init__(self, max_rows: int, max_length: int) -> None:
        self._max_rows, self._max_length = max_rows, max_length
        self.layers: dict[int, tuple[Tensor, Tensor]] = {}
        self.rows, self.length = 0, 0

    def reserve(self, rows: int, length: int) -> None:
        """Make room."""
        if rows > self._max_rows or length > self._max_length:
            raise BBError(
                f"{rows} rows of {length} tokens do not fit {self._max_rows} of {self._max_length}",
                where="batch", fix="admit less",
            )  # fmt: skip
        if rows <= self.rows and length <= self.length:
            return
        if rows > self.rows:
            self.rows = min(self._max_rows, max(rows, 2 * self.rows))
        if length > self.length:
            self.length = min(self._max_length, max(length, 2 * self.length, _FIRST_LENGTH))
        for index, (keys, values) in self.layers.items():
            self.layers[index] = (self._grown(keys), self._grown(values))

    def _grown(self, old: Tensor) -> Tensor:
        new = old.new_zeros(self.rows, old.shape[1], self.length, old.shape[3])
        new[: old.shape[0], :, : old.shape[2]] = old
        return new

    def layer(self, index: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of a layer; made at its first use, after the shapes of `key`, `value`."""
        if index not in self.layers:
            # zeros, not empty: what was never written is masked, but 0 * NaN would be NaN
            made = [
                t.new_zeros(self.rows, t.shape[1], self.length, t.shape[3]) for t in (key, value)
            ]
            self.layers[index] = (made[0], made[1])
        return self.layers[index]

    def copy(self, source: int, target: int, length: int) -> None:
        """Copy the first positions of a row to another."""
        for pair in self.layers.values():
            for tensor in pair:
                tensor[target, :, :length] = tensor[source, :, :length]


@dataclass(frozen=True)
class Packing:
    """Where the tokens of one call belong; N tokens, rows 0 … R-1 in ascending order.

    Attributes:
        slots: the rows' memory.
        row: (N,) row of each token.
        position: (N,) its position within the row.
        width: most tokens of a short row; 0 where there is no short row.
        column: (N,) its number among the new tokens of its row.
        is_short: (N,) bool, whether its row is short.
        all_short: whether every row is.
        long: (row, first token, tokens, position of the first) of each long row.
        rows: R.
        length: most positions of any row, the new ones included.
        masks: masks of the short rows by window, made once for all layers.
    """

    slots: Slots
    row: Tensor
    position: Tensor
    width: int
    column: Tensor
    is_short: Tensor
    all_short: bool
    long: tuple[tuple[int, int, int, int], ...]
    rows: int
    length: int
    masks: dict[int | None, Tensor]

    def short_mask(self, window: int | None) -> Tensor:
        """(R, 1, width, length) bool, which keys each query of a short row sees."""
        if window not in self.masks:
            last = self.position.new_zeros(self.rows, self.width)
            chosen = self.is_short
            last[self.row[chosen], self.column[chosen]] = self.position[chosen]
            keys = torch.arange(self.length, device=last.device)
            seen = keys <= last[..., None]
            if window is not None:
                seen &= keys > last[..., None] - window
            self.masks[window] = seen[:, None]
        return self.masks[window]


_PASS = threading.local()


@contextmanager
def _packed(packing: Packing) -> Iterator[None]:
    _PASS.packing = packing
    try:
        yield
    finally:
        _PASS.packing = None


def slot_attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    sliding_window: int | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attention of packed rows, in the form of transformers' attention functions.

    Args:
        module: the layer; its `layer_idx` names its slots.
        query: (1, heads, N, width).
        key: (1, key heads, N, width) of the new tokens alone.
        value: as key.
        attention_mask: not read within a packed call.
        scaling: of the scores; None for one over the root of the width.
        sliding_window: how many positions a query sees, its own included; None for all.
        **kwargs: a softcap, sinks or a position bias are refused; others do not matter here.

    Returns:
        (1, N, heads, width), and None for the weights.
    """
    packing: Packing | None = getattr(_PASS, "packing", None)
    if packing is None:  # another thread calls the model for itself
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, **kwargs
        )
    for name in ("softcap", "s_aux", "position_bias"):
        if kwargs.get(name) is not None:
            raise BBError(
                f"attention with {name} cannot be packed", where=type(module).__name__,
                fix="serve this model with EngineLimits(packed=False)",
            )  # fmt: skip
    index: Any = module.layer_idx
    keys, values = packing.slots.layer(index, key, value)
    keys[packing.row, :, packing.position] = key[0].transpose(0, 1)
    values[packing.row, :, packing.position] = value[0].transpose(0, 1)
    found = query.new_empty(query.shape[2], query.shape[1], value.shape[3])  # (N, heads, width)
    if packing.width:
        _attend_short(module, packing, query, found, scaling, sliding_window)
    for row, first, count, start in packing.long:
        total = start + count
        mask = None
        if start or sliding_window is not None:
            at = torch.arange(total, device=query.device)
            own = at[start:, None]
            mask = at <= own
            if sliding_window is not None:
                mask &= at > own - sliding_window
            mask = mask[None, None]
        one, _ = sdpa_attention_forward(
            module, query[:, :, first : first + count], keys[row : row + 1, :, :total],
            values[row : row + 1, :, :total], mask, scaling=scaling,
        )  # fmt: skip
        found[first : first + count] = one[0]
    return found[None], None


def _attend_short(
    module: torch.nn.Module,
    packing: Packing,
    query: Tensor,
    found: Tensor,
    scaling: float | None,
    window: int | None,
) -> None:
    """Fill `found` (N, heads, width) for the tokens of short rows."""
    index: Any = module.layer_idx
    keys, values = packing.slots.layers[index]
    mask = packing.short_mask(window)
    tokens = query[0].transpose(0, 1)  # (N, heads, width)
    is_plain = packing.all_short and packing.width == 1
    if is_plain:
        asked = tokens[:, :, None]
    else:
        chosen = packing.is_short
        row, column = packing.row[chosen], packing.column[chosen]
        spread = tokens.new_zeros(packing.rows, packing.width, *tokens.shape[1:])
        spread[row, column] = tokens[chosen]
        asked = spread.transpose(1, 2)
    answers, _ = sdpa_attention_forward(
        module, asked, keys[: packing.rows, :, : packing.length],
        values[: packing.rows, :, : packing.length], mask, scaling=scaling,
    )  # fmt: skip
    if is_plain:
        found.copy_(answers[:, 0])
    else:
        found[chosen] = answers[row, column]


AttentionInterface.register(IMPLEMENTATION, slot_attention)
AttentionMaskInterface.register(IMPLEMENTATION, sdpa_mask)


@contextmanager
def _attending(model: Any) -> Iterator[None]:
    """Let a model attend by slots within the block."""
    config = model.config.get_text_config(decoder=True)
    before = config._attn_implementation
    config._attn_implementation = IMPLEMENTATION
    try:
        yield
    finally:
        config._attn_implementation = before


class SlotBatch:
    """A batch in slots; see `batching.Batch` and `batching.open_batch`."""

    def __init__(self, model: Any, max_rows: int, max_length: int, max_tokens: int) -> None:
        self._model, self._max_tokens = model, max_tokens
        self._slots = Slots(max_rows, max_length)
        # An empty 4-D mask keeps transformers from making one; attention does not read it.
        self._no_mask = torch.ones(1, 1, 1, 1, dtype=torch.bool, device=model.device)
        self.lengths: list[int] = []

    @property
    def size_bytes(self) -> int:
        """Memory of the slots."""
        return sum(t.nbytes for pair in self._slots.layers.values() for t in pair)

    def open(self) -> None:
        """Add an empty row as the last one."""
        self.lengths.append(0)

    def fork(self, row: int) -> None:
        """Add a copy of a row as the last one."""
        length = self.lengths[row]
        self._slots.reserve(len(self.lengths) + 1, length)
        self._slots.copy(row, len(self.lengths), length)
        self.lengths.append(length)

    def close(self, row: int) -> None:
        """Forget a row; the last row takes its number."""
        last = len(self.lengths) - 1
        if row != last:
            self._slots.copy(last, row, self.lengths[last])
            self.lengths[row] = self.lengths[last]
        self.lengths.pop()

    def feed(self, waiting: Sequence[Sequence[int]]) -> Fed:
        """Read tokens: all of short rows, of long ones as many as suit the call."""
        taken, left = [], max(0, self._max_tokens - len(waiting))
        for tokens in waiting:
            take = min(len(tokens), 1 + left)
            left -= take - 1
            taken.append(take)
        total = max(map(sum, zip(self.lengths, taken, strict=True)))
        self._slots.reserve(len(taken), total)
        packing = self._pack(taken, total)
        device = self._model.device
        ids = [
            token for tokens, take in zip(waiting, taken, strict=True) for token in tokens[:take]
        ]
        ends = torch.tensor(taken, device=device).cumsum(0) - 1
        inputs = {
            "input_ids": torch.tensor([ids], device=device),
            "position_ids": packing.position[None],
            "attention_mask": self._no_mask,
            "use_cache": False,
        }
        with _attending(self._model), _packed(packing):
            logits, _ = last_logits(self._model, inputs, ends)
        self.lengths = [length + take for length, take in zip(self.lengths, taken, strict=True)]
        return Fed(taken, logits[0])

    def _pack(self, taken: list[int], length: int) -> Packing:
        device = self._model.device
        places = [
            (row, start + k, k, take <= SHORT)
            for row, (start, take) in enumerate(zip(self.lengths, taken, strict=True))
            for k in range(take)
        ]
        row, position, column, is_short = torch.tensor(places, device=device).unbind(1)
        long, first = [], 0
        for number, take in enumerate(taken):
            if take > SHORT:
                long.append((number, first, take, self.lengths[number]))
            first += take
        return Packing(
            slots=self._slots, row=row, position=position, column=column,
            width=max((take for take in taken if take <= SHORT), default=0),
            is_short=is_short.bool(), all_short=not long, long=tuple(long),
            rows=len(taken), length=length, masks={},
        )  # fmt: skip
