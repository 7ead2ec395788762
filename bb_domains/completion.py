"""The cheapest legal end of a plan, or the news that there is none.

A* over (state bits, handles used, steps taken), minimising bytes subject to the limit on steps.
The bound is consistent: each step uses at most `most_uses` handles and costs at least the cheapest
call that uses any. A label is dropped when one with no more steps and no more bytes was there
before. Ties go to the label with fewer unused handles, so that the common case (one call per
unused handle) walks straight to the goal.

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

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Cost:
    """Steps and bytes of a way to a legal end."""

    steps: int
    size: int


class Completions:
    """Cheapest completions of one machine, remembered by state."""

    def __init__(self, machine: PlanMachine) -> None:
        self._machine = machine
        self._graph = machine.schema.graph
        self._max_steps = machine.schema.limits.max_steps
        least = [machine.texts[lane.tool].levels[-1].most for lane in machine.lanes]
        using = [(n, lane.uses) for n, lane in zip(least, machine.lanes, strict=True) if lane.uses]
        self._call_bytes = least
        self._cheapest_call = min(least)
        self._cheapest_use = min((n for n, _ in using), default=0)
        self._most_uses = max((uses.bit_count() for _, uses in using), default=0)
        self._known: dict[tuple[int, int, int], Cost | None] = {}

    def cheapest(self, bits: int, used: int, n_steps: int) -> Cost | None:
        """Cheapest way to a legal end, none of whose steps is taken yet."""
        key = (bits, used, n_steps)
        if key not in self._known:
            self._known[key] = self._search(bits, used, n_steps)
        return self._known[key]

    def cheapest_step(self, bits: int, used: int, n_steps: int) -> Cost | None:
        """Cheapest way to a legal end that takes at least one step."""
        if n_steps >= self._max_steps:
            return None
        best: Cost | None = None
        opening = len(step_open(n_steps))
        for lane, bits_after, used_after in self._steps(bits, used):
            rest = self.cheapest(bits_after, used_after, n_steps + 1)
            if rest is not None:
                size = opening + self._call_bytes[lane] + rest.size
                if best is None or size < best.size:
                    best = Cost(rest.steps + 1, size)
        return best

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

    def _bound(self, bits: int, used: int, n_steps: int) -> tuple[int, int] | None:
        """Steps and bytes that any way to an end takes at least; None if there is no way."""
        unused = self._unused(bits, used)
        if unused and not self._most_uses:
            return None
        using = -(-unused // self._most_uses) if unused else 0
        steps = max(using, self._graph.min_steps - n_steps)
        if n_steps + steps > self._max_steps:
            return None
        opening = len(step_open(n_steps)) if n_steps == 0 else len(step_open(1))
        later = max(0, steps - 1) * len(step_open(1)) + (opening if steps > 0 else 0)
        calls = using * self._cheapest_use + max(0, steps - using) * self._cheapest_call
        return steps, later + calls + len(PLAN_CLOSE)

    def _search(self, bits: int, used: int, n_steps: int) -> Cost | None:
        start = self._bound(bits, used, n_steps)
        if start is None:
            return None
        order = itertools.count()
        # (bytes in all at least, unused handles, -order, bytes so far, bits, used, steps)
        queue = [(start[1], self._unused(bits, used), 0, 0, bits, used, n_steps)]
        seen: dict[tuple[int, int], list[tuple[int, int]]] = {}
        for _ in range(MOST_EXPANSIONS):
            if not queue:
                return None
            _, unused, _, spent, bits, used, taken = heapq.heappop(queue)
            if not unused and taken >= self._graph.min_steps:
                return Cost(taken - n_steps, spent + len(PLAN_CLOSE))
            labels = seen.setdefault((bits, used), [])
            if any(size <= spent and steps <= taken for size, steps in labels):
                continue
            labels.append((spent, taken))
            for lane, bits_after, used_after in self._steps(bits, used):
                bound = self._bound(bits_after, used_after, taken + 1)
                if bound is not None:
                    cost = spent + len(step_open(taken)) + self._call_bytes[lane]
                    left = self._unused(bits_after, used_after)
                    entry = (cost + bound[1], left, -next(order), cost)
                    heapq.heappush(queue, (*entry, bits_after, used_after, taken + 1))
        _log.warning("no completion found within %d expansions; masked out", MOST_EXPANSIONS)
        return None
