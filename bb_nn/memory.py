"""What the builder rail remembers between calls of a generation, in Hugging Face's cache.

Three kinds of memory, each as large as its use:

    wholes  what attention looks back at, by position: tokens, keys, values
    tails   what a recurrence needs, its last positions alone: states, lanes, cursors
    words   of the request, made anew from the tokens whenever they may have changed

A tail is `TAIL` positions long whatever the text's length, so that a crop of so many is a slice.
Between `activate_past_recording` and the next `crop`, as in assisted decoding, tails keep every
position. A crop further back drops the tails, and `DualRailForCausalLM` reads the text that is
left once more before it goes on: one pass of the base and the rail, and no memory before.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers.cache_utils import CacheLayerMixin

from bb_nn.reader import Cursor
from bb_nn.roomy import appended

TAIL = 64
"""Positions that can be taken back at no cost."""
LOOK_BACK = 3
"""Positions before the next one that a tail must still hold."""
ABSENT_ID = -2
"""What stands in for a token where a row has not begun."""


class Memory:
    """One forward pass's view of what earlier passes left; it collects what this one adds.

    Args:
        layer: where it is kept; None where nothing need outlive the pass.
    """

    def __init__(self, layer: RailCacheLayer | None = None) -> None:
        self._layer = layer

    def grow(self, name: str, new: Tensor) -> Tensor:
        """Append `new` (B, T, …) and return all positions, (B, S, …)."""
        return new if self._layer is None else self._layer.grow(name, new)

    def append(self, name: str, new: Tensor) -> None:
        """Append `new` (B, T, …), of which only the last positions will be asked for."""
        if self._layer is not None:
            self._layer.append(name, new)

    def last(self, name: str, count: int, like: Tensor) -> Tensor:
        """The last `count` positions, (B, count, …), zeros where there were none."""
        found = self._layer.tail(name, count) if self._layer is not None else None
        if found is None:
            return like.new_zeros(like.shape[0], count, *like.shape[2:])
        return front_padded(found, count)

    def final(self, name: str) -> Tensor | None:
        """The last position, (B, …), or None at the start."""
        found = self._layer.tail(name, 1) if self._layer is not None else None
        return None if found is None else found[:, -1]


class RailCacheLayer(CacheLayerMixin):
    """The builder rail's state as one more layer of a Hugging Face cache.

    Attributes:
        wholes: (B, S, …) by name.
        cursors: for each row those of the last positions, as many as the tails have.
        stale: a crop went further back than the tails: the text must be read again.
    """

    is_croppable = True
    supports_early_init = False
    is_sliding = False

    def __init__(self) -> None:
        super().__init__()
        self.wholes: dict[str, Tensor] = {}
        self.cursors: list[list[Cursor]] = []
        self.stale = False
        self.record_past = False
        self.is_initialized = True
        self._rooms: dict[str, Tensor] = {}
        self._pieces: dict[str, list[Tensor]] = {}  # a tail in parts, each (B, T, …)
        self._words: tuple[Any, int] | None = None

    # -- what a pass reads and writes --------------------------------------------------------

    def grow(self, name: str, new: Tensor) -> Tensor:
        """Append to a whole; see `Memory`."""
        if name not in self.wholes:
            self.wholes[name] = new
        elif new.requires_grad:
            self.wholes[name] = torch.cat([self.wholes[name], new], dim=1)
        else:
            old = self.wholes[name]
            room, self.wholes[name] = appended(self._rooms.get(name, old), old, new, 1)
            self._rooms[name] = room
        return self.wholes[name]

    def append(self, name: str, new: Tensor) -> None:
        """Append to a tail; see `Memory`."""
        pieces = self._pieces.setdefault(name, [])
        pieces.append(new)
        if not self.record_past:
            _shorten(pieces)

    def tail(self, name: str, count: int) -> Tensor | None:
        """Up to `count` last positions of a tail, (B, …, …), or None at the start."""
        pieces = self._pieces.get(name)
        if not pieces:
            return None
        if pieces[-1].shape[1] < count and len(pieces) > 1:
            pieces = [torch.cat(pieces[-count:], dim=1)]
        return pieces[-1][:, -count:]

    def add_positions(self, ids: Tensor, positions: Tensor | None) -> None:
        """Record the numbers of new positions, (B, T), as the base gets them; None counts."""
        if positions is None:
            start = self.get_seq_length()
            positions = torch.arange(start, start + ids.shape[1], device=ids.device)[None]
        self.grow("positions", positions.expand_as(ids).clone())

    def last_cursors(self) -> list[Cursor] | None:
        """Where each row's lane stands, or None at the start."""
        return [line[-1] for line in self.cursors] if self.cursors else None

    def add_cursors(self, lines: list[list[Cursor]]) -> None:
        """Record the cursors after each new token."""
        old = self.cursors or [[] for _ in lines]
        self.cursors = [a + b for a, b in zip(old, lines, strict=True)]
        if not self.record_past:
            self.cursors = [line[-TAIL:] for line in self.cursors]

    @property
    def words(self) -> Any:
        """`WordTensors` of the requests, once every row's plan has begun; else None."""
        return self._words[0] if self._words is not None else None

    @words.setter
    def words(self, found: Any) -> None:
        self._words = None if found is None else (found, self.get_seq_length())

    def tails(self) -> dict[str, Tensor]:
        """Every tail in one part, (B, positions, …)."""
        for pieces in self._pieces.values():
            pieces[:] = [torch.cat(pieces, dim=1)] if len(pieces) > 1 else pieces
        return {name: pieces[0] for name, pieces in self._pieces.items()}

    def put(
        self, wholes: dict[str, Tensor], tails: dict[str, Tensor], cursors: list[list[Cursor]]
    ) -> None:
        """Replace everything; the words are made anew, and the tails are fresh."""
        self._rooms.clear()
        self.wholes = wholes
        self._pieces = {name: [tail] for name, tail in tails.items()}
        self.cursors = cursors
        self._words, self.stale = None, False

    # -- the interface of Hugging Face's layers ----------------------------------------------

    def lazy_initialization(self, *_: Any) -> None:
        """Nothing to do: tensors appear with their first use."""

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> Any:
        """No attention layer of the base writes here."""
        raise AssertionError("a layer of the base rail wrote into the builder rail's cache layer")

    def get_seq_length(self) -> int:
        """Positions remembered."""
        return self.wholes["ids"].shape[1] if "ids" in self.wholes else 0

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """(length, offset) of the keys that a mask would cover."""
        return self.get_seq_length() + query_length, 0

    def get_max_length(self) -> int:
        """No limit."""
        return -1

    get_max_cache_shape = get_max_length

    def reset(self) -> None:
        """Forget everything."""
        self.put({}, {}, [])

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Row i becomes what row `beam_idx[i]` was."""
        if not self.wholes:
            return

        def rows(tensor: Tensor) -> Tensor:
            return tensor.index_select(0, beam_idx.to(tensor.device))

        words, stale = self._words, self.stale
        cursors = [self.cursors[i] for i in beam_idx.tolist()] if self.cursors else []
        wholes = {name: rows(whole) for name, whole in self.wholes.items()}
        self.put(wholes, {name: rows(tail) for name, tail in self.tails().items()}, cursors)
        self.stale = stale
        if words is not None:
            parts = (rows(part) for part in vars(words[0]).values())
            self._words = type(words[0])(*parts), words[1]

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep the rows `indices`: numbers, or a mask."""
        self.reorder_cache(indices.nonzero()[:, 0] if indices.dtype == torch.bool else indices)

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Repeat each row `repeats` times."""
        if self.wholes:
            rows = len(self.wholes["ids"])
            self.reorder_cache(torch.arange(rows).repeat_interleave(repeats))

    def crop(self, max_length: int) -> None:
        """Forget the last `-max_length` positions; a positive number is what to keep instead.

        Zero forgets nothing: assisted decoding crops by the number of refused tokens.
        """
        have = self.get_seq_length()
        length = min(max_length, have) if max_length > 0 else have + max_length
        if length <= 0:
            self.reset()
            return
        spare = have - length
        if spare:
            self._crop_tails(spare, length)
            self.wholes = {name: whole[:, :length] for name, whole in self.wholes.items()}
            if self._words is not None and self._words[1] > length:
                self._words = None
        for pieces in self._pieces.values():
            _shorten(pieces)
        self.cursors = [line[-TAIL:] for line in self.cursors]

    def _crop_tails(self, spare: int, length: int) -> None:
        tails = self.tails()
        kept = min((tail.shape[1] for tail in tails.values()), default=0)
        kept = min([kept, *(len(line) for line in self.cursors)]) - spare
        if self.stale or kept < min(LOOK_BACK, length):
            self.stale, self._pieces, self.cursors = True, {}, []
            return
        self._pieces = {name: [tail[:, :-spare]] for name, tail in tails.items()}
        self.cursors = [line[:-spare] for line in self.cursors]

    def activate_past_recording(self) -> None:
        """Keep every position of the tails until the next crop."""
        self.record_past = True

    def offload(self) -> None:
        """Stays where it is: the state is small."""

    prefetch = offload

    # -- rows that come and go ---------------------------------------------------------------

    def join(self, other: RailCacheLayer) -> None:
        """Add the rows of another layer below; what is shorter is padded in front."""
        if self.stale or other.stale:
            raise AssertionError("a cropped cache was joined before it was read again")
        width = max(self.get_seq_length(), other.get_seq_length())
        wholes = {
            name: torch.cat([
                front_padded(side.wholes[name], width, ABSENT_ID if name == "ids" else 0)
                for side in (self, other)
            ])
            for name in self.wholes
        }  # fmt: skip
        sides = [(side, side.tails(), len(side.cursors[0])) for side in (self, other)]
        # A tail that begins with its text can be padded; one that was cut cannot.
        cut = [long for side, _, long in sides if long < side.get_seq_length()]
        count = min(cut, default=max(long for _, _, long in sides))
        tails = {
            name: torch.cat([front_padded(tails[name][:, -count:], count) for _, tails, _ in sides])
            for name in sides[0][1]
        }
        lines = [line[-count:] for line in (*self.cursors, *other.cursors)]
        self.put(wholes, tails, [[Cursor()] * (count - len(line)) + line for line in lines])

    def forget_first(self, count: int) -> None:
        """Drop positions that every row has as padding."""
        length = self.get_seq_length() - count
        wholes = {name: whole[:, count:].contiguous() for name, whole in self.wholes.items()}
        tails = {name: tail[:, -length:] for name, tail in self.tails().items()}
        self.put(wholes, tails, [line[-length:] for line in self.cursors])


def front_padded(tensor: Tensor, length: int, fill: int = 0) -> Tensor:
    """(B, S, …) as (B, length, …), filled in front."""
    missing = length - tensor.shape[1]
    if not missing:
        return tensor
    return F.pad(tensor, (*(0, 0) * (tensor.ndim - 2), missing, 0), value=fill)


def _shorten(pieces: list[Tensor]) -> None:
    """Keep `TAIL` positions, and whole pieces where that costs no copy."""
    total = _positions(pieces)
    while total - pieces[0].shape[1] >= TAIL:
        total -= pieces.pop(0).shape[1]
    if pieces[0].shape[1] > TAIL:
        pieces[0] = pieces[0][:, -TAIL:].clone()


def _positions(pieces: Iterable[Tensor]) -> int:
    return sum(piece.shape[1] for piece in pieces)
