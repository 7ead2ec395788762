"""Memory images: save a memory, check it, and load it again.

Saving is all or nothing. An image carries a Merkle root over everything in it; whoever keeps the
root can tell later that nothing was changed. Checking names the first bad segment and block, and
loading refuses whatever does not hold, or mends single flipped bits where it is asked to.

Source: BEM core spec 2.1, 3.5, 11.2.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from bb_core.files import write_atomic
from bem_kernel.errors import ImageError, KernelError
from bem_kernel.ledger.merkle import HASH_BYTES, MerkleTree
from bem_kernel.memory.ecc import check_bytes, correct
from bem_kernel.memory.image_header import (
    FORMAT,
    MAGIC,
    MAX_HEADER_BYTES,
    PREFIX_BYTES,
    ImageHeader,
    SegmentSummary,
    decode_header,
    encode_header,
    image_root_of,
)
from bem_kernel.memory.integrity import BLOCK_WORDS, block_hash, blocks
from bem_kernel.memory.memory import Memory, memory_bytes
from bem_kernel.memory.segments import Segment

DEFAULT_LIMIT_BYTES = 1 << 34
"""The largest memory that `load_image` makes unless it is told otherwise."""


@dataclass(frozen=True)
class ImageCheck:
    """What `verify_image` found.

    Attributes:
        root: the image's root, hex; empty if the file has none.
        segment: the first bad segment; None if all are good, or the damage lies before them.
        block: the first bad block of 512 words in it; None if no block is to blame.
        reason: what is wrong; empty if nothing is.
    """

    root: str
    segment: Segment | None = None
    block: int | None = None
    reason: str = ""

    @property
    def ok(self) -> bool:
        """Whether the whole file is good."""
        return not self.reason


@dataclass(frozen=True)
class _Part:
    """One segment as it lies in a file."""

    summary: SegmentSummary
    words: NDArray[np.uint64]
    hashes: tuple[bytes, ...]
    checks: NDArray[np.uint8]


def save_image(memory: Memory, path: str | Path) -> str:
    """Write a memory to a file, all or nothing.

    Needs about twice as much room again as the allocated words while it writes.

    Returns:
        The root, hex, to be kept elsewhere.

    Raises:
        ImageError: there are too many regions for a header.
        BBError: the file cannot be written; what was there is untouched.
    """
    header, parts = _describe(memory)
    encoded = encode_header(header)
    if len(encoded) > MAX_HEADER_BYTES:
        raise ImageError(
            f"{len(header.regions)} regions need a header of {len(encoded)} bytes",
            where=str(path),
            fix=f"use fewer regions; a header has at most {MAX_HEADER_BYTES} bytes",
        )
    root = image_root_of(encoded)
    prefix = MAGIC + FORMAT.to_bytes(4, "little") + len(encoded).to_bytes(4, "little")
    chunks = [prefix, encoded, root]
    for part in parts:
        chunks += [part.words.astype("<u8", copy=False).tobytes(), *part.hashes]
        chunks.append(part.checks.tobytes())
    write_atomic(path, b"".join(chunks))
    return root.hex()


def image_root(memory: Memory) -> str:
    """The root that `save_image` would return, hex."""
    return image_root_of(encode_header(_describe(memory)[0])).hex()


def _describe(memory: Memory) -> tuple[ImageHeader, list[_Part]]:
    parts = []
    for segment in Segment:
        # A copy, so that a unit that writes meanwhile cannot make a file that contradicts itself.
        words = memory.words(segment)[: memory.used_words(segment)].copy()
        hashes = tuple(block_hash(block) for block in blocks(words))
        summary = SegmentSummary(segment, len(words), MerkleTree(hashes).root())
        parts.append(_Part(summary, words, hashes, check_bytes(words)))
    header = ImageHeader(memory.config, memory.directory(), tuple(part.summary for part in parts))
    return header, parts


def read_image_header(path: str | Path) -> tuple[ImageHeader, str]:
    """An image's header and its root, hex, without looking at the memory in it.

    Raises:
        ImageError: the file is no image of a known format, or its header or length is damaged.
    """
    with _open_image(path) as file:
        return _read_header(file, str(path))


def verify_image(path: str | Path, root: str | None = None) -> ImageCheck:
    """Check everything in an image.

    Args:
        path: the file.
        root: the root (hex) that it must have; None: whatever it has.

    Raises:
        ImageError: the file cannot be read.
    """
    with _open_image(path) as file:
        try:
            return _verify(file, str(path), root)
        except _DamagedError as error:
            return ImageCheck("", error.segment, error.block, error.what)
        except ImageError as error:
            return ImageCheck("", reason=error.what)


def _verify(file: BinaryIO, where: str, root: str | None) -> ImageCheck:
    header, found = _read_header(file, where)
    if root is not None and root.lower() != found:
        return ImageCheck(found, reason="the root is another one than expected")
    for part in _read_parts(file, header, where):
        block, reason = _first_fault(part)
        if reason:
            return ImageCheck(found, part.summary.segment, block, reason)
    return ImageCheck(found)


def load_image(
    path: str | Path,
    *,
    root: str | None = None,
    repair: bool = False,
    limit_bytes: int = DEFAULT_LIMIT_BYTES,
) -> Memory:
    """Make the memory that an image holds.

    Args:
        path: the file.
        root: the root (hex) that it must have; None: whatever it has.
        repair: mend words with one flipped bit, and damaged hashes or check bytes; the result has
            the image's root all the same. The file is not changed.
        limit_bytes: the largest memory to make.

    Raises:
        ImageError: the file cannot be read, is no image, is damaged beyond what may be repaired,
            has another root, or asks for more memory than the limit.
    """
    where = str(path)
    with _open_image(path) as file:
        header, found = _read_header(file, where)
        if root is not None and root.lower() != found:
            raise _refused("the root is another one than expected", where)
        if memory_bytes(header.config) > limit_bytes:
            raise ImageError(
                f"asks for {memory_bytes(header.config)} bytes of memory",
                where=where,
                fix=f"raise the limit of {limit_bytes} if you trust the file",
            )
        memory = _empty_memory(header, where)
        for part in _read_parts(file, header, where):
            _restore(memory, part, repair, where)
    return memory


def _restore(memory: Memory, part: _Part, repair: bool, where: str) -> None:
    """Copy a good or mended part into memory; refuse a bad one."""
    block, reason = _first_fault(part)
    if reason and not (repair and _repair(part)):
        fault = _DamagedError(reason, where, part.summary.segment, block)
        raise ImageError(fault.what, where=fault.where, fix=fault.fix)
    memory.words(part.summary.segment)[: part.summary.n_words] = part.words


def _first_fault(part: _Part) -> tuple[int | None, str]:
    """The first bad block of a part and what is wrong with it, "" if nothing is."""
    actual = tuple(block_hash(block) for block in blocks(part.words))
    differing = [
        i for i, pair in enumerate(zip(actual, part.hashes, strict=True)) if len(set(pair)) > 1
    ]
    if MerkleTree(actual).root() == part.summary.root:
        if differing:
            return differing[0], "the block's stored hash is damaged"
        wrong = np.flatnonzero(check_bytes(part.words) != part.checks)
        if len(wrong):
            return int(wrong[0]) // BLOCK_WORDS, "the block's check bytes are damaged"
        return None, ""
    if differing:
        return differing[0], "the block does not match its hash"
    return None, "the blocks do not lead to the segment's root"


def _repair(part: _Part) -> bool:
    """Mend a part in place; whether its words now lead to the segment's root."""
    hashes = []
    for index, block in enumerate(blocks(part.words)):
        digest = block_hash(block)
        if digest != part.hashes[index]:  # the block, the hash or both are wrong; the root decides
            first = index * BLOCK_WORDS
            block[:] = correct(block, part.checks[first : first + len(block)]).words
            digest = block_hash(block)
        hashes.append(digest)
    return MerkleTree(hashes).root() == part.summary.root


