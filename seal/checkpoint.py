"""The files of a run: appended to durably, cut back after a crash, moved into place at the end.

OUT.jsonl.partial/   edits.jsonl rejected.jsonl state.json lock     while it runs
OUT.jsonl            accepted edits, and originals where none was
OUT.rejected.jsonl   refused candidates with their reasons
OUT.stats.json       totals, settings, hashes
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from bb_core.canonical import canonical_json, file_sha256
from bb_core.errors import BBError, UsageError
from bb_core.files import read_json, sync_directory, write_atomic
from seal.errors import JobError

EDITS, REJECTED, STATE, STATS = "edits.jsonl", "rejected.jsonl", "state.json", "stats.json"


@dataclass(frozen=True)
class Places:
    """Where a run writes; everything is named after the output."""

    output: Path

    @property
    def rejected(self) -> Path:
        """Refused candidates."""
        return self.output.with_suffix(".rejected.jsonl")

    @property
    def stats(self) -> Path:
        """Totals and hashes."""
        return self.output.with_suffix(".stats.json")

    @property
    def partial(self) -> Path:
        """Folder of a run that is not finished."""
        return self.output.with_name(self.output.name + ".partial")


@dataclass(frozen=True)
class State:
    """What of a partial run counts.

    Attributes:
        job: fingerprint of all that decides the output.
        done: passages finished.
        edits_bytes, rejected_bytes: lengths of the two files that belong to those.
        elapsed_s: working time over all sittings, in seconds.
        totals: counts over those passages.
    """

    job: str
    done: int = 0
    edits_bytes: int = 0
    rejected_bytes: int = 0
    elapsed_s: float = 0.0
    totals: dict[str, int] = field(default_factory=dict)


def check_output(output: Path, source: Path) -> Places:
    """Refuse an output that cannot be meant, before a model is loaded.

    Raises:
        UsageError: not a `.jsonl` name, a folder, or the input itself.
    """
    if output.suffix != ".jsonl":
        raise UsageError("the output is JSONL", where=str(output), fix="give it the suffix .jsonl")
    if output.is_dir():
        raise UsageError("is a folder", where=str(output), fix="name a file")
    if output.resolve() == source.resolve():
        raise UsageError("input and output are one file", where=str(output), fix="choose another")
    return Places(output)


@contextlib.contextmanager
def locked(partial: Path) -> Iterator[None]:
    """Hold the folder of a run; the system releases it when the process dies, however it dies.

    Raises:
        JobError: another process holds it, or it cannot be made.
    """
    try:
        partial.mkdir(parents=True, exist_ok=True)
        lock = open(partial / "lock", "ab")  # noqa: SIM115  closed below
    except OSError as error:
        cannot_write(partial, error)
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise JobError(
                "another process is writing this output",
                where=str(partial),
                fix="wait for it, or choose another --output",
            ) from error
        yield


def append(places: Places, name: str, rows: Sequence[dict[str, Any]]) -> int:
    """Append rows durably to a file of the partial run and return its length, in bytes.

    Raises:
        JobError: the disk refuses; what the state counts is untouched.
    """
    path = places.partial / name
    data = b"".join(canonical_json(row) + b"\n" for row in rows)
    try:
        with open(path, "ab") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            return file.tell()
    except OSError as error:
        cannot_write(path, error)


def save_state(places: Places, state: State) -> None:
    """Make the rows appended so far count."""
    write_atomic(places.partial / STATE, canonical_json(asdict(state)))


def discard(places: Places) -> None:
    """Throw away an unfinished run; an output that is there stays until a new one is whole."""
    for name in (STATE, EDITS, REJECTED, STATS):
        (places.partial / name).unlink(missing_ok=True)


def load_state(places: Places) -> State | None:
    """The state of an unfinished run, or None if there is none.

    Raises:
        JobError: it is damaged.
    """
    path = places.partial / STATE
    if not path.exists():
        return None
    try:
        return State(**read_json(path))
    except (TypeError, BBError) as error:
        raise JobError(
            "the checkpoint is damaged", where=str(path), fix="start anew with --fresh"
        ) from error


def cut_back(places: Places, state: State, total: int) -> None:
    """Cut the files of an unfinished run back to what its state counts.

    A run that was killed between the moves at its end has files in their final places already;
    only then, with all `total` passages done, may one be missing here.

    Raises:
        JobError: a file is missing or shorter than the state says.
    """
    expected = {
        EDITS: (state.edits_bytes, places.output),
        REJECTED: (state.rejected_bytes, places.rejected),
    }
    for name, (size, final) in expected.items():
        path = places.partial / name
        moved = state.done == total and not path.exists()
        there = final if moved else path
        found = there.stat().st_size if there.exists() else -1
        if found < size:
            raise JobError(
                f"the checkpoint counts {size} bytes, "
                + (f"there are {found}" if found >= 0 else "the file is gone"),
                where=str(path),
                fix="start anew with --fresh",
            )
        if not moved:
            try:
                os.truncate(path, size)
            except OSError as error:
                cannot_write(path, error)


def finish(places: Places, stats: dict[str, Any]) -> dict[str, Any]:
    """Move the files to their places, one atomic rename each, in an order that can be resumed.

    Returns:
        The statistics as written, with the hash of the output added.
    """
    edits = places.partial / EDITS
    sha256 = file_sha256(edits if edits.exists() else places.output)
    complete = {**stats, "output_sha256": sha256}
    write_atomic(places.partial / STATS, json.dumps(complete, indent=2) + "\n")
    # The statistics come last: with them the run counts as finished.
    moves = [(REJECTED, places.rejected), (EDITS, places.output), (STATS, places.stats)]
    try:
        for name, target in moves:
            source = places.partial / name
            if source.exists():
                os.replace(source, target)
        sync_directory(places.output.parent)
    except OSError as error:
        cannot_write(places.output, error)
    shutil.rmtree(places.partial)
    return complete


def finished_stats(places: Places, job: str) -> dict[str, Any] | None:
    """The statistics of an earlier run of this very job, if its output is whole."""
    if not (places.stats.is_file() and places.output.is_file() and places.rejected.is_file()):
        return None
    try:
        stats = read_json(places.stats)
    except BBError:
        return None  # not ours, or damaged: the run is simply done again
    if not isinstance(stats, dict) or stats.get("job") != job:
        return None
    return stats if stats.get("output_sha256") == file_sha256(places.output) else None


def cannot_write(path: Path, error: OSError) -> NoReturn:
    """Raise the one message for every write that the system refused."""
    raise JobError(
        f"cannot be written: {error.strerror}",
        where=str(path),
        fix="make room or mend the permissions, then repeat the command: it resumes",
    ) from error
