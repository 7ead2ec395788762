"""Which steps of a plan run together, and in which order calls start and end.

The certificate says which steps must keep the order of the text (`bb_domains.commute`); the login
of the service keeps its place besides, as it changes how everything else is called. All others may
be under way at the same time, up to `limits.at_once` of them; with 1, which is what a domain gets
that says nothing, a plan runs in the order of its text. Where more could start than may, the step
with the longest chain of steps behind it goes first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from bb_core.plan import Plan, Step, references
from bb_domains.domain import Domain
from bb_domains.lanes import Lane

Act = Literal["call", "start", "end"]
"""What the program does with a step: call it and wait, start the call, or wait for its answer."""


@dataclass(frozen=True)
class Move:
    """One act on one step."""

    act: Act
    step: Step


def plan_lanes(domain: Domain, plan: Plan) -> dict[str, Lane]:
    """The lane of each step of an admissible plan.

    Raises:
        Inadmissible: the plan is not.
    """
    machine, state, found = domain.machine, domain.machine.initial(), dict[str, Lane]()
    for step in plan.steps:
        found[step.id] = machine.lanes[machine.lane(state, step)]
        state = machine.apply(state, step)
    return found


def earlier_steps(
    domain: Domain, plan: Plan, order: Iterable[tuple[str, str]]
) -> dict[str, frozenset[str]]:
    """The steps that must have ended before each step starts.

    Args:
        domain: the plan's domain.
        plan: an admissible plan.
        order: pairs of step ids that keep their order, by the certificate.
    """
    service, proved = domain.schema.service, set(order)
    login = service.bearer.tool if service and service.bearer else None
    found: dict[str, frozenset[str]] = {}
    for position, step in enumerate(plan.steps):
        named = {ref.step for ref in references(step.args)} | set(step.after)
        found[step.id] = frozenset(
            other.id
            for other in plan.steps[:position]
            if other.id in named
            or (other.id, step.id) in proved
            or login in (other.tool, step.tool)
        )
    return found


def schedule(plan: Plan, earlier: Mapping[str, frozenset[str]], at_once: int) -> tuple[Move, ...]:
    """The acts of a run, in order.

    Args:
        plan: the plan.
        earlier: from `earlier_steps`.
        at_once: most calls under way at a time, 1 or more.
    """
    chain = _chains(plan, earlier)
    waiting, running, ended = list(plan.steps), list[Step](), set[str]()
    moves: list[Move] = []
    while waiting or running:
        ready = [step for step in waiting if earlier[step.id] <= ended]
        if at_once == 1:
            ready = ready[:1]  # the first that waits, as all before it have ended
        if ready and len(running) < at_once:
            step = max(ready, key=lambda s: chain[s.id])  # the first of equals
            waiting.remove(step)
            running.append(step)
            moves.append(Move("start", step))
            continue
        step = max(running, key=lambda s: chain[s.id])
        running.remove(step)
        ended.add(step.id)
        moves.append(Move("end", step))
    return _joined(moves)


def _joined(moves: Sequence[Move]) -> tuple[Move, ...]:
    """A call that ends right after its start is one act."""
    found: list[Move] = []
    for move in moves:
        if move.act == "end" and found and found[-1] == Move("start", move.step):
            found[-1] = Move("call", move.step)
        else:
            found.append(move)
    return tuple(found)


def _chains(plan: Plan, earlier: Mapping[str, frozenset[str]]) -> dict[str, int]:
    """Number of steps of the longest chain that begins with each step."""
    found: dict[str, int] = {}
    for step in reversed(plan.steps):
        behind = [found[later] for later, names in earlier.items() if step.id in names]
        found[step.id] = 1 + max(behind, default=0)
    return found