def _empty_memory(header: ImageHeader, where: str) -> Memory:
    """A memory with the header's directory."""
    try:
        memory = Memory(header.config)
        first = memory.directory()
        if header.regions[: len(first)] != first:
            raise KernelError("the first regions are not the machine's own")
        for region in header.regions[len(first) :]:
            memory.allocate(
                region.segment,
                region.name,
                region.dtype,
                region.shape,
                protected=region.protected,
            )
    except KernelError as error:
        raise _refused(f"the directory does not hold together: {error.what}", where) from error
    if memory.directory() != header.regions:
        raise _refused("the directory does not hold together: regions are elsewhere", where)
    return memory


class _DamagedError(ImageError):
    """Damage with its place."""

    def __init__(
        self, what: str, where: str, segment: Segment | None = None, block: int | None = None
    ) -> None:
        place = "" if segment is None else f": {segment.name}"
        place += "" if block is None else f" block {block}"
        super().__init__(what, where=where + place, fix="use another copy of the image")
        self.segment, self.block = segment, block


def _open_image(path: str | Path) -> BinaryIO:
    try:
        return open(path, "rb")
    except OSError as error:
        raise ImageError(
            f"cannot be read: {error.strerror}", where=str(path), fix="name an image"
        ) from error


def _read_header(file: BinaryIO, where: str) -> tuple[ImageHeader, str]:
    """The header and the root, hex; the file's length has been checked against it."""
    prefix = file.read(PREFIX_BYTES)
    if prefix[: len(MAGIC)] != MAGIC:
        raise _DamagedError("not a memory image", where)
    version = int.from_bytes(prefix[-8:-4], "little")
    size = int.from_bytes(prefix[-4:], "little")
    if len(prefix) == PREFIX_BYTES and version != FORMAT:
        raise _DamagedError(f"format {version}, this release reads {FORMAT}", where)
    encoded = file.read(min(size, MAX_HEADER_BYTES))
    root = file.read(HASH_BYTES)
    if len(prefix) < PREFIX_BYTES or len(encoded) < size or len(root) < HASH_BYTES:
        raise _DamagedError("the header is cut off or its length is damaged", where)
    if image_root_of(encoded) != root:
        raise _DamagedError("the header does not match its hash", where)
    header = decode_header(encoded, where)
    _check_length(file, header, where)
    return header, root.hex()


