"""The container file, its context, and the systemd unit."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from bb_runtime import serve_cli

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "bb_runtime" / "deploy"
CONTAINER = (DEPLOY / "Containerfile").read_text()
UNIT = (DEPLOY / "builderbrain.service").read_text()


def settings(name):
    """The values of a setting of the unit."""
    return re.findall(rf"^{name}=(.*)$", UNIT, re.M)


@pytest.mark.parametrize("text", [CONTAINER, UNIT])
def test_options_exist(text):
    source = Path(serve_cli.__file__).read_text()
    known = {f"--{name.replace('_', '-')}" for name in re.findall(r"^    (\w+): ", source, re.M)}
    known |= set(re.findall(r'"(--[a-z-]+)"', source))
    (command,) = re.findall(r"^(?:ENTRYPOINT|ExecStart=).*$", text, re.M)
    explained = re.findall(r"^#   (--.*?)  ", text, re.M)
    used = set(re.findall(r"--[a-z-]+", " ".join([command, *explained])))
    assert used and used <= known, used - known


def test_the_container_is_built_from_every_package_and_from_nothing_else():
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", CONTAINER, re.M)
    sources = {name for names in copied for name in names.split()}
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests", "benchmarks"}
    assert packages <= sources and all((ROOT / name).exists() for name in sources)
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in ignored
    assert {line[1:] for line in ignored if line.startswith("!")} == sources


def test_the_container_serves_without_root_and_asks_for_keys():
    assert re.findall(r"^USER (.+)$", CONTAINER, re.M) == ["bb"]
    assert CONTAINER.index("\nUSER bb") < CONTAINER.index("\nENTRYPOINT")
    assert '"--keys"' in CONTAINER.split("\nENTRYPOINT")[1]
    assert not re.search(r"^(ENV|ARG) .*(KEY|TOKEN|SECRET|PASSWORD)", CONTAINER, re.M | re.I)


def test_what_changes_seldom_is_installed_before_our_code_is_copied():
    install = CONTAINER.index("pip install --no-cache-dir -c constraints.txt")
    assert CONTAINER.index("COPY pyproject.toml") < install < CONTAINER.index("COPY bb_core")


def test_the_unit_lets_code_be_compiled():
    """Sandboxing that breaks numba and torch."""
    assert settings("MemoryDenyWriteExecute") == [] and settings("ProcSubset") == []
    assert not any("@resources" in one for one in settings("SystemCallFilter"))
    assert settings("UMask") == ["0077"] and settings("User") == ["builderbrain"]


def test_the_unit_gives_the_server_time_to_drain():
    (drain_s,) = re.findall(r"--drain-s (\d+)", UNIT)
    assert int(settings("TimeoutStopSec")[0]) > int(drain_s)


@pytest.fixture
def analyze(tmp_path):
    """systemd's own word on the unit; its program is not installed here, so another stands in."""
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("no systemd-analyze")
    unit = tmp_path / "builderbrain.service"
    unit.write_text(re.sub(r"(?m)^(ExecStart=)\S+", rf"\1{shutil.which('true')}", UNIT))

    def run(*arguments):
        return subprocess.run([program, *arguments, str(unit)], capture_output=True, text=True)

    return run


def test_systemd_understands_the_unit(analyze):
    done = analyze("verify")
    assert done.returncode == 0 and "builderbrain.service" not in done.stderr, done.stderr


def test_systemd_finds_little_exposed(analyze):
    done = analyze("security", "--offline=true", "--threshold=20")
    if "unrecognized option" in done.stderr:
        pytest.skip("systemd-analyze is older than 250")
    assert done.returncode == 0, done.stdout[-200:] + done.stderr
