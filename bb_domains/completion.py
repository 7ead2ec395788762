"""The shortest legal end of a plan, or the news that there is none.

A* over (state bits, handles used, steps taken, cost), minimising bytes subject to the limits on
steps and on cost. The bound is consistent: each step uses at most `most_uses` handles and takes at
least the shortest call that uses any. A label is dropped when one with no more steps, cost and
bytes was there before. Ties go to the label with fewer unused handles, so that the common case (one
call per unused handle) walks straight to the goal; what is left from all states on the way is
remembered, and states that differ only in the numbering of slots share one memory.

The search is bounded; a state whose search is cut short counts as a dead end, which only makes the
mask refuse more, and is logged.
"""

from __future__ import annotations

import heapq
import itertools
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bb_domains.calls import PLAN_CLOSE, step_open

if TYPE_CHECKING:
    from bb_domains.compiler import PlanMachine

MOST_EXPANSIONS = 4096
MOST_KNOWN = 1 << 17

_FIRST = len(step_open(0))
_LATER = len(step_open(1))

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Way:
    """Steps and bytes of a way to a legal end."""

    steps: int
    size: int


@dataclass(frozen=True)
class _Label:
    """A state reached in the search, and how."""

    bits: int
    used: int
    taken: int
    cost: int
    spent: int
    before: _Label | None


