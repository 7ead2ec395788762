"""Every single flipped bit of a ledger of 1,000 entries is found at its entry.

A check goes along the chain, so what comes before the flipped record does not depend on it: each
flip is checked from the head before its record on. Some are checked in the file as a whole too.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path
from random import Random

import pytest

from bem_kernel.errors import LedgerError
from bem_kernel.ledger.chain import Ledger, verify, verify_records
from bem_kernel.ledger.heads import START, ExportedHead

ENTRIES = 1000


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[bytes]]:
    """The file and its records."""
    path = tmp_path_factory.mktemp("flips") / "ledger.jsonl"
    random = Random(3)
    with Ledger(path, sync="batch") as log:
        for i in range(ENTRIES):
            log.append({"episode": i, "rows": f"{random.getrandbits(256):064x}", "loss_q16": -i})
    return path, path.read_bytes().splitlines(keepends=True)


def heads_of(lines: list[bytes]) -> list[ExportedHead]:
    """The head before each record."""
    heads = [START]
    for i, line in enumerate(lines):
        found = verify_records([line], after=heads[-1])
        assert found.ok
        heads.append(ExportedHead(i + 1, found.head))
    return heads


def check_flips(lines: list[bytes], flips: Iterable[tuple[int, int]]) -> int:
    """Check flips, given as record and bit; their number."""
    heads = heads_of(lines)
    lines = [*lines, b""]
    checked = 0
    for index, bit in flips:
        flipped = bytearray(lines[index])
        flipped[bit >> 3] ^= 1 << (bit & 7)
        # With the next record, since a flipped line feed makes one line of two.
        found = verify_records(io.BytesIO(flipped + lines[index + 1]), after=heads[index])
        assert found.first_bad == index, (index, bit)
        assert (found.entries, found.head) == (index, heads[index].head)
        checked += 1
    return checked


def test_random_flips_are_found_at_their_entries(ledger: tuple[Path, list[bytes]]) -> None:
    _, lines = ledger
    random = Random(5)
    records = [random.randrange(ENTRIES) for _ in range(20_000)]
    flips = [(index, random.randrange(8 * len(lines[index]))) for index in records]
    assert check_flips(lines, flips) == 20_000


def test_every_flip_of_some_records_is_found(ledger: tuple[Path, list[bytes]]) -> None:
    _, lines = ledger
    some = (0, 1, 500, ENTRIES - 1)
    flips = ((index, bit) for index in some for bit in range(8 * len(lines[index])))
    assert check_flips(lines, flips) == sum(8 * len(lines[index]) for index in some)


@pytest.mark.slow
def test_every_flip_is_found(ledger: tuple[Path, list[bytes]]) -> None:
    path, lines = ledger
    flips = ((index, bit) for index in range(ENTRIES) for bit in range(8 * len(lines[index])))
    assert check_flips(lines, flips) == 8 * path.stat().st_size


def test_flips_in_the_file_as_a_whole(ledger: tuple[Path, list[bytes]], tmp_path: Path) -> None:
    path, lines = ledger
    data, random = path.read_bytes(), Random(7)
    ends = [sum(len(line) for line in lines[: i + 1]) for i in range(ENTRIES)]
    damaged = tmp_path / "damaged"
    for place in (
        0,
        len(data) - 1,
        ends[400] - 1,
        *(random.randrange(len(data)) for _ in range(9)),
    ):
        flipped = bytearray(data)
        flipped[place] ^= 1 << random.randrange(8)
        damaged.write_bytes(flipped)
        index = next(i for i, end in enumerate(ends) if place < end)
        assert verify(damaged).first_bad == index
        with pytest.raises(LedgerError, match=f"entry {index}: "):
            Ledger(damaged)
        assert damaged.read_bytes() == flipped
