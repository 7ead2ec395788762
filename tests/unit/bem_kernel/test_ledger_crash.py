"""kill -9 of a writer: what was acknowledged is there, and the ledger opens again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bem_kernel.ledger.chain import Ledger, read_entries

WRITER = """
import sys
from bem_kernel.ledger.chain import Ledger
with Ledger(sys.argv[1], sync=sys.argv[2]) as ledger:
    for i in range(10**9):
        ledger.append({"i": i, "filler": "x" * (i % 977)})
        print(i if sys.argv[2] == "always" else ledger.commit() - 1, flush=True)
"""


@pytest.mark.parametrize(("policy", "acknowledged"), [("always", 1), ("always", 40), ("batch", 25)])
def test_acknowledged_entries_survive(tmp_path: Path, policy: str, acknowledged: int) -> None:
    path = tmp_path / "ledger.jsonl"
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), policy], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        lines = [child.stdout.readline() for _ in range(acknowledged)]
        child.kill()
        lines += child.stdout.readlines()
    last = max(int(line) for line in lines if line.endswith("\n"))
    with Ledger(path) as ledger:  # the lock died with its holder
        assert len(ledger) > last >= acknowledged - 1
        ledger.append({"after": True})
    entries = list(read_entries(path))
    assert [entry["i"] for entry in entries[:-1]] == list(range(len(entries) - 1))
    assert entries[-1] == {"after": True}
