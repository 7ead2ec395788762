"""Assembler text: what it means, and errors with line and column."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from bem_kernel.errors import AssembleError, ProgramError
from bem_kernel.isa.assembler import assemble
from bem_kernel.isa.disassembler import disassemble
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
        ("  NOP", r"line 1, column 3: no instruction 'NOP'; use HALT, JMP, JZ"),
        ("HALT 3", r"column 1: HALT does not take 1 operand; write HALT$"),
        ("SUB r1, r2", r"SUB does not take 2 operands; write SUB rd, ra, rb or SUB rd, ra, number"),
        ("MUL r1", r"write MUL rd, ra, rb\[, shift\] or MUL rd, ra, number\[, shift\]"),
        ("BEM_SAT_CHECK", r"write BEM_SAT_CHECK \[rd,\] address"),
        ("\nEXPERT e", r"line 2, column 8: expert 'e' is not declared; declared: none"),
        (".bits a\nJZ a top", r"line 2, column 6: label 'top' is not declared"),
        ("JZ b top", r"line 1, column 4: bit 'b' is not declared"),
        (".bits a a", r"column 9: 'a' is declared twice; choose another name"),
        ("x:\nx:", r"line 2, column 1: 'x' is declared twice"),
        ("3x:", r"'3x:' is no label; use letters, digits and _"),
        ("LOG done", r"column 5: 'done' is no string; write it in quotes"),
        ('LOG "\\ud800"', r"column 5: .* is no string"),
        ('LOG "done', r'column 5: this string is not closed; end it with "'),
        ("SET r40, 1", r"column 5: register r40 does not exist; use r0 to r31"),
        ("SET r999999999999, 1", r"column 5: register r999999999999 does not exist"),
        ("NOT r1, 7", r"column 9: '7' is no register; use r0 to r31"),
        ("SET r1, 2147483648", r"column 9: number '2147483648' is out of range; it must fit in 32"),
        ("SET r1, " + "9" * 5000, r"column 9: '9.*' is no number; declared: none"),
        ("SHL r1, r1, 64", r"column 13: amount '64' is out of range; use 0 to 63"),
        ("MUL r1, r1, r1, 64", r"column 17: shift '64' is out of range; use 0 to 63"),
        ("SET r1, x", r"column 9: 'x' is no number; declared: none"),
        ("SET r1, 3 +", r"column 1: SET does not take 3 operands"),
        ("SET r1, 3+", r"column 9: '3\+' is no number; write numbers with \+ or -"),
        (".const x 5\n.bits y x\nSET r1, x", r"line 3, column 9: 'x' means several numbers"),
        ("LD r1, 5", r"column 8: '5' is no address; write SPACE\[index \+ register\]"),
        ("LD r1, HEAP[5]", r"column 8: 'HEAP\[5\]' is no address; write .* STATE, SHARED"),
        ("LD r1, DATA[5", r"column 8: 'DATA\[5' is not closed; end it with \]"),
        ("LD r1, DATA[r1 + r2]", r"column 18: one register may be added"),
        ("LD r1, DATA[4 - r2]", r"column 17: one register may be added"),
        ("LD r1, DATA[4 5]", r"column 15: unexpected '5'; write \+ or - between"),
        ("LD r1, DATA[]", r"column 13: '' is no number"),
        ("LD r1, DATA[0xffffffff]", r"column 8: index 4294967295 is out of range"),
        ("ST r1, HOST[16]", r"column 1: port 1 does not exist; declare it with .port NAME"),
        ("HOST ask", r"column 6: port 'ask' is not declared"),
        (".port ask\nHOST ask 3", r"column 10: '3' is no register"),
        ("BEM_ANN_QUERY r1, r2, DATA[0], 33", r"count '33' is out of range; use 1 to 32"),
        (".text", r"column 1: no section '.text'; use .bits, .expert"),
        (".const x", r"column 1: wrong number of words; write .const NAME number"),
        (".data x", r"wrong number of words; write .data NAME number number …"),
        (".data 3 3", r"column 7: '3' is no name; use letters, digits and _"),
        (".data x 18446744073709551616", r"column 9: .* is no number of 64 bits; write 12, -3"),
        (".data x -9223372036854775809", r"column 9: .* is no number of 64 bits"),
        (".space x 0", r"column 10: 0 words; use 1 to 1048576"),
        (".space x 1048576\n.space y 1", r"line 2, column 8: 1048577 words of data; use at most"),
        (".data r1 4", r"column 7: 'r1' is a register; choose another name"),
        (".bits when", r"column 7: 'when' is a keyword; choose another name"),
        (".bits a\n.port p writes a a", r"line 2, column 7: a bit is written twice"),
        (".port p:", r"column 7: 'p:' is no name; start with a letter"),
        (".circuit c reads M[3]?1\n.out", r"column 18: what is read has no enabling output"),
        (".circuit c reads M[x]\n.out", r"column 18: cannot read 'M\[x\]'; write M\[12\], S\["),
        (".circuit c reads M[0:4]\n.out", r"column 18: cannot read 'M\[0:4\]'"),
        (".circuit c reads M[M[0:99]]\n.out", r"column 18: offset 0, width 99; use an offset"),
        (".bits a\n.circuit c reads M[1] a\n.out", r"column 18: a place before a state bit"),
        (".bits a\n.circuit c when a unless a\n.out", r"column 26: a second condition; write when"),
        (".circuit c when b\n.out", r"column 17: bit 'b' is not declared"),
        (".cfg a\n.cfg b\nHALT", r"line 1, column 6: node 'a' has no instructions; drop it"),
        (".cfg a b", r"column 8: unexpected 'b'; write .cfg NAME, or .cfg"),
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
    with pytest.raises(AssembleError, match=r"door\.bem: line 1, column 7: '3' is no name; start"):
        assemble(".bits 3", "door.bem")


def test_a_record_is_fingerprinted_over_all_of_it() -> None:
    program = assemble(DOOR)
    changed = assemble(DOOR.replace("really", "truly"))
    assert program_fingerprint(program) == program_fingerprint(assemble(DOOR))
    assert program_fingerprint(program) != program_fingerprint(changed)


TEXTS = ['the door is "locked" # really', "open"]
NODE = {"name": "n", "start": 0, "end": 1}


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
        (damaged(["format"], "bem-program-1"), ProgramError, "f.json: format: .*bem-program-2"),
        (damaged(["extra"], 1), ProgramError, "f.json: extra: .*; write it with bem asm"),
        (damaged(["code", 0], "f" * 16), ProgramError, "f.json: code.0: .* has no opcode 0xff"),
        (damaged(["code", 0], "0" * 16), ProgramError, "f.json: code.0: .* has no opcode 0x00"),
        (damaged(["code", 0], "0d00000100000000"), ProgramError, "sets bits that EXPERT does not"),
        (damaged(["code", 0], "0d0000000000000g"), ProgramError, "f.json: code.0: .*pattern"),
        (damaged(["code", 0], "3000000900000000"), ProgramError, "code.0: .* has no space 9"),
        (damaged(["texts"], []), ProgramError, "f.json: code.3: .* has text 0, of 0; assemble it"),
        (damaged(["texts", 1], "\ud800"), ProgramError, "f.json: texts: .* no Unicode text"),
        (damaged(["texts"], [*TEXTS, "x"]), ProgramError, "f.json: texts: not the texts of the"),
        (damaged(["debug", "lines"], [1]), ProgramError, "f.json: debug: 1 lines for 7 instr"),
        (damaged(["nodes"], [NODE, NODE]), ProgramError, "f.json: program: node names: 'n' app"),
        (damaged(["nodes"], [NODE | {"end": 9}]), ProgramError, r"node n: \[0, 9\) does not fit"),
        (damaged(["experts", 0, "circuit", "gates", 0, 0], 50), ProgramError, "circuit.gates.0.0"),
        (
            damaged(["experts", 1, "circuit", "gates", 0, 1], 9),
            ProgramError,
            "f.json: circuit: .*reads slot 9",
        ),
        (damaged(["code", 0], "0d00000000000009"), ProgramError, "expert 9 does not exist"),
        ([], ProgramError, "f.json: the record: "),
    ],
)
def test_a_damaged_record_is_refused(record: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        program_from_record(record, where="f.json")
