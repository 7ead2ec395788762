"""Verdicts on patches of a program against runs of the machine, before and after."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bem_kernel.errors import PatchError
from bem_kernel.experts.expert import Expert, expert_from_expressions
from bem_kernel.isa.core import DEPTH, signed
from bem_kernel.isa.instructions import Instruction, Opcode, Space
from bem_kernel.isa.machine import Machine
from bem_kernel.isa.program import Data, Program
from bem_kernel.isa.traps import Trap
from bem_kernel.memory.segments import Segment
from bem_kernel.patches.liveness import liveness, registers
from bem_kernel.patches.patch import EVERYWHERE
from bem_kernel.patches.program import Installed
from bem_kernel.patches.program_obligations import program_equivalence
from bem_kernel.patches.region import Region, difference, edited
from bem_kernel.patches.verify import Refuted, prove

BITS = ("a", "b", "c")
NAMES = {name: bit for bit, name in enumerate(BITS)}
EXPERTS: tuple[Expert, ...] = (
    expert_from_expressions("swap", {"a": "b", "b": "a"}, NAMES),
    expert_from_expressions("flip", {"c": "!c"}, NAMES),
    expert_from_expressions("mix", {"a": "a ^ c", "c": "a & b"}, NAMES),
)
DATA = (Data("word", (3, 5)),)
FUEL = 200


def random_instruction(rng: Random, start: int, end: int, pc: int) -> Instruction:
    """One that goes on, jumps forward within start to end, or traps; targets are up to end."""
    rd, ra, rb = rng.randrange(4), rng.randrange(4), rng.randrange(4)
    match rng.randrange(9):
        case 0 | 1:
            kind = rng.choice((Opcode.ADD, Opcode.SUB, Opcode.AND, Opcode.XOR, Opcode.LT))
            return Instruction(kind, rd, ra, rb)
        case 2:
            return Instruction(
                rng.choice((Opcode.ADD_I, Opcode.AND_I)), rd, ra, imm=rng.randrange(3)
            )
        case 3:
            return Instruction(Opcode.SET, rd, imm=rng.randrange(3))
        case 4 | 5:
            return Instruction(Opcode.EXPERT, imm=rng.randrange(3))
        case 6:
            kind = rng.choice((Opcode.JZ, Opcode.JNZ))
            return Instruction(kind, ra=ra, imm=rng.randint(min(pc + 1, end), end))
        case 7:
            bit = rng.randrange(3)
            if rng.random() < 0.3:
                return Instruction(Opcode.TRAP_IF_BIT, bit=bit, text=rng.choice("xy"))
            return Instruction(
                Opcode.JZ_BIT, bit=bit, imm=rng.choice((start, rng.randint(min(pc + 1, end), end)))
            )
        case _:
            kind = rng.choice((Opcode.LD, Opcode.ST))
            base = rng.choice((0, ra))
            return Instruction(kind, rd, base, space=Space.DATA, imm=rng.randrange(2))


JUMPS = (Opcode.JZ, Opcode.JNZ, Opcode.JZ_BIT, Opcode.CALL)


def random_program(rng: Random) -> tuple[Program, int, int]:
    """A program with a region in the middle, where all its jumps are, and a subroutine at the end.

    The region may call the subroutine; so may what comes after it.
    """
    head, body, tail = rng.randrange(3), rng.randrange(1, 5), rng.randrange(4)
    start, end = head, head + body
    code = [random_instruction(rng, start, end, pc) for pc in range(head + body + tail + 2)]
    for pc in (*range(start), *range(end, len(code))):
        if code[pc].opcode in JUMPS:
            code[pc] = Instruction(Opcode.SET, rng.randrange(4), imm=pc)
    sub = len(code) - 1
    code[sub - 1] = Instruction(Opcode.HALT)
    code.append(Instruction(Opcode.RET))
    for pc in range(start, sub - 1):
        if rng.random() < 0.1:
            code[pc] = Instruction(Opcode.CALL, imm=sub)
    return Program(BITS, EXPERTS, (), tuple(code), DATA), start, end


def mutated(rng: Random, program: Program, start: int, end: int) -> Region:
    """A region that often does the same: rewritten, reordered, with something useless put in."""
    code = list(program.code[start:end])
    at = rng.randrange(len(code))
    old = code[at]
    match rng.randrange(5):
        case 0:
            code[at] = random_instruction(rng, start, end, start + at)
        case 1 if old.opcode is Opcode.ADD:
            code[at] = Instruction(old.opcode, old.rd, old.rb, old.ra)
        case 2 if at + 1 < len(code):
            code[at : at + 2] = code[at + 1], old
        case 3:
            code.append(Instruction(Opcode.XOR_I, rng.randrange(4), rng.randrange(4)))
        case _:
            code[at] = Instruction(Opcode.SET, 0)
    shift = len(code) - (end - start)
    moved = [
        replace(i, imm=i.imm + shift) if i.opcode in JUMPS and i.imm >= end else i for i in code
    ]
    return Region(start, end, tuple(moved))


def prepared(program: Program, numbers: list[int], words: list[int], bits: int) -> Machine:
    machine = Machine(program, interpreter="plain")
    for number, value in enumerate(numbers, 1):
        machine.set_register(number, value)
    machine.memory.planes[:, 0] = [bits >> i & 1 for i in range(3)]
    machine.memory.region(Segment.SHARED, "program.data")[:] = np.array(words, dtype=np.uint64)
    return machine


def ended(machine: Machine, trap: Trap | None) -> tuple[object, ...]:
    """All that there is to see of a machine that has halted or trapped, registers aside."""
    data = machine.memory.region(Segment.SHARED, "program.data").tolist()
    stopped = (trap.kind, trap.text) if trap else ()
    return (stopped, machine.state.tolist(), data)


def outcome(program: Program, numbers: list[int], bits: int) -> tuple[object, ...]:
    """How a run from the beginning ends."""
    machine = prepared(program, numbers, [3, 5], bits)
    result = machine.run(FUEL)
    if not result.halted and result.trap is None:
        return ("goes on",)
    return (*ended(machine, result.trap), result.registers if result.halted else ())


def crossed(
    program: Program, region: tuple[int, int], start: tuple[list[int], list[int], int]
) -> tuple[Machine, int, tuple[object, ...]]:
    """Run from the start of a region until it is left: where to, and what there is to see."""
    machine = prepared(program, *start)
    machine.go_to(region[0])
    trap = None
    while trap is None:
        called = machine._core.control[DEPTH]
        if not called and not region[0] <= machine.pc < region[1]:
            return machine, machine.pc, ended(machine, None)
        trap = machine.run(1).trap
        if machine.pc == region[0] and trap is None:
            return machine, -1, ended(machine, trap)
    return machine, -2, ended(machine, trap)


def start_of(refuted: Refuted) -> tuple[list[int], list[int], int]:
    """Registers 1 to 3, data and state bits of a counterexample."""
    numbers, words, bits = [0, 0, 0], [3, 5], 0
    for name, value in refuted.named:
        kind, *indices = name.replace("]", "").split("[")
        if kind == "s":
            bits |= value << int(indices[0])
        elif kind == "word" and len(indices) == 2:
            at, bit = map(int, indices[-2:])
            words[at] = words[at] & ~(1 << bit) | value << bit
        elif kind in ("r1", "r2", "r3"):
            numbers[int(kind[1]) - 1] |= value << int(indices[0])
    return [signed(number) for number in numbers], words, bits


@given(st.integers(0, 1 << 60))
@settings(max_examples=60, deadline=None)
def test_verdicts_are_those_of_the_machine(seed: int) -> None:
    """What is proved runs alike from random states; what is refuted differs where it is said to."""
    rng = Random(seed)
    before, start, end = random_program(rng)
    region = mutated(rng, before, start, end)
    after = edited(before, region)
    try:
        owed = program_equivalence(Installed(before), region, EVERYWHERE)
    except PatchError:  # a jump that was moved has made a loop inside
        return
    verdict = prove(owed)
    if isinstance(verdict, Refuted):
        state = start_of(verdict)
        one, to, seen = crossed(before, (start, end), state)
        other, to_, seen_ = crossed(after, (start, region.new_end), state)
        left = to_ - region.new_end + end if to_ >= region.new_end else to_
        if (to, seen) == (left, seen_):  # then in a register that counts there
            live = liveness(before, after, region)
            counting = registers(live.at[start if to == -1 else to])
            assert any(one.registers[i] != other.registers[i] for i in counting)
        return
    assert isinstance(verdict, tuple)
    for _ in range(20):
        numbers = [rng.choice((0, 1, -1, rng.getrandbits(63))) for _ in range(3)]
        bits = rng.randrange(8)
        assert outcome(before, numbers, bits) == outcome(after, numbers, bits)


@given(st.integers(0, 1 << 60))
@settings(max_examples=150, deadline=None)
def test_the_difference_of_two_programs_leads_from_one_to_the_other(seed: int) -> None:
    rng = Random(seed)
    before, start, end = random_program(rng)
    after = edited(before, mutated(rng, before, start, end))
    assert edited(before, difference(before, after)) == after
    assert edited(after, difference(after, before)) == before
