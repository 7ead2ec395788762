"""The shared log: turns, durability, and what stands in the way."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bb_safety.audit import AuditLog


def test_writers_take_turns_and_lose_nothing(tmp_path: Path) -> None:
    def write(writer: int) -> list[int]:
        log = AuditLog(tmp_path / "log.jsonl", tmp_path / "lock")
        return [log.append({"writer": writer, "entry": entry}) for entry in range(5)]

    with ThreadPoolExecutor(4) as pool:
        indices = [index for part in pool.map(write, range(4)) for index in part]
    assert sorted(indices) == list(range(20))
    log = AuditLog(tmp_path / "log.jsonl", tmp_path / "lock")
    entries = log.entries()
    assert sorted((e["writer"], e["entry"]) for e in entries) == [
        (writer, entry) for writer in range(4) for entry in range(5)
    ]
    assert log.verify().ok


def test_the_turn_is_given_back_after_a_failure(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "log.jsonl", tmp_path / "lock")
    try:
        with log.turn():
            raise RuntimeError("inside")
    except RuntimeError:
        pass
    assert log.append({"after": True}) == 0


def test_a_log_that_was_never_written_is_empty(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "log.jsonl", tmp_path / "lock")
    assert log.entries() == []
    assert log.verify() is None
