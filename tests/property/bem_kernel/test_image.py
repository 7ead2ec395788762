"""Images under random damage: refused or mended with one clear error, never anything else."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bb_core.canonical import canonical_json
from bb_core.errors import BBError
from bem_kernel.errors import ImageError
from bem_kernel.ledger.merkle import leaf_hash
from bem_kernel.memory.configuration import MachineConfig
from bem_kernel.memory.image import image_root, load_image, save_image, verify_image
from bem_kernel.memory.image_header import PREFIX_BYTES
from bem_kernel.memory.memory import Memory
from bem_kernel.memory.segments import Segment

CONFIG = MachineConfig(
    n_bits=8, n_shared_bits=64, n_parameters=2, shared_words=16, expert_words=600, code_words=8
)


def image() -> tuple[bytes, str]:
    """A small image and its root."""
    memory = Memory(CONFIG)
    table = memory.allocate(Segment.EXPERT, "table", np.uint64, (600,))
    table[:] = np.random.default_rng(1).integers(0, 1 << 62, 600)
    memory.allocate(Segment.CODE, "code", np.int16, (4, 3), protected=True)[:] = -3
    with tempfile.TemporaryDirectory() as folder:
        root = save_image(memory, Path(folder) / "image")
        return (Path(folder) / "image").read_bytes(), root


DATA, ROOT = image()
EDITS = st.lists(
    st.tuples(
        st.sampled_from(["set", "cut", "insert", "swap"]),
        st.integers(0, len(DATA) - 1),
        st.integers(0, 255),
    ),
    min_size=1,
    max_size=4,
)


def edited(data: bytes, edits: list[tuple[str, int, int]]) -> bytes:
    """The bytes after some edits."""
    for kind, place, value in edits:
        if kind == "set":
            data = data[:place] + bytes([value]) + data[place + 1 :]
        elif kind == "cut":
            data = data[:place] + data[place + value :]
        elif kind == "insert":
            data = data[:place] + bytes(value) + data[place:]
        else:
            data = data[:place] + data[place : place + 9][::-1] + data[place + 9 :]
    return data


def outcome(data: bytes, repair: bool) -> str:
    """The root of what is loaded, or "" if it is refused."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "image"
        path.write_bytes(data)
        check = verify_image(path)
        try:
            memory = load_image(path, repair=repair, limit_bytes=1 << 24)
        except ImageError:
            return ""
        assert check.ok or repair
        return image_root(memory)


@settings(max_examples=80)
@given(EDITS, st.booleans())
def test_whatever_is_loaded_has_the_root_it_was_saved_with(
    edits: list[tuple[str, int, int]], repair: bool
) -> None:
    data = edited(DATA, edits)
    found = outcome(data, repair)
    if data == DATA:
        assert found == ROOT
    else:
        assert found in ("", ROOT)
        assert repair or found == ""


@settings(max_examples=30)
@given(st.sets(st.integers(0, 599)), st.integers(0, 63))
def test_one_flipped_bit_in_each_of_any_words_is_mended(words: set[int], bit: int) -> None:
    table = np.random.default_rng(1).integers(0, 1 << 62, 600).astype("<u8").tobytes()
    start = DATA.index(table)
    data = bytearray(DATA)
    for word in words:
        data[start + 8 * word + bit // 8] ^= 1 << bit % 8
    assert outcome(bytes(data), repair=True) == ROOT
    assert outcome(bytes(data), repair=False) == ("" if words else ROOT)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=4,
)


@settings(max_examples=120)
@given(st.data())
def test_a_header_with_anything_in_it_is_refused(data: st.DataObject) -> None:
    """Headers whose own hash is right, with one value replaced anywhere."""
    size = int.from_bytes(DATA[PREFIX_BYTES - 4 : PREFIX_BYTES], "little")
    original = DATA[PREFIX_BYTES : PREFIX_BYTES + size]
    whole = {"record": json.loads(original)}
    holder: Any = whole
    key: Any = "record"
    while data.draw(st.booleans()) and isinstance(holder[key], dict | list) and holder[key]:
        holder = holder[key]
        keys = range(len(holder)) if isinstance(holder, list) else sorted(holder)
        key = data.draw(st.sampled_from(keys))
    holder[key] = data.draw(JSON)
    try:
        header = canonical_json(whole["record"])
    except BBError:
        return
    prefix = DATA[: PREFIX_BYTES - 4] + len(header).to_bytes(4, "little")
    rest = DATA[PREFIX_BYTES + size + 32 :]
    found = outcome(prefix + header + leaf_hash(header) + rest, repair=False)
    # Sizes of segments and names may well be others; then the root is another one, too.
    assert (found == ROOT) == (header == original)
