"""Traces as entries of the log, and the journal that never writes one twice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bem_kernel.errors import RunnerError
from bem_kernel.ledger.chain import Ledger
from bem_kernel.runner.journal import Journal
from bem_kernel.runner.layout import CLOCK_CELLS, LOGGED
from bem_kernel.runner.trace import Step, read_steps, trace_entry, trace_steps

ROWS = np.array(
    [[0, -1, -1, 2**31, 9, 2**30, -5, -(2**63)], [1, 3, 2**63 - 1, 7, 9, 1, 2**40, 12]],
    dtype=np.int64,
)
STEPS = (
    Step(0, None, 2**64 - 1, 2**31, 2**30, -5, 2**63),
    Step(1, 3, 2**63 - 1, 7, 1, 2**40, 12),
)


def test_rows_come_back_without_their_slots() -> None:
    entry = trace_entry(4, 17, ROWS)
    assert trace_steps(entry) == STEPS
    assert (entry["episode"], entry["first_row"]) == (4, 17)
    assert trace_steps(trace_entry(4, 17, ROWS[:0])) == ()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "episode"}, "an entry of kind 'episode'"),
        ({"columns": ["step"]}, "an entry of kind 'trace'"),
        ({"rows": "0g"}, "whose rows are no hex"),
        ({"rows": 5}, "whose rows are no hex"),
        ({"rows": "00" * 55}, "of 55 bytes; read a log that an ExpertMachine has written"),
    ],
)
def test_entries_of_another_make_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(RunnerError, match=message):
        trace_steps(trace_entry(4, 17, ROWS) | change)


def test_steps_are_read_from_a_log_with_other_entries(tmp_path: Path) -> None:
    with Ledger(tmp_path / "log") as ledger:
        ledger.append({"kind": "add"})
        ledger.append(trace_entry(1, 0, ROWS))
        ledger.append({"kind": "episode"})
        ledger.append(trace_entry(2, 2, ROWS))
    assert tuple(read_steps(tmp_path / "log")) == STEPS + STEPS


def test_a_journal_that_goes_back_writes_nothing_twice(tmp_path: Path) -> None:
    clock = np.zeros(CLOCK_CELLS, dtype=np.int64)
    with Ledger(tmp_path / "log") as ledger:
        journal = Journal(ledger, clock)
        for i in range(5):
            journal.write({"number": i})
    clock[LOGGED] = 2  # an image from then
    with Ledger(tmp_path / "log") as ledger:
        journal = Journal(ledger, clock)
        for i in range(2, 7):
            journal.write({"number": i})
        assert len(ledger) == 7 and clock[LOGGED] == 7


def test_a_journal_notices_another_history(tmp_path: Path) -> None:
    clock = np.zeros(CLOCK_CELLS, dtype=np.int64)
    with Ledger(tmp_path / "log") as ledger:
        ledger.append({"number": 0})
        with pytest.raises(RunnerError, match="entry 0 is of another run; resume with the same"):
            Journal(ledger, clock).write({"number": 1})
        assert len(ledger) == 1
        clock[LOGGED] = 2
        with pytest.raises(RunnerError, match="1 entries, the machine has written 2; give the log"):
            Journal(ledger, clock)
