"""What instructions that reach memory do: loads, stores, state moves, host calls, co-processors.

An address that is not known stands for every word of its space; a load is a choice among them, and
a store changes each of them if it is the one.

Source: BEM core spec 2.1, 4.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bem_kernel.hoare.moment import Branch, Choice, Effect, Moment
from bem_kernel.hoare.state import shared_places
from bem_kernel.hoare.words import WIDTH, Word, WordBuilder
from bem_kernel.isa.core import Stop
from bem_kernel.isa.instructions import ADDRESS_BITS, FORM, MAILBOX_WORDS, Opcode, Space
from bem_kernel.memory.segments import Rights


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


def load(m: Moment) -> Effect:
    """LD."""
    access = _access(m, 1, Rights.READ)
    word = _read(m, access.places)
    return m.then(m.state.with_register(m.instruction.rd, word), access.traps)


def store(m: Moment) -> Effect:
    """ST; a doorbell calls its host function."""
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


def take_address(m: Moment) -> Effect:
    """ADR."""
    address, nowhere = _address(m)
    return m.then(m.state.with_register(m.instruction.rd, address), {Stop.BOUNDS: nowhere})


def move_state(m: Moment) -> Effect:
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


def call_unit(m: Moment) -> Effect:
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
        case Opcode.BEM_SAT_CHECK:  # a model, of a size that the formula says
            words = _any_words(m, m.layout.space_places(i).values())
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