def _check_length(file: BinaryIO, header: ImageHeader, where: str) -> None:
    rest = os.fstat(file.fileno()).st_size - file.tell()
    for summary in header.segments:
        if rest < summary.size_bytes:
            block = min(rest // (8 * BLOCK_WORDS), summary.n_blocks - 1)
            raise _DamagedError("the file is cut off", where, summary.segment, block)
        rest -= summary.size_bytes
    if rest:
        raise _DamagedError(f"{rest} bytes follow the last segment", where)


def _read_parts(file: BinaryIO, header: ImageHeader, where: str) -> Iterator[_Part]:
    for summary in header.segments:
        data = file.read(summary.size_bytes)
        if len(data) < summary.size_bytes:
            raise _DamagedError("the file got shorter while it was read", where, summary.segment)
        words = np.frombuffer(data, dtype="<u8", count=summary.n_words).astype(np.uint64)
        start = 8 * summary.n_words
        end = start + HASH_BYTES * summary.n_blocks
        hashes = tuple(data[i : i + HASH_BYTES] for i in range(start, end, HASH_BYTES))
        yield _Part(summary, words, hashes, np.frombuffer(data[end:], dtype=np.uint8).copy())


def _refused(what: str, where: str) -> ImageError:
    return ImageError(what, where=where, fix="use another copy of the image")
