from __future__ import annotations

import json
import shutil
from importlib.metadata import version
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bb_core import doctor, extras
from bb_core.doctor import app, examine
from bb_core.errors import BBError

RUNNER = CliRunner()


def finding(findings: list[doctor.Finding], name: str) -> doctor.Finding:
    return next(found for found in findings if found.name == name)


def test_this_machine_is_fit(tmp_path: Path) -> None:
    findings = examine(tmp_path / "not-yet" / "work")
    assert [found for found in findings if found.state == "bad"] == []
    assert f"numpy {version('numpy')}" in finding(findings, "core packages").value
    assert "GiB available" in finding(findings, "memory").value
    assert not (tmp_path / "not-yet").exists()


def test_json_has_every_finding(tmp_path: Path) -> None:
    result = RUNNER.invoke(app, ["--json", "--work", str(tmp_path)])
    assert result.exit_code == 0
    names = [found["name"] for found in json.loads(result.stdout)]
    assert names[0] == "python"
    assert names[-5:] == ["cpu", "memory", "gpu", "disk", "workspace"]


def test_an_absent_extra_names_the_command_that_brings_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups = {"": ["numpy"], "far": ["no-such-package", "numpy"]}
    monkeypatch.setattr(doctor, "requirements", lambda: groups)
    result = RUNNER.invoke(app, ["--work", str(tmp_path)])
    assert result.exit_code == 0
    line = next(line for line in result.stdout.splitlines() if "extra far" in line)
    assert line.startswith("- ")
    assert "missing no-such-package  ->  " in line
    assert "pip install" in line
    assert "[far]" in line


def test_a_broken_core_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "requirements", lambda: {"": ["no-such-package"]})
    result = RUNNER.invoke(app, ["--work", str(tmp_path)])
    assert isinstance(result.exception, BBError)
    assert str(result.exception) == "bb doctor: core packages must be mended; see the list"


def test_a_full_disk_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=1 << 30)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: usage)
    found = finding(examine(tmp_path), "disk")
    assert (found.state, found.value) == ("bad", f"1.0 GiB free for {tmp_path}")


def test_a_workspace_that_is_a_file_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "work").write_text("x")
    found = finding(examine(tmp_path / "work"), "workspace")
    assert (found.state, found.fix) == ("bad", "choose another --work DIR")


def test_extras_come_from_the_distribution() -> None:
    groups = extras.requirements()
    assert {"nn", "serve", "seal", "gpu", "ray", "docs", "dev"} <= set(groups)
    assert "torch" in groups["nn"]
    assert "torch" not in groups[extras.CORE]
    assert extras.extra_of("torch.nn") == "nn"
    assert extras.extra_of("rouge_score.rouge_scorer") == "seal"
    assert extras.extra_of("numpy") == extras.CORE
    assert extras.extra_of("no_such_module") is None


def test_a_checkout_is_installed_with_its_pins() -> None:
    root = Path(doctor.__file__).parent.parent
    command = extras.install_command("gpu")
    assert f"-c {root}/constraints.txt -e '{root}[gpu]'" in command
