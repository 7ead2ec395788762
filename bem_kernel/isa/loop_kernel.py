"""The compiled loop over decoded instructions; it does what `plain` does, bit for bit.

An instruction is a row of eight 32-bit numbers, its fields; `plain` is where each is explained.
LLVM makes one table of jumps of the chain of comparisons, so their order does not matter.

Source: BEM core spec 3.1, 4.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from bem_kernel.compiled import kernel
from bem_kernel.experts.batch import SCRATCH, TABLE, apply_expert
from bem_kernel.isa.core import DEPTH, DETAIL, PC, SPENT, Stop
from bem_kernel.isa.instructions import (
    ADDRESS_BITS,
    MAILBOX_WORDS,
    STACK_DEPTH,
    Opcode,
    Space,
)
from bem_kernel.memory.access import READ, WRITE, locate, locate_block
from bem_kernel.memory.faults import FAULT_RIGHTS

# Columns of a decoded instruction.
OP: Final = 0
RD: Final = 1
RA: Final = 2
RB: Final = 3
IMM: Final = 4
SHIFT_OR_COUNT: Final = 5
SPACE: Final = 6
BIT: Final = 7
COLUMNS: Final = 8

_OP = {opcode.name: int(opcode) for opcode in Opcode}
HALT, JMP, JZ, JNZ = _OP["HALT"], _OP["JMP"], _OP["JZ"], _OP["JNZ"]
JZ_BIT, JNZ_BIT, CALL, RET = _OP["JZ_BIT"], _OP["JNZ_BIT"], _OP["CALL"], _OP["RET"]
TRAP, TRAP_IF, TRAP_IF_BIT = _OP["TRAP"], _OP["TRAP_IF"], _OP["TRAP_IF_BIT"]
LOG, EXPERT, SET, NOT = _OP["LOG"], _OP["EXPERT"], _OP["SET"], _OP["NOT"]
ADD, SUB, MUL, SHL, SHR = _OP["ADD"], _OP["SUB"], _OP["MUL"], _OP["SHL"], _OP["SHR"]
SAR, AND, OR, XOR, LT = _OP["SAR"], _OP["AND"], _OP["OR"], _OP["XOR"], _OP["LT"]
ADD_I, SUB_I, MUL_I, SHL_I = _OP["ADD_I"], _OP["SUB_I"], _OP["MUL_I"], _OP["SHL_I"]
SHR_I, SAR_I, AND_I, OR_I = _OP["SHR_I"], _OP["SAR_I"], _OP["AND_I"], _OP["OR_I"]
XOR_I, LT_I, LD, ST, ADR = _OP["XOR_I"], _OP["LT_I"], _OP["LD"], _OP["ST"], _OP["ADR"]
LOAD_STATE, STORE_STATE = _OP["BEM_LOAD_STATE"], _OP["BEM_STORE_STATE"]

# Stops as plain integers, for the kernel.
_FUEL, _END, _HOST, _LOG, _UNIT = map(int, (Stop.FUEL, Stop.END, Stop.HOST, Stop.LOG, Stop.UNIT))
_RAISED, _BOUNDS, _RIGHTS = int(Stop.RAISED), int(Stop.BOUNDS), int(Stop.RIGHTS)
_FULL, _EMPTY = int(Stop.STACK_FULL), int(Stop.STACK_EMPTY)
_LANES, _BITS, _EXPERT = int(Stop.LANES), int(Stop.BITS), int(Stop.EXPERT)
_RUNNING = -1

_STATE_SPACE, _HOST_SPACE, _ANY = int(Space.STATE), int(Space.HOST), int(Space.ANY)
_INDEX_MASK = (1 << ADDRESS_BITS) - 1
_ALL = np.uint64(0xFFFF_FFFF_FFFF_FFFF)

MEMORY = "Tuple((uint64[::1], int64[:, ::1], uint8[::1]))"
"""Type of (words, `Core.spans`, rights)."""


@kernel("int64(int64, int64, int64)")
def multiply_shift(a, b, shift):  # type: ignore[no-untyped-def]
    """Bits shift .. shift+63 of the signed 128-bit product, shift 0 to 63."""
    low_mask = np.uint64(0xFFFF_FFFF)
    half = np.uint64(32)
    ua, ub = np.uint64(a), np.uint64(b)
    low = ua * ub
    if shift == 0:
        return np.int64(low)
    a0, a1, b0, b1 = ua & low_mask, ua >> half, ub & low_mask, ub >> half
    middle = a1 * b0 + ((a0 * b0) >> half)
    cross = a0 * b1 + (middle & low_mask)
    high = a1 * b1 + (middle >> half) + (cross >> half)
    if a < 0:
        high -= ub
    if b < 0:
        high -= ua
    s = np.uint64(shift)
    return np.int64((low >> s) | (high << (np.uint64(64) - s)))


@kernel("int64(uint64[:, ::1], int64, uint64[::1])")
def any_lane(planes, bit, active):  # type: ignore[no-untyped-def]
    """1 if a state bit is 1 in any lane in use, else 0."""
    for w in range(planes.shape[1]):
        if planes[bit, w] & active[w] != np.uint64(0):
            return np.int64(1)
    return np.int64(0)


@kernel("int64(int64, int64)")
def effective(space, index):  # type: ignore[no-untyped-def]
    """The whole address of an index in a space; negative if the index is out of range."""
    if space == _ANY:
        return index
    if index < 0 or index > _INDEX_MASK:
        return np.int64(-1)
    return space << ADDRESS_BITS | index


@kernel("int64(int64)")
def stop_of(fault):  # type: ignore[no-untyped-def]
    """The stop for a fault of `memory.access`."""
    return np.int64(_RIGHTS) if fault == FAULT_RIGHTS else np.int64(_BOUNDS)


@kernel(f"int64(int32[::1], int64[::1], int64[::1], int64, int64, {MEMORY}, uint64[:, ::1])")
def move_state(  # type: ignore[no-untyped-def]
    row, control, registers, all_lanes, n_bits, memory, planes
):
    """BEM_LOAD_STATE and BEM_STORE_STATE; returns _RUNNING or a stop. Seven arguments: a kernel."""
    first, count = registers[row[RD]], np.int64(row[SHIFT_OR_COUNT])
    lanes = registers[row[RB]]
    if lanes == 0:
        lanes = all_lanes
    if lanes < 0 or lanes > all_lanes:
        control[DETAIL] = lanes
        return np.int64(_LANES)
    if first < 0 or first > n_bits - count:
        control[DETAIL] = first
        return np.int64(_BITS)
    words = max(np.int64(1), (lanes + 63) >> 6)
    loads = np.int64(row[OP]) == LOAD_STATE
    address = effective(np.int64(row[SPACE]), registers[row[RA]] + np.int64(row[IMM]))
    control[DETAIL] = address
    if address >> ADDRESS_BITS == _STATE_SPACE:
        return np.int64(_RIGHTS)
    block, spans, rights = memory
    needed = np.int64(READ if loads else WRITE)
    place = locate_block(spans, rights, np.uint64(address), words * count, needed)
    if place < 0:
        return stop_of(place)
    for b in range(first, first + count):
        for w in range(words):
            rest = lanes - 64 * w
            mask = _ALL if rest >= 64 else (np.uint64(1) << np.uint64(rest)) - np.uint64(1)
            if loads:
                planes[b, w] = (planes[b, w] & ~mask) | (block[place] & mask)
            else:
                block[place] = planes[b, w] & mask
            place += 1
    return np.int64(_RUNNING)


@kernel(
    "int64(int32[::1], int64[::1], int64[::1], int64[::1], int64, int64, int64,"
    f" {MEMORY}, uint64[:, ::1], int64, uint64[::1], uint64[::1], {TABLE}, {SCRATCH})"
)
def run_code(  # type: ignore[no-untyped-def]  # noqa: C901 - one case per instruction
    code,
    control,
    registers,
    stack,
    fuel,
    lanes,
    n_bits,
    memory,
    planes,
    words,
    active,
    shared,
    table,
    scratch,
):
    """Execute from `control[PC]` until the program ends, stops, or the fuel is spent.

    Fourteen arguments, and longer than a function should be: it is the one loop, and its cases are
    the rows of the instruction set.

    Args:
        code: (8 * L,) int32, decoded instructions, one after the other.
        control: (8,) int64, see `core`.
        registers: (32,) int64.
        stack: (STACK_DEPTH,) int64.
        fuel: the most instructions to execute.
        lanes: lanes in use.
        n_bits: N.
        memory: words, spans and rights.
        planes: (N, pitch) uint64.
        words: words of a plane in use.
        active: (pitch,) uint64, lanes in use.
        shared: (K / 64,) uint64, M.
        table: the program's experts, as `experts.batch` takes them.
        scratch: room for the experts.

    Returns:
        A `Stop`.
    """
    pc, spent, stop = control[PC], np.int64(0), np.int64(_RUNNING)
    length = np.int64(len(code)) >> 3
    cells, spans, rights = memory
    while spent < fuel and pc < length:
        at = np.uint64(pc) << np.uint64(3)
        op = code[at]
        imm = np.int64(code[at + np.uint64(IMM)])
        rd = np.uint64(code[at + np.uint64(RD)])
        a, b = (
            registers[np.uint64(code[at + np.uint64(RA)])],
            registers[np.uint64(code[at + np.uint64(RB)])],
        )
        following = pc + 1
        if op == ADD:
            registers[rd] = a + b
        elif op == ADD_I:
            registers[rd] = a + imm
        elif op == SUB:
            registers[rd] = a - b
        elif op == SUB_I:
            registers[rd] = a - imm
        elif op == MUL:
            registers[rd] = multiply_shift(a, b, np.int64(code[at + np.uint64(SHIFT_OR_COUNT)]))
        elif op == MUL_I:
            registers[rd] = multiply_shift(a, imm, np.int64(code[at + np.uint64(SHIFT_OR_COUNT)]))
        elif op == SHL:
            registers[rd] = a << (b & 63)
        elif op == SHL_I:
            registers[rd] = a << imm
        elif op == SHR:
            registers[rd] = np.int64(np.uint64(a) >> np.uint64(b & 63))
        elif op == SHR_I:
            registers[rd] = np.int64(np.uint64(a) >> np.uint64(imm))
        elif op == SAR:
            registers[rd] = a >> (b & 63)
        elif op == SAR_I:
            registers[rd] = a >> imm
        elif op == AND:
            registers[rd] = a & b
        elif op == AND_I:
            registers[rd] = a & imm
        elif op == OR:
            registers[rd] = a | b
        elif op == OR_I:
            registers[rd] = a | imm
        elif op == XOR:
            registers[rd] = a ^ b
        elif op == XOR_I:
            registers[rd] = a ^ imm
        elif op == LT:
            registers[rd] = np.int64(a < b)
        elif op == LT_I:
            registers[rd] = np.int64(a < imm)
        elif op == NOT:
            registers[rd] = ~a
        elif op == SET:
            registers[rd] = imm
        elif op == JMP:
            following = imm
        elif op == JZ:
            if a == 0:
                following = imm
        elif op == JNZ:
            if a != 0:
                following = imm
        elif op == LD:
            address = effective(np.int64(code[at + np.uint64(SPACE)]), a + imm)
            place = locate(spans, rights, np.uint64(address), np.int64(READ))
            if place < 0:
                control[DETAIL] = address
                stop = stop_of(place)
            else:
                registers[rd] = np.int64(cells[np.uint64(place)])
        elif op == ST:
            address = effective(np.int64(code[at + np.uint64(SPACE)]), a + imm)
            place = locate(spans, rights, np.uint64(address), np.int64(WRITE))
            index = address & _INDEX_MASK
            if place < 0:
                control[DETAIL] = address
                stop = stop_of(place)
            elif address >> ADDRESS_BITS == _HOST_SPACE and index % MAILBOX_WORDS == 0:
                control[DETAIL] = index // MAILBOX_WORDS
                stop = np.int64(_HOST)
            else:
                cells[np.uint64(place)] = np.uint64(registers[rd])
        elif op == ADR:
            address = effective(np.int64(code[at + np.uint64(SPACE)]), a + imm)
            if address < 0:
                control[DETAIL] = address
                stop = np.int64(_BOUNDS)
            else:
                registers[rd] = address
        elif op == JZ_BIT:
            if any_lane(planes, np.int64(code[at + np.uint64(BIT)]), active) == 0:
                following = imm
        elif op == JNZ_BIT:
            if any_lane(planes, np.int64(code[at + np.uint64(BIT)]), active) != 0:
                following = imm
        elif op == CALL:
            depth = control[DEPTH]
            if depth == STACK_DEPTH:
                control[DETAIL] = depth
                stop = np.int64(_FULL)
            else:
                stack[depth] = following
                control[DEPTH] = depth + 1
                following = imm
        elif op == RET:
            depth = control[DEPTH]
            if depth == 0:
                control[DETAIL] = depth
                stop = np.int64(_EMPTY)
            else:
                control[DEPTH] = depth - 1
                following = stack[depth - 1]
        elif op == EXPERT:
            if apply_expert(table, imm, planes, words, shared, active, scratch) != 0:
                control[DETAIL] = imm
                stop = np.int64(_EXPERT)
        elif op == TRAP_IF_BIT:
            if any_lane(planes, np.int64(code[at + np.uint64(BIT)]), active) != 0:
                control[DETAIL] = 0
                stop = np.int64(_RAISED)
        elif op == TRAP_IF:
            if a != 0:
                control[DETAIL] = 0
                stop = np.int64(_RAISED)
        elif op == TRAP:
            control[DETAIL] = 0
            stop = np.int64(_RAISED)
        elif op == HALT:
            following = length
        elif op == LOG:
            control[DETAIL] = 0
            stop = np.int64(_LOG)
        elif op in (LOAD_STATE, STORE_STATE):
            row = code[at : at + np.uint64(COLUMNS)]
            stop = move_state(row, control, registers, lanes, n_bits, memory, planes)
        else:
            control[DETAIL] = 0
            stop = np.int64(_UNIT)
        if stop != _RUNNING:
            break
        registers[0] = 0
        pc = following
        spent += 1
    control[PC] = pc
    control[SPENT] = spent
    if stop == _RUNNING:
        stop = np.int64(_FUEL) if pc < length else np.int64(_END)
    return stop
