"""The assembler and the loader survive anything: a program, or an error that names the place."""

from __future__ import annotations

import copy
import json
import re
from random import Random
from typing import Any

import psutil
import pytest

from bem_kernel.errors import AssembleError, ProgramError
from bem_kernel.isa.assembler import assemble
from bem_kernel.isa.disassembler import disassemble
from bem_kernel.isa.instructions import Opcode, Space
from bem_kernel.isa.program import Program
from bem_kernel.isa.record import program_from_record, program_record

SEEDS = (
    """.bits a p(x,y) c
.expert e: a = p(x,y) & !c; c = true
.circuit k when a reads a M[3] M[1+2*M[4:5]] writes c M[6]?1
  %3 = AND %0 %1
.out %3 %0
EXPERT e
EXPERT k
""",
    """.bits a
.port ask writes a
.const N 3
.data d 1 0x2 -3
.space s 4
.cfg main
top: SET r1, N
  LD r2, DATA[d + r1 - 1]
  ST r2, [r3 + 1]
  HOST ask, r2
  JZ a, top
  CALL sub
  HALT
.cfg sub
sub:
  MUL r1, r1, r2, 16   # comment
  TRAP_IF a "no \\"way\\""
  BEM_ANN_QUERY r1, r2, DATA[s], 4
  BEM_LOG_APPEND DATA[d]
  RET
""",
)
DIRECTIVES = ".bits .expert .circuit .out .port .const .data .space .cfg HOST reads writes when"
PIECES = "a r1 r31 r99 -1 99999999999999999999 0x 0b2 %0 %9 M[ S[1] ] [ ( ) , : ; = + - # ? \\"
ODD = (
    '"',
    '""',
    '"\\ud800"',
    "\n",
    "\t",
    "\x00",
    "\u2028",
    "é",
    "🐈",
    "(" * 9,
    "!" * 40,
    "_" * 300,
)
TOKENS = (
    *(opcode.name for opcode in Opcode),
    *(f"{space.name}[0]" for space in Space),
    *DIRECTIVES.split(),
    *PIECES.split(),
    *ODD,
)


def mutate(rng: Random, text: str) -> str:
    """A text with some of its pieces dropped, doubled, swapped, or replaced."""
    for _ in range(rng.choice((1, 1, 2, 4, 12))):
        start = rng.randrange(len(text) + 1)
        end = min(len(text), start + rng.choice((0, 1, 2, 8, 40)))
        match rng.randrange(4):
            case 0:
                text = text[:start] + text[end:]
            case 1:
                text = text[:end] + text[start:end] + text[end:]
            case 2:
                text = f"{text[:start]} {rng.choice(TOKENS)} {text[end:]}"
            case 3:
                text = text[:start] + chr(rng.choice((rng.randrange(128), 0x20AC))) + text[end:]
    return text


PLACE = re.compile(r"^fuzz: line \d+, column \d+: ")


def fault_of(text: str) -> str:
    """What the assembler says about a text; "" if it is a program."""
    try:
        assemble(text, "fuzz")
    except AssembleError as error:
        return str(error)
    return ""


def assemble_fuzz(rng: Random, n: int) -> int:
    """Number of the n mutated texts that were programs."""
    accepted = 0
    for _ in range(n):
        text = mutate(rng, rng.choice(SEEDS))
        fault = fault_of(text)
        if fault:
            assert PLACE.match(fault) and len(fault) < 1000, (text, fault)
        else:
            accepted += 1
            if accepted % 16 == 0:
                program = assemble(text)
                assert assemble(disassemble(program)) == program, text
    return accepted


VALUES = (None, True, -1, 0, 1, 1 << 31, 1 << 70, "", "r1", "f" * 16, "0" * 16, "\ud800", [], {})


def mutate_record(rng: Random, record: Any) -> Any:
    """A record with a value somewhere in it dropped, doubled or replaced."""
    record = copy.deepcopy(record)
    for _ in range(rng.choice((1, 1, 2, 5))):
        place, key = None, None
        value = record
        while isinstance(value, dict | list) and value and (place is None or rng.random() < 0.8):
            place, key = (
                value,
                rng.choice(list(value) if isinstance(value, dict) else range(len(value))),
            )
            value = place[key]
        if place is None:
            return rng.choice(VALUES)
        match rng.randrange(4):
            case 0:
                del place[key]
            case 1 if isinstance(place, list):
                place.insert(key, value)
            case 2 if isinstance(value, str) and re.fullmatch("[0-9a-f]{16}", value):
                place[key] = f"{int(value, 16) ^ 1 << rng.randrange(64):016x}"
            case _:
                place[key] = rng.choice(VALUES)
    return record


def load_fuzz(rng: Random, n: int) -> int:
    """Number of the n mutated records that were programs."""
    records = [program_record(assemble(text)) for text in SEEDS]
    accepted = 0
    for _ in range(n):
        record = mutate_record(rng, rng.choice(records))
        program, fault = loaded(record)
        if program is None:
            assert fault.startswith("fuzz: ") and ";" in fault, (record, fault)
        else:
            accepted += 1
            assert loaded(program_record(program)) == (program, ""), json.dumps(record)
    return accepted


def loaded(record: object) -> tuple[Program | None, str]:
    """The program in a record, or what the loader says about it."""
    try:
        return program_from_record(record, where="fuzz"), ""
    except ProgramError as error:
        return None, str(error)


def test_mutated_texts() -> None:
    assert 0 < assemble_fuzz(Random(1), 12_000) < 6_000


def test_mutated_records() -> None:
    assert 0 < load_fuzz(Random(2), 8_000) < 4_000


def test_deep_and_long_texts() -> None:
    deep = ".bits a\n.expert e: a = " + "(" * 20_000 + "a" + ")" * 20_000
    many = ".bits " + " ".join(f"b{i}" for i in range(20_000)) + "\n" + "HALT\n" * 20_000
    apart = "LD r1, " + "[ " * 20_000
    for text in (
        deep,
        many,
        apart,
        "[" * 50_000,
        "SET r1, " + "1+" * 20_000,
        '"' * 9_999,
        "x:" * 9_999,
    ):
        fault = fault_of(text)
        assert not fault or (PLACE.match(fault) and len(fault) < 1000)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_million_inputs_without_growth() -> None:
    rng = Random(3)
    process = psutil.Process()
    for part in range(20):
        assemble_fuzz(rng, 30_000)
        load_fuzz(rng, 20_000)
        if part == 1:
            settled = process.memory_info().rss
    assert process.memory_info().rss - settled < 16 << 20
