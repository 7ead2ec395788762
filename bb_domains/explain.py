"""Why a call is not admissible, and what would make it so."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import numpy as np

from bb_domains.fluents import SELF, Atom
from bem_kernel.engines.engine import evaluate
from bem_kernel.lanes import pack_bits, unpack_bits

if TYPE_CHECKING:
    from bb_domains.compiler import PlanMachine
    from bb_domains.logic import CompiledTool
    from bb_domains.states import PlanState

MOST_REPAIR_STEPS = 3
MOST_REPAIR_STATES = 500
MOST_ATOMS = 12
"""Of a precondition of more facts, all are named, since their subsets are too many to look at."""


def explain(machine: PlanMachine, state: PlanState, lane: int) -> tuple[str, str]:
    """Return (rule, repair) for a lane that is not admissible in `state`.

    The rule names only facts that stand in the way: those whose change alone would mend it, or
    where there is none, a smallest set that would. The repair is the shortest sequence of
    admissible calls after which the lane is admissible, if there is one of at most
    `MOST_REPAIR_STEPS` steps with which, and with the lane, the plan keeps its limits on steps and
    on cost.
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
    if machine.pre_holds(state.bits, lane):
        broken = machine.violated(taken.apply(state.bits))
        return f"after {taken.tool} the invariant {broken} would be violated"
    compiled = machine.tools[taken.tool]
    atoms, needs = compiled.pre_atoms, f"{taken.tool} needs {compiled.tool.pre}"
    row = [bool(state.bits >> machine.layout.bit(atom, taken.slots) & 1) for atom in atoms]
    found, any_will_do = _in_the_way(compiled, row)
    if not found:
        return f"{needs}, which never holds"
    named = [Atom(atom.fluent, tuple(shown[p] for p in atom.params)) for atom in atoms]
    facts = [f"{named[i]} is {str(row[i]).lower()}" for i in found]
    return f"{needs}, but {', '.join(facts)}" + " (changing one is enough)" * any_will_do


def _in_the_way(compiled: CompiledTool, row: list[bool]) -> tuple[list[int], bool]:
    """Positions of the atoms to change so that the precondition holds, and whether any one will do.

    There are none if no change does. Every subset of the atoms is looked at.

    Args:
        compiled: the tool.
        row: (atoms,) values with which its precondition is false.
    """
    n = len(row)
    if n > MOST_ATOMS:
        return list(range(n)), False
    changed = np.arange(1 << n)[:, None] >> np.arange(n) & 1 == 1
    planes = pack_bits(changed ^ np.array(row, dtype=np.bool_))
    mending = changed[unpack_bits(evaluate(compiled.pre, planes), len(changed))[:, 0]]
    if not len(mending):
        return [], False
    sizes = mending.sum(axis=1)
    if sizes.min() > 1:
        return np.flatnonzero(mending[sizes.argmin()]).tolist(), False
    single = np.flatnonzero(mending[sizes == 1].any(axis=0)).tolist()
    return single, len(single) > 1


def _repair(machine: PlanMachine, state: PlanState, lane: int) -> list[int] | None:
    """Shortest sequence of lanes after which `lane` is admissible, within the plan's limits."""
    most = machine.schema.limits.max_steps - state.n_steps - 1
    left = machine.max_cost - state.cost - machine.costs[lane]
    queue: deque[tuple[int, int, tuple[int, ...]]] = deque([(state.bits, 0, ())])
    spent = {state.bits: 0}
    while queue and len(spent) < MOST_REPAIR_STATES:
        bits, cost, path = queue.popleft()
        allowed = machine.allowed(bits)
        if lane in allowed:
            return list(path)
        if len(path) >= min(most, MOST_REPAIR_STEPS):
            continue
        for i in allowed:
            step, paid = machine.lanes[i], cost + machine.costs[i]
            after = step.apply(bits)
            # Binding a further object would need a key that nobody named.
            if paid <= min(left, spent.get(after, left + 1) - 1) and SELF not in step.slots:
                spent[after] = paid
                queue.append((after, paid, (*path, i)))
    return None


def _call_text(machine: PlanMachine, lane: int, names: dict[tuple[str, int], str]) -> str:
    step = machine.lanes[lane]
    handles = machine.schema.tools[step.tool].handles
    given = [f"{arg}={names[h.object, step.slots[arg]]}" for arg, h in handles.items()]
    return f"{step.tool}({', '.join(given)})"
