"""The journal: what a machine writes to its log, once, however often a run is resumed.

The clock in memory counts the entries written. A machine that is loaded from an image goes back to
the count of that time; as runs are deterministic, it makes the entries that followed once more, and
the journal finds them in the log instead of writing them again.

Source: BEM core spec 8.1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bem_kernel.errors import RunnerError
from bem_kernel.ledger.chain import Ledger, read_entries
from bem_kernel.runner.layout import LOGGED


class Journal:
    """Entries of one machine in a ledger that nobody else writes.

    Args:
        ledger: open for appending.
        clock: the machine's, where the number of its entries is kept.

    Raises:
        RunnerError: the ledger has fewer entries than the machine has written.
        LedgerError: the ledger cannot be read.
    """

    def __init__(self, ledger: Ledger, clock: NDArray[np.int64]) -> None:
        self._ledger = ledger
        self._clock = clock
        written, present = int(clock[LOGGED]), len(ledger)
        if present < written:
            raise RunnerError(
                f"{present} entries, the machine has written {written}",
                where=f"log {ledger.path}",
                fix="give the log that the machine wrote before",
            )
        self._known: Iterator[Mapping[str, Any]] = iter(())
        if present > written:
            self._known = islice(read_entries(ledger.path), written, None)

    def write(self, entry: Mapping[str, Any]) -> None:
        """Append an entry, unless an earlier run has written it.

        Raises:
            RunnerError: the log goes on with another entry.
            LedgerError: the disk is full.
        """
        known = next(self._known, None)
        if known is None:
            self._ledger.append(entry)
        elif dict(known) != dict(entry):
            raise RunnerError(
                f"entry {int(self._clock[LOGGED])} is of another run",
                where=f"log {self._ledger.path}",
                fix="resume with the same world and settings, or begin a new log",
            )
        self._clock[LOGGED] += 1

    def commit(self) -> None:
        """Bring all entries to the disk.

        Raises:
            LedgerError: the disk refused.
        """
        self._ledger.commit()
