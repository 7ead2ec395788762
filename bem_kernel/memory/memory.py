"""The machine's memory: seven segments of 64-bit words, and a directory of named regions in them.

All segments lie in one array of words, each a run of it, so that a kernel needs three arrays to
reach any address (`MemoryArrays`). A region is a typed view into its segment; two regions never
overlap and regions are never freed, so a view stays good as long as the memory.

Programs reach regions by address only, within the rights of the segment; a protected region is
read-only to them. The machine's own code uses the views.

Source: BEM core spec 1.1, 2.1, 2.2.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from bem_kernel.errors import SegmentError
from bem_kernel.lanes import Planes, Word, words_for
from bem_kernel.memory.configuration import MAX_SIZE, MachineConfig
from bem_kernel.memory.faults import FAULT_BOUNDS, FAULT_RIGHTS, FAULT_SEGMENT, fault_text
from bem_kernel.memory.segments import (
    INDEX_MASK,
    PROGRAM_RIGHTS,
    SEGMENT_SHIFT,
    Rights,
    Segment,
    address_of,
)

LINE_WORDS = 8
"""Words in a cache line of 64 bytes: the alignment of regions and the grain of rights."""

_WIDE = 64  # words per plane from which rows are padded
_NAME = re.compile("[A-Za-z][A-Za-z0-9._-]{0,63}")
_DIMENSIONS = 8


class MemoryArrays(NamedTuple):
    """What kernels need to reach memory by address; see `memory.access`.

    Attributes:
        words: (all words,) uint64.
        spans: (7, 2) int64, base and allocated words of each segment.
        rights: (all words / 8,) uint8, rights of each line of 8 words.
    """

    words: NDArray[np.uint64]
    spans: NDArray[np.int64]
    rights: NDArray[np.uint8]


@dataclass(frozen=True)
class Region:
    """An entry of the directory.

    Attributes:
        segment: where it lies.
        name: unique in its segment.
        dtype: integers, in numpy's short form without byte order, such as "u8".
        shape: of the view.
        first_word: index of its first word in the segment, a multiple of 8.
        protected: programs may only read it.
    """

    segment: Segment
    name: str
    dtype: str
    shape: tuple[int, ...]
    first_word: int
    protected: bool

    @property
    def size_bytes(self) -> int:
        """Bytes of the view."""
        return prod(self.shape) * np.dtype(self.dtype).itemsize

    @property
    def n_words(self) -> int:
        """Words it takes up, whole lines."""
        return _whole_lines(-(-self.size_bytes // 8))


class Memory:
    """The memory of one machine, zero at first.

    It begins with three regions: STATE "planes" (N, pitch), SHARED "m" (K/64,) at word 0 and
    SHARED "theta" (P,).

    Args:
        config: the sizes.

    Raises:
        SegmentError: the computer has not that much memory.
    """

    def __init__(self, config: MachineConfig) -> None:
        self.config = config
        self.pitch = row_pitch(words_for(config.lanes))
        sizes = _segment_words(config, self.pitch)
        self._capacity = dict(zip(Segment, sizes, strict=True))
        self._words = _aligned_zeros(sum(sizes))
        self._spans = np.zeros((len(Segment), 2), dtype=np.int64)
        self._spans[:, 0] = np.cumsum([0, *sizes[:-1]])
        self._rights = np.zeros(sum(sizes) // LINE_WORDS, dtype=np.uint8)
        self._directory: dict[tuple[Segment, str], Region] = {}
        n_planes = config.n_bits
        self.plane_rows: Planes = self.allocate(
            Segment.STATE, "planes", np.uint64, (n_planes, self.pitch)
        )
        self.shared_bits: Word = self.allocate(
            Segment.SHARED, "m", np.uint64, (config.n_shared_bits // 64,)
        )
        self.theta: NDArray[np.int64] = self.allocate(
            Segment.SHARED, "theta", np.int64, (config.n_parameters,)
        )

    @property
    def planes(self) -> Planes:
        """(N, words) uint64 view of the state planes; bit j of word w is lane 64*w + j.

        Rows lie `pitch` words apart. Kernels that want whole, contiguous rows take `plane_rows`,
        (N, pitch), and the number of words; the columns past `words` are padding.
        """
        return self.plane_rows[:, : words_for(self.config.lanes)]

    @property
    def arrays(self) -> MemoryArrays:
        """The arrays that kernels use; changes to memory and directory show in them."""
        return MemoryArrays(self._words, self._spans, self._rights)

    def allocate(
        self,
        segment: Segment,
        name: str,
        dtype: DTypeLike,
        shape: tuple[int, ...],
        *,
        protected: bool = False,
    ) -> NDArray[Any]:
        """Make a region of zeros.

        Args:
            segment: where.
            name: unique in the segment; up to 64 letters, digits, dots, dashes, underscores.
            dtype: an integer type. Not bool: any bits may be stored, and a bool is 0 or 1.
            shape: of the array; sizes of 0 are allowed.
            protected: programs may only read it, whatever the segment allows.

        Returns:
            A view of `dtype` and `shape` into the segment, C-contiguous, 64-byte aligned.

        Raises:
            SegmentError: the name is taken or unfit, the type holds no integers, a size is
                negative, or the segment has no room.
        """
        where = f"memory.allocate {segment.name}.{name}"
        _check_name(name, where)
        if (segment, name) in self._directory:
            raise SegmentError("the name is taken", where=where, fix="choose another name")
        region = Region(
            segment,
            name,
            _integer_type(dtype, where),
            _checked_shape(shape, where),
            int(self._spans[segment, 1]),
            protected,
        )
        free = self.free_words(segment)
        if region.n_words > free:
            raise SegmentError(
                f"needs {region.n_words} words, {free} are free",
                where=where,
                fix=f"use a machine configuration with a larger {segment.name}",
            )
        self._enter(region)
        return self.region(segment, name)

    def _enter(self, region: Region) -> None:
        base = int(self._spans[region.segment, 0]) + region.first_word
        allowed = Rights.READ if region.protected else PROGRAM_RIGHTS[region.segment]
        words = self._words[base : base + region.n_words]
        if words.any():  # reading first leaves untouched pages to the operating system
            words.fill(0)
        first, count = base // LINE_WORDS, region.n_words // LINE_WORDS
        self._rights[first : first + count] = int(allowed)
        self._spans[region.segment, 1] += region.n_words
        self._directory[region.segment, region.name] = region

    def region(self, segment: Segment, name: str) -> NDArray[Any]:
        """The view that `allocate` returned.

        Raises:
            SegmentError: there is no such region.
        """
        entry = self.entry(segment, name)
        base = int(self._spans[segment, 0]) + entry.first_word
        octets = self._words[base : base + entry.n_words].view(np.uint8)
        return octets[: entry.size_bytes].view(entry.dtype).reshape(entry.shape)

    def entry(self, segment: Segment, name: str) -> Region:
        """The directory's entry of a region.

        Raises:
            SegmentError: there is no such region.
        """
        found = self._directory.get((segment, name))
        if found is None:
            names = [entry.name for entry in self.directory() if entry.segment == segment]
            raise SegmentError(
                "there is no such region",
                where=f"memory {segment.name}.{name}",
                fix=f"use one of {', '.join(names)}" if names else "allocate it first",
            )
        return found

    def has(self, segment: Segment, name: str) -> bool:
        """Whether the directory has a region."""
        return (segment, name) in self._directory

    def directory(self) -> tuple[Region, ...]:
        """All regions, in order of allocation."""
        return tuple(self._directory.values())

    def address(self, segment: Segment, name: str) -> int:
        """The program address of a region's first word.

        Raises:
            SegmentError: there is no such region.
        """
        return address_of(segment, self.entry(segment, name).first_word)

    def words(self, segment: Segment) -> Word:
        """All words of a segment, (capacity,) uint64, allocated or not."""
        base = int(self._spans[segment, 0])
        return self._words[base : base + self._capacity[segment]]

    def used_words(self, segment: Segment) -> int:
        """Words of a segment that belong to regions; they come first in it."""
        return int(self._spans[segment, 1])

    def free_words(self, segment: Segment) -> int:
        """Words of a segment that no region has."""
        return self._capacity[segment] - self.used_words(segment)

    def load(self, address: int) -> int:
        """The word at a program address, 0 to 2**64 - 1.

        Raises:
            SegmentError: the address is not allocated or may not be read.
        """
        return int(self._words[self._locate(address, Rights.READ, "memory.load")])

    def store(self, address: int, value: int) -> None:
        """Set the word at a program address to `value` modulo 2**64.

        Raises:
            SegmentError: the address is not allocated or may not be written.
        """
        place = self._locate(address, Rights.WRITE, "memory.store")
        self._words[place] = np.uint64(value & (1 << 64) - 1)

    def _locate(self, address: int, needed: Rights, where: str) -> int:
        """Index of an address among all words; the plain twin of `access.locate`."""
        segment, index = address >> SEGMENT_SHIFT, address & INDEX_MASK
        if not 0 <= segment < len(Segment):
            raise _fault(FAULT_SEGMENT, address, where)
        base, used = (int(number) for number in self._spans[segment])
        if index >= used:
            raise _fault(FAULT_BOUNDS, address, where)
        if int(self._rights[(base + index) // LINE_WORDS]) & needed != needed:
            raise _fault(FAULT_RIGHTS, address, where)
        return base + index


def _fault(fault: int, address: int, where: str) -> SegmentError:
    return SegmentError(fault_text(fault, address), where=where, fix="use a region's own addresses")


def row_pitch(words: int) -> int:
    """Words from one plane to the next, for planes of `words` words.

    Wide planes are padded to an odd number of cache lines: rows a power of two apart would share
    few cache sets, which costs a factor of two.
    """
    if words < _WIDE:
        return words
    return (-(-words // LINE_WORDS) | 1) * LINE_WORDS


def memory_bytes(config: MachineConfig) -> int:
    """Bytes of all segments of a machine."""
    return 8 * sum(_segment_words(config, row_pitch(words_for(config.lanes))))


def _segment_words(config: MachineConfig, pitch: int) -> list[int]:
    own = _whole_lines(config.n_shared_bits // 64) + _whole_lines(config.n_parameters)
    sizes = [
        config.n_bits * pitch,
        own + config.shared_words,
        config.expert_words,
        config.code_words,
        config.trace_words,
        config.proof_words,
        config.teach_words,
    ]
    return [_whole_lines(size) for size in sizes]


def _whole_lines(words: int) -> int:
    return -(-words // LINE_WORDS) * LINE_WORDS


def _aligned_zeros(n_words: int) -> Word:
    """(n_words,) uint64 of zeros whose first byte is at a multiple of 64."""
    try:
        raw = np.zeros(n_words + LINE_WORDS, dtype=np.uint64)
    except (MemoryError, OverflowError, ValueError) as error:
        raise SegmentError(
            f"cannot have {8 * n_words} bytes", where="memory", fix="use smaller sizes"
        ) from error
    skip = -raw.ctypes.data % (8 * LINE_WORDS) // 8
    return raw[skip : skip + n_words]


def _check_name(name: str, where: str) -> None:
    if _NAME.fullmatch(name) is None:
        raise SegmentError(
            f"{name!r} is no name",
            where=where,
            fix="use 1 to 64 letters, digits, dots, dashes and underscores, a letter first",
        )


def _integer_type(dtype: DTypeLike, where: str) -> str:
    """The short form of an integer type, such as "i8"; always this computer's byte order."""
    try:
        kind = np.dtype(dtype)
    except TypeError as error:
        raise SegmentError(f"{dtype!r} is no type", where=where, fix="use np.uint64") from error
    if kind.kind not in "iu" or kind.fields is not None or not kind.isnative:
        raise SegmentError(
            f"{kind} holds no integers of this machine", where=where, fix="use np.int64 or the like"
        )
    return f"{kind.kind}{kind.itemsize}"


def _checked_shape(shape: tuple[int, ...], where: str) -> tuple[int, ...]:
    sizes = tuple(int(size) for size in shape)
    if any(size < 0 for size in sizes) or len(sizes) > _DIMENSIONS:
        raise SegmentError(
            f"shape {sizes}", where=where, fix=f"use up to {_DIMENSIONS} sizes of 0 or more"
        )
    if prod(size for size in sizes if size) > MAX_SIZE:
        raise SegmentError(f"shape {sizes}", where=where, fix="use smaller sizes")
    return sizes
