"""All ways through a region of a program, on slots.

A region is entered at its start. A way ends where control leaves the region, comes back to its
start, or traps; so a loop around the region is one way, and a loop inside is refused. Calls are
followed. What a region does must be seen in the program alone. So no host, co-processor or log may
lie in it, which could tell how often, and with what, it was asked; nor an address outside of DATA
and HOST, nor one that an expert computes, since what lies there, and whether there is such a word,
depends on the memory that the program runs in. Where it runs in many lanes, no instruction may look
at all of them at once: what is shown for one lane then holds for each.

Source: BEM core spec 9.2, 9.4; King 1976 (symbolic execution).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bem_kernel.errors import PatchError
from bem_kernel.experts.expert import Expert
from bem_kernel.experts.place import Space as PlaceSpace
from bem_kernel.hoare.effects import effect
from bem_kernel.hoare.moment import Moment
from bem_kernel.hoare.state import Layout, State
from bem_kernel.hoare.words import WordBuilder
from bem_kernel.isa.core import Stop
from bem_kernel.isa.instructions import Opcode, Space
from bem_kernel.isa.program import Program

AGAIN, RETURN, TRAPPED = -1, -2, -3
"""Exits: back at the region's start; the RET of a call around it; a trap."""


MAX_WAYS = 256
"""Most ways through a region."""

_ALL_LANES = (Opcode.JZ_BIT, Opcode.JNZ_BIT, Opcode.TRAP_IF_BIT)


@dataclass(frozen=True)
class Exit:
    """How a way ends.

    Attributes:
        to: the next instruction, AGAIN, RETURN or TRAPPED.
        stop: the trap.
        text: of a trap that the program raises.
    """

    to: int
    stop: Stop | None = None
    text: str = ""

    def __str__(self) -> str:
        if self.stop is not None:
            return f"trap {self.stop.name}" + f" {self.text!r}" * bool(self.text)
        named = {AGAIN: "its start", RETURN: "the caller"}
        return named.get(self.to, f"instruction {self.to}")


@dataclass(frozen=True)
class Crossing:
    """The ways through a region.

    Attributes:
        ends: by exit, the slot that says when each way is taken, and the state at its end.
        depth: the most calls that are made inside of each other.
    """

    ends: dict[Exit, list[tuple[int, State]]]
    depth: int


@dataclass
class _Walk:
    """A way that is being followed."""

    pc: int
    calls: tuple[int, ...]
    state: State
    condition: int
    seen: frozenset[tuple[int, tuple[int, ...]]]


def cross(
    builder: WordBuilder,
    layout: Layout,
    region: tuple[int, int],
    state: State,
    outside: Callable[[int], int],
    *,
    lanes: int,
) -> Crossing:
    """Follow every way through a region.

    Args:
        builder: makes the gates.
        layout: of the program.
        region: first instruction and one past the last.
        state: at its start.
        outside: what an instruction outside the region is called in the exits.
        lanes: in which the program runs.

    Raises:
        PatchError: the region has a loop inside, reaches out of the program, or has too many ways.
        HoareError: an address may mean too many words.
    """
    start, end = region
    ends: dict[Exit, list[tuple[int, State]]] = {}
    walks = [_Walk(start, (), state, builder.one, frozenset())]
    done = depth = 0
    while walks:
        walk = walks.pop()
        depth = max(depth, len(walk.calls))
        here = (walk.pc, walk.calls)
        exit_ = _exit(layout, walk, start, end, outside)
        if exit_ is not None:
            ends.setdefault(exit_, []).append((walk.condition, walk.state))
            done += 1
            continue
        if done == MAX_WAYS:
            raise _refused(f"over {MAX_WAYS} ways", region, "take a smaller region")
        if here in walk.seen:
            raise _refused(
                f"a loop inside, at instruction {walk.pc}", region, "split it at the loop"
            )
        walk.seen |= {here}
        _check_closed(layout.program, walk.pc, region, lanes)
        walks += _stepped(builder, layout, walk, ends)
    return Crossing(ends, depth)


def _exit(
    layout: Layout, walk: _Walk, start: int, end: int, outside: Callable[[int], int]
) -> Exit | None:
    """How a walk has left the region, if it has."""
    length = len(layout.program.code)
    if walk.pc >= length:
        return Exit(outside(length))
    if walk.calls:
        return None
    if not start <= walk.pc < end:
        return Exit(outside(walk.pc))
    if walk.pc == start and walk.seen:
        return Exit(AGAIN)
    return Exit(RETURN) if layout.program.code[walk.pc].opcode is Opcode.RET else None


def _stepped(
    builder: WordBuilder,
    layout: Layout,
    walk: _Walk,
    ends: dict[Exit, list[tuple[int, State]]],
) -> list[_Walk]:
    """The walks after one instruction; traps are ends."""
    moment = Moment(builder, layout, walk.pc, walk.calls, walk.state)
    instruction = moment.instruction
    after = effect(moment)
    for stop, guard in after.traps.items():
        condition = builder.and_(walk.condition, guard)
        text = instruction.text if stop is Stop.RAISED else ""
        if condition != builder.zero:
            ends.setdefault(Exit(TRAPPED, stop, text), []).append((condition, walk.state))
    walks = []
    for branch in after.branches:
        condition = builder.and_(walk.condition, branch.guard)
        if condition != builder.zero:
            walks.append(_Walk(branch.pc, branch.calls, branch.state, condition, walk.seen))
    return walks


def _check_closed(program: Program, pc: int, region: tuple[int, int], lanes: int) -> None:
    """Refuse an instruction that depends on more than the program's words and one lane."""
    instruction = program.code[pc]
    opcode, space, what = instruction.opcode, instruction.space, ""
    expert = program.experts[instruction.imm] if opcode is Opcode.EXPERT else None
    places = () if expert is None else (*expert.gathers, *(s.place for s in expert.scatters))
    far = opcode in (Opcode.LD, Opcode.ST) and space not in (Space.DATA, Space.HOST)
    rings = opcode is Opcode.ST and space is Space.HOST and bool(program.ports)
    if far or rings or opcode is Opcode.LOG or opcode.name.startswith("BEM_"):
        what = "reaches out of the program"
    elif any(place.terms for place in places):
        what = "computes an address"
    elif lanes > 1 and (opcode in _ALL_LANES or (expert is not None and _writes_shared(expert))):
        what = f"looks at all {lanes} lanes at once"
    if what:
        raise _refused(f"instruction {pc} ({opcode.name}) {what}", region, "leave it out")


def _writes_shared(expert: Expert) -> bool:
    return any(scatter.place.space is PlaceSpace.SHARED for scatter in expert.scatters)


def _refused(what: str, region: tuple[int, int], fix: str) -> PatchError:
    return PatchError(what, where=f"region {region[0]} to {region[1] - 1}", fix=fix)
