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


WAIT = """.bits asked paid bad
.port ask writes asked
.expert pay: paid = true; bad = bad | !asked
wait:
  HOST ask
  JZ asked, wait
  EXPERT pay
"""


def test_bad_is_unreachable(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "wait.bem").write_text(WAIT)
    code, out, _ = bem(capsys, str(tmp_path / "wait.bem"), "--bad", "bad")
    assert (code, out) == (0, "BAD is unreachable: 1-induction, 2 proofs checked\n")
    code, out, _ = bem(capsys, str(tmp_path / "wait.bem"), "--bad", "paid & asked", "--json")
    record = json.loads(out)
    assert code == 1 and record["unreachable"] is False
    assert [step["pc"] for step in record["counterexample"]["steps"]] == [0, 1, 2]


def test_bad_is_reached(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "wait.bem").write_text(WAIT.replace("JZ asked", "JNZ asked"))
    code, out, _ = bem(capsys, str(tmp_path / "wait.bem"), "--bad", "bad")
    assert code == 1
    assert "BAD is REACHED in 2 blocks\n    from all zero\n" in out
    assert out.splitlines()[-1].endswith("EXPERT pay  +paid +bad")


def test_bad_under_proved_annotations(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "wait.bem").write_text(WAIT.replace("wait:\n", ".cfg wait\nwait:\n"))
    claims = tmp_path / "wait.hoare"
    claims.write_text("at entry: !bad\nat wait: !bad\n")
    code, out, _ = bem(capsys, str(tmp_path / "wait.bem"), str(claims), "--bad", "bad")
    assert code == 0 and "accepted: " in out and "BAD is unreachable" in out
    claims.write_text("at wait: !paid\n")
    code, out, _ = bem(capsys, str(tmp_path / "wait.bem"), str(claims), "--bad", "bad")
    assert code == 1 and "rejected: " in out and "BAD" not in out


def test_depth_that_does_not_decide(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    text = "  SET r1, 100\nloop:\n  SUB r1, r1, 1\n  JNZ r1, loop\n"
    (tmp_path / "count.bem").write_text(".bits bad\n" + text)
    code, out, _ = bem(capsys, str(tmp_path / "count.bem"), "--bad", "r1 == 90", "--k", "2")
    assert (code, out) == (1, "UNDECIDED: no run of 2 blocks reaches BAD\n")


def test_nothing_to_prove(capsys: pytest.CaptureFixture[str], files: tuple[str, str]) -> None:
    code, _, err = bem(capsys, files[0])
    assert code == 2 and "nothing to prove; give annotations, or --bad BIT" in err
