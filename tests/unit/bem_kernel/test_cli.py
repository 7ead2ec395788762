"""The bem command, in process."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bem_kernel.cli import main as cli
from bem_kernel.experts.expert import expert_from_expressions
from bem_kernel.experts.table import ExpertTable
from bem_kernel.ledger.chain import Ledger, read_entries
from bem_kernel.memory.configuration import MachineConfig
from bem_kernel.memory.image import load_image, save_image
from bem_kernel.memory.memory import Memory

PROGRAM = """.bits closed knocked bad
.expert knock: knocked = true
.port ask writes bad
  EXPERT knock
  HOST ask
  TRAP_IF bad "locked"
  LOG "opened"
"""


def bem(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of one command."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["bem", *args])
        with pytest.raises(SystemExit) as stop:
            cli.main()
    captured = capsys.readouterr()
    return int(stop.value.code or 0), captured.out, captured.err


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "door.bem"
    path.write_text(PROGRAM)
    return path


def test_log_verify_and_show(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "l.jsonl"
    with Ledger(path) as ledger:
        ledger.append({"a": 1})
        ledger.append({"a": 2})
        head = ledger.head
    assert bem(capsys, "log", "verify", str(path), "--head", head) == (
        0,
        f"2 entries, unbroken; head {head}\n",
        "",
    )
    assert bem(capsys, "log", "show", str(path))[1] == '{"a": 1}\n{"a": 2}\n'
    path.write_bytes(path.read_bytes().replace(b'"a":2', b'"a":3'))
    code, out, _ = bem(capsys, "log", "verify", str(path), "--json")
    assert code == 1
    assert json.loads(out)["first_bad"] == 1
    code, out, _ = bem(capsys, "log", "verify", str(path))
    assert (code, out.split(";")[0]) == (
        1,
        "entry 1: the hash does not match the entry and the chain before it",
    )


def test_asm_disasm_run(text: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = text.with_suffix(".json")
    assert bem(capsys, "asm", str(text), "--out", str(record))[0] == 0
    assert bem(capsys, "asm", str(text))[1] == record.read_text()
    listing = bem(capsys, "disasm", str(record))[1]
    assert "EXPERT knock" in listing
    args = ("run", str(record), "--set", "closed", "--answer", "ask=0")
    assert bem(capsys, *args) == (
        0,
        "halted; instruction 4 after 4 steps; ones: closed knocked\n",
        "opened\n",
    )
    code, out, _ = bem(capsys, "run", str(text), "--answer", "ask=1", "--json")
    assert code == 1
    assert json.loads(out) == {
        "ended": f"trap at {text}: line 6 (instruction 2): locked",
        "trap": "RAISED",
        "pc": 2,
        "steps": 3,
        "ones": ["knocked", "bad"],
        "registers": {},
    }
    code, out, _ = bem(capsys, "run", str(text), "--answer", "ask=1", "--fuel", "1")
    assert (code, out) == (1, "out of fuel; instruction 1 after 1 steps; ones: knocked\n")


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (("run", "{text}"), 1, "error: machine: no host function 'ask'"),
        (("run", "{text}", "--set", "open"), 2, "error: --set: no bit 'open'"),
        (("run", "{text}", "--answer", "ask"), 2, "error: --answer: 'ask'; write PORT=BITS"),
        (("run", "{text}.no"), 1, "file does not exist"),
        (("log", "verify", "{text}.no"), 1, "cannot be read: No such file"),
    ],
)
def test_errors_are_one_line(
    args: tuple[str, ...],
    code: int,
    message: str,
    text: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    found, out, err = bem(capsys, *(arg.format(text=text) for arg in args))
    assert (found, out) == (code, "")
    assert message in err
    assert len(err.splitlines()) == 1


def test_trace_shows_what_each_step_changes(text: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = bem(capsys, "trace", str(text), "--set", "closed", "--answer", "ask=1")
    assert code == 1
    assert out.splitlines() == [
        "    4     0  EXPERT knock           +knocked",
        "    5     1  HOST ask               +bad",
        '    6     2  TRAP_IF bad, "locked"  trap: locked',
    ]
    code, out, _ = bem(capsys, "trace", str(text), "--answer", "ask=0", "--changes", "--json")
    assert code == 0
    assert [json.loads(line) for line in out.splitlines()] == [
        {
            "line": 4,
            "pc": 0,
            "instruction": "EXPERT knock",
            "set": ["knocked"],
            "cleared": [],
            "registers": {},
            "trap": None,
        }
    ]
    assert bem(capsys, "trace", str(text), "--answer", "ask=0", "--fuel", "3")[0] == 1


def test_trace_draws_the_state(text: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = text.with_suffix(".svg")
    args = ("trace", str(text), "--answer", "ask=0", "--out", str(picture))
    assert bem(capsys, *args)[:2] == (0, f"{picture}\n")
    drawn = picture.read_text()
    assert drawn.startswith("<svg")
    assert "knocked" in drawn
    assert "0: EXPERT knock" in drawn
    code, _, err = bem(capsys, "trace", str(text), "--out", "a.png")
    assert (code, "write a file that ends in .svg" in err) == (2, True)


def test_registers_can_be_set_and_are_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "double.bem"
    path.write_text("ADD r2, r1, r1\n")
    out = bem(capsys, "run", str(path), "--register", "r1=-3")[1]
    assert out == "halted; instruction 1 after 1 steps; r1=-3 r2=-6\n"
    for option, message in (("r1", "write R=NUMBER"), ("r32=1", "use r1 to r31 and signed")):
        assert message in bem(capsys, "run", str(path), "--register", option)[2]


def test_programs_run_in_an_image_with_its_experts_and_write_a_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    memory = Memory(MachineConfig(n_bits=2, n_shared_bits=64, lanes=70, max_experts=2))
    table = ExpertTable(memory)
    table.add(expert_from_expressions("copy", {"b": "a"}, {"a": 0, "b": 1}))
    save_image(memory, tmp_path / "before.image")
    path = tmp_path / "batch.bem"
    path.write_text(
        ".bits a b\n.data all 1 0 -1\n.data entry 1 7\n"
        'BEM_EXPERT_BATCH r1, DATA[all]\nBEM_LOG_APPEND DATA[entry]\nLOG "copied"\n'
    )
    options = ("--image", str(tmp_path / "before.image"), "--set", "a")
    options += ("--log", str(tmp_path / "log"), "--save", str(tmp_path / "after.image"))
    code, out, _ = bem(capsys, "run", str(path), *options)
    assert (code, out) == (0, "halted; instruction 3 after 3 steps; ones: a b; r1=70\n")
    after = load_image(tmp_path / "after.image")
    assert after.planes.tolist() == [[(1 << 64) - 1, 63]] * 2
    words, text = read_entries(tmp_path / "log")
    assert words["words"] == ["0" * 15 + "7"]
    assert (text["pc"], text["text"]) == (2, "copied")
    assert text["program"] == words["program"]
    code, out, _ = bem(capsys, "run", str(path))
    assert (code, out.startswith(f"trap at {path}: line 4")) == (1, True)
