"""Slot maps: from the identifiers of one class to rows of its tables, and back.

The map is total and injective on allocated identifiers and lies in SHARED memory with its inverse,
in regions that programs can read and not write. References are identifiers; slots may change, but
only in `rebalance`, which hands back the permutation by which the owners of tables move their rows.

Source: BEM core spec 1.3.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from bem_kernel.errors import IdentifierError
from bem_kernel.identifiers.ident import LOCAL_BITS, SHARD_BITS, Identifier, checked, encode
from bem_kernel.memory.memory import Memory
from bem_kernel.memory.segments import Segment

_COUNT, _CLASS = 0, 1  # cells of the region "state"
_SHARDS, _LOCALS = 1 << SHARD_BITS, 1 << LOCAL_BITS
MAX_CAPACITY = _SHARDS * _LOCALS


class SlotMap:
    """A slot map in memory, made by `SlotMap.create` and found again by its name.

    Attributes:
        name: the regions in SHARED begin with it.
        where: for messages.
        identifiers: (capacity,) uint32, the identifier in each slot, 0 in free ones: the inverse.
        buckets: (a power of two,) int32, the hash table of `slot_kernels`.

    Args:
        memory: where the map lies.
        name: as given to `create`.

    Raises:
        SegmentError: memory has no map of that name.
        IdentifierError: the map in memory is damaged.
    """

    def __init__(self, memory: Memory, name: str) -> None:
        self.name = name
        self.where = f"slot map {name}"
        self.identifiers: NDArray[np.uint32] = memory.region(Segment.SHARED, f"{name}.identifiers")
        self.buckets: NDArray[np.int32] = memory.region(Segment.SHARED, f"{name}.buckets")
        self._free: NDArray[np.int32] = memory.region(Segment.SHARED, f"{name}.free")
        self._next: NDArray[np.int32] = memory.region(Segment.SHARED, f"{name}.next")
        self._state: NDArray[np.int64] = memory.region(Segment.SHARED, f"{name}.state")
        self.check()

    @classmethod
    def create(cls, memory: Memory, name: str, class_: int, capacity: int) -> SlotMap:
        """Make an empty map.

        Args:
            memory: where.
            name: of the map, new in SHARED.
            class_: class of its identifiers, 1 to 63.
            capacity: S, number of slots, 1 to 2**20.

        Raises:
            IdentifierError: the class or the capacity is out of range.
            SegmentError: the name is taken, or SHARED is full.
        """
        where = f"slot map {name}"
        if not 0 < class_ < 64:
            raise IdentifierError(f"class {class_}", where=where, fix="use 1 to 63")
        if not 0 < capacity <= MAX_CAPACITY:
            raise IdentifierError(f"{capacity} slots", where=where, fix=f"use 1 to {MAX_CAPACITY}")
        shapes = {
            "identifiers": (np.uint32, capacity),
            "buckets": (np.int32, _bucket_count(capacity)),
            "free": (np.int32, capacity),
            "next": (np.int32, _SHARDS),
            "state": (np.int64, 2),
        }
        regions = {
            part: memory.allocate(Segment.SHARED, f"{name}.{part}", dtype, (size,), protected=True)
            for part, (dtype, size) in shapes.items()
        }
        regions["free"][:] = np.arange(capacity - 1, -1, -1)
        regions["state"][_CLASS] = class_
        return cls(memory, name)

    @property
    def capacity(self) -> int:
        """S, the number of slots."""
        return len(self.identifiers)

    @property
    def class_(self) -> int:
        """The class of all its identifiers."""
        return int(self._state[_CLASS])

    def __len__(self) -> int:
        return int(self._state[_COUNT])

    def __contains__(self, word: int) -> bool:
        return self._find(word) >= 0

    def allocate(self, word: int) -> int:
        """Give an identifier a slot.

        Args:
            word: an undamaged identifier of the map's class that has no slot yet.

        Returns:
            The slot: the one freed last, else the lowest that was never used.

        Raises:
            IdentifierError: the word is no identifier or of another class, it has a slot, or all
                slots are taken.
        """
        from bem_kernel.memory.slot_kernels import enter_slot

        fields = checked(word, self.where)
        if fields.class_ != self.class_:
            raise IdentifierError(
                f"{word:#010x} is of class {fields.class_}",
                where=self.where,
                fix=f"use class {self.class_}",
            )
        if word in self:
            raise IdentifierError(f"{word:#010x} has a slot", where=self.where, fix="free it first")
        count = len(self)
        if count == self.capacity:
            raise IdentifierError(
                f"all {count} slots are taken", where=self.where, fix="make a larger map"
            )
        slot = int(self._free[self.capacity - count - 1])
        self.identifiers[slot] = word
        enter_slot(self.identifiers, self.buckets, slot)
        self._state[_COUNT] = count + 1
        return slot

    def new(self, shard: int = 0) -> int:
        """Make a new identifier and give it a slot.

        It is never one that this method made before, so no old reference can name a new object.

        Args:
            shard: 0 to 63.

        Returns:
            The identifier.

        Raises:
            IdentifierError: no such shard, the shard has no identifiers left, or all slots are
                taken.
        """
        if not 0 <= shard < _SHARDS:
            raise IdentifierError(f"shard {shard}", where=self.where, fix="use 0 to 63")
        for local in range(int(self._next[shard]), _LOCALS):
            word = encode(Identifier(self.class_, shard, local))
            if word not in self:
                self.allocate(word)
                self._next[shard] = local + 1
                return word
        raise IdentifierError(
            f"shard {shard} has no identifiers left", where=self.where, fix="use another shard"
        )

    def free(self, word: int) -> int:
        """Take an identifier's slot away.

        Returns:
            The slot that is free now.

        Raises:
            IdentifierError: the identifier has no slot.
        """
        from bem_kernel.memory.slot_kernels import remove_slot

        slot = self.slot(word)
        remove_slot(self.identifiers, self.buckets, slot)
        self.identifiers[slot] = 0
        self._state[_COUNT] -= 1
        self._free[self.capacity - len(self) - 1] = slot
        return slot

    def slot(self, word: int) -> int:
        """The slot of an identifier.

        Raises:
            IdentifierError: it has none.
        """
        slot = self._find(word)
        if slot < 0:
            raise IdentifierError(
                f"{word:#x} has no slot", where=self.where, fix="allocate the identifier first"
            )
        return slot

    def slots(self, words: NDArray[np.uint32]) -> NDArray[np.int64]:
        """The slot of each identifier; -1 for those that have none.

        Args:
            words: (n,) uint32.
        """
        from bem_kernel.memory.slot_kernels import find_slots

        found = np.full(len(words), -1, dtype=np.int64)
        present = np.flatnonzero(words)
        slots = np.empty(len(present), dtype=np.int64)
        find_slots(self.identifiers, self.buckets, np.ascontiguousarray(words[present]), slots)
        found[present] = slots
        return found

    def _find(self, word: int) -> int:
        from bem_kernel.memory.slot_kernels import find_slot

        if not 0 < word < 1 << 32:
            return -1
        return int(find_slot(self.identifiers, self.buckets, np.uint32(word)))

    def rebalance(self, keys: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
        """Move all objects to slots 0, 1, 2 … in a new order; identifiers keep their meaning.

        Args:
            keys: (capacity,) int64, objects with smaller keys come first, such as the negative
                number of visits; ties by identifier. None: by identifier alone, which is the walk
                along their Gray codes, so that similar identifiers lie near each other.

        Returns:
            (capacity,) int64 permutation: the row of new slot i was at slot source[i]. Every table
            that is indexed by slots has to follow with `table[:] = table[source]`.

        Raises:
            IdentifierError: `keys` has another shape or type.
        """
        from bem_kernel.memory.slot_kernels import enter_all

        if keys is not None and (keys.shape != (self.capacity,) or keys.dtype != np.int64):
            raise IdentifierError(
                f"keys are {keys.dtype} of shape {keys.shape}",
                where=self.where,
                fix=f"give ({self.capacity},) int64",
            )
        free = self.identifiers == 0
        columns = (self.identifiers, free) if keys is None else (self.identifiers, keys, free)
        source: NDArray[np.int64] = np.lexsort(columns).astype(np.int64)
        self.identifiers[:] = self.identifiers[source]
        enter_all(self.identifiers, self.buckets)
        self._free[:] = np.arange(self.capacity - 1, -1, -1)
        return source

    def check(self) -> None:
        """Refuse a damaged map: total, injective and of one class is what must hold.

        Raises:
            IdentifierError: the regions in memory do not hold together.
        """
        self._check_shapes()
        taken = np.flatnonzero(self.identifiers)
        entered = np.sort(self.buckets[self.buckets != 0].astype(np.int64) - 1)
        if len(taken) != len(self) or not np.array_equal(entered, taken):
            raise self._damaged("the hash table does not list the slots that are taken")
        empty = np.sort(self._free[: self.capacity - len(self)])
        if not np.array_equal(empty, np.flatnonzero(self.identifiers == 0)):
            raise self._damaged("the list of free slots is wrong")
        words = self.identifiers[taken]
        if (words >> np.uint32(26) != self.class_).any():
            raise self._damaged("an identifier is of another class")
        # Finding each word at its own slot shows that no word is there twice.
        if not np.array_equal(self.slots(words), taken):
            raise self._damaged("an identifier is not found at its slot")

    def _check_shapes(self) -> None:
        expected: tuple[tuple[NDArray[Any], DTypeLike, int], ...] = (
            (self.identifiers, np.uint32, self.identifiers.size),
            (self.buckets, np.int32, _bucket_count(max(1, self.identifiers.size))),
            (self._free, np.int32, self.identifiers.size),
            (self._next, np.int32, _SHARDS),
            (self._state, np.int64, 2),
        )
        for region, dtype, size in expected:
            if region.dtype != dtype or region.shape != (size,):
                raise self._damaged(f"a region is {region.dtype} of shape {region.shape}")

    def _damaged(self, what: str) -> IdentifierError:
        return IdentifierError(what, where=self.where, fix="load another image of the memory")


def _bucket_count(capacity: int) -> int:
    """The least power of two that leaves at least half of the buckets empty."""
    return 1 << (2 * capacity - 1).bit_length()
