"""A program as a transition system: what no run of it may reach, however long.

A step leads from the start of one basic block to that of the next. The state is where control is,
with the calls that have not returned, the registers, and the words that can change. Answers of
host functions and co-processors are free inputs. A program that has ended or trapped stays where
it is. BAD is looked at before and after every instruction.

Without annotations a run begins as `Machine(program)` does, with registers and state bits 0. With
annotations, which have to be proved first, it begins as they say of `entry`, and what they say of
nodes, and always, is known wherever control comes there.

Source: BEM core spec 2.4, 9.4.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from bem_kernel.circuits.circuit import Circuit
from bem_kernel.circuits.composition import support
from bem_kernel.hoare.annotations import ENTRY, Annotations
from bem_kernel.hoare.check import Refutation
from bem_kernel.hoare.formula import Formula, predicate
from bem_kernel.hoare.moment import Choice, Predicate
from bem_kernel.hoare.obligations import Annotated
from bem_kernel.hoare.replay import Counterexample, Reply, replay
from bem_kernel.hoare.state import Layout, State, mutable_places, unknown_state
from bem_kernel.hoare.transition import (
    Path,
    TransitionSystem,
    evaluated,
    states_of,
    with_inputs,
)
from bem_kernel.hoare.ways import Way, Ways, all_ways
from bem_kernel.hoare.words import Word, WordBuilder, number
from bem_kernel.isa.core import signed
from bem_kernel.isa.program import Program

CLAIM = "BAD is unreachable"
_ENDED = 0  # the number of no location: the program has ended or trapped


@dataclass(frozen=True)
class ProgramSystem:
    """A program and its transition system.

    Attributes:
        layout: of the program.
        system: see the head of this file.
        safe: the condition that BAD does not hold.
        start: the state at the start of a block, as inputs of the builder.
        one: the builder's constant 1.
        inputs: the builder's slot of each input of a step.
        ways: through the blocks.
        taken: over the inputs of a step: whether BAD holds at the start of the block, whether each
            arriving way is taken, and whether each bad one is taken and bad.
    """

    layout: Layout
    system: TransitionSystem
    safe: Predicate
    start: State
    one: int
    inputs: tuple[int, ...]
    ways: Ways
    taken: Circuit

    def replayed(self, path: Path) -> Refutation:
        """A path as a run of the machine to BAD.

        Raises:
            HoareError: the machine does something else, which is a defect of the model.
        """
        states = states_of(self.system, path)
        models = [
            dict(zip(self.inputs, [*state, *free], strict=True))
            for state, free in zip(states.tolist(), path.inputs.tolist(), strict=False)
        ]
        instructions: list[int] = []
        replies: dict[int, Reply] = {}
        end = 0
        for model in models:
            way = self._way_in(model, last=model is models[-1])
            if way is None:
                break
            for step, choice in way.choices.items():
                replies[len(instructions) + step] = self._reply(choice, model)
            instructions += way.path
            end = min(way.end[0], len(self.layout.program.code))
        registers = tuple(signed(self._number(word, models[0])) for word in self.start.registers)
        words = {place: self._number(word, models[0]) for place, word in self.start.words.items()}
        found = Counterexample(
            ENTRY, CLAIM, 0, (), registers, words, tuple(instructions), end, replies
        )
        return Refutation(found, replay(self.layout, found, self.safe))

    def _reply(self, choice: Choice, model: Mapping[int, bool]) -> Reply:
        words = {place: self._number(word, model) for place, word in choice.words.items()}
        return Reply(words, 0 if choice.value is None else self._number(choice.value, model))

    def _number(self, word: Word, model: Mapping[int, bool]) -> int:
        return number(word, model, self.one)

    def _way_in(self, model: Mapping[int, bool], *, last: bool) -> Way | None:
        """The way that is taken; in the last step to where it is bad, None if it begins so."""
        bad, *taken = evaluated(self.taken, [model[slot] for slot in self.inputs])
        if last and bad:
            return None
        ways = (*self.ways.arriving, *self.ways.bad)
        count = len(self.ways.arriving)
        found = [way for way, yes in zip(ways, taken, strict=True) if yes]
        if last:
            found = [way for way, yes in zip(ways[count:], taken[count:], strict=True) if yes]
        return min(found, key=lambda way: len(way.path))


def program_system(
    program: Program, bad: Formula, annotations: Annotations | None = None
) -> ProgramSystem:
    """The transition system of a program.

    Args:
        program: what runs, on one lane, in the memory that `Machine(program)` makes.
        bad: what must not be, such as the name of a state bit.
        annotations: claims that `hoare_check` has accepted; None: there are none.

    Raises:
        HoareError: the condition or the annotations do not fit the program, or it is too large.
    """
    annotated = Annotated(program, annotations or Annotations())
    layout, builder = annotated.layout, WordBuilder()
    is_bad = predicate(bad, layout, "bad")
    start = unknown_state(builder, layout, mutable_places(layout), {}, {})
    data = _inputs_of(builder, (*start.registers, *start.words.values()))
    ways = all_ways(builder, layout, start, is_bad)
    control = builder.fresh(len(ways.locations).bit_length())
    made = _Gates(builder, start, ways, control)
    bad_now, bad_soon = is_bad(builder, start), made.shown()
    allowed = builder.one if annotations is None else made.known(annotated)
    following = [*made.next_data(data), *made.next_control()]
    state = (*data, *control)
    inputs = (*state, *sorted(set(range(builder.n_inputs)) - set(state)))
    entry = _begins(annotated, builder, start) if annotations is not None else builder.one
    initial = builder.circuit([entry], state)
    also = support(initial)
    first = _first_values(layout, start, zero=annotations is None)
    numbers = [bit == 0 for bit in range(len(control))]  # the first location's number is 1
    system = TransitionSystem(
        (*(first[slot] for slot in data), *numbers),
        builder.circuit([*following, allowed, builder.any([bad_now, *bad_soon])], inputs),
        also,
        with_inputs(initial, also),
    )
    taken = builder.circuit([bad_now, *made.moves, *bad_soon], inputs)
    safe = _negation(is_bad)
    return ProgramSystem(layout, system, safe, start, builder.one, inputs, ways, taken)


class _Gates:
    """The gates of a step, from the ways through the blocks.

    Attributes:
        moves: for each arriving way, whether it is taken.
    """

    def __init__(self, builder: WordBuilder, start: State, ways: Ways, control: Word) -> None:
        self._builder, self._start, self._ways = builder, start, ways
        self._numbers = {location: i for i, location in enumerate(ways.locations, _ENDED + 1)}
        self._at = {where: builder.equals(control, i) for where, i in self._numbers.items()}
        self._width = len(control)
        self.moves = [builder.and_(self._at[way.begin], way.condition) for way in ways.arriving]

    def shown(self) -> list[int]:
        """For each bad way, whether it is taken and bad."""
        ways = self._ways.bad
        return [self._builder.all((self._at[w.begin], w.condition, w.bad)) for w in ways]

    def known(self, annotated: Annotated) -> int:
        """Whether what is annotated holds at the start of the block."""
        builder, start = self._builder, self._start
        known = [annotated.always(builder, start)]
        for location, here in self._at.items():
            if (name := annotated.names.get(location[0])) is not None:
                claim = annotated.claim(name)(builder, start)
                known.append(builder.or_(builder.not_(here), claim))
        return builder.all(known)

    def next_control(self) -> list[int]:
        """The number of the next location, bit by bit; _ENDED if no block comes."""
        targets = [self._numbers[way.end] for way in self._ways.arriving]
        return [
            self._builder.any(m for m, t in zip(self.moves, targets, strict=True) if t >> bit & 1)
            for bit in range(self._width)
        ]

    def next_data(self, data: Sequence[int]) -> list[int]:
        """The next value of each input of the state."""
        builder = self._builder
        after = {slot: slot for slot in data}
        for move, way in zip(self.moves, self._ways.arriving, strict=True):
            for before, now in _changes(self._start, way.state):
                if before in after:
                    (after[before],) = builder.choose(move, (after[before],), (now,))
        return [after[slot] for slot in data]


def _changes(start: State, end: State) -> Iterator[tuple[int, int]]:
    """The slots that differ, each with the one of the start."""
    words = [(start.words[place], word) for place, word in end.words.items()]
    for before, after in (*zip(start.registers, end.registers, strict=True), *words):
        if before is not after:
            yield from ((x, y) for x, y in zip(before, after, strict=True) if x != y)


def _inputs_of(builder: WordBuilder, words: Iterable[Word]) -> tuple[int, ...]:
    """The inputs among the slots of words, in order."""
    slots = dict.fromkeys(slot for word in words for slot in word)
    return tuple(slot for slot in slots if slot < builder.n_inputs)


def _first_values(layout: Layout, start: State, *, zero: bool) -> dict[int, bool | None]:
    """What each slot of the state is at the beginning; of registers and state bits, 0 or any."""
    free = False if zero else None
    found: dict[int, bool | None] = {}
    for place, word in start.words.items():
        value = layout.first_value(place)
        found |= {slot: bool(value >> i & 1) for i, slot in enumerate(word)}
    planes = (start.words[layout.plane(bit)][0] for bit in range(layout.n_bits))
    registers = (slot for word in start.registers for slot in word)
    return found | dict.fromkeys((*planes, *registers), free)


def _begins(annotated: Annotated, builder: WordBuilder, start: State) -> int:
    """Whether a state is one that the annotations admit at the beginning."""
    widths = annotated.annotations.registers.items()
    inside = [width.holds(builder, start.registers[register]) for register, width in widths]
    return builder.all([annotated.claim(ENTRY)(builder, start), *inside])


def _negation(condition: Predicate) -> Predicate:
    return lambda builder, state: builder.not_(condition(builder, state))
