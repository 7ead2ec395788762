"""The wheel holds all that the code reads, and its commands run away from a checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import Distribution
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.slow


def python(arguments, cwd, **env):
    done = subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=os.environ | env, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A copy, since a build leaves its products in the tree; and the files of its packages."""
    source = tmp_path_factory.mktemp("source")
    packages = {path.parent for path in ROOT.glob("*/__init__.py")}
    for package in (one for one in packages if one.name not in ("tests", "benchmarks")):
        ignored = shutil.ignore_patterns("__pycache__", ".*")
        shutil.copytree(package, source / package.name, ignore=ignored)
    ours = {path.relative_to(source).as_posix() for path in source.rglob("*") if path.is_file()}
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    return source, ours


@pytest.fixture(scope="module")
def packed(source, tmp_path_factory):
    """The names of the wheel's files, and the folder they are unpacked in."""
    folder = tmp_path_factory.mktemp("wheel")
    offline = ("--no-index", "--no-deps", "--no-build-isolation")
    python(["-m", "pip", "wheel", *offline, "-q", "-w", str(folder), "."], source[0])
    (wheel,) = folder.glob("builderbrain-*-py3-none-any.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "installed")
        return set(archive.namelist()), folder / "installed"


def test_every_file_of_the_packages_is_in_it_and_nothing_else(source, packed):
    (_, ours), (names, _) = source, packed
    assert {"bb_runtime/http/page/page.js", "bb_nn/base_rail/model.safetensors"} <= ours
    assert ours - names == set(), "package-data in pyproject.toml leaves these out"
    assert {name for name in names - ours if ".dist-info/" not in name} == set()


def test_its_entry_points_are_there(packed):
    names, folder = packed
    (info,) = folder.glob("*.dist-info")
    points = Distribution.at(info).entry_points
    assert {"bb.commands", "bb.domains", "console_scripts"} == {point.group for point in points}
    for point in points:
        path = point.module.replace(".", "/")
        assert {f"{path}.py", f"{path}/__init__.py"} & names, point


def test_its_commands_run_in_a_foreign_folder(packed, tmp_path):
    _, folder = packed

    def run(program, *arguments):
        return python(["-c", program, *arguments], tmp_path, PYTHONPATH=str(folder))

    def bb(*arguments):
        return run("from bb_core.cli import main; main()", *arguments)

    found = run("import bb_core, bb_domains; print(bb_core.__file__, bb_domains.__file__)")
    assert [Path(path).parents[1] for path in found.split()] == [folder] * 2
    assert "api_json: 0 faults" in bb("domain", "test", "api_json")
    bb("domain", "new", "kiosk")
    assert "kiosk: 0 faults" in bb("domain", "test", "kiosk")
    plan = tmp_path / "plan.json"
    plan.write_text(
        '{"plan":[{"id":"a","tool":"login","args":{}},'
        '{"id":"b","tool":"find_customer","args":{"email":"olga@mail.example.com"}},'
        '{"id":"c","tool":"add_note","args":{"customer":"$b.id","tag":"vip"}}]}'
    )
    assert bb("plan", "check", str(plan)).startswith("admissible: 3 steps")
    assert "--allow-run" in bb("serve", "--help")


def test_its_page_and_its_model_are_served(packed, tmp_path):
    _, folder = packed
    program = """
from fastapi.testclient import TestClient
from bb_runtime.http.app import create_app
from bb_runtime.http.limits import ServerLimits
from bb_runtime.load import ModelSource, load_engine
with TestClient(create_app(load_engine(ModelSource()), ServerLimits(hosts=("testserver",)))) as app:
    assert "/page/page.js" in app.get("/").text
    assert app.get("/page/page.js").status_code == 200
    body = {"prompt": "x", "structured_outputs": {"choice": ["yes"]}}
    print(app.post("/v1/completions", json=body).json()["choices"][0]["text"])
"""
    assert python(["-c", program], tmp_path, PYTHONPATH=str(folder)) == "yes\n"
