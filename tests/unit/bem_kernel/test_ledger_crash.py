"""kill -9 of a writer, and a limit on the file's size: what was acknowledged is there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from bem_kernel.ledger.chain import Ledger, read_entries, verify

WRITER = """
import sys
from bem_kernel.ledger.chain import Ledger
path, sync = sys.argv[1:]
with Ledger(path, sync=sync) as ledger:
    for i in range(len(ledger), 10**9):
        ledger.append({"i": i, "filler": "x" * (i * 7919 % 9973)})
        if sync == "always":
            print(i, flush=True)
        elif i % 5 == 4:
            print(ledger.commit() - 1, flush=True)
"""

FULL_DISK = """
import resource, signal, sys
from bem_kernel.errors import LedgerError
from bem_kernel.ledger.chain import Ledger
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
with Ledger(sys.argv[1]) as ledger:
    try:
        while True:
            ledger.append({"filler": "x" * 700})
    except LedgerError as error:
        print(error)
    print(len(ledger), ledger.append({"short": 1}), ledger.head)
"""


def kill_while_appending(path: Path, policy: str, lines: int) -> int:
    """Run the writer, kill it once it has acknowledged so often; the last entry acknowledged."""
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), policy], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        said = [child.stdout.readline() for _ in range(lines)]
        child.kill()
        said += child.stdout.readlines()
    return max(int(line) for line in said if line.endswith("\n"))


@pytest.mark.parametrize(("policy", "acknowledged"), [("always", 1), ("always", 40), ("batch", 25)])
def test_acknowledged_entries_survive(tmp_path: Path, policy: str, acknowledged: int) -> None:
    path = tmp_path / "ledger.jsonl"
    last = kill_while_appending(path, policy, acknowledged)
    with Ledger(path) as ledger:  # the lock died with its holder
        assert len(ledger) > last >= acknowledged - 1
        ledger.append({"after": True})
    entries = list(read_entries(path))
    assert [entry["i"] for entry in entries[:-1]] == list(range(len(entries) - 1))
    assert entries[-1] == {"after": True}


@pytest.mark.slow
def test_two_hundred_kills_of_one_ledger(tmp_path: Path) -> None:
    path, random = tmp_path / "ledger.jsonl", Random(1)
    last = -1
    for _ in range(200):
        policy = random.choice(["always", "batch"])
        now = kill_while_appending(path, policy, random.randrange(1, 12))
        assert now > last
        last = now
        assert verify(path).entries > last  # the good part reaches beyond what was acknowledged
    with Ledger(path) as ledger:
        assert len(ledger) > last
    assert [entry["i"] for entry in read_entries(path)] == list(range(len(ledger)))


def test_a_disk_that_is_really_full(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(path)], capture_output=True, text=True, check=True
    )
    refusal, rest = done.stdout.splitlines()
    assert refusal == f"{path}: cannot append: File too large; free some space"
    count, index, head = rest.split()
    assert int(count) == int(index) == 6
    found = verify(path)
    assert (found.entries, found.head, found.ok) == (7, head, True)
