"""Which steps of a plan may change places, and which must keep the order they are written in.

Two steps are in conflict if one writes a state bit that the other reads or writes, or if one of
them changes the world and both touch one object there. A step that is given no object and binds
none touches the world as a whole. Steps in conflict keep their order; all others commute, since
neither can see what the other does (Mazurkiewicz traces: any order of a plan's steps that keeps
those of all conflicts comes from the written one by swapping neighbours that commute).

Invariants speak of several bits at once, so keeping conflicts in order is not enough for them; the
checker proves them over all orders (`interleavings`) and orders more steps where it has to.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bb_domains.compiler import PlanMachine

Edge = tuple[int, int]
"""Positions of two steps, the first of which must be done before the second starts."""


@dataclass(frozen=True)
class Footprint:
    """What a call has to do with.

    Attributes:
        reads: state bits that its precondition and its handles ask for.
        writes: state bits that it sets or clears.
        touches: ordinals of the objects that it is given or binds; all of them if it names none.
        changes: whether it changes the world.
    """

    reads: int
    writes: int
    touches: int
    changes: bool

    def conflicts(self, other: Footprint) -> bool:
        """Whether the two must keep their order."""
        bits = self.writes & (other.reads | other.writes) or self.reads & other.writes
        world = (self.changes or other.changes) and self.touches & other.touches
        return bool(bits or world)


def footprint(machine: PlanMachine, lane: int) -> Footprint:
    """What a lane reads, writes and touches.

    That slots are numbered in the order of binding is bookkeeping and no reading: a plan's slots
    are settled before its first step is taken.
    """
    taken = machine.lanes[lane]
    compiled, layout = machine.tools[taken.tool], machine.layout
    reads, touches = 0, taken.uses
    for atom in compiled.pre_atoms:
        reads |= 1 << layout.bit(atom, taken.slots)
    for arg, handle in compiled.tool.handles.items():
        reads |= 1 << layout.bound_bit(handle.object, taken.slots[arg])
    if compiled.tool.binds:
        touches |= taken.forbids >> layout.bound_base
    return Footprint(
        reads,
        taken.sets | taken.clears,
        touches or (1 << layout.n_objects + 1) - 1,
        compiled.tool.effect != "read",
    )


def order_edges(
    machine: PlanMachine, lanes: Sequence[int], further: Iterable[Edge] = ()
) -> tuple[Edge, ...]:
    """The order that a plan's steps must keep, without what follows from the rest.

    Args:
        machine: the domain's logic.
        lanes: the lanes of the steps, as they are written.
        further: order that is asked for besides, from earlier to later positions.

    Returns:
        Edges in order; two steps without a way between them commute.
    """
    seen = [footprint(machine, lane) for lane in lanes]
    edges = set(further)
    for later, one in enumerate(seen):
        edges |= {(i, later) for i in range(later) if seen[i].conflicts(one)}
    return reduced(len(lanes), edges)


def reduced(n_steps: int, edges: Iterable[Edge]) -> tuple[Edge, ...]:
    """The fewest edges with the same ways between steps (transitive reduction)."""
    before = [0] * n_steps
    for earlier, later in edges:
        before[later] |= 1 << earlier
    above = [0] * n_steps
    kept: list[Edge] = []
    for later in range(n_steps):
        for earlier in reversed(range(later)):
            if before[later] >> earlier & 1 and not above[later] >> earlier & 1:
                kept.append((earlier, later))
                above[later] |= above[earlier] | 1 << earlier
    return tuple(sorted(kept))
