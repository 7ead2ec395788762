"""All ways through the blocks of a program, from one state of unknowns.

A location is the start of a basic block with the calls that have not returned, so a RET goes on
exactly where it will. From each, every way is followed to the start of the next block.

Source: BEM core spec 2.4.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from bem_kernel.errors import HoareError
from bem_kernel.hoare.effects import effect
from bem_kernel.hoare.moment import Branch, Choice, Moment, Predicate
from bem_kernel.hoare.state import Layout, State
from bem_kernel.hoare.words import WordBuilder
from bem_kernel.isa.control_flow import basic_blocks

MAX_LOCATIONS = 1024
MAX_WAYS = 4096
"""Most ways through one block."""

Location = tuple[int, tuple[int, ...]]
"""First instruction of a block, and return addresses, the innermost last."""


@dataclass(frozen=True)
class Way:
    """A way through a block, or to a state in it.

    Attributes:
        begin: the location that it begins in.
        end: the next instruction, and the calls that have not returned then.
        state: at its end.
        condition: the slot that says when it is taken from `begin`.
        path: the instructions.
        choices: answers from outside, by index in the path.
        bad: the slot of BAD at its end.
    """

    begin: Location
    end: Location
    state: State
    condition: int
    bad: int
    path: tuple[int, ...] = ()
    choices: Mapping[int, Choice] = field(default_factory=dict)


@dataclass(frozen=True)
class Ways:
    """All of them.

    Attributes:
        locations: the first one is where the program begins.
        arriving: at another location.
        bad: at a state that may be bad where the one before was not, and begins no block.
    """

    locations: tuple[Location, ...]
    arriving: tuple[Way, ...]
    bad: tuple[Way, ...]


def all_ways(builder: WordBuilder, layout: Layout, state: State, bad: Predicate) -> Ways:
    """Follow a program from its beginning.

    Args:
        builder: makes the gates.
        layout: of the program.
        state: any state.
        bad: what is looked at before and after each instruction.

    Raises:
        HoareError: there are too many locations, or ways through a block.
    """
    starts = {block.start for block in basic_blocks(layout.program)}
    locations: list[Location] = [(0, ())]
    arriving: list[Way] = []
    found_bad: list[Way] = []
    for location in locations:  # grows
        todo = [Way(location, location, state, builder.one, bad(builder, state))]
        for _ in range(MAX_WAYS):
            if not todo:
                break
            before = todo.pop()
            for way in _one_further(builder, layout, before, bad):
                if way.end[0] in starts:
                    arriving.append(way)
                    if way.end not in locations:
                        locations.append(way.end)
                    continue
                if way.bad not in (before.bad, builder.zero):
                    found_bad.append(way)
                if way.end[0] < len(layout.program.code):
                    todo.append(way)
        if todo or len(locations) > MAX_LOCATIONS:
            raise HoareError(
                f"over {MAX_WAYS} ways through a block, or {MAX_LOCATIONS} blocks in calls",
                where="reach",
                fix="prove it by annotations, or without recursion",
            )
    return Ways(tuple(locations), tuple(arriving), tuple(found_bad))


def _one_further(builder: WordBuilder, layout: Layout, way: Way, bad: Predicate) -> Iterator[Way]:
    """Where the next instruction leads; not where it traps, since nothing changes then."""
    (pc, calls) = way.end
    for branch in effect(Moment(builder, layout, pc, calls, way.state)).branches:
        condition = builder.and_(way.condition, branch.guard)
        if condition == builder.zero:
            continue
        same = branch.state is way.state
        yield replace(
            way,
            end=(branch.pc, branch.calls),
            state=branch.state,
            condition=condition,
            bad=way.bad if same else bad(builder, branch.state),
            path=(*way.path, pc),
            choices=_choices(way, branch),
        )


def _choices(way: Way, branch: Branch) -> Mapping[int, Choice]:
    if branch.choice is None:
        return way.choices
    return {**way.choices, len(way.path): branch.choice}
