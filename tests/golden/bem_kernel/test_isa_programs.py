"""Programs with published results, by both interpreters, from their text and from their record."""

from __future__ import annotations

import math
from typing import get_args

import pytest

from bem_kernel.isa.assembler import assemble
from bem_kernel.isa.disassembler import disassemble
from bem_kernel.isa.machine import Interpreter, Machine
from bem_kernel.isa.program import Program
from bem_kernel.isa.record import program_from_record, program_record

CRC_32 = """                        # ISO 3309; the check value of "123456789" is CBF43926
.data text 0x31 0x32 0x33 0x34 0x35 0x36 0x37 0x38 0x39
.data polynomial 0xedb88320
.data ones 0xffffffff
.const LENGTH 9
  LD r1, DATA[ones]
  LD r2, DATA[polynomial]
byte:
  LD r4, DATA[text + r3]
  XOR r1, r1, r4
  SET r5, 8
bit:
  AND r6, r1, 1
  SHR r1, r1, 1
  JZ r6, even
  XOR r1, r1, r2
even:
  SUB r5, r5, 1
  JNZ r5, bit
  ADD r3, r3, 1
  LT r6, r3, LENGTH
  JNZ r6, byte
  LD r7, DATA[ones]
  XOR r1, r1, r7
"""

SIEVE = """                         # there are 168 primes below 1000
.const N 1000
.space composite N_WORDS
  SET r1, 2
next:
  LD r2, DATA[composite + r1]
  JNZ r2, skip
  ADD r10, r10, 1
  MUL r3, r1, r1
mark:
  LT r4, r3, N
  JZ r4, skip
  SET r5, 1
  ST r5, DATA[composite + r3]
  ADD r3, r3, r1
  JMP mark
skip:
  ADD r1, r1, 1
  LT r4, r1, N
  JNZ r4, next
""".replace("N_WORDS", "1000")

SQUARE_ROOT = """                   # of 2, in Q32, by Newton
.data two 0x200000000
  LD r1, DATA[two]
  SET r2, 1
  SHL r2, r2, 32
  SET r9, 6
again:                           # x <- x + x (2 - x^2) / 4
  MUL r3, r2, r2, 32
  SUB r3, r1, r3
  MUL r3, r3, r2, 34
  ADD r2, r2, r3
  SUB r9, r9, 1
  JNZ r9, again
"""

PARITY = """                        # of 8 bits, by an expert that runs in all lanes at once
.bits b0 b1 b2 b3 b4 b5 b6 b7 odd
.expert parity: odd = b0 ^ b1 ^ b2 ^ b3 ^ b4 ^ b5 ^ b6 ^ b7
.data planes 0xaaaaaaaaaaaaaaaa 0xcccccccccccccccc 0xf0f0f0f0f0f0f0f0 0xff00ff00ff00ff00
.data more 0xffff0000ffff0000 0xffffffff00000000 0 0
  BEM_LOAD_STATE r0, DATA[planes], r0, 8
  EXPERT parity
  SET r1, odd
  BEM_STORE_STATE r1, DATA[planes], r0
  LD r2, DATA[planes]
"""
THUE_MORSE = 0x6996966996696996  # OEIS A010060, terms 0 to 63, term i in bit i


@pytest.fixture(params=get_args(Interpreter))
def interpreter(request: pytest.FixtureRequest) -> Interpreter:
    chosen: Interpreter = request.param
    return chosen


def forms(text: str) -> list[Program]:
    """The program of a text, of its disassembly, and of its record."""
    program = assemble(text)
    return [
        program,
        assemble(disassemble(program)),
        program_from_record(program_record(program)),
    ]


def left(program: Program, interpreter: Interpreter, lanes: int = 1) -> tuple[int, ...]:
    result = Machine(program, lanes=lanes, interpreter=interpreter).run(100_000)
    assert result.halted, result.trap
    return result.registers


def test_crc_32(interpreter: Interpreter) -> None:
    for program in forms(CRC_32):
        assert left(program, interpreter)[1] == 0xCBF43926


def test_primes_below_a_thousand(interpreter: Interpreter) -> None:
    for program in forms(SIEVE):
        assert left(program, interpreter)[10] == 168


def test_a_square_root_in_fixed_point(interpreter: Interpreter) -> None:
    for program in forms(SQUARE_ROOT):
        assert abs(left(program, interpreter)[2] - math.isqrt(2 << 64)) <= 2


def test_parity_is_the_thue_morse_sequence(interpreter: Interpreter) -> None:
    for program in forms(PARITY):
        assert left(program, interpreter, lanes=64)[2] % (1 << 64) == THUE_MORSE
