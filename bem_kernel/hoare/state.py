"""What a program works on, as words of slots: registers, state bits and memory.

The model is exact for `Machine(program)`: one lane, in the memory that just fits the program. It
knows every word by its place in memory, so that a word which is reached through two spaces (DATA
lies in SHARED) is one word. Words that no instruction can store to keep their first value.

Source: BEM core spec 2.1, 3.1, 9.2.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from bem_kernel.errors import HoareError
from bem_kernel.hoare.words import WIDTH, Word, WordBuilder
from bem_kernel.isa.core import Core, effective_address, load
from bem_kernel.isa.instructions import (
    ADDRESS_BITS,
    MAILBOX_WORDS,
    REGISTERS,
    Instruction,
    Opcode,
    Space,
)
from bem_kernel.isa.machine import Machine
from bem_kernel.isa.program import Program
from bem_kernel.memory.memory import LINE_WORDS
from bem_kernel.memory.segments import Rights

MAX_PLACES = 2048
"""Most words that an address which is not known may mean."""

_ALL_SPACES = tuple(space for space in Space if space is not Space.ANY)


@dataclass(frozen=True)
class State:
    """One moment of a run.

    Attributes:
        registers: 32 words; r0 is the constant 0.
        words: the word at each place of memory that the model knows. Bit 0 of the first word of a
            plane is the state bit.
    """

    registers: tuple[Word, ...]
    words: Mapping[int, Word]

    def with_register(self, register: int, value: Word) -> State:
        """The state with another value in a register; r0 does not change."""
        if register == 0:
            return self
        before = self.registers
        return replace(self, registers=(*before[:register], value, *before[register + 1 :]))

    def with_words(self, words: Mapping[int, Word]) -> State:
        """The state with other words at some places."""
        return replace(self, words={**self.words, **words})

    def with_bits(self, bits: Mapping[int, int]) -> State:
        """The state with other state bits, by place of their plane."""
        return self.with_words({p: (slot, *self.words[p][1:]) for p, slot in bits.items()})


@dataclass(frozen=True)
class Layout:
    """Where a program's words lie.

    Attributes:
        program: the program.
        core: the program as loaded, never run.
        bases: first place of each space.
        sizes: words of each space.
    """

    program: Program
    core: Core
    bases: tuple[int, ...]
    sizes: tuple[int, ...]

    @property
    def n_bits(self) -> int:
        """State bits of the memory; at least one."""
        return self.core.memory.config.n_bits

    @property
    def n_shared_bits(self) -> int:
        """Bits of shared memory M."""
        return self.core.memory.config.n_shared_bits

    def plane(self, bit: int) -> int:
        """The place of a state bit."""
        return self.bases[Space.STATE] + bit * self.core.memory.pitch

    def shared_bit(self, bit: int) -> tuple[int, int]:
        """The place of a bit of shared memory M, and which bit of the word it is."""
        return self.bases[Space.SHARED] + bit // WIDTH, bit % WIDTH

    def data(self, name: str) -> range:
        """The places of a name of data.

        Raises:
            KeyError: there is no such name.
        """
        for entry, start in zip(self.program.data, self.program.data_starts, strict=True):
            if entry.name == name:
                first = self.bases[Space.DATA] + start
                return range(first, first + len(entry.words))
        raise KeyError(name)

    def first_value(self, place: int) -> int:
        """The word that a place holds when the program is loaded."""
        return int(self.core.memory.arrays.words[place])

    def may(self, place: int, right: Rights) -> bool:
        """Whether the program may access a place so."""
        line = int(self.core.memory.arrays.rights[place // LINE_WORDS])
        return line & right == right

    def places(self, spaces: Iterable[Space] = _ALL_SPACES) -> dict[int, int]:
        """The place of every whole address in some spaces."""
        return {
            int(space) << ADDRESS_BITS | i: self.bases[space] + i
            for space in spaces
            for i in range(self.sizes[space])
        }

    def space_places(self, instruction: Instruction) -> dict[int, int]:
        """The place of every whole address in the space of an address operand."""
        space = instruction.space
        return self.places() if space is Space.ANY else self.places([space])

    def operand_places(self, instruction: Instruction) -> dict[int, int]:
        """The place of every whole address that an address operand can mean.

        Raises:
            HoareError: there are too many.
        """
        space = instruction.space
        if space is Space.ANY:
            found = self.places()
        elif instruction.ra:
            found = self.places([space])
        else:
            address = effective_address(instruction, 0)
            index = address & ((1 << ADDRESS_BITS) - 1)
            inside = address >= 0 and index < self.sizes[space]
            found = {address: self.bases[space] + index} if inside else {}
        if len(found) > MAX_PLACES:
            raise HoareError(
                f"an address in {len(found)} words",
                where=f"hoare: instruction at line {instruction.line}",
                fix=f"keep what a register addresses within {MAX_PLACES} words",
            )
        return found


def layout_of(program: Program) -> Layout:
    """Where the words of a program lie in the memory that just fits it."""
    core = load(program, 1)
    spans = core.spans().tolist()
    return Layout(program, core, tuple(s[0] for s in spans), tuple(s[1] for s in spans))


def mutable_places(layout: Layout) -> frozenset[int]:
    """The places that some instruction can change, the state bits themselves aside."""
    found: set[int] = set()
    host = layout.bases[Space.HOST]
    for instruction in layout.program.code:
        match instruction.opcode:
            case Opcode.ST:
                stored = set(layout.operand_places(instruction).values())
                for place in list(stored):
                    offset = place - host
                    if 0 <= offset < layout.sizes[Space.HOST] and offset % MAILBOX_WORDS == 0:
                        stored |= set(range(place, place + MAILBOX_WORDS))
                found |= stored
            case Opcode.BEM_STORE_STATE | Opcode.BEM_ANN_QUERY:
                for place in layout.operand_places(instruction).values():
                    found |= set(range(place, place + instruction.count))
            case Opcode.EXPERT:
                if layout.program.experts[instruction.imm].uses_shared:
                    found |= shared_places(layout)
            case Opcode.BEM_EXPERT_BATCH:
                found |= shared_places(layout)
            case Opcode.BEM_SAT_CHECK:
                found |= set(layout.space_places(instruction).values())
            case Opcode.BEM_APPLY_PATCH:
                found |= set(layout.places().values())
    return frozenset(place for place in found if layout.may(place, Rights.WRITE))


def shared_places(layout: Layout) -> set[int]:
    """The places of shared memory M."""
    first = layout.bases[Space.SHARED]
    return set(range(first, first + len(layout.core.memory.shared_bits)))


@dataclass(frozen=True)
class Width:
    """The range that a register or word is declared to keep to.

    Attributes:
        bits: 1 to 64.
        signed: two's complement; otherwise from 0 up, and at most 63 bits.
    """

    bits: int
    signed: bool = False

    def unknown(self, builder: WordBuilder) -> Word:
        """Any word in the range."""
        low = builder.fresh(self.bits)
        return low + (low[-1] if self.signed else builder.zero,) * (WIDTH - self.bits)

    def holds(self, builder: WordBuilder, word: Word) -> int:
        """Whether a word is in the range."""
        high = word[self.bits :]
        if self.signed:
            return builder.all(
                builder.not_(builder.xor(slot, word[self.bits - 1])) for slot in high
            )
        return builder.not_(builder.any(high))


FULL = Width(WIDTH, signed=True)


def unknown_state(
    builder: WordBuilder,
    layout: Layout,
    mutable: frozenset[int],
    registers: Mapping[int, Width],
    words: Mapping[int, Width],
) -> State:
    """Any state that the program can be in, as far as the widths say.

    Args:
        builder: makes the inputs.
        layout: of the program.
        mutable: see `mutable_places`.
        registers: declared width of registers.
        words: declared width of words, by place.
    """
    numbers = [builder.constant(0)]
    numbers += [registers.get(i, FULL).unknown(builder) for i in range(1, REGISTERS)]
    known = {}
    for place in set(layout.places().values()):
        if place in mutable:
            known[place] = words.get(place, FULL).unknown(builder)
        else:
            known[place] = builder.constant(layout.first_value(place))
    state = State(tuple(numbers), known)
    return state.with_bits({layout.plane(bit): known_bit(builder) for bit in range(layout.n_bits)})


def known_bit(builder: WordBuilder) -> int:
    """A new input for one bit."""
    return builder.fresh(1)[0]


def first_state(builder: WordBuilder, layout: Layout, registers: Mapping[int, Width]) -> State:
    """Any state that the program can start in: memory as loaded, registers and bits free."""
    return unknown_state(builder, layout, frozenset(), registers, {})


def exact_state(builder: WordBuilder, layout: Layout, machine: Machine) -> State:
    """The state that a machine is in, all constants."""
    memory = machine.memory.arrays.words
    words = {place: builder.constant(int(memory[place])) for place in layout.places().values()}
    return State(tuple(builder.constant(value) for value in machine.registers), words)
