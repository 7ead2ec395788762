"""bem prove, in process."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bem_kernel.cli import main as cli

PROGRAM = """.bits low
.space buffer 4
.expert drop: low = false
  LT r2, r1, 4
  JZ r2, end
  ST r3, DATA[buffer + r1]
  EXPERT drop
end:
"""


def bem(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of one command."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["bem", "prove", *args])
        with pytest.raises(SystemExit) as stop:
            cli.main()
    captured = capsys.readouterr()
    return int(stop.value.code or 0), captured.out, captured.err


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    (tmp_path / "store.bem").write_text(PROGRAM)
    (tmp_path / "store.hoare").write_text("at entry: r1 >= 0\nat exit: r1 < 4 -> !low\n")
    return str(tmp_path / "store.bem"), str(tmp_path / "store.hoare")


def test_what_holds(capsys: pytest.CaptureFixture[str], files: tuple[str, str]) -> None:
    code, out, err = bem(capsys, *files)
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "entry -> exit: holds (lines 4 5)",
        "entry -> no trap BOUNDS: holds (lines 4 5 6)",
        "entry -> exit: holds (lines 4 5 6 7)",
        "entry: the weakest annotation that does",
        "accepted: 3 of 3 hold, 4 proofs checked",
    ]


def test_what_does_not(capsys: pytest.CaptureFixture[str], files: tuple[str, str]) -> None:
    Path(files[1]).write_text("at entry: r1 == -2 & low & r3 == 0\nat exit: r1 < 4 -> !low\n")
    code, out, _ = bem(capsys, *files)
    assert code == 1
    assert "entry -> no trap BOUNDS: REFUTED (lines 4 5 6)" in out
    assert "    from low; r1=-2\n" in out
    assert "6     2  ST r3, DATA[buffer + r1]  trap: the address" in out
    assert "rejected: 2 of 3 hold" in out


def test_as_json(capsys: pytest.CaptureFixture[str], files: tuple[str, str]) -> None:
    Path(files[1]).write_text("at entry: r1 == 3 & low & r3 == 7\nat exit: buffer[3] == 8\n")
    code, out, _ = bem(capsys, *files, "--json")
    assert code == 1
    record = json.loads(out)
    assert record["accepted"] is False
    (example,) = record["counterexamples"]
    assert example["claim"] == "exit"
    assert example["start"] == {"ones": ["low"], "registers": {"r1": 3, "r3": 7}, "data": {}}
    assert [step["pc"] for step in example["steps"]] == [0, 1, 2, 3]
    assert example["steps"][-1]["changes"] == "-low"
    assert [edge["holds"] for edge in record["edges"]] == [True, True, False]


def test_what_is_not_decided(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "p.bem").write_text(" MUL r3, r1, r2\n MUL r4, r2, r1\n")
    (tmp_path / "p.hoare").write_text("width r1 s24\nwidth r2 s24\nat exit: r3 == r4\n")
    files = str(tmp_path / "p.bem"), str(tmp_path / "p.hoare")
    code, out, _ = bem(capsys, *files, "--budget", "3", "--no-hand-over")
    assert code == 1
    assert "entry -> exit: UNDECIDED (lines 1 2)\nrejected: 0 of 1 hold" in out


def test_faults_of_the_annotations(
    capsys: pytest.CaptureFixture[str], files: tuple[str, str]
) -> None:
    Path(files[1]).write_text("\nat exit: r1 <\n")
    code, _, err = bem(capsys, *files)
    assert code == 1
    assert "at exit: the end: the text ends too early in 'r1 <'" in err
