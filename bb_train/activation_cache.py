"""What the rail reads of the frozen base, kept on disk: later epochs need not run the base.

A cache is a folder named after what its content is a function of: fingerprint of the base, the
examples' tokens, tapped layers, number types. In it:

    meta.json     the facts behind the name, for people and for checking
    states.bin    for each example that fits: (taps, tokens, width), one after the other
    checks.u32    CRC-32 of each example's bytes; 0: not there yet

Room is taken before training starts, so that a full disk is an error then, and never a crash of a
memory-mapped write later. An example's check is written after its states: a process killed in
between leaves an example that is not there. States that do not match their check are computed anew.
Several processes write different examples into one file; two that write the same one write the
same bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from bb_core.canonical import fingerprint
from bb_core.errors import BBError, UsageError
from bb_core.files import read_json, write_atomic
from bb_train.data import Example

if TYPE_CHECKING:
    import torch

Storage = Literal["float32", "bfloat16"]
_BYTES = {"float32": 4, "bfloat16": 2}
_NUMPY = {"float32": np.dtype(np.float32), "bfloat16": np.dtype(np.uint16)}
GIB = 2**30


@dataclass(frozen=True)
class CacheKey:
    """What cached states are a function of.

    Attributes:
        base: fingerprint of the base's weights and vocabulary.
        data: SHA-256 of the examples' tokens, in order (`tokens_sha256`).
        taps: tapped layers.
        width: channels of the base.
        in_tuples: form of the architecture's layer outputs.
        compute: number types the base computes in, such as "float32" or "float32+bf16".
        storage: number type on disk.
    """

    base: str
    data: str
    taps: tuple[int, ...]
    width: int
    in_tuples: bool
    compute: str
    storage: Storage


@dataclass(frozen=True)
class ActivationCache:
    """An open cache.

    Attributes:
        key: what the states are a function of.
        lengths: tokens of each example.
        kept: how many examples, from the first, have room.
        offsets: first element of each kept example, and the end of the last.
        states: all elements, memory-mapped.
        checks: CRC-32 of each kept example, memory-mapped.
        trusted: examples whose check this process has seen to be right.
    """

    key: CacheKey
    lengths: tuple[int, ...]
    kept: int
    offsets: np.ndarray
    states: np.ndarray
    checks: np.ndarray
    trusted: set[int] = field(default_factory=set)

    def get(self, index: int) -> torch.Tensor | None:
        """(taps, tokens, width) states of an example, None where they are not there or damaged."""
        import torch

        if index >= self.kept or not self.checks[index]:
            return None
        flat = self.states[self.offsets[index] : self.offsets[index + 1]]
        if index not in self.trusted:
            if _check(flat) != self.checks[index]:
                return None
            self.trusted.add(index)
        copy = torch.from_numpy(np.array(flat))
        typed = copy.view(torch.bfloat16) if self.key.storage == "bfloat16" else copy
        return typed.view(len(self.key.taps), self.lengths[index], self.key.width)

    def put(self, index: int, states: torch.Tensor) -> None:
        """Keep an example's states, where it has room.

        Args:
            index: of the example.
            states: (taps, tokens, width) in the storage type (`rounded`).
        """
        import torch

        if index >= self.kept:
            return
        flat = states.detach().cpu().contiguous().flatten()
        if self.key.storage == "bfloat16":
            flat = flat.view(torch.uint16)
        part = self.states[self.offsets[index] : self.offsets[index + 1]]
        part[:] = flat.numpy()
        self.checks[index] = _check(part)
        self.trusted.add(index)

    def rounded(self, states: torch.Tensor) -> torch.Tensor:
        """States in the storage type: what an epoch reads back is what the first one used."""
        import torch

        return states.to(torch.bfloat16 if self.key.storage == "bfloat16" else torch.float32)

    def flush(self) -> None:
        """Put everything on the disk; called before each checkpoint."""
        self.states.flush()  # type: ignore[attr-defined]
        self.checks.flush()  # type: ignore[attr-defined]

    @property
    def size_bytes(self) -> int:
        """Bytes of all kept states."""
        return int(self.offsets[-1]) * _BYTES[self.key.storage]

    def facts(self) -> dict[str, Any]:
        """For a run's record: how much of the data has room."""
        return {
            "examples": len(self.lengths),
            "kept": self.kept,
            "bytes": self.size_bytes,
            "storage": self.key.storage,
        }


