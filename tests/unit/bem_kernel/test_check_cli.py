"""bem check, in process."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bem_kernel.cli import main as cli

EVERY_SIGN = "p cnf 2 4\n1 2 0\n1 -2 0\n-1 2 0\n-1 -2 0\n"


def bem(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of one command."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["bem", "check", *args])
        with pytest.raises(SystemExit) as stop:
            cli.main()
    captured = capsys.readouterr()
    return int(stop.value.code or 0), captured.out, captured.err


@pytest.fixture
def formula(tmp_path: Path) -> str:
    path = tmp_path / "all.cnf"
    path.write_text(EVERY_SIGN)
    return str(path)


def test_a_formula_is_decided(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "one.cnf"
    path.write_text("p cnf 2 2\n1 0\n-1 -2 0\n")
    assert bem(capsys, str(path))[:2] == (0, "satisfiable: 1 -2\n")
    assert json.loads(bem(capsys, str(path), "--json")[1])["model"] == [1, -2]


def test_the_proof_found_is_one_that_checks(
    formula: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    proof = str(tmp_path / "all.drat")
    code, out, _ = bem(capsys, formula, "--out", proof)
    assert (code, out.startswith("unsatisfiable: proved in ")) == (0, True)
    code, out, _ = bem(capsys, formula, proof, "--json")
    assert code == 0
    record = json.loads(out)
    assert (record["verdict"], sorted(record["core"])) == ("accepted", [0, 1, 2, 3])


def test_a_false_proof_is_rejected(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, proof = tmp_path / "three.cnf", tmp_path / "false.drat"
    path.write_text("p cnf 2 3\n1 2 0\n1 -2 0\n-1 2 0\n")
    proof.write_text("2 0\n0\n")
    code, out, _ = bem(capsys, str(path), str(proof))
    assert (code, out.startswith("rejected: step 1: ")) == (1, True)


def test_bad_input_is_refused_with_its_place(
    formula: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.drat").write_text("1 x 0\n")
    code, _, err = bem(capsys, formula, str(tmp_path / "bad.drat"))
    assert code == 1
    assert "bad.drat: line 1" in err
    (tmp_path / "bad.cnf").write_text("p cnf 1 1\n2 0\n")
    assert "bad.cnf: line 2, column 1: literal 2" in bem(capsys, str(tmp_path / "bad.cnf"))[2]
    code, _, err = bem(capsys, formula, formula, "--out", "x")
    assert (code, "drop one of them" in err) == (2, True)
