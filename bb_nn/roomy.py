"""Keys and values with room to grow: a new token costs its own copy, not that of all before it.

The layer of transformers joins the old and the new tensor at every call, which for a batch of long
rows takes longer than the model itself.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

_LEAST = 64


class RoomyLayer(DynamicLayer):  # type: ignore[misc]
    """A `DynamicLayer` whose tensors are the beginnings of larger ones. Not for training."""

    def __init__(self) -> None:
        super().__init__()
        self._rooms: tuple[Tensor, Tensor] | None = None

    def update(
        self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any
    ) -> tuple[Tensor, Tensor]:
        """Append (B, H, T, D) keys and values; return all so far."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        rooms = self._rooms or (self.keys, self.values)
        key_room, self.keys = appended(rooms[0], self.keys, key_states, 2)
        value_room, self.values = appended(rooms[1], self.values, value_states, 2)
        self._rooms = key_room, value_room
        return self.keys, self.values


def appended(room: Tensor, old: Tensor, new: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """Write `new` behind `old` along an axis: the room that holds both, and its part in use.

    `old` begins `room`, or has been selected, cropped or moved since; then there is a new room.
    """
    have = old.shape[axis] if old.numel() else 0
    length = have + new.shape[axis]
    begins = old.data_ptr() == room.data_ptr() and old.stride() == room.stride()
    if not have or not begins or len(old) != len(room) or length > room.shape[axis]:
        shape = list(new.shape)
        shape[axis] = max(2 * length, _LEAST)
        room = new.new_empty(shape)
        if have:
            room.narrow(axis, 0, have).copy_(old)
    room.narrow(axis, have, new.shape[axis]).copy_(new)
    return room, room.narrow(axis, 0, length)


def roomy_cache(config: Any) -> DynamicCache:
    """A cache for a model of this configuration; layers that keep everything are roomy."""
    cache = DynamicCache(config=config)
    cache.layers = [RoomyLayer() if type(x) is DynamicLayer else x for x in cache.layers]
    return cache
