"""`bem learn actions`, in process."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bem_kernel.cli import main as cli
from bem_kernel.isa.files import load_program

HEAD = '{"action":"open","parameters":{"door":"door"},'
LINES = [
    '"ok":true,"before":{"near":true,"open(door)":false},"after":{"near":true,"open(door)":true}}',
    '"ok":false,"before":{"near":false,"open(door)":false}}',
    '"ok":true,"before":{"near":true,"open(door)":true},"after":{"near":true,"open(door)":true}}',
]


def bem(capsys: pytest.CaptureFixture[str], *args: object) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of `bem learn`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["bem", "learn", *map(str, args)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
    captured = capsys.readouterr()
    return int(stop.value.code or 0), captured.out, captured.err


@pytest.fixture
def doors(tmp_path: Path) -> Path:
    path = tmp_path / "doors.jsonl"
    path.write_text("\n".join(HEAD + line for line in LINES) + "\n")
    return path


def test_models_are_shown_and_written(doors: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pddl, program = doors.with_suffix(".pddl"), doors.with_suffix(".json")
    code, out, _ = bem(capsys, "actions", doors, "--pddl", pddl, "--program", program)
    assert code == 0
    assert out.splitlines() == [
        "open: 2 successes, 1 failures, clauses of 1, 1 claims proved",
        "  safe where   near",
        "  failures by  near",
        "  effects      open(door)",
    ]
    assert "(:action open\n    :parameters (?door - door)" in pddl.read_text()
    experts = load_program(program).experts
    assert [expert.name for expert in experts] == ["pre:open", "effect:open"]


def test_held_out_attempts_are_judged(doors: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = bem(capsys, "actions", doors, "--held-out", doors, "--json")
    assert code == 0
    assert json.loads(out)["held_out"] == {
        "attempts": 3,
        "successes": 2,
        "admitted": 2,
        "unsafe": 0,
    }
    broken = doors.with_name("broken.jsonl")
    broken.write_text(HEAD + '"ok":false,"before":{"near":true,"open(door)":false}}\n')
    code, out, _ = bem(capsys, "actions", doors, "--held-out", broken)
    assert code == 1
    assert out.splitlines()[-1] == "held out: 0 of 0 successes admitted, 1 of 1 failures"


def test_an_unexplained_action_fails(doors: Path, capsys: pytest.CaptureFixture[str]) -> None:
    failure = HEAD + LINES[0].replace("true", "false", 1).partition(',"after"')[0] + "}\n"
    doors.write_text(doors.read_text() + failure)
    code, out, _ = bem(capsys, "actions", doors)
    assert code == 1
    assert "open: no model: action open: the same facts before, and only one success" in out


def test_malformed_files_are_refused(doors: Path, capsys: pytest.CaptureFixture[str]) -> None:
    doors.write_text("[1]\n")
    code, _, err = bem(capsys, "actions", doors)
    assert code == 1 and "doors.jsonl:1" in err


def test_words_need_no_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "words.txt").write_text("1 a\n0 b\n1 aa\n")
    method = ("--method", "exact")
    short = bem(capsys, tmp_path / "words.txt", *method)
    assert short == bem(capsys, "words", tmp_path / "words.txt", *method)
    assert short[0] == 0 and "learned from 3 examples, given" in short[1]
    assert bem(capsys)[2].startswith("error: learn: a file or a task")
