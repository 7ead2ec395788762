from __future__ import annotations

import json
import shutil
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bb_core import doctor, extras
from bb_core.doctor import app, examine
from bb_core.errors import BBError

RUNNER = CliRunner()
REAL_PROBE = doctor._GPU_PROBE


@pytest.fixture(autouse=True)
def quick_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    """Importing torch takes seconds; only the last test does it."""
    monkeypatch.setattr(doctor, "_GPU_PROBE", "print('[]')")


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
    assert extras.extra_of("uvicorn.config") == "serve"
    assert extras.extra_of("rouge_score.rouge_scorer") == "dev"
    assert extras.extra_of("numpy") == extras.CORE
    assert extras.extra_of("no_such_module") is None


def test_a_checkout_is_installed_with_its_pins() -> None:
    root = Path(doctor.__file__).parent.parent
    command = extras.install_command("gpu")
    assert f"-c {root}/constraints.txt -e '{root}[gpu]'" in command


@pytest.mark.skipif(find_spec("torch") is None, reason="torch is not installed")
@pytest.mark.parametrize(
    ("probe", "state", "value"),
    [
        ("print('[]')", "absent", "none usable by torch "),
        ('print(\'["H200", "H200"]\')', None, "2 x H200, triton"),
        (
            "raise ImportError('libcudart.so')",
            "bad",
            "torch cannot be imported: ImportError: libcudart.so",
        ),
    ],
)
def test_the_gpu_is_what_torch_says(
    probe: str, state: str | None, value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "_GPU_PROBE", probe)
    found = finding(examine(tmp_path), "gpu")
    assert found.value.startswith(value)
    assert state is None or found.state == state


@pytest.mark.slow
def test_torch_itself_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(doctor, "_GPU_PROBE", REAL_PROBE)
    found = finding(examine(tmp_path), "gpu")
    if torch.cuda.is_available():
        assert torch.cuda.get_device_name(0) in found.value
    else:
        assert found.value.startswith("none usable by torch ")
