"""The header of a memory image: what the file claims to hold, checked before anything is made.

A file is, in this order: the magic; the format and the header's length, uint32 little-endian; the
header, canonical JSON; its hash, which is the root of the image; then for each segment its
allocated words (little-endian), the hash of each block of 512 words, and a check byte per word.

The header holds each segment's Merkle root, so the root of the image covers every word.

Source: BEM core spec 11.2; DESIGN section 7.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bb_core.canonical import canonical_json
from bb_core.errors import BBError
from bb_core.files import decode_json
from bem_kernel.errors import ImageError, KernelError
from bem_kernel.ledger.merkle import HASH_BYTES, leaf_hash
from bem_kernel.memory.configuration import MachineConfig, config_from_record, config_record
from bem_kernel.memory.integrity import BLOCK_WORDS
from bem_kernel.memory.memory import Region
from bem_kernel.memory.segments import Segment

MAGIC = b"\x89BEM-IMAGE\r\n\x1a\n\x00\x00"
"""16 bytes; like PNG's, it shows a transfer that mangled line ends or the eighth bit."""

FORMAT = 1
PREFIX_BYTES = len(MAGIC) + 8
MAX_HEADER_BYTES = 1 << 24

_INTEGER_TYPES = frozenset(("i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"))
_REGION_KEYS = {"segment", "name", "dtype", "shape", "first_word", "protected"}


@dataclass(frozen=True)
class SegmentSummary:
    """What the header says about one segment.

    Attributes:
        segment: which.
        n_words: its allocated words.
        root: Merkle root over their blocks.
    """

    segment: Segment
    n_words: int
    root: bytes

    @property
    def n_blocks(self) -> int:
        """Blocks of 512 words, the last one shorter."""
        return -(-self.n_words // BLOCK_WORDS)

    @property
    def size_bytes(self) -> int:
        """Bytes of the words, the hashes and the check bytes in the file."""
        return 9 * self.n_words + HASH_BYTES * self.n_blocks


@dataclass(frozen=True)
class ImageHeader:
    """What an image holds.

    Attributes:
        config: sizes of the machine.
        regions: the directory, in order of allocation.
        segments: one summary per segment, in order.
    """

    config: MachineConfig
    regions: tuple[Region, ...]
    segments: tuple[SegmentSummary, ...]


def encode_header(header: ImageHeader) -> bytes:
    """The canonical bytes of a header."""
    return canonical_json(
        {
            "config": config_record(header.config),
            "regions": [_region_record(region) for region in header.regions],
            "segments": [
                {"name": entry.segment.name, "words": entry.n_words, "root": entry.root.hex()}
                for entry in header.segments
            ],
        }
    )


def image_root_of(header_bytes: bytes) -> bytes:
    """The root of an image: the leaf hash of its header."""
    return leaf_hash(header_bytes)


def decode_header(data: bytes, where: str) -> ImageHeader:
    """Read a header from outside.

    Raises:
        ImageError: it is not what `encode_header` makes.
    """
    try:
        record = decode_json(data.decode("utf-8"), where=where)
        if canonical_json(record) != data:
            raise ImageError("not canonical JSON", where=where)
        header = _header_of(record, where)
    except (BBError, UnicodeDecodeError, ValueError, RecursionError) as error:
        what = error.what if isinstance(error, BBError) else str(error)
        raise _bad(f"the header does not hold together: {what}", where) from error
    return header


def _header_of(record: Any, where: str) -> ImageHeader:
    _check_keys(record, {"config", "regions", "segments"})
    config = config_from_record(record["config"], where)
    regions = tuple(_region_of(entry) for entry in _list(record["regions"]))
    summaries = tuple(_summary_of(entry) for entry in _list(record["segments"]))
    if [entry.segment for entry in summaries] != list(Segment):
        raise KernelError("the segments are not the seven in order")
    for entry in summaries:
        own = sum(region.n_words for region in regions if region.segment == entry.segment)
        if own != entry.n_words:
            raise KernelError(f"{entry.segment.name} has {entry.n_words} words, its regions {own}")
    return ImageHeader(config, regions, summaries)


def _region_record(region: Region) -> dict[str, Any]:
    return {
        "segment": region.segment.name,
        "name": region.name,
        "dtype": region.dtype,
        "shape": list(region.shape),
        "first_word": region.first_word,
        "protected": region.protected,
    }


def _region_of(record: Any) -> Region:
    _check_keys(record, _REGION_KEYS)
    if not isinstance(record["name"], str) or not isinstance(record["protected"], bool):
        raise KernelError("a region has no name or no protection")
    if not isinstance(record["dtype"], str) or record["dtype"] not in _INTEGER_TYPES:
        raise KernelError(f"a region holds {str(record['dtype'])[:20]!r}")
    return Region(
        _segment(record["segment"]),
        record["name"],
        record["dtype"],
        tuple(_count(size) for size in _list(record["shape"])),
        _count(record["first_word"]),
        record["protected"],
    )


def _summary_of(record: Any) -> SegmentSummary:
    _check_keys(record, {"name", "words", "root"})
    root = record["root"]
    if not isinstance(root, str) or len(root) != 2 * HASH_BYTES:
        raise KernelError("a segment has no root")
    return SegmentSummary(_segment(record["name"]), _count(record["words"]), bytes.fromhex(root))


def _check_keys(record: Any, keys: set[str]) -> None:
    if not isinstance(record, dict) or set(record) != keys:
        raise KernelError(f"expected the keys {', '.join(sorted(keys))}")


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise KernelError("expected a list")
    return value


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise KernelError(f"expected a number of 0 or more, got {str(value)[:20]}")
    return value


def _segment(name: Any) -> Segment:
    if not isinstance(name, str) or name not in Segment.__members__:
        raise KernelError(f"there is no segment {str(name)[:20]!r}")
    return Segment[name]


def _bad(what: str, where: str) -> ImageError:
    return ImageError(what, where=where, fix="use another copy of the image")
