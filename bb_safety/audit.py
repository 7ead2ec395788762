"""The gate's hash-chained log, shared by several processes that each write now and then.

`bem_kernel.ledger.chain.Ledger` has one writer at a time and turns a second one away. Here a writer
waits for its turn instead, on a lock file that the kernel releases when a process dies. Opening
checks the whole chain, which suits a log of decisions: few entries, each of them worth the check.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bem_kernel.ledger.chain import Ledger, Verification, read_entries, verify


class AuditLog:
    """A ledger that is opened for each turn of writing.

    Args:
        path: the ledger's file; made on the first write.
        lock: the lock file; its folder must exist.
    """

    def __init__(self, path: Path, lock: Path) -> None:
        self.path = path
        self._lock = lock

    @contextmanager
    def turn(self) -> Iterator[Ledger]:
        """Wait for the turn to write, and hold it for the block."""
        handle = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            with Ledger(self.path) as ledger:
                yield ledger
        finally:
            os.close(handle)

    def append(self, entry: Mapping[str, Any]) -> int:
        """Add an entry durably and return its index."""
        with self.turn() as ledger:
            return ledger.append(entry)

    def entries(self) -> list[dict[str, Any]]:
        """All entries, each checked against the chain; none if nothing was written yet.

        Raises:
            LedgerError: the chain is damaged; the message says at which entry.
        """
        return list(read_entries(self.path)) if self.path.exists() else []

    def verify(self) -> Verification | None:
        """What checking the whole chain found; None if nothing was written yet."""
        return verify(self.path) if self.path.exists() else None
