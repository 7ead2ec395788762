"""A run on a disk that fills up at its n-th byte, and goes on when there is room again.

    python filling.py FOLDER FILE FIRST STRIDE COUNT

FILE is what cannot grow: `log`, which is larger than all else, or `journal`. The limit is the
kernel's on the size of a file (RLIMIT_FSIZE): a write beyond it fails as on a full disk. Prints,
for each limit, what the world and the log have seen when the run stopped, and in the end.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from pathlib import Path

from crashing import PLAN, World, attempt, crash_domain

from bb_core.errors import BBError
from bb_runtime.check import check_plan
from bb_runtime.execute import execute
from bb_runtime.journal import Journal, journal_path
from bem_kernel.ledger.chain import Ledger, read_entries, verify

FILLER = 600  # entries of a kilobyte: the log is larger than the journal's files ever are


def run_until_full(folder: Path, domain, limit: int) -> str:
    """Run the plan; how it ended."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    certificate = check_plan(domain, PLAN)
    world = World(folder, "done", lambda: None)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        with Ledger(folder / "x.ledger") as ledger:
            return execute(domain, PLAN, certificate, world, ledger).status
    except BBError as error:
        return str(error)


def in_child(work, *args) -> str:
    """Do something in a process of its own; what it returned."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(writing, json.dumps(work(*args)).encode())
        except BaseException:
            import traceback

            traceback.print_exc()
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as file:
        found = file.read()
    os.waitpid(pid, 0)
    return json.loads(found) if found else "crashed"


def fill(folder: Path, file: str, domain, limit: int) -> dict:
    """Run into a limit, then go on without one."""
    folder.mkdir()
    log = folder / "x.ledger"
    with Ledger(log, sync="batch") as ledger:
        for number in range(FILLER if file == "log" else 0):
            ledger.append({"event": "filler", "number": number, "text": "x" * 900})
        ledger.commit()
    size = log.stat().st_size if file == "log" else 0
    ended = in_child(run_until_full, folder, domain, size + limit)
    world = World(folder, "done", lambda: None)
    called = [entry["tool"] for entry in read_entries(log) if entry["event"] == "call"]
    with Journal(journal_path(log)) as journal:
        begun = {record.run: journal.find(record.run) for record in journal.runs()}
    found = {"limit": limit, "ended": ended, "ok": verify(log).ok, "called": called,
             "journal": [len(record.calls) for record in begun.values()],
             "done": [tool for tool, _, _ in world.done()]}  # fmt: skip
    in_child(attempt, folder, "done", domain, None)
    return found | {"last": [tool for tool, _, _ in world.done()], "whole": verify(log).ok}


def main() -> None:
    folder, file, first, stride, count = Path(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:6])
    domain = crash_domain()
    for limit in range(first, first + stride * count, stride):
        print(json.dumps(fill(folder / str(limit), file, domain, limit)), flush=True)


if __name__ == "__main__":
    main()
