"""What each instruction does to a state, and from that the weakest precondition, as a table.

The effect of an instruction on a state of slots is a set of branches, each with its guard, and of
traps. The weakest precondition of Q is then

    wp(instruction, Q)(s) = no trap in s, and for every branch: guard(s) implies Q(branch(s))

which for an assignment is Q with the new value put in. A host function or a co-processor may
answer anything: its answers are new inputs, which Q must hold for all of.

Source: BEM core spec 4, 9.2; Dijkstra 1975.
"""

from __future__ import annotations

from collections.abc import Callable

from bem_kernel.hoare.experts import expert_effect
from bem_kernel.hoare.memory_effects import call_unit, load, move_state, store, take_address
from bem_kernel.hoare.moment import Branch, Effect, Moment, Predicate
from bem_kernel.hoare.words import WIDTH, Word, WordBuilder
from bem_kernel.isa.core import Stop
from bem_kernel.isa.instructions import STACK_DEPTH, Opcode


def effect(moment: Moment) -> Effect:
    """What the instruction at a moment does."""
    return EFFECTS[moment.instruction.opcode](moment)


def weakest_precondition(moment: Moment, after: Predicate) -> int:
    """The slot that says whether the instruction cannot trap and ends where `after` holds.

    Source: BEM core spec 9.2, WP_op.
    """
    builder, done = moment.builder, effect(moment)
    holds = builder.not_(builder.any(done.traps.values()))
    for branch in done.branches:
        meets = builder.or_(builder.not_(branch.guard), after(builder, branch.state))
        holds = builder.and_(holds, meets)
    return holds


_Alu = Callable[[WordBuilder, Word, Word, int], Word]


def _multiply(builder: WordBuilder, a: Word, b: Word, shift: int) -> Word:
    return builder.multiply(a, b, WIDTH + shift)[shift:]


def _less(builder: WordBuilder, a: Word, b: Word, _: int) -> Word:
    return (builder.less(a, b),) + (builder.zero,) * (WIDTH - 1)


def _bitwise(operation: Callable[[WordBuilder, int, int], int]) -> _Alu:
    return lambda b, x, y, _: tuple(operation(b, s, t) for s, t in zip(x, y, strict=True))


ALU: dict[Opcode, _Alu] = {
    Opcode.ADD: lambda b, x, y, _: b.add(x, y),
    Opcode.SUB: lambda b, x, y, _: b.subtract(x, y),
    Opcode.MUL: _multiply,
    Opcode.SHL: lambda b, x, y, _: b.shift_left(x, y),
    Opcode.SHR: lambda b, x, y, _: b.shift_right(x, y, b.zero),
    Opcode.SAR: lambda b, x, y, _: b.shift_right(x, y, x[-1]),
    Opcode.AND: _bitwise(WordBuilder.and_),
    Opcode.OR: _bitwise(WordBuilder.or_),
    Opcode.XOR: _bitwise(WordBuilder.xor),
    Opcode.LT: _less,
}
"""The word that each arithmetic instruction computes from two words and its shift."""

_REGISTER_FORM = {Opcode[f"{opcode.name}_I"]: opcode for opcode in ALU}


def _alu(m: Moment) -> Effect:
    i = m.instruction
    word = ALU[i.opcode](m.builder, m.ra(), m.rb(), i.shift)
    return m.then(m.state.with_register(i.rd, word))


def _alu_immediate(m: Moment) -> Effect:
    i = m.instruction
    word = ALU[_REGISTER_FORM[i.opcode]](m.builder, m.ra(), m.builder.constant(i.imm), i.shift)
    return m.then(m.state.with_register(i.rd, word))


def _set(m: Moment) -> Effect:
    word = m.builder.constant(m.instruction.imm)
    return m.then(m.state.with_register(m.instruction.rd, word))


def _not(m: Moment) -> Effect:
    return m.then(m.state.with_register(m.instruction.rd, m.builder.complement(m.ra())))


def _goes_on(m: Moment) -> Effect:
    return m.then(m.state)


def _halt(m: Moment) -> Effect:
    return m.jump(m.builder.one, len(m.layout.program.code))


def _jump(m: Moment) -> Effect:
    return m.jump(m.builder.one, m.instruction.imm)


def _condition(m: Moment) -> int:
    """Whether the register or state bit of a jump or trap is not 0."""
    i = m.instruction
    if i.opcode in (Opcode.JZ, Opcode.JNZ, Opcode.TRAP_IF):
        return m.builder.not_zero(m.ra())
    return m.state.words[m.layout.plane(i.bit)][0]


def _jump_if(m: Moment) -> Effect:
    condition = _condition(m)
    if m.instruction.opcode in (Opcode.JZ, Opcode.JZ_BIT):
        condition = m.builder.not_(condition)
    return m.jump(condition, m.instruction.imm)


def _call(m: Moment) -> Effect:
    if len(m.calls) == STACK_DEPTH:
        return Effect((), {Stop.STACK_FULL: m.builder.one})
    calls = (*m.calls, m.pc + 1)
    return Effect((Branch(m.builder.one, m.instruction.imm, calls, m.state),), {})


def _return(m: Moment) -> Effect:
    if not m.calls:
        return Effect((), {Stop.STACK_EMPTY: m.builder.one})
    return Effect((Branch(m.builder.one, m.calls[-1], m.calls[:-1], m.state),), {})


def _trap(m: Moment) -> Effect:
    return Effect((), {Stop.RAISED: m.builder.one})


def _trap_if(m: Moment) -> Effect:
    return m.then(m.state, {Stop.RAISED: _condition(m)})


def _expert(m: Moment) -> Effect:
    expert = m.layout.program.experts[m.instruction.imm]
    words, fault = expert_effect(m.builder, m.layout, expert, m.state.words)
    return m.then(m.state.with_words(words), {Stop.EXPERT: fault})


EFFECTS: dict[Opcode, Callable[[Moment], Effect]] = {
    **dict.fromkeys(ALU, _alu),
    **dict.fromkeys(_REGISTER_FORM, _alu_immediate),
    **{opcode: call_unit for opcode in Opcode if opcode.name.startswith("BEM_")},
    Opcode.SET: _set,
    Opcode.NOT: _not,
    Opcode.HALT: _halt,
    Opcode.JMP: _jump,
    Opcode.JZ: _jump_if,
    Opcode.JNZ: _jump_if,
    Opcode.JZ_BIT: _jump_if,
    Opcode.JNZ_BIT: _jump_if,
    Opcode.CALL: _call,
    Opcode.RET: _return,
    Opcode.TRAP: _trap,
    Opcode.TRAP_IF: _trap_if,
    Opcode.TRAP_IF_BIT: _trap_if,
    Opcode.LOG: _goes_on,
    Opcode.EXPERT: _expert,
    Opcode.LD: load,
    Opcode.ST: store,
    Opcode.ADR: take_address,
    Opcode.BEM_LOAD_STATE: move_state,
    Opcode.BEM_STORE_STATE: move_state,
}
"""The effect of every instruction."""