def open_cache(
    folder: Path,
    key: CacheKey,
    examples: Sequence[Example],
    *,
    budget_bytes: float,
    over: Literal["part", "refuse"] = "part",
) -> ActivationCache:
    """Open the cache of a key, or take the room for it.

    Args:
        folder: that holds caches.
        key: of this one.
        examples: in the order of their indices.
        budget_bytes: the most that states may take.
        over: what happens if all examples need more: "part" keeps the first ones that fit and the
            others run through the base in each epoch; "refuse" does not start.

    Raises:
        UsageError: over the budget, with `over` = "refuse"; or not one example fits.
        BBError: the disk is full, or a folder of the same name holds something else.
    """
    lengths = tuple(len(example.ids) for example in examples)
    per_token = len(key.taps) * key.width
    ends = np.concatenate([[0], np.cumsum(lengths)]) * per_token
    kept = int(np.searchsorted(ends * _BYTES[key.storage], budget_bytes, side="right")) - 1
    if kept < len(lengths) and (over == "refuse" or kept == 0):
        raise UsageError(
            f"states of {len(lengths)} examples take {_gib(ends[-1] * _BYTES[key.storage])}, "
            f"more than {_gib(budget_bytes)}",
            where="activation_cache.size_gib",
            fix="raise it, store bfloat16, or let the cache keep a part: over: part",
        )
    root = folder / fingerprint(asdict(key))[:16]
    offsets = ends[: kept + 1]
    _check_meta(root, key)
    states = _room(root / "states.bin", int(offsets[-1]), _NUMPY[key.storage])
    checks = _room(root / "checks.u32", len(lengths), np.dtype(np.uint32))
    return ActivationCache(key, lengths, kept, offsets, states, checks)


def tokens_sha256(examples: Sequence[Example]) -> str:
    """SHA-256 of the examples' tokens, in order, and of where each ends."""
    digest = hashlib.sha256()
    for example in examples:
        digest.update(len(example.ids).to_bytes(8, "little"))
        digest.update(np.asarray(example.ids, dtype="<i8").tobytes())
    return digest.hexdigest()


def _check_meta(root: Path, key: CacheKey) -> None:
    path, facts = root / "meta.json", json.loads(json.dumps(asdict(key)))
    if not path.exists():
        write_atomic(path, json.dumps(facts, indent=1))
    elif read_json(path) != facts:
        raise BBError(
            "another cache has this name",
            where=str(path),
            fix="remove the folder, or choose another",
        )


def _room(path: Path, elements: int, dtype: np.dtype) -> np.ndarray:
    """A file of at least so many elements, memory-mapped; what is new reads as zeros."""
    size = max(1, elements) * dtype.itemsize
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            if os.fstat(handle).st_size < size:
                os.posix_fallocate(handle, 0, size)
        finally:
            os.close(handle)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise BBError(
            f"no room for {_gib(size)} of the base's states ({error.strerror})", where=str(path),
            fix="free some space, or lower activation_cache.size_gib",
        ) from error  # fmt: skip
    return np.memmap(path, dtype=dtype, mode="r+", shape=(elements,))


def _check(flat: np.ndarray) -> int:
    """CRC-32 of the bytes; never 0, which means absence."""
    return zlib.crc32(np.ascontiguousarray(flat)) or 1


def _gib(size: float) -> str:
    return f"{size / GIB:.3g} GiB"
