"""The obvious interpreter: one small Python function per kind of instruction.

It is the twin that the compiled loop is tested against, and what runs the first instructions of
every program: a plan of fifty instructions is over before a compiled loop would be loaded.

Source: BEM core spec 4.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bem_kernel.errors import ExpertError
from bem_kernel.experts.expert import transform
from bem_kernel.isa.core import (
    DEPTH,
    DETAIL,
    PC,
    SPENT,
    Core,
    Stop,
    effective_address,
    locate,
    signed,
)
from bem_kernel.isa.instructions import (
    ADDRESS_BITS,
    MAILBOX_WORDS,
    STACK_DEPTH,
    Instruction,
    Opcode,
    Space,
)
from bem_kernel.lanes import Word, lane_mask, words_for
from bem_kernel.memory.segments import Rights

_MASK = (1 << 64) - 1


ALU: dict[Opcode, Callable[[int, int, int], int]] = {
    Opcode.ADD: lambda a, b, _: a + b,
    Opcode.SUB: lambda a, b, _: a - b,
    Opcode.MUL: lambda a, b, shift: a * b >> shift,
    Opcode.SHL: lambda a, b, _: a << (b & 63),
    Opcode.SHR: lambda a, b, _: (a & _MASK) >> (b & 63),
    Opcode.SAR: lambda a, b, _: a >> (b & 63),
    Opcode.AND: lambda a, b, _: a & b,
    Opcode.OR: lambda a, b, _: a | b,
    Opcode.XOR: lambda a, b, _: a ^ b,
    Opcode.LT: lambda a, b, _: int(a < b),
}
"""The number, before it wraps, that each arithmetic instruction makes of two and its shift."""


@dataclass
class _Run:
    """The core with its registers as Python integers.

    Attributes:
        core: what runs.
        registers: signed, 64 bits.
        pc: the instruction that executes.
        following: the next one, unless it jumps.
        spans: see `Core.spans`.
    """

    core: Core
    registers: list[int]
    pc: int
    following: int
    spans: list[list[int]]

    def stop(self, reason: Stop, detail: int) -> Stop:
        """Note what a stop is about."""
        self.core.control[DETAIL] = signed(detail)
        return reason


def execute(core: Core, fuel: int) -> Stop:
    """Execute until the program ends, stops, or `fuel` instructions are spent.

    Args:
        core: where to go on; registers, stack, control and memory are changed.
        fuel: the most instructions to execute; `control[SPENT]` says how many were, without one
            that stopped.
    """
    code, control = core.program.code, core.control
    run = _Run(core, core.registers.tolist(), int(control[PC]), 0, core.spans().tolist())
    stop, spent = None, 0
    while spent < fuel and run.pc < len(code):
        run.following = run.pc + 1
        instruction = code[run.pc]
        stop = _EXECUTE[instruction.opcode](run, instruction)
        if stop is not None:
            break
        run.registers[0] = 0
        run.pc = run.following
        spent += 1
    core.registers[:] = run.registers
    control[PC], control[SPENT] = run.pc, spent
    if stop is None:
        stop = Stop.FUEL if run.pc < len(code) else Stop.END
    return stop


def _alu(run: _Run, i: Instruction) -> None:
    a, b = run.registers[i.ra], run.registers[i.rb]
    run.registers[i.rd] = signed(ALU[i.opcode](a, b, i.shift))


def _alu_immediate(run: _Run, i: Instruction) -> None:
    operation = ALU[REGISTER_FORM[i.opcode]]
    run.registers[i.rd] = signed(operation(run.registers[i.ra], i.imm, i.shift))


def _set(run: _Run, i: Instruction) -> None:
    run.registers[i.rd] = i.imm


def _not(run: _Run, i: Instruction) -> None:
    run.registers[i.rd] = ~run.registers[i.ra]


def _halt(run: _Run, _: Instruction) -> None:
    run.following = len(run.core.program.code)


def _jump(run: _Run, i: Instruction) -> None:
    run.following = i.imm


def _jump_if(run: _Run, i: Instruction) -> None:
    condition = run.registers[i.ra] != 0
    if condition == (i.opcode is Opcode.JNZ):
        run.following = i.imm


def _jump_if_bit(run: _Run, i: Instruction) -> None:
    if _any_lane(run, i.bit) == (i.opcode is Opcode.JNZ_BIT):
        run.following = i.imm


def _any_lane(run: _Run, bit: int) -> bool:
    return bool((run.core.memory.plane_rows[bit] & run.core.active).any())


def _call(run: _Run, i: Instruction) -> Stop | None:
    depth = int(run.core.control[DEPTH])
    if depth == STACK_DEPTH:
        return run.stop(Stop.STACK_FULL, depth)
    run.core.stack[depth] = run.following
    run.core.control[DEPTH] = depth + 1
    run.following = i.imm
    return None


def _return(run: _Run, _: Instruction) -> Stop | None:
    depth = int(run.core.control[DEPTH])
    if depth == 0:
        return run.stop(Stop.STACK_EMPTY, depth)
    run.core.control[DEPTH] = depth - 1
    run.following = int(run.core.stack[depth - 1])
    return None


def _trap(run: _Run, i: Instruction) -> Stop | None:
    if i.opcode is Opcode.TRAP_IF and run.registers[i.ra] == 0:
        return None
    if i.opcode is Opcode.TRAP_IF_BIT and not _any_lane(run, i.bit):
        return None
    return run.stop(Stop.RAISED, 0)


def _log(run: _Run, _: Instruction) -> Stop:
    return run.stop(Stop.LOG, 0)


def _unit(run: _Run, _: Instruction) -> Stop:
    return run.stop(Stop.UNIT, 0)


def _expert(run: _Run, i: Instruction) -> Stop | None:
    core = run.core
    planes, shared = core.memory.planes, core.memory.shared_bits
    mask = core.active[: planes.shape[1]]
    try:
        planes[:], shared[:] = transform([(core.program.experts[i.imm], mask)], planes, shared)
    except ExpertError:  # a computed address; all else was checked when the program was loaded
        return run.stop(Stop.EXPERT, i.imm)
    return None


def _effective(run: _Run, i: Instruction) -> int:
    return effective_address(i, run.registers[i.ra])


def _locate(run: _Run, address: int, count: int, needed: Rights) -> tuple[int, Stop | None]:
    place, stop = locate(run.core.memory, run.spans, address, count, needed)
    return place, None if stop is None else run.stop(stop, address)


def _load(run: _Run, i: Instruction) -> Stop | None:
    place, stop = _locate(run, _effective(run, i), 1, Rights.READ)
    if stop is None:
        run.registers[i.rd] = signed(int(run.core.memory.arrays.words[place]))
    return stop


def _store(run: _Run, i: Instruction) -> Stop | None:
    address = _effective(run, i)
    place, stop = _locate(run, address, 1, Rights.WRITE)
    if stop is not None:
        return stop
    index = address & ((1 << ADDRESS_BITS) - 1)
    if address >> ADDRESS_BITS == Space.HOST and index % MAILBOX_WORDS == 0:
        return run.stop(Stop.HOST, index // MAILBOX_WORDS)
    run.core.memory.arrays.words[place] = run.registers[i.rd] & _MASK
    return None


def _address(run: _Run, i: Instruction) -> Stop | None:
    address = _effective(run, i)
    if address < 0:
        return run.stop(Stop.BOUNDS, address)
    run.registers[i.rd] = address
    return None


def _move_state(run: _Run, i: Instruction) -> Stop | None:
    """BEM_LOAD_STATE and BEM_STORE_STATE."""
    core, first = run.core, run.registers[i.rd]
    lanes = run.registers[i.rb] or core.lanes
    if not 0 <= lanes <= core.lanes:
        return run.stop(Stop.LANES, lanes)
    if not 0 <= first <= core.memory.config.n_bits - i.count:
        return run.stop(Stop.BITS, first)
    words = words_for(lanes)
    needed = Rights.READ if i.opcode is Opcode.BEM_LOAD_STATE else Rights.WRITE
    address = _effective(run, i)
    if address >> ADDRESS_BITS == Space.STATE:  # the two would overlap
        return run.stop(Stop.RIGHTS, address)
    place, stop = _locate(run, address, words * i.count, needed)
    if stop is not None:
        return stop
    mask = lane_mask(lanes)
    planes = core.memory.plane_rows[first : first + i.count, :words]
    block: Word = core.memory.arrays.words[place : place + words * i.count].reshape(-1, words)
    if i.opcode is Opcode.BEM_LOAD_STATE:
        planes[:] = (planes & ~mask) | (block & mask)
    else:
        block[:] = planes & mask
    return None


REGISTER_FORM = {Opcode[f"{op.name}_I"]: op for op in ALU}
"""The arithmetic of two registers that each instruction with a number does."""

_EXECUTE: dict[Opcode, Callable[[_Run, Instruction], Stop | None]] = {
    **dict.fromkeys(ALU, _alu),
    **dict.fromkeys(REGISTER_FORM, _alu_immediate),
    **{op: _unit for op in Opcode if op.name.startswith("BEM_")},
    Opcode.SET: _set,
    Opcode.NOT: _not,
    Opcode.HALT: _halt,
    Opcode.JMP: _jump,
    Opcode.JZ: _jump_if,
    Opcode.JNZ: _jump_if,
    Opcode.JZ_BIT: _jump_if_bit,
    Opcode.JNZ_BIT: _jump_if_bit,
    Opcode.CALL: _call,
    Opcode.RET: _return,
    Opcode.TRAP: _trap,
    Opcode.TRAP_IF: _trap,
    Opcode.TRAP_IF_BIT: _trap,
    Opcode.LOG: _log,
    Opcode.EXPERT: _expert,
    Opcode.LD: _load,
    Opcode.ST: _store,
    Opcode.ADR: _address,
    Opcode.BEM_LOAD_STATE: _move_state,
    Opcode.BEM_STORE_STATE: _move_state,
}
