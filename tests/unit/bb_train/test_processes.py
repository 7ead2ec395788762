import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from bb_train.processes import (
    ChildError,
    child_speaks,
    run_child,
    stop_tree,
    training_command,
)

# A launcher whose worker has a session of its own, says its pid, and ignores SIGTERM if told to.
TREE = """
import signal, subprocess, sys
worker = (
    "import signal, sys, threading;"
    + ("signal.signal(signal.SIGTERM, signal.SIG_IGN);" if {stubborn} else "")
    + "print(__import__('os').getpid(), flush=True); threading.Event().wait()"
)
subprocess.run([sys.executable, "-c", worker], start_new_session=True)
"""


@pytest.mark.parametrize("stubborn", [False, True])
def test_stop_tree_leaves_nothing_running(stubborn):
    command = [sys.executable, "-c", TREE.format(stubborn=stubborn)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    with child.stdout as lines:
        worker = psutil.Process(int(lines.readline()))
    stop_tree(child.pid, grace_s=0.2 if stubborn else 20)
    child.wait()
    assert not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE


def test_stopping_what_is_gone_is_fine():
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    assert stop_tree(child.pid) is None


def test_a_failing_child_is_named():
    with pytest.raises(ChildError, match=r"training: ended with exit code 3; look above"):
        run_child([sys.executable, "-c", "raise SystemExit(3)"], where="training", fix="look above")


def test_a_child_that_printed_its_message_is_not_repeated():
    with pytest.raises(SystemExit) as stop, child_speaks():
        run_child([sys.executable, "-c", "raise SystemExit(2)"], where="training", fix="")
    assert stop.value.code == 2
    with pytest.raises(ChildError, match="exit code -9"), child_speaks():
        code = "import os; os.kill(os.getpid(), 9)"
        run_child([sys.executable, "-c", code], where="training", fix="")


def test_ctrl_c_stops_the_child(tmp_path):
    marker = tmp_path / "pid"
    code = (
        "import os, threading, pathlib, sys;"
        "p = pathlib.Path(sys.argv[1]); q = p.with_suffix('.part');"
        "q.write_text(str(os.getpid())); q.rename(p); os.kill(int(sys.argv[2]), 2);"
        "threading.Event().wait()"
    )
    command = [sys.executable, "-c", code, str(marker), str(os.getpid())]
    assert threading.current_thread() is threading.main_thread()
    with pytest.raises(KeyboardInterrupt):
        run_child(command, where="child", fix="")
    assert not psutil.pid_exists(int(marker.read_text()))
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_two_processes_on_a_cpu_are_asked_for_as_gloo_processes():
    two = training_command(Path("c.yaml"), ["seed=1"], 2, "cpu")
    assert "--multi_gpu" in two
    assert "--cpu" not in two
    assert two[-1] == "seed=1"
    assert two[two.index("--num_processes") + 1] == "2"
    one = training_command(Path("c.yaml"), [], 1, "cpu")
    assert "--cpu" in one
    assert "--multi_gpu" not in one
