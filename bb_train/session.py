"""A job's workspace while one process works in it."""

from __future__ import annotations

import fcntl
import re
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from bb_core.errors import BBError
from bb_core.workspace import Workspace
from bb_train.job import CONFIGS, load_job
from bb_train.main_job import Place
from bb_train.steps import StepBook
from bb_train.study import Model

_RUN = re.compile(r"(rail|lora|full)-s\d+-[0-9a-f]{12}")


@contextmanager
def open_place(root: Path, job_file: Path | None, model: Model, *, fresh: bool) -> Iterator[Place]:
    """Open a workspace for one job; a second job in it is turned away.

    SIGTERM ends the job like Ctrl-C does, so that what it started is stopped too.

    Args:
        root: the workspace.
        job_file: the job; the shipped one if None.
        model: the base under all methods.
        fresh: forget the finished steps first.

    Raises:
        BBError: another job runs in this workspace, or the job file is bad.
    """
    from bb_nn.base import quiet_transformers

    quiet_transformers()
    job = load_job(job_file or CONFIGS / "main_job.yaml")
    work = Workspace(root)
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        with (work.caches / "lock").open("w") as lock:
            _claim(lock.fileno(), root)
            if fresh:
                start_over(work)
            yield Place(work, job, model, StepBook(work.caches / "steps"))
    finally:
        signal.signal(signal.SIGTERM, before)


def start_over(work: Workspace) -> None:
    """Forget finished steps, and set finished runs aside under numbered names."""
    shutil.rmtree(work.caches / "steps", ignore_errors=True)
    for run in sorted(work.runs.iterdir()):
        if _RUN.fullmatch(run.name):
            n = 1
            while (aside := run.with_name(f"{run.name}.{n}")).exists():
                n += 1
            run.rename(aside)


def _claim(lock: int, root: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise BBError(
            "another job is running in this workspace",
            where=str(root),
            fix="wait for it, or use another one with --work DIR",
        ) from None


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt
