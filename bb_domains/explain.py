"""Why a call is not admissible, and what would make it so."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from bb_domains.fluents import SELF, Atom

if TYPE_CHECKING:
    from bb_domains.compiler import PlanMachine
    from bb_domains.states import PlanState

MOST_REPAIR_STEPS = 3
MOST_REPAIR_STATES = 500


def explain(machine: PlanMachine, state: PlanState, lane: int) -> tuple[str, str]:
    """Return (rule, repair) for a lane that is not admissible in `state`.

    The repair is the shortest sequence of admissible calls after which the lane is admissible, if
    there is one of at most `MOST_REPAIR_STEPS` steps.
    """
    taken = machine.lanes[lane]
    names = {(h.object, h.slot): f"${h.step}" for h in state.handles}
    objects = machine.tools[taken.tool].objects
    shown = {p: names.get((kind, taken.slots[p]), "") for p, kind in objects.items() if p != SELF}
    rule = _rule(machine, state, lane, shown)
    calls = _repair(machine, state, lane)
    if calls is None:
        return rule, "no admissible call mends it; drop this step"
    return rule, "first call " + ", then ".join(_call_text(machine, i, names) for i in calls)


def explain_cost(machine: PlanMachine, state: PlanState, lane: int) -> tuple[str, str]:
    """Return (rule, repair) for a lane that costs more than is left."""
    tool, spent, here = machine.lanes[lane].tool, state.cost, machine.costs[lane]
    rule = f"{tool} costs {here} after {spent}, and a plan may cost {machine.max_cost}"
    over = spent + here - machine.max_cost
    return rule, f"drop steps that cost {over} or more, or split the plan"


def _rule(machine: PlanMachine, state: PlanState, lane: int, shown: dict[str, str]) -> str:
    taken = machine.lanes[lane]
    compiled = machine.tools[taken.tool]

    def holds(atom: Atom) -> bool:
        return bool(state.bits >> machine.layout.bit(atom, taken.slots) & 1)

    facts = [
        f"{Atom(atom.fluent, tuple(shown[p] for p in atom.params))} is {str(holds(atom)).lower()}"
        for atom in compiled.pre_atoms
    ]
    if not machine.pre_holds(state.bits, lane):
        return f"{taken.tool} needs {compiled.tool.pre}, but {', '.join(facts) or 'it is false'}"
    broken = machine.violated(taken.apply(state.bits))
    return f"after {taken.tool} the invariant {broken} would be violated"


def _repair(machine: PlanMachine, state: PlanState, lane: int) -> list[int] | None:
    """Shortest sequence of lanes after which `lane` is admissible."""
    queue: deque[tuple[int, tuple[int, ...]]] = deque([(state.bits, ())])
    seen = {state.bits}
    while queue and len(seen) < MOST_REPAIR_STATES:
        bits, path = queue.popleft()
        allowed = machine.allowed(bits)
        if lane in allowed:
            return list(path)
        if len(path) == MOST_REPAIR_STEPS:
            continue
        for i in allowed:
            step = machine.lanes[i]
            after = step.apply(bits)
            # Binding a further object would need a key that nobody named.
            if after not in seen and SELF not in step.slots:
                seen.add(after)
                queue.append((after, (*path, i)))
    return None


def _call_text(machine: PlanMachine, lane: int, names: dict[tuple[str, int], str]) -> str:
    step = machine.lanes[lane]
    handles = machine.schema.tools[step.tool].handles
    given = [f"{arg}={names[h.object, step.slots[arg]]}" for arg, h in handles.items()]
    return f"{step.tool}({', '.join(given)})"
