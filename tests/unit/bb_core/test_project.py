"""The project frame: layers, pins, entry points and package data are what they claim to be."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LAYERS = PROJECT["tool"]["importlinter"]["contracts"][0]["layers"]


def packages() -> list[str]:
    """Top-level packages of the checkout that are shipped."""
    found = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    return sorted(found - {"benchmarks"})


def test_layers_are_exhaustive() -> None:
    # import-linter's own `exhaustive` speaks about the children of one container, and ours have
    # no common parent.
    assert packages() == sorted(LAYERS) == sorted(PROJECT["tool"]["importlinter"]["root_packages"])


def test_every_package_is_shipped() -> None:
    shipped = PROJECT["tool"]["setuptools"]["packages"]["find"]["include"]
    assert sorted(shipped) == [f"{name}*" for name in packages()]


def test_nobody_imports_upwards_and_the_core_needs_no_torch(tmp_path: Path) -> None:
    code = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    command = [sys.executable, "-c", code, "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    entries = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {normal(name): version for name, version in entries}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_pins_are_plain_versions() -> None:
    assert all(re.fullmatch(r"[0-9][0-9a-z.]*", version) for version in pins().values())


@pytest.mark.parametrize("extra", ["core", "nn", "serve", "seal", "dev"])
def test_what_make_setup_installs_is_pinned_within_its_bounds(extra: str) -> None:
    packaging = pytest.importorskip("packaging.requirements")
    project = PROJECT["project"]
    lines = project["dependencies"] if extra == "core" else project["optional-dependencies"][extra]
    for line in lines:
        requirement = packaging.Requirement(line)
        pinned = pins()[normal(requirement.name)]
        assert requirement.specifier.contains(pinned, prereleases=True), f"{line}: {pinned}"


def test_continuous_integration_runs_make_test() -> None:
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o100
    assert "make test" in script.read_text()


@pytest.mark.parametrize(
    ("python", "message"),
    [
        ("", "setup: no Python 3.11 or 3.12 found; install one"),
        ("false", "setup: false is not Python 3.11 or 3.12; name one"),
    ],
)
def test_make_setup_refuses_other_pythons(tmp_path: Path, python: str, message: str) -> None:
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        (tmp_path / name).write_text((ROOT / name).read_text())
    done = subprocess.run(
        ["make", "-C", str(tmp_path), "setup", f"PY={python}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert message in done.stderr
    assert not (tmp_path / ".venv").exists()


FAKE_PYTHON = """#!/bin/sh
# Stands in for a Python: -m venv makes a copy of itself, -m pip fails as long as `broken` exists.
case "$*" in
    *"-m venv"*) mkdir -p .venv/bin && cp "$0" .venv/bin/python ;;
    *"-m pip install"*) echo "pip ran" && test ! -e broken ;;
    *"--version"*) echo "Python 3.12.0" ;;
esac
"""


def test_make_setup_stamps_only_what_was_finished(tmp_path: Path) -> None:
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        (tmp_path / name).write_text((ROOT / name).read_text())
    python = tmp_path / "python"
    python.write_text(FAKE_PYTHON)
    python.chmod(0o755)

    def setup() -> tuple[int, int]:
        command = ["make", "-C", str(tmp_path), "setup", f"PY={python}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout.count("pip ran")

    (tmp_path / "broken").touch()
    assert setup() == (2, 1)
    assert list((tmp_path / ".venv").glob(".setup-*")) == []
    (tmp_path / "broken").unlink()
    assert setup() == (0, 1)
    assert setup() == (0, 0)
    with open(tmp_path / "constraints.txt", "a") as file:
        file.write("# another version\n")
    assert setup() == (0, 1)
    assert len(list((tmp_path / ".venv").glob(".setup-*"))) == 1
