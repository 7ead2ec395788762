"""Say what this machine has, what is missing, and the command that mends it."""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import typer

from bb_core.cli import JsonOption, WorkOption
from bb_core.errors import BBError
from bb_core.extras import CORE, install_command, requirements
from bb_core.workspace import DEFAULT_ROOT

PYTHONS = ((3, 11), (3, 12))
MIN_FREE_BYTES = 4 << 30
_GPU_PROBE_TIMEOUT_S = 120
_GPU_PROBE = """
import json, torch
print(json.dumps([torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]))
"""
CPU_FEATURES = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")

app = typer.Typer(add_completion=False)


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        name: what was looked at.
        value: what was found.
        state: "ok", "absent" (optional and not there) or "bad" (nothing works until mended).
        fix: the command or act that mends it; empty if nothing is to be done.
    """

    name: str
    value: str
    state: str = "ok"
    fix: str = ""


@app.command()
def doctor(json_output: JsonOption = False, work: WorkOption = DEFAULT_ROOT) -> None:
    """Say what is installed, what the machine has, and what to do about what is missing.

    Exits with 1 if something necessary is broken; optional parts that are absent are named only.

    Example: bb doctor --json
    """
    findings = examine(work)
    if json_output:
        typer.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        marks = {"ok": "+", "absent": "-", "bad": "!"}
        width = max(len(finding.name) for finding in findings)
        for finding in findings:
            fix = f"  ->  {finding.fix}" if finding.fix else ""
            typer.echo(f"{marks[finding.state]} {finding.name:{width}}  {finding.value}{fix}")
    bad = [finding.name for finding in findings if finding.state == "bad"]
    if bad:
        raise BBError(f"{', '.join(bad)} must be mended", where="bb doctor", fix="see the list")


def examine(work: Path) -> list[Finding]:
    """Return everything the doctor looks at, in the order in which it is shown.

    Args:
        work: the workspace that will be used; it is not made.
    """
    return [
        _python(),
        *_packages(),
        _cpu(),
        _memory(),
        _gpu(),
        _disk(work),
        _writable(work),
    ]


def cpu_features() -> frozenset[str]:
    """Return the CPU's feature flags, empty where the system does not tell."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return frozenset()
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("flags", "Features"):
            return frozenset(value.split())
    return frozenset()


def _python() -> Finding:
    value = f"{platform.python_version()} at {sys.executable}"
    if sys.version_info[:2] in PYTHONS:
        return Finding("python", value)
    wanted = " or ".join(f"{major}.{minor}" for major, minor in PYTHONS)
    return Finding("python", value, "bad", f"use Python {wanted}")


def _packages() -> list[Finding]:
    """Return one finding for the core and one for each extra."""
    groups = requirements()
    if not groups:
        return [Finding("packages", "not installed", "bad", install_command(CORE))]
    return [_group(extra, names) for extra, names in groups.items()]


def _group(extra: str, names: Sequence[str]) -> Finding:
    """Say which packages of the core or of an extra are there, and in which versions."""
    found, missing = [], []
    for name in names:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            missing.append(name)
    label = f"extra {extra}" if extra else "core packages"
    if not missing:
        return Finding(label, ", ".join(found))
    state = "absent" if extra else "bad"
    return Finding(label, f"missing {', '.join(missing)}", state, install_command(extra))


def _cpu() -> Finding:
    """Say how many cores this process may use and which vector instructions they have."""
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    flags = cpu_features()
    has = ", ".join(name for name in CPU_FEATURES if name in flags) or "no listed vector extension"
    return Finding("cpu", f"{platform.machine()}, {cores} cores, {has}")


def _memory() -> Finding:
    import psutil

    memory = psutil.virtual_memory()
    value = f"{_gib(memory.total)} GiB, {_gib(memory.available)} GiB available"
    return Finding("memory", value)


def _gpu() -> Finding:
    """Say which GPU torch can use; asks a process of its own, because the core needs no torch."""
    if importlib.util.find_spec("torch") is None:
        return Finding("gpu", "not looked for: torch is not installed", "absent")
    command = [sys.executable, "-c", _GPU_PROBE]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=_GPU_PROBE_TIMEOUT_S
        )
    except subprocess.TimeoutExpired:
        what = f"torch did not answer within {_GPU_PROBE_TIMEOUT_S} s"
        return Finding("gpu", what, "absent", "ask again when the machine is less busy")
    except subprocess.CalledProcessError as error:
        reason = (error.stderr.strip().splitlines() or ["no message"])[-1]
        fix = f"{install_command('nn')} --force-reinstall"
        return Finding("gpu", f"torch cannot be imported: {reason}", "bad", fix)
    names = json.loads(done.stdout)
    if not names:
        return Finding("gpu", f"none usable by torch {version('torch')}", "absent")
    value = f"{len(names)} x {', '.join(sorted(set(names)))}"
    if importlib.util.find_spec("triton") is None:
        return Finding("gpu", f"{value}, triton is missing", "absent", install_command("gpu"))
    return Finding("gpu", f"{value}, triton {version('triton')}")


def _disk(work: Path) -> Finding:
    free = shutil.disk_usage(_existing(work)).free
    value = f"{_gib(free)} GiB free for {work}"
    if free >= MIN_FREE_BYTES:
        return Finding("disk", value)
    return Finding("disk", value, "bad", "free some space or choose another --work DIR")


def _writable(work: Path) -> Finding:
    """Say whether the workspace can be written; makes nothing."""
    place = _existing(work)
    if place.is_dir() and os.access(place, os.W_OK | os.X_OK):
        return Finding("workspace", f"{work} can be written")
    return Finding("workspace", f"{work} cannot be written", "bad", "choose another --work DIR")


def _existing(path: Path) -> Path:
    """Return the path itself or its nearest ancestor that exists."""
    place = path.absolute()
    while not place.exists():
        place = place.parent
    return place


def _gib(size_bytes: int) -> str:
    return f"{size_bytes / (1 << 30):.1f}"
