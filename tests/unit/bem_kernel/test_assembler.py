"""Assembler text: what it means, and errors with line and column."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from bem_kernel.errors import AssembleError, ProgramError
from bem_kernel.isa.assembler import assemble, disassemble
from bem_kernel.isa.machine import Machine, initial_state
from bem_kernel.isa.record import program_fingerprint, program_from_record, program_record

DOOR = """
.bits closed locked(door) bad      # three bits
.bits knocked
.expert knock: knocked = true; closed = closed ^ false
.circuit open reads closed locked(door) writes closed bad
  %2 = AND %0 %1
  %3 = CONST0
.out %3 %2
.port door:ask writes locked(door)
again:
  EXPERT knock
  HOST door:ask
  EXPERT open
  TRAP_IF bad "the door is \\"locked\\" # really"
  JZ knocked again
  LOG "open"
  JMP end
end:
"""


def test_a_program_runs_as_written() -> None:
    program = assemble(DOOR)
    assert program.bit_names == ("closed", "locked(door)", "bad", "knocked")
    start = initial_state(program)
    start[0] = 1
    unlocked = Machine(program, start, {"door:ask": lambda _: [0]}).run(99)
    assert unlocked.halted
    assert (unlocked.state[:, 0] & 1).tolist() == [0, 0, 0, 1]
    locked = Machine(program, start, {"door:ask": lambda _: [1]}).run(99)
    assert locked.trap is not None
    assert locked.trap.text == 'the door is "locked" # really'


def test_text_and_record_round_trip() -> None:
    program = assemble(DOOR)
    assert assemble(disassemble(program)) == program
    assert program_from_record(program_record(program)) == program
    assert disassemble(assemble(disassemble(program))) == disassemble(program)


def test_the_empty_program() -> None:
    assert disassemble(assemble("")).strip() == ""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("  NOP", r"line 1, column 3: no instruction 'NOP'; use EXPERT, TRAP_IF"),
        ("HALT 3", r"column 1: HALT has 0 operands, not 1; write HALT"),
        ("\nEXPERT e", r"line 2, column 8: expert 'e' is not declared; declared: none"),
        (".bits a\nJZ a top", r"line 2, column 6: label 'top' is not declared"),
        (".bits a a", r"column 9: 'a' is declared twice; choose another name"),
        ("x:\nx:", r"line 2, column 1: 'x' is declared twice"),
        ("3x:", r"'3x:' is no label; use letters, digits and _"),
        ("LOG done", r"column 5: done is no string; write it in quotes"),
        ('LOG "done', r'column 5: this string is not closed; end it with "'),
        (".expert", r"column 1: no name; write \.expert NAME"),
        (".bits a\n.expert e: a", r"line 2, column 9: 'a' is no assignment to a new target"),
        (".bits a\n.expert e: a = true; a = false", r"'a = false' is no assignment to a new"),
        (".bits a\n.expert e: a = b", r"line 2, column 9: .*unknown atom 'b'"),
        (".bits a\n.expert e: b = a", r"line 2, column 9: .*unknown target 'b'"),
        (".port p bits", r"column 9: unexpected 'bits'; write writes"),
        (".port p writes z", r"column 16: bit 'z' is not declared"),
        (".circuit c", r"column 1: this circuit has no \.out line; add one"),
        (".out %0", r"column 1: \.out without \.circuit"),
        (".bits a\n.circuit c reads a\n%2 = NOT %0\n.out", r"line 3.*expected the gate of slot %1"),
        (".bits a\n.circuit c reads a\n%1 = NAND %0\n.out", r"column 6: no gate 'NAND'; use AND"),
        (".bits a\n.circuit c reads a\n%1 = NOT\n.out", r"NOT has 1 operands, not 0"),
        (".bits a\n.circuit c reads a\n%1 = NOT x\n.out", r"'x' is no slot; write slots as %0"),
        (".bits a\n.circuit c reads a\n%1 = NOT %1\n.out", r"line 2, column 10: .*reads slot 1"),
        (".bits a\n.circuit c reads a\n.out %0", r"line 2, column 10: .*writes names 0 bits"),
    ],
)
def test_errors_name_the_place_and_the_fix(text: str, message: str) -> None:
    with pytest.raises(AssembleError, match="assemble: line .*" + message.removeprefix("line ")):
        assemble(text)


def test_errors_name_the_source() -> None:
    with pytest.raises(AssembleError, match=r"door\.bem: line 1, column 1: no instruction 'NOP'"):
        assemble("NOP", "door.bem")
    with pytest.raises(
        AssembleError, match=r"door\.bem: program: bit names: '3' is no name; start"
    ):
        assemble(".bits 3", "door.bem")


def test_a_record_is_fingerprinted_over_all_of_it() -> None:
    program = assemble(DOOR)
    changed = assemble(DOOR.replace("really", "truly"))
    assert program_fingerprint(program) == program_fingerprint(assemble(DOOR))
    assert program_fingerprint(program) != program_fingerprint(changed)


def damaged(path: list[Any], value: object) -> dict[str, Any]:
    record = copy.deepcopy(program_record(assemble(DOOR)))
    place: Any = record
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return record


@pytest.mark.parametrize(
    ("record", "error", "message"),
    [
        (damaged(["format"], "bem-program-2"), ProgramError, "f.json: format: .*bem-program-1"),
        (damaged(["extra"], 1), ProgramError, "f.json: extra: .*; write it with bem asm"),
        (damaged(["code", 0, 0], 99), ProgramError, "f.json: 99 is not a valid Opcode"),
        (damaged(["code", 0, 0], True), ProgramError, "f.json: code.0.0: .*integer"),
        (damaged(["experts", 0, "circuit", "gates", 0, 0], 50), ProgramError, "not a valid Op"),
        (
            damaged(["experts", 1, "circuit", "gates", 0, 1], 9),
            ProgramError,
            "f.json: circuit: .*reads slot 9",
        ),
        (damaged(["code", 0, 1], 9), ProgramError, "expert 9 does not exist"),
        ([], ProgramError, "f.json: the record: "),
    ],
)
def test_a_damaged_record_is_refused(record: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        program_from_record(record, where="f.json")
