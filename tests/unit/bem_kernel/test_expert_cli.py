"""bem expert, in process."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bb_core.canonical import canonical_json
from bem_kernel.circuits import arith
from bem_kernel.circuits.circuit import Circuit
from bem_kernel.circuits.record import circuit_record
from bem_kernel.cli import main as cli

PROGRAM = """.bits closed knocked bad
.expert knock: knocked = true; bad = bad | closed & !knocked
  EXPERT knock
"""


def bem(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of one command."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["bem", "expert", *args])
        with pytest.raises(SystemExit) as stop:
            cli.main()
    captured = capsys.readouterr()
    return int(stop.value.code or 0), captured.out, captured.err


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "door.bem"
    path.write_text(PROGRAM)
    return path


@pytest.fixture
def adder(tmp_path: Path) -> Path:
    path = tmp_path / "adder.json"
    path.write_bytes(canonical_json(circuit_record(arith.add(2))))
    return path


def test_eval_prints_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = bem(capsys, "eval", "ab & !b", "--names", "b,ab")
    assert (code, out) == (0, "b ab =\n0  0 0\n1  0 0\n0  1 1\n1  1 0\n")
    assert err == "1 gates, depth 1\n"
    assert bem(capsys, "eval", "a", "!a")[1] == "a =0 =1\n0  0  1\n1  1  0\n"


def test_eval_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert json.loads(bem(capsys, "eval", "a ^ b", "--json")[1]) == {
        "names": ["a", "b"],
        "outputs": ["a ^ b"],
        "table": [[0], [1], [1], [0]],
        "gates": 1,
        "depth": 1,
    }


def test_eval_of_an_expert_names_the_bits(
    capsys: pytest.CaptureFixture[str], program: Path
) -> None:
    out = bem(capsys, "eval", "--file", str(program), "--expert", "knock")[1]
    head, *rows = out.splitlines()
    assert head.split()[-2:] == ["knocked", "bad"]
    assert len(rows) == 8
    assert all(row.split()[-2] == "1" for row in rows)


def test_show_prints_sizes_and_normal_forms(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = bem(capsys, "show", "a & b | c", "!a")
    assert code == 0
    assert out.splitlines() == [
        "inputs: a, b, c",
        "circuit: 3 gates, depth 2; 2 look-up tables of 3 inputs",
        "robdd: 4 nodes",
        "a & b | c:",
        "  true in 5 of 8 rows",
        "  anf: c ^ a & b ^ a & b & c",
        "!a:",
        "  true in 4 of 8 rows",
        "  anf: true ^ a",
    ]


def test_show_of_a_record_and_of_an_expert(
    capsys: pytest.CaptureFixture[str], adder: Path, program: Path
) -> None:
    record = json.loads(bem(capsys, "show", "--file", str(adder), "--json")[1])
    assert record["inputs"] == ["x0", "x1", "x2", "x3"]
    assert [output["name"] for output in record["outputs"]] == ["y0", "y1", "y2"]
    assert record["outputs"][0]["anf"] == "x0 ^ x2"
    named = bem(capsys, "show", "--file", str(adder), "--names", "a,b,c,d", "--json")[1]
    assert json.loads(named)["outputs"][0]["anf"] == "a ^ c"
    out = bem(capsys, "show", "--file", str(program), "--expert", "knock")[1]
    assert "knocked:\n  true in 8 of 8 rows\n  anf: true\n" in out


def test_long_forms_are_cut(capsys: pytest.CaptureFixture[str]) -> None:
    out = bem(capsys, "show", "a | b | c | d | e | f")[1]
    assert out.endswith(" ^ … 31 more\n")
    assert out.count("^") == 32


def test_wide_circuits_have_no_table(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "wide.json"
    path.write_bytes(canonical_json(circuit_record(arith.all_of(30))))
    code, out, _ = bem(capsys, "show", "--file", str(path))
    assert (code, out.splitlines()[1:]) == (
        0,
        ["circuit: 29 gates, depth 5; 19 look-up tables of 3 inputs", "y0:"],
    )


def test_show_draws(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    circuit, diagram = tmp_path / "c.svg", tmp_path / "new" / "d.svg"
    code, _, _ = bem(
        capsys, "show", "owner & !paid", "--svg", str(circuit), "--robdd-svg", str(diagram)
    )
    assert code == 0
    for path, shape in ((circuit, "slot 2: ANDN of slot 0, slot 1"), (diagram, "paid ? 0 : 2")):
        ElementTree.parse(path)
        assert "owner" in path.read_text()
        assert shape in path.read_text()


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (("eval", "a &"), 1, "error: expression: line 1, column 4: the text ends"),
        (("eval", "a", "--names", "a,b,c,d,e,f,g,h,i,j,k"), 2, "11 inputs; give at most 10"),
        (("show",), 2, "error: expert: nothing to look at; give expressions, or --file"),
        (("show", "a", "--file", "{adder}"), 2, "error: expert: expressions and a file; give"),
        (("show", "a", "--expert", "e"), 2, "error: --expert: 'e' is in no program; give its"),
        (("show", "--file", "{adder}", "--names", "a"), 2, "--names: 1 names for 4 inputs"),
        (("show", "--file", "{adder}.no"), 1, "adder.json.no: file does not exist"),
        (("show", "--file", "{program}"), 1, "door.bem:1:1: not JSON"),
        (("show", "--file", "{program}", "--expert", "k"), 2, "there are: knock"),
        (("show", "--file", "{program}", "--expert", "knock", "--names", "a"), 2, "has names"),
    ],
)
def test_errors_are_one_line(
    args: tuple[str, ...],
    code: int,
    message: str,
    program: Path,
    adder: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = [arg.format(program=program, adder=adder) for arg in args]
    found, out, err = bem(capsys, *given)
    assert (found, out, err.count("\n")) == (code, "", 1)
    assert message in err


def test_a_record_that_is_no_circuit_names_the_gate(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "bad.json"
    record = circuit_record(Circuit(1, (), (0,)))
    path.write_bytes(canonical_json({**record, "gates": [[3, 1, 0]]}))
    code, _, err = bem(capsys, "show", "--file", str(path))
    assert code == 1
    assert "bad.json: circuit: gate 0 (NOT) reads slot 1" in err
    path.write_bytes(canonical_json({**record, "n_inputs": 2**31 - 1}))
    code, _, err = bem(capsys, "show", "--file", str(path))
    assert code == 2
    assert "bad.json: 2147483647 inputs; show at most 4096" in err


@pytest.mark.parametrize("engine", ["reference", "integer", "interpreter", "llvm"])
def test_eval_by_each_engine(capsys: pytest.CaptureFixture[str], engine: str) -> None:
    code, out, _ = bem(capsys, "eval", "a ^ b & !c", "--engine", engine, "--json")
    table = [row[0] for row in json.loads(out)["table"]]
    assert (code, table) == (0, [0, 1, 1, 0, 0, 1, 0, 1])


def test_an_unknown_engine_is_answered_with_the_known(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = bem(capsys, "eval", "a", "--engine", "steam")
    assert code == 1
    assert "no engine 'steam'; use reference, " in err
