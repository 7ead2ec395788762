"""`bem optimise`: what it reads, prints, writes and refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from typer.testing import CliRunner

from bem_kernel.circuits.expression import compile_expression
from bem_kernel.circuits.record import circuit_from_record
from bem_kernel.cli.main import app
from bem_kernel.forms.truth_table import truth_table
from bem_kernel.isa.files import load_program
from bem_kernel.isa.machine import Machine

RUN = CliRunner()
MAJORITY = "a & b | a & c | b & c"


def test_a_smaller_circuit_is_written_and_the_proof_named(tmp_path: Path) -> None:
    path = tmp_path / "majority.json"
    result = RUN.invoke(app, ["optimise", MAJORITY, "--seconds", "1", "-o", str(path)])
    assert result.exit_code == 0, result.output
    assert "5 two-input gates before, 4 after" in result.stdout
    assert "which the checker accepts" in result.stdout
    circuit = circuit_from_record(json.loads(path.read_text()))
    wanted = truth_table(compile_expression(MAJORITY, ["a", "b", "c"]))
    assert (truth_table(circuit) == wanted).all() and len(circuit.gates) == 4


def test_json_of_an_aiger_file_with_a_care_set(tmp_path: Path) -> None:
    path = tmp_path / "half.aig"
    path.write_bytes(b"aig 5 2 0 2 3\n10\n6\n\x02\x02\x03\x02\x01\x02")
    options = ["optimise", "--file", str(path), "--seconds", "1", "--json"]
    record = json.loads(RUN.invoke(app, options).stdout)
    assert (record["inputs"], record["outputs"], record["after"]) == (2, 2, 2)
    record = json.loads(RUN.invoke(app, [*options, "--care", "!x0"]).stdout)
    assert record["after"] == 0


def test_what_does_not_go_together(tmp_path: Path) -> None:
    path = tmp_path / "half.aig"
    path.write_bytes(b"aag 2 2 0 1 0\n2\n4\n2\n")
    for arguments, message in (
        ([], "nothing to look at"),
        (["a", "--file", str(path)], "an AIGER file holds one circuit"),
        (["--file", str(path), "--names", "p"], "1 names for 2 inputs"),
        (["--file", str(tmp_path / "none.aig")], "cannot be read"),
        (["a & b", "--care", "c"], "unknown atom 'c'"),
    ):
        result = RUN.invoke(app, ["optimise", *arguments, "--seconds", "0"])
        assert result.exit_code != 0
        assert message in str(result.exception), arguments


PROGRAM = """
.bits a b c d e
.expert left: d = a & b | a & c | b & c
.expert right: e = !(a & (b | c) | b & c) ^ a
  EXPERT left
  MUL r1, r1, 2
  ADD r1, r1, 0
  EXPERT right
"""


def test_the_code_of_a_program_becomes_shorter(tmp_path: Path) -> None:
    path, shorter = tmp_path / "p.bem", tmp_path / "shorter.bem"
    path.write_text(PROGRAM)
    command = ["optimise", "--file", str(path), "--code", "--seconds", "1"]
    result = RUN.invoke(app, [*command, "-o", str(shorter)])
    assert result.exit_code == 0, result.output
    assert "4 instructions before, 2 after" in result.stdout
    assert "1 straight lines replaced; " in result.stdout and "accepted" in result.stdout
    before, after = load_program(path), load_program(shorter)
    state = np.random.default_rng(0).integers(0, 1 << 63, (5, 2), dtype=np.uint64)
    again = tmp_path / "again.json"
    command = ["optimise", "--file", str(shorter), "--code", "--seconds", "1", "--json"]
    record = json.loads(RUN.invoke(app, [*command, "-o", str(again)]).stdout)
    assert record["instructions_before"] == record["instructions_after"] == 2
    programs = (before, after, load_program(again))
    ends = [Machine(program, state, lanes=128).run(9) for program in programs]
    for end in ends[1:]:
        assert (ends[0].state == end.state).all() and end.steps == 2


def test_what_experts_have_in_common_is_said(tmp_path: Path) -> None:
    path = tmp_path / "p.bem"
    path.write_text(PROGRAM)
    command = ["optimise", "--file", str(path), "--together", "left,right", "--seconds", "1"]
    result = RUN.invoke(app, command)
    assert "gates common to left, right: a function of a b c" in result.stdout
    record = json.loads(RUN.invoke(app, [*command, "--json"]).stdout)
    assert record["together"] < record["apart"]
    assert record["common"][0]["experts"] == ["left", "right"]
    for arguments, message in (
        (["--together", "left,none", "--file", str(path)], "no expert 'none'"),
        (["--code"], "no program, or options that do not go together"),
        (["--code", "--file", str(path), "--care", "a"], "no program, or options"),
    ):
        result = RUN.invoke(app, ["optimise", *arguments, "--seconds", "0"])
        assert result.exit_code != 0 and message in str(result.exception), arguments
