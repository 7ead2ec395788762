"""`bb gate` and `bb registry` as a user runs them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from bb_core.cli import main
from bb_core.workspace import Workspace
from bb_safety.evidence import BatteryResult, EvaluationSet, PairedRisks, save_measurement
from bb_safety.registry import Registry, Revision
from bb_safety.risk import COMPONENTS

ROOT = Path(__file__).parents[3]
BASE = "b" * 64
START = "from bb_core.cli import main; main()"


@dataclass(frozen=True)
class Done:
    returncode: int
    stdout: str
    stderr: str


Command = Callable[..., Done]


@pytest.fixture
def bb(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """The `bb` command in this process, from the repository's root."""
    monkeypatch.chdir(ROOT)

    def run(*arguments: str, work: Path) -> Done:
        with pytest.raises(SystemExit) as stop:
            main([*arguments, "--work", str(work)])
        captured = capsys.readouterr()
        return Done(int(stop.value.code or 0), captured.out, captured.err)

    return run


def rail(registry: Registry, folder: Path, name: str) -> Revision:
    (folder / name).mkdir()
    (folder / name / "rail.bin").write_bytes(name.encode())
    return registry.add(folder / name, base_fingerprint=BASE, provenance={"run": name})


def measure(folder: Path, candidate: Revision, incumbent: Revision, seed: int, new: float) -> Path:
    n = 100
    zeros = {name: np.zeros(n) for name in COMPONENTS}
    fresh = EvaluationSet.of(f"fresh-{seed}", seed, [f"{seed}.{i}" for i in range(n)])
    risks = PairedRisks(
        fresh,
        candidate.digest,
        incumbent.digest,
        zeros | {"wrong_effect": np.full(n, new)},
        zeros | {"wrong_effect": np.ones(n)},
    )
    path = folder / f"measurement{seed}.json"
    save_measurement(path, risks, BatteryResult(candidate.digest, n, n, n, BASE))
    return path


@pytest.fixture
def work(tmp_path: Path) -> Path:
    registry = Registry(Workspace(tmp_path / "work"))
    base = registry.begin(BASE, {"masks": "api_json"})
    one = rail(registry, tmp_path, "one")
    measure(tmp_path, one, base, 1, 0.1)
    measure(tmp_path, one, base, 2, 1.0)
    return tmp_path / "work"


def test_from_measurement_to_production_and_back(bb: Command, work: Path) -> None:
    folder = work.parent
    waiting = bb("gate", "run", str(folder / "measurement2.json"), work=work)
    assert waiting.returncode == 1
    assert waiting.stdout.startswith("decision ")
    assert "MORE DATA NEEDED" in waiting.stdout
    assert "about " in waiting.stdout

    again = bb("gate", "run", str(folder / "measurement2.json"), work=work)
    assert again.returncode == 1
    assert again.stderr.startswith("error: evaluation set 'fresh-2': its requests are those of set")

    picture = folder / "gate.png"
    done = bb(
        "gate", "run", str(folder / "measurement1.json"), "--picture", str(picture), work=work
    )
    assert done.returncode == 0, done.stderr
    assert "PROMOTE" in done.stdout
    assert picture.read_bytes().startswith(b"\x89PNG")

    status = json.loads(bb("gate", "status", "--json", work=work).stdout)
    assert status["next_submission"] == 2
    assert status["submissions"][0]["outcome"].startswith("promote")
    explained = bb("gate", "explain", work=work)
    assert "check    run again: promote by the test after" in explained.stdout

    shown = json.loads(bb("registry", "show", "production", "--json", work=work).stdout)
    assert shown["provenance"] == {"run": "one"}
    back = bb("registry", "rollback", "--reason", "drill", work=work)
    assert back.returncode == 0
    assert back.stdout.endswith("(base) again\n")
    listed = json.loads(bb("registry", "list", "--json", work=work).stdout)
    assert [(row["kind"], row["aliases"]) for row in listed] == [
        ("base", ["production"]),
        ("rail", []),
    ]
    verified = bb("registry", "verify", work=work)
    assert verified.returncode == 0, verified.stdout
    assert "2 revisions" in verified.stdout


def test_verification_names_what_was_touched(bb: Command, work: Path) -> None:
    file = next((work / "artifacts" / "objects").rglob("rail.bin"))
    file.chmod(0o644)
    file.write_bytes(b"onf")
    done = bb("registry", "verify", "--json", work=work)
    assert done.returncode == 1
    assert json.loads(done.stdout)["problems"][0]["where"] == file.parent.name
    assert done.stderr == (
        "error: bb registry verify: 1 problems; restore what is named from a copy, or register it "
        "again from its run\n"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("gate", "run", "absent.json"), "absent.json: file does not exist; check the path"),
        (("gate", "explain", "7"), "decision 7 is not recorded; recorded: none yet"),
        (("registry", "show", "stable"), "0 revisions are called 'stable'"),
        (("registry", "rollback", "--reason", "x"), "there is no previous revision"),
    ],
)
def test_bad_input_ends_with_one_message(
    bb: Command, work: Path, arguments: tuple[str, ...], message: str
) -> None:
    done = bb(*arguments, work=work)
    assert done.returncode == 1
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_missing_workspace_is_not_made(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", START, "gate", "status", "--work", str(tmp_path / "absent")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "there is no such workspace; make one with `bb run --work DIR`" in done.stderr
    assert not (tmp_path / "absent").exists()
