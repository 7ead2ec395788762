"""Shorter arithmetic: instructions on registers that leave the same numbers behind.

One instruction is left out, and another is exchanged for one of those that give what it gave, for
all that can be tried; that is repeated as long as it shortens the code. What is tried is judged on
some numbers only. Whoever knows what instructions mean for all numbers may refute the result; the
numbers of the counterexample are tried from then on.

Source: Massalin 1987 (superoptimiser); Bansal and Aiken 2006 (peepholes by search).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from random import Random

from bem_kernel.isa.core import signed
from bem_kernel.isa.instructions import FORM, REGISTERS, Instruction, Opcode, Operand
from bem_kernel.isa.plain import ALU, REGISTER_FORM

ARITHMETIC = frozenset({*ALU, *REGISTER_FORM, Opcode.SET, Opcode.NOT})
"""The instructions that only compute a register from others."""

_TRIALS = 24
_MOST_REFUTED = 8
_REACH = 8  # instructions between the one that goes and the one that changes
_MAX_NUMBERS = 24
_SPECIAL = (0, 1, -1, 2, 63, 64, 1 << 31, -(1 << 31), (1 << 63) - 1, -(1 << 63))
_COMMUTATIVE = frozenset({Opcode.ADD, Opcode.MUL, Opcode.AND, Opcode.OR, Opcode.XOR})

_Numbers = tuple[int, ...]  # of one register, one for each trial
_File = tuple[_Numbers, ...]  # of all registers

Refute = Callable[[tuple[Instruction, ...]], Mapping[int, int] | None]
"""Given a candidate: numbers of registers for which it is wrong, 0 where none is given; None: it is
right."""


def shortened(
    code: Sequence[Instruction],
    live: Collection[int],
    end_ns: int,
    *,
    seed: int = 0,
    refute: Refute | None = None,
) -> tuple[Instruction, ...]:
    """Code of fewer instructions that does the same.

    Args:
        code: instructions of `ARITHMETIC`.
        live: the registers that count afterwards.
        end_ns: when to stop, as time.monotonic_ns().
        seed: of the numbers that are tried.
        refute: finds numbers for which a candidate is wrong; None: the candidate is returned,
            which does the same for the numbers that were tried.

    Returns:
        The code itself if nothing shorter was found.
    """
    file = _start(code, seed)
    for _ in range(_MOST_REFUTED):
        found = _search(tuple(code), file, live, end_ns)
        wrong = None if refute is None or len(found) == len(code) else refute(found)
        if wrong is None:
            return found
        file = tuple((*file[r], signed(wrong.get(r, 0))) for r in range(REGISTERS))
    return tuple(code)


def _search(
    code: tuple[Instruction, ...], start: _File, live: Collection[int], end_ns: int
) -> tuple[Instruction, ...]:
    """The shortest code found that does the same on the numbers tried."""
    target = [(register, _after(code, start)[register]) for register in sorted(live)]
    shorter: tuple[Instruction, ...] | None = code
    while shorter is not None:
        code = shorter
        shorter = next(_shorter(code, start, target, end_ns), None)
    return code


def _start(code: Sequence[Instruction], seed: int) -> _File:
    """Numbers for all registers: of the code, at the ends of the range, small, and of any size."""
    rng = Random(seed)
    near = sorted({i.imm + d for i in code for d in (-1, 0, 1)} | {-1, 0, 1})
    rows = []
    for trial in range(_TRIALS):
        match trial % 4:
            case 0:  # such as decide comparisons
                rows.append([rng.choice(near) for _ in range(REGISTERS)])
            case 1:
                rows.append([rng.choice(_SPECIAL) for _ in range(REGISTERS)])
            case _:
                width = rng.choice((64, 64, 32, 8))
                rows.append([signed(rng.getrandbits(64)) >> 64 - width for _ in range(REGISTERS)])
        rows[-1][0] = 0
    return tuple(zip(*rows, strict=True))


def _after(code: Sequence[Instruction], file: _File) -> _File:
    registers = list(file)
    for instruction in code:
        if instruction.rd:
            registers[instruction.rd] = tuple(_results(instruction, registers))
    return tuple(registers)


def _results(instruction: Instruction, registers: Sequence[_Numbers]) -> Iterator[int]:
    """What an instruction computes, trial by trial."""
    opcode, shift = instruction.opcode, instruction.shift
    if opcode is Opcode.SET:
        yield from (instruction.imm for _ in registers[0])
    elif opcode is Opcode.NOT:
        yield from (~a for a in registers[instruction.ra])
    elif opcode in REGISTER_FORM:
        operation = ALU[REGISTER_FORM[opcode]]
        yield from (signed(operation(a, instruction.imm, shift)) for a in registers[instruction.ra])
    else:
        operation = ALU[opcode]
        pairs = zip(registers[instruction.ra], registers[instruction.rb], strict=True)
        yield from (signed(operation(a, b, shift)) for a, b in pairs)


def _shorter(
    code: tuple[Instruction, ...],
    start: _File,
    target: Sequence[tuple[int, _Numbers]],
    end_ns: int,
) -> Iterator[tuple[Instruction, ...]]:
    """Codes of one instruction less that reach the target."""
    wanted = [_after(code[: i + 1], start)[code[i].rd] for i in range(len(code))]
    for gone in range(len(code)):
        left = code[:gone] + code[gone + 1 :]
        if _reaches(left, start, target):
            yield left
    for gone in range(len(code)):
        left = code[:gone] + code[gone + 1 :]
        for changed in range(max(0, gone - _REACH), min(len(left), gone + _REACH)):
            file = _after(left[:changed], start)
            old = wanted[changed + (changed >= gone)]
            for instruction in _alternatives(left[changed].rd, old, code, file):
                if time.monotonic_ns() > end_ns:
                    return
                new = (*left[:changed], instruction, *left[changed + 1 :])
                if _reaches(new, start, target):
                    yield new


def _reaches(
    code: Sequence[Instruction], start: _File, target: Sequence[tuple[int, _Numbers]]
) -> bool:
    after = _after(code, start)
    return all(after[register] == numbers for register, numbers in target)


def _alternatives(
    rd: int, wanted: _Numbers, code: Sequence[Instruction], file: _File
) -> Iterator[Instruction]:
    """Instructions that put the wanted numbers into a register."""
    if len(set(wanted)) == 1 and -(1 << 31) <= wanted[0] < 1 << 31:
        yield Instruction(Opcode.SET, rd=rd, imm=wanted[0])
    for instruction in _candidates(rd, code):
        if all(a == b for a, b in zip(_results(instruction, file), wanted, strict=True)):
            yield instruction


def _candidates(rd: int, code: Sequence[Instruction]) -> Iterator[Instruction]:
    """Instructions on the registers and with the numbers of some code."""
    registers = sorted({0, *(r for i in code for r in (i.rd, i.ra, i.rb))})
    numbers = _numbers(code)
    shifts = sorted({0, *(i.shift for i in code)})
    for ra in registers:
        yield Instruction(Opcode.NOT, rd=rd, ra=ra)
        for opcode, plain in REGISTER_FORM.items():
            amount = Operand.AMOUNT in FORM[opcode].operands
            for shift in shifts if plain is Opcode.MUL else (0,):
                for imm in numbers:
                    if not amount or 0 <= imm <= 63:
                        yield Instruction(opcode, rd=rd, ra=ra, imm=imm, shift=shift)
        for opcode in ALU:
            for shift in shifts if opcode is Opcode.MUL else (0,):
                for rb in registers:
                    if ra <= rb or opcode not in _COMMUTATIVE:
                        yield Instruction(opcode, rd=rd, ra=ra, rb=rb, shift=shift)


def _numbers(code: Sequence[Instruction]) -> list[int]:
    """Numbers of the code, and what two of them make, the smallest first."""
    given = {0, 1, -1, *(i.imm for i in code)}
    made = {f(a, b) for a in given for b in given for f in (int.__add__, int.__sub__, int.__mul__)}
    made |= {f(a, b) for a in given for b in given for f in (int.__and__, int.__or__, int.__xor__)}
    made |= {1 << a for a in given if 0 <= a < 31}
    fitting = sorted((n for n in made if -(1 << 31) <= n < 1 << 31), key=lambda n: (abs(n), n))
    first = sorted(given, key=lambda n: (abs(n), n))
    return list(dict.fromkeys([*first, *fitting]))[:_MAX_NUMBERS]
