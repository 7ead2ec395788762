"""A flipped bit is found at its entry; a cut file opens with the whole entries before the cut."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bem_kernel.errors import LedgerError
from bem_kernel.ledger.chain import Ledger, read_entries, verify

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
ENTRIES = st.lists(st.dictionaries(st.text(max_size=5), JSON, max_size=3), min_size=1, max_size=4)


@given(entries=ENTRIES, data=st.data())
@settings(max_examples=25)
def test_entries_round_trip_and_any_flipped_bit_is_found_at_its_entry(
    entries: list[dict[str, object]], data: st.DataObject
) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "ledger"
        with Ledger(path, sync="batch") as ledger:
            for entry in entries:
                ledger.append(entry)
        assert list(read_entries(path)) == entries
        good = path.read_bytes()
        ends = [i + 1 for i, byte in enumerate(good) if byte == 0x0A]
        assert len(ends) == len(entries)  # canonical JSON has no line ends of its own
        position = data.draw(st.integers(0, len(good) - 1))
        flipped = bytearray(good)
        flipped[position] ^= 1 << data.draw(st.integers(0, 7))
        path.write_bytes(flipped)
        index = next(i for i, end in enumerate(ends) if position < end)
        found = verify(path)
        assert (found.first_bad, found.entries) == (index, index)
        with pytest.raises(LedgerError, match=f"entry {index}: "):
            Ledger(path)


def test_every_cut_opens_with_the_whole_entries_before_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "ledger"
    entries = [{"i": 0}, {"text": ',"hash":"'}]
    with Ledger(path, sync="batch") as ledger:
        for entry in entries:
            ledger.append(entry)
    good = path.read_bytes()
    for size in [0, 1, good.index(b"\n"), *range(good.index(b"\n") + 1, len(good) + 1)]:
        caplog.clear()
        path.write_bytes(good[:size])
        whole = good[:size].count(b"\n")
        with Ledger(path, sync="batch") as ledger:
            assert len(ledger) == whole
        assert list(read_entries(path)) == entries[:whole]
        assert ("torn" in caplog.text) == (size != len(path.read_bytes()))


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 60))
def test_damage_to_the_last_end_of_line_is_never_taken_for_a_torn_tail(
    tmp_path: Path, byte: int
) -> None:
    path = tmp_path / f"ledger{byte}"
    with Ledger(path, sync="batch") as ledger:
        ledger.append({"i": 0})
    path.write_bytes(path.read_bytes()[:-1] + bytes([byte if byte != 0x0A else 0]))
    with pytest.raises(LedgerError, match="entry 0: torn record"):
        Ledger(path)
    path.unlink()
