"""Child processes that never outlive their parent's interest in them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bb_core.errors import BBError

_SAID_WHY = (1, 2)  # exit codes of commands of ours that have printed one message
_GRACE_S = 30.0  # a training child writes a checkpoint before it leaves


class ChildError(BBError):
    """A child process ended with another exit code than 0."""

    def __init__(self, code: int, *, where: str, fix: str) -> None:
        super().__init__(f"ended with exit code {code}", where=where, fix=fix)
        self.code = code


@contextmanager
def child_speaks() -> Iterator[None]:
    """For commands: a child that has printed its message needs no second one, only its code."""
    try:
        yield
    except ChildError as failed:
        if failed.code in _SAID_WHY:
            raise SystemExit(failed.code) from None
        raise


def run_child(command: Sequence[str], *, where: str, fix: str) -> None:
    """Run a command to its end; on Ctrl-C or any other exception stop it and all it started.

    The child has a session of its own, so a Ctrl-C at the terminal reaches only the parent,
    which then asks the whole tree to stop and waits until nothing of it is left.

    Args:
        command: program and arguments.
        where: how errors call the command.
        fix: what to do when it fails.

    Raises:
        ChildError: the command ended with another exit code than 0.
    """
    child = subprocess.Popen(command, start_new_session=True, stdin=subprocess.DEVNULL)
    try:
        code = child.wait()
    except BaseException:
        stop_tree(child.pid)
        child.wait()
        raise
    if code != 0:
        raise ChildError(code, where=where, fix=fix)


def stop_tree(pid: int, grace_s: float = _GRACE_S) -> None:
    """End a process and all its descendants: SIGTERM, then SIGKILL after `grace_s` seconds.

    Descendants are followed by parent, not by process group, because launchers give their
    workers sessions of their own. A second Ctrl-C skips the grace.
    """
    import psutil

    try:
        root = psutil.Process(pid)
        tree = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    _each(tree, "terminate")
    try:
        _, left = psutil.wait_procs(tree, timeout=grace_s)
    except KeyboardInterrupt:
        left = tree
    _each(left, "kill")
    psutil.wait_procs(left)


def _each(processes: Sequence, action: str) -> None:
    import psutil

    for process in processes:
        try:
            getattr(process, action)()
        except psutil.NoSuchProcess:
            continue


def training_command(config: Path, words: Sequence[str], processes: int, device: str) -> list[str]:
    """The `accelerate launch` command of one training run, on this interpreter (`launcher`).

    On a CPU machine `--multi_gpu` with several processes starts that many gloo processes, while
    `--cpu` would quietly start one; `bb_train` itself checks the count (`--processes`).

    Args:
        config: YAML file.
        words: `key=value` overrides.
        processes: how many.
        device: "cpu", or a GPU's.
    """
    threads = os.environ.get("OMP_NUM_THREADS") or max(1, (os.cpu_count() or 1) // processes)
    several = ["--multi_gpu"] if processes > 1 else []
    single_cpu = ["--cpu"] if processes == 1 and device == "cpu" else []
    return [
        *(sys.executable, "-m", "bb_train.launcher"),
        *several,
        *single_cpu,
        *("--num_processes", str(processes), "--num_machines", "1", "--mixed_precision", "no"),
        *("--dynamo_backend", "no", "--num_cpu_threads_per_process", str(threads)),
        *("--main_process_port", "0"),
        *("-m", "bb_train", "--config", str(config), "--processes", str(processes)),
        *words,
    ]