class Completions:
    """Cheapest completions of one machine, remembered by state."""

    def __init__(self, machine: PlanMachine) -> None:
        self._machine = machine
        self._graph = machine.schema.graph
        self._max_steps = machine.schema.limits.max_steps
        least = [machine.texts[lane.tool].levels[-1].most for lane in machine.lanes]
        using = [(n, lane.uses) for n, lane in zip(least, machine.lanes, strict=True) if lane.uses]
        self._call_bytes, self._call_costs = least, machine.costs
        self._max_cost = machine.max_cost
        self._cheapest_call = min(least)
        self._cheapest_use = min((n for n, _ in using), default=0)
        prices = [n for n, lane in zip(machine.costs, machine.lanes, strict=True) if lane.uses]
        self._least_cost = min(machine.costs), min(prices, default=0)
        self._most_uses = max((uses.bit_count() for _, uses in using), default=0)
        self._stencils = _stencils(machine)
        self._known: dict[tuple[object, int, int], Way | None] = {}
        self._walked: dict[tuple[object, int, int], int | None] = {}

    def cheapest(self, bits: int, used: int, n_steps: int, cost: int) -> Way | None:
        """Cheapest way to a legal end, none of whose steps is taken yet."""
        key = (self._signature(bits, used), n_steps, cost)
        if key in self._known:
            return self._known[key]
        if len(self._known) >= MOST_KNOWN:
            self._known.clear()
        found = self._known[key] = self._search(bits, used, n_steps, cost)
        return found

    def cheapest_step(self, bits: int, used: int, n_steps: int, cost: int) -> Way | None:
        """Cheapest way to a legal end that takes at least one step."""
        if n_steps >= self._max_steps:
            return None
        opening = _opening(n_steps)
        tries: list[tuple[int, int, int, int, int]] = []
        for lane, bits_after, used_after in self._steps(bits, used):
            cost_after = cost + self._call_costs[lane]
            bound = self._bound(bits_after, used_after, n_steps + 1, cost_after)
            if bound is not None:
                here = opening + self._call_bytes[lane]
                tries.append((here + bound, here, bits_after, used_after, cost_after))
        best: Way | None = None
        for bound, here, bits_after, used_after, cost_after in sorted(tries):
            if best is not None and bound >= best.size:
                break
            rest = self.cheapest(bits_after, used_after, n_steps + 1, cost_after)
            if rest is not None and (best is None or here + rest.size < best.size):
                best = Way(rest.steps + 1, here + rest.size)
        return best

    def step_fits(self, bits: int, used: int, n_steps: int, cost: int, size: int) -> bool:
        """Whether at least one more step and a legal end fit in `size` bytes.

        Mostly there is room for the way a greedy walk finds, and the search is spared.
        """
        walked = self._known_walk(bits, used, n_steps, cost)
        if walked is not None and walked <= size:
            return True
        found = self.cheapest_step(bits, used, n_steps, cost)
        return found is not None and found.size <= size

    def room(self, bits: int, used: int, n_steps: int, cost: int) -> int | None:
        """Bytes in which at least one more step and a legal end fit, not always the fewest."""
        walked = self._known_walk(bits, used, n_steps, cost)
        if walked is not None:
            return walked
        found = self.cheapest_step(bits, used, n_steps, cost)
        return None if found is None else found.size

    def _known_walk(self, bits: int, used: int, n_steps: int, cost: int) -> int | None:
        key = (self._signature(bits, used), n_steps, cost)
        if len(self._walked) >= MOST_KNOWN:
            self._walked.clear()
        if key not in self._walked:
            self._walked[key] = self._walk(bits, used, n_steps, cost)
        return self._walked[key]

    def _walk(self, bits: int, used: int, n_steps: int, cost: int) -> int | None:
        """Bytes of a way to a legal end that each time takes the call leaving least to do."""
        spent = len(PLAN_CLOSE)
        for taken in range(n_steps, self._max_steps):
            options = [
                (
                    self._unused(bits_after, used_after),
                    self._call_bytes[lane],
                    cost + self._call_costs[lane],
                    bits_after,
                    used_after,
                )
                for lane, bits_after, used_after in self._steps(bits, used)
                if cost + self._call_costs[lane] <= self._max_cost
            ]
            if not options:
                return None
            unused, size, cost, bits, used = min(options)
            spent += _opening(taken) + size
            if not unused and taken + 1 >= self._graph.min_steps:
                return spent
        return None

    def _signature(self, bits: int, used: int) -> object:
        """The state up to renumbering the slots of each type, as far as that is sound."""
        if self._stencils is None:
            return bits, used
        parts: list[object] = [bits & self._stencils[0]]
        for n_slots, stencil, base in self._stencils[1]:
            slots = range(n_slots)
            parts.append(tuple(sorted((bits >> s & stencil, used >> base + s & 1) for s in slots)))
        return tuple(parts)

    def _steps(self, bits: int, used: int) -> list[tuple[int, int, int]]:
        """(lane, bits, used) after each admissible call."""
        lanes = self._machine.lanes
        return [
            (i, lanes[i].apply(bits), used | lanes[i].uses) for i in self._machine.allowed(bits)
        ]

    def _unused(self, bits: int, used: int) -> int:
        if not self._graph.every_handle_used:
            return 0
        return self._machine.unused(bits, used).bit_count()

    def _bound(self, bits: int, used: int, n_steps: int, cost: int) -> int | None:
        """Bytes that any way to an end takes at least; None if there is no way."""
        unused = self._unused(bits, used)
        if unused and not self._most_uses:
            return None
        using = -(-unused // self._most_uses) if unused else 0
        steps = max(using, self._graph.min_steps - n_steps)
        if n_steps + steps > self._max_steps:
            return None
        if steps <= 0:
            return len(PLAN_CLOSE) if cost <= self._max_cost else None
        call, use = self._least_cost
        if cost + using * use + (steps - using) * call > self._max_cost:
            return None
        openings = _opening(n_steps) + (steps - 1) * _LATER
        calls = using * self._cheapest_use + (steps - using) * self._cheapest_call
        return openings + calls + len(PLAN_CLOSE)

    def _search(self, bits: int, used: int, n_steps: int, cost: int) -> Way | None:
        bound = self._bound(bits, used, n_steps, cost)
        if bound is None:
            return None
        order = itertools.count()
        queue = [(bound, self._unused(bits, used), 0, _Label(bits, used, n_steps, cost, 0, None))]
        seen: dict[object, list[tuple[int, int, int]]] = {}
        for _ in range(MOST_EXPANSIONS):
            if not queue:
                return None
            _, unused, _, label = heapq.heappop(queue)
            if not unused and label.taken >= self._graph.min_steps:
                return self._remember(label)
            labels = seen.setdefault(self._signature(label.bits, label.used), [])
            here = label.spent, label.taken, label.cost
            if any(s <= here[0] and t <= here[1] and c <= here[2] for s, t, c in labels):
                continue
            labels.append(here)
            for lane, bits_after, used_after in self._steps(label.bits, label.used):
                paid = label.cost + self._call_costs[lane]
                bound = self._bound(bits_after, used_after, label.taken + 1, paid)
                if bound is not None:
                    spent = label.spent + _opening(label.taken) + self._call_bytes[lane]
                    after = _Label(bits_after, used_after, label.taken + 1, paid, spent, label)
                    left = self._unused(bits_after, used_after)
                    heapq.heappush(queue, (spent + bound, left, -next(order), after))
        _log.warning("no completion found within %d expansions; masked out", MOST_EXPANSIONS)
        return None

    def _remember(self, goal: _Label) -> Way:
        """Note the ways from the states on the way to a goal; return that of the first."""
        label = goal
        while True:
            way = Way(goal.taken - label.taken, goal.spent - label.spent + len(PLAN_CLOSE))
            key = self._signature(label.bits, label.used), label.taken, label.cost
            self._known[key] = way
            if label.before is None:
                return way
            label = label.before


def _opening(n_steps: int) -> int:
    """Bytes before the call of a step."""
    return _LATER if n_steps else _FIRST


def _stencils(machine: PlanMachine) -> tuple[int, list[tuple[int, int, int]]] | None:
    """What renumbering slots leaves alone, and what it moves.

    Returns:
        The mask of the bits that belong to no object, and per object type its number of slots, the
        mask of its bits for slot 0 (shifted by s for slot s), and its first ordinal. None if some
        fluent speaks of two objects, since then slots cannot be renumbered one type at a time.
    """
    layout = machine.layout
    if any(len(types) > 1 for types in layout.fluents.values()):
        return None
    alone, per_type = 0, []
    for i, name in enumerate(layout.names):
        alone |= (name in layout.fluents) << i
    for kind, n_slots in layout.slots.items():
        stencil = 1 << layout.bound_bit(kind, 0)
        for fluent, types in layout.fluents.items():
            stencil |= (types == (kind,)) << layout.first_bit(fluent)
        per_type.append((n_slots, stencil, layout.ordinal_base[kind]))
    return alone, per_type
