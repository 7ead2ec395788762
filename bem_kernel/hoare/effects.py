"""What each instruction does to a state, and from that the weakest precondition, as a table.

The effect of an instruction on a state of slots is a set of branches, each with its guard, and of
traps. The weakest precondition of Q is then

    wp(instruction, Q)(s) = no trap in s, and for every branch: guard(s) implies Q(branch(s))

which for an assignment is Q with the new value put in. A host function or a co-processor may
answer anything: its answers are new inputs, which Q must hold for all of.

Source: BEM core spec 4, 9.2; Dijkstra 1975.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from bem_kernel.hoare.experts import expert_effect
from bem_kernel.hoare.state import Layout, State, shared_places
from bem_kernel.hoare.words import WIDTH, Word, WordBuilder
from bem_kernel.isa.core import Stop
from bem_kernel.isa.instructions import (
    ADDRESS_BITS,
    FORM,
    MAILBOX_WORDS,
    STACK_DEPTH,
    Instruction,
    Opcode,
    Space,
)
from bem_kernel.memory.segments import Rights

Predicate = Callable[[WordBuilder, State], int]
"""A condition on states: the slot that says whether it holds."""


@dataclass(frozen=True)
class Choice:
    """What a host function or a co-processor answered.

    Attributes:
        words: new words by place; of a plane only bit 0 counts.
        value: what a co-processor returned; None for a host function.
    """

    words: Mapping[int, Word]
    value: Word | None = None


@dataclass(frozen=True)
class Branch:
    """One way to go on.

    Attributes:
        guard: the slot that says when.
        pc: the next instruction.
        calls: return addresses, the innermost last.
        state: afterwards.
        choice: the answer from outside, if there was one.
    """

    guard: int
    pc: int
    calls: tuple[int, ...]
    state: State
    choice: Choice | None = None


@dataclass(frozen=True)
class Effect:
    """What an instruction does.

    Attributes:
        branches: their guards exclude each other; guards that are never true are left out.
        traps: the slot that says when, for each trap that can be. A co-processor may trap as it
            likes; these slots are the constant 1.
    """

    branches: tuple[Branch, ...]
    traps: Mapping[Stop, int]


@dataclass(frozen=True)
class Moment:
    """Where an instruction is executed.

    Attributes:
        builder: makes the gates.
        layout: of the program.
        pc: the instruction.
        calls: return addresses, the innermost last.
        state: before.
    """

    builder: WordBuilder
    layout: Layout
    pc: int
    calls: tuple[int, ...]
    state: State

    @property
    def instruction(self) -> Instruction:
        """The instruction."""
        return self.layout.program.code[self.pc]

    def ra(self) -> Word:
        """The word in ra."""
        return self.state.registers[self.instruction.ra]

    def rb(self) -> Word:
        """The word in rb."""
        return self.state.registers[self.instruction.rb]

    def then(
        self,
        state: State,
        traps: Mapping[Stop, int] | None = None,
        choice: Choice | None = None,
    ) -> Effect:
        """Go on with the next instruction, unless it traps."""
        traps = {stop: guard for stop, guard in (traps or {}).items() if guard != self.builder.zero}
        stays = self.builder.not_(self.builder.any(traps.values()))
        if stays == self.builder.zero:
            return Effect((), traps)
        return Effect((Branch(stays, self.pc + 1, self.calls, state, choice),), traps)

    def jump(self, taken: int, target: int) -> Effect:
        """Go to a target where `taken` is 1, else on."""
        ways = ((taken, target), (self.builder.not_(taken), self.pc + 1))
        return Effect(
            tuple(
                Branch(guard, pc, self.calls, self.state)
                for guard, pc in ways
                if guard != self.builder.zero
            ),
            {},
        )


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


@dataclass(frozen=True)
class _Access:
    """The words that an address operand means.

    Attributes:
        places: the slot that says when, for each first place that there is.
        traps: BOUNDS and RIGHTS.
    """

    places: dict[int, int]
    traps: dict[Stop, int]


def _address(m: Moment) -> tuple[Word, int]:
    """The whole address of the operand, and whether it is in no space at all."""
    i, b = m.instruction, m.builder
    index = b.add(m.ra(), b.constant(i.imm))
    if i.space is Space.ANY:
        return index, index[-1]
    space = b.constant(int(i.space), WIDTH - ADDRESS_BITS)
    return index[:ADDRESS_BITS] + space, b.any(index[ADDRESS_BITS:])


def _access(m: Moment, count: int, needed: Rights) -> _Access:
    """Where an operand of `count` words lies."""
    b = m.builder
    address, nowhere = _address(m)
    inside, places, denied = b.zero, dict[int, int](), b.zero
    candidates = m.layout.operand_places(m.instruction)
    for whole, place in candidates.items():
        here = b.and_(b.equals(address, whole), b.not_(nowhere))
        index, size = whole & ((1 << ADDRESS_BITS) - 1), m.layout.sizes[whole >> ADDRESS_BITS]
        if here == b.zero or index + count > size:
            continue
        inside = b.or_(inside, here)
        if all(m.layout.may(place + k, needed) for k in range(count)):
            places[place] = b.or_(places.get(place, b.zero), here)
        else:
            denied = b.or_(denied, here)
    return _Access(places, {Stop.BOUNDS: b.not_(inside), Stop.RIGHTS: denied})


def _read(m: Moment, places: Mapping[int, int], offset: int = 0) -> Word:
    b, word = m.builder, m.builder.constant(0)
    for place, here in places.items():
        word = b.choose(here, word, m.state.words[place + offset])
    return word


def _written(
    m: Moment, words: Mapping[int, Word], place: int, here: int, value: Word
) -> dict[int, Word]:
    before = words.get(place, m.state.words[place])
    return {**words, place: m.builder.choose(here, before, value)}


def _load(m: Moment) -> Effect:
    access = _access(m, 1, Rights.READ)
    word = _read(m, access.places)
    return m.then(m.state.with_register(m.instruction.rd, word), access.traps)


def _store(m: Moment) -> Effect:
    access, value = _access(m, 1, Rights.WRITE), m.state.registers[m.instruction.rd]
    words: dict[int, Word] = {}
    first, size = m.layout.bases[Space.HOST], m.layout.sizes[Space.HOST]
    doorbells = []
    for place, here in access.places.items():
        words = _written(m, words, place, here, value)
        if 0 <= place - first < size and (place - first) % MAILBOX_WORDS == 0:
            doorbells.append((here, (place - first) // MAILBOX_WORDS))
    stored = m.then(m.state.with_words(words), access.traps)
    rings = m.builder.any(here for here, _ in doorbells)
    if rings == m.builder.zero:
        return stored
    branches = [_rung(m, here, port, value) for here, port in doorbells]
    for branch in stored.branches:
        silent = m.builder.and_(branch.guard, m.builder.not_(rings))
        if silent != m.builder.zero:
            branches.append(Branch(silent, branch.pc, branch.calls, branch.state))
    return Effect(tuple(branches), stored.traps)


def _rung(m: Moment, here: int, port: int, argument: Word) -> Branch:
    """A host function answers with any bits and any mailbox."""
    b, doorbell = m.builder, m.layout.bases[Space.HOST] + MAILBOX_WORDS * port
    words: dict[int, Word] = {doorbell + k: b.fresh() for k in range(1, MAILBOX_WORDS)}
    planes = [m.layout.plane(bit) for bit in m.layout.program.ports[port].writes]
    bits = {place: b.fresh(1)[0] for place in planes}
    state = m.state.with_words({**words, doorbell: argument}).with_bits(bits)
    answered = Choice({**words, **{place: state.words[place] for place in planes}})
    return Branch(here, m.pc + 1, m.calls, state, answered)


def _adr(m: Moment) -> Effect:
    address, nowhere = _address(m)
    return m.then(m.state.with_register(m.instruction.rd, address), {Stop.BOUNDS: nowhere})


def _move_state(m: Moment) -> Effect:
    """BEM_LOAD_STATE and BEM_STORE_STATE, on one lane."""
    i, b, state = m.instruction, m.builder, m.state
    loads = i.opcode is Opcode.BEM_LOAD_STATE
    first, lanes, n_bits = state.registers[i.rd], m.rb(), m.layout.n_bits
    starts = {bit: b.equals(first, bit) for bit in range(n_bits - i.count + 1)}
    wrong_lanes = b.any(lanes[1:])
    right_bits = b.any(starts.values())
    access = _access(m, i.count, Rights.READ if loads else Rights.WRITE)
    address, nowhere = _address(m)
    in_state = b.and_(b.equals(address[ADDRESS_BITS:], int(Space.STATE)), b.not_(nowhere))
    words: dict[int, Word] = {}
    bits: dict[int, int] = {}
    for k in range(i.count):
        if loads:
            value = _read(m, access.places, k)[0]
            for start, here in starts.items():
                plane = m.layout.plane(start + k)
                before = bits.get(plane, state.words[plane][0])
                bits[plane] = b.choose(here, (before,), (value,))[0]
        else:
            planes = (
                b.and_(here, state.words[m.layout.plane(s + k)][0]) for s, here in starts.items()
            )
            value_word = (b.any(planes),) + (b.zero,) * (WIDTH - 1)
            for place, here in access.places.items():
                words = _written(m, words, place + k, here, value_word)
    return m.then(
        state.with_bits(bits).with_words(words),
        _in_order(b, wrong_lanes, right_bits, in_state, access),
    )


def _in_order(
    b: WordBuilder, lanes: int, right_bits: int, in_state: int, access: _Access
) -> dict[Stop, int]:
    """The traps of moving state, the first that applies."""
    traps: dict[Stop, int] = {}
    before = b.one
    for stop, guard in (
        (Stop.LANES, lanes),
        (Stop.BITS, b.not_(right_bits)),
        (Stop.RIGHTS, in_state),
        (Stop.BOUNDS, access.traps[Stop.BOUNDS]),
        (Stop.RIGHTS, access.traps[Stop.RIGHTS]),
    ):
        taken = b.and_(before, guard)
        traps[stop] = b.or_(traps.get(stop, b.zero), taken)
        before = b.and_(before, b.not_(guard))
    return traps


def _unit(m: Moment) -> Effect:
    """A co-processor: it may trap as its form says, and answer anything."""
    i, b = m.instruction, m.builder
    words: dict[int, Word] = {}
    planes: set[int] = set()
    match i.opcode:
        case Opcode.BEM_ANN_QUERY:
            for place in m.layout.operand_places(i).values():
                words |= _any_words(m, range(place, place + i.count))
        case Opcode.BEM_EXPERT_BATCH:
            words = _any_words(m, shared_places(m.layout))
            planes = {m.layout.plane(bit) for bit in range(m.layout.n_bits)}
        case Opcode.BEM_APPLY_PATCH:
            words = _any_words(m, m.layout.places().values())
            planes = {m.layout.plane(bit) for bit in range(m.layout.n_bits)}
        case _:
            pass
    value = b.fresh()
    state = m.state.with_words(words).with_bits({place: b.fresh(1)[0] for place in planes})
    choice = Choice({p: state.words[p] for p in {*words, *planes}}, value)
    branch = Branch(b.one, m.pc + 1, m.calls, state.with_register(i.rd, value), choice)
    return Effect((branch,), {Stop[name]: b.one for name in FORM[i.opcode].traps})


def _any_words(m: Moment, places: Iterable[int]) -> dict[int, Word]:
    """Unknown words at those of the places that a program may write."""
    inside = {place for place in places if place in m.state.words}
    return {p: m.builder.fresh() for p in sorted(inside) if m.layout.may(p, Rights.WRITE)}


EFFECTS: dict[Opcode, Callable[[Moment], Effect]] = {
    **dict.fromkeys(ALU, _alu),
    **dict.fromkeys(_REGISTER_FORM, _alu_immediate),
    **{opcode: _unit for opcode in Opcode if opcode.name.startswith("BEM_")},
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
    Opcode.LD: _load,
    Opcode.ST: _store,
    Opcode.ADR: _adr,
    Opcode.BEM_LOAD_STATE: _move_state,
    Opcode.BEM_STORE_STATE: _move_state,
}
"""The effect of every instruction."""
