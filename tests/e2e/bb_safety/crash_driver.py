"""Kills an operation on a registry with SIGKILL at chosen lines of our code, and looks after it.

    python crash_driver.py OPERATION POINTS FOLDER

Counts the lines of our packages that OPERATION executes, then runs it in POINTS forked children,
each on its own copy of the same workspace, each killed at another line. Prints one JSON object per
line: what the registry looks like afterwards, and after the operation is repeated.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from bb_core.workspace import Workspace
from bb_safety.decision import Decision, decision_from_json
from bb_safety.evidence import BatteryResult, EvaluationSet, PairedRisks
from bb_safety.policy import load_policy
from bb_safety.promote import gate
from bb_safety.registry import Registry, Revision
from bb_safety.risk import COMPONENTS
from bb_safety.verify import verify_registry

POLICY = load_policy(Path(__file__).parents[3] / "configs" / "gate.yaml")
OURS = ("/bb_core/", "/bb_safety/", "/bem_kernel/")
BASE = "b" * 64


def decide(registry: Registry, candidate: Revision, seed: int) -> Decision:
    incumbent = registry.production()
    risks = {name: np.zeros(60) for name in COMPONENTS}
    worse = risks | {"wrong_effect": np.ones(60)}
    fresh = EvaluationSet.of(f"fresh-{seed}", seed, [f"{seed}.{i}" for i in range(60)])
    return gate(
        candidate.spec(),
        incumbent.spec(),
        POLICY,
        evidence=PairedRisks(fresh, candidate.digest, incumbent.digest, risks, worse),
        battery=BatteryResult(candidate.digest, 60, 60, 60, BASE),
        ledger=registry.log,
        usage=registry.usage,
    )


def prepare(folder: Path) -> None:
    """One rail in production, a second one decided on, a third folder not registered yet."""
    registry = Registry(Workspace(folder / "work"))
    registry.begin(BASE, {})
    for name in ("one", "two", "three"):
        (folder / name).mkdir()
        (folder / name / "rail.bin").write_bytes(name.encode() * 1000)
    one = registry.add(folder / "one", base_fingerprint=BASE, provenance={"run": "one"})
    registry.promote(decide(registry, one, 1))
    two = registry.add(folder / "two", base_fingerprint=BASE, provenance={"run": "two"})
    decide(registry, two, 2)


def promote(registry: Registry, folder: Path, attempt: int) -> None:
    recorded = registry.usage.decisions()[1]
    registry.promote(decision_from_json(json.loads(recorded.document)))


def rollback(registry: Registry, folder: Path, attempt: int) -> None:
    if registry.store.alias("previous") is not None:
        registry.rollback("drill")


def decide_again(registry: Registry, folder: Path, attempt: int) -> None:
    decide(registry, registry.find("candidate"), 10 + attempt)


def add(registry: Registry, folder: Path, attempt: int) -> None:
    registry.add(folder / "three", base_fingerprint=BASE, provenance={"run": "three"})


OPERATIONS: dict[str, Callable[[Registry, Path, int], None]] = {
    "promote": promote,
    "rollback": rollback,
    "gate": decide_again,
    "add": add,
}


def traced(operation: Callable[[], None], kill_at: int | None) -> int:
    """Run an operation, count our lines, and die by SIGKILL at line number `kill_at`."""
    lines = 0

    def trace(frame, event, argument):
        nonlocal lines
        if not any(part in frame.f_code.co_filename for part in OURS):
            return None
        if event == "line":
            lines += 1
            if lines == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    sys.settrace(trace)
    try:
        operation()
    finally:
        sys.settrace(None)
    return lines


def attempt(folder: Path, operation: str, number: int, kill_at: int | None) -> int:
    registry = Registry(Workspace(folder / "work"))
    return traced(lambda: OPERATIONS[operation](registry, folder, number), kill_at)


def look(folder: Path) -> dict[str, object]:
    registry = Registry(Workspace(folder / "work"))
    return {
        "production": registry.production().provenance.get("run", "base"),
        "problems": [f"{problem.where}: {problem.what}" for problem in verify_registry(registry)],
        "decisions": len(registry.usage.decisions()),
    }


def in_child(run: Callable[[], object]) -> int:
    """Run something in a forked child; its wait status."""
    child = os.fork()
    if child == 0:
        try:
            run()
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1]


def main(operation: str, points: int, root: Path) -> None:
    prepare(root / "start")
    shutil.copytree(root / "start", root / "whole")
    total = attempt(root / "whole", operation, 0, None)
    for number in range(points):
        kill_at = 1 + (total - 1) * number // max(points - 1, 1)
        folder = root / f"point{number}"
        shutil.copytree(root / "start", folder)
        status = in_child(lambda folder=folder, at=kill_at: attempt(folder, operation, 0, at))
        killed = {"signal": os.WTERMSIG(status), "line": kill_at, "of": total} | look(folder)
        again = in_child(lambda folder=folder: attempt(folder, operation, 1, None))
        print(json.dumps({"killed": killed, "again": {"status": again} | look(folder)}))
        shutil.rmtree(folder)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
