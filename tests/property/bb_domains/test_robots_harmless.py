"""Whatever plan the machine admits and the guards let through, nothing happens that must not.

Random plans in every layout under every policy; a step whose guard does not hold is where the
executor would stop, so the walk takes another.
"""

from __future__ import annotations

import random
from collections import Counter
from functools import cache
from typing import Any

import pytest

from bb_core.plan import Step, step_id
from bb_domains import robots
from bb_domains.compiler import PlanMachine
from bb_domains.guards import holds, parse_guard
from bb_domains.robots.floors import LAYOUTS
from bb_domains.robots.policies import PACES, POLICIES, WAYS
from bb_domains.robots.simulated import RobotSimulator
from bb_domains.robots.world import make_world
from bb_domains.states import Call
from bb_domains.tools import ToolFailed


@cache
def machine() -> PlanMachine:
    return PlanMachine(robots.plan_schema())


GUARDS = {
    name: [parse_guard(text, tool.properties, name) for text in tool.guards]
    for name, tool in robots.plan_schema().tools.items()
}


Results = dict[str, dict[str, Any]]


def random_args(
    call: Call, simulator: RobotSimulator, results: Results, rng: random.Random
) -> dict[str, Any]:
    """Arguments in the order of the schema, of things that exist; often where an item is."""
    names = [result["place"] for result in results.values() if "weight_g" in result]
    places = simulator.world.places
    known = [places[name] for name in names if name in places]
    place = rng.choice(known if known and rng.random() < 0.7 else list(places.values()))
    values = {
        "percent": rng.randint(20, 100),
        "tag": rng.choice([*simulator.world.items, 1000]),
        "kind": place.kind,
        "number": place.number,
        "way": rng.choice(WAYS),
        "pace": rng.choice(PACES),
        "seconds": rng.randint(1, 30),
    }
    handles = {arg: f"${step}.id" for arg, step in call.handles.items()}
    order = machine().schema.tools[call.tool].properties
    return {arg: handles.get(arg, values.get(arg)) for arg in order}


def walk(
    layout: str, policy: str, seed: int, *, guarded: bool = True
) -> tuple[Counter[str], set[str]]:
    """Incidents of a random plan of up to 26 steps, and the tools that did something."""
    rng = random.Random(f"{layout}/{policy}/{seed}")
    simulator = RobotSimulator(make_world(seed, layout, policy))
    state, done = machine().initial(), set[str]()
    results: Results = {}
    for _ in range(200):
        calls = machine().admissible(state)
        if not calls:
            break
        call = rng.choice(calls)
        step = Step(step_id(state.n_steps), call.tool, random_args(call, simulator, results, rng))
        known = {**step.args, **{arg: results[ref] for arg, ref in call.handles.items()}}
        if guarded and not all(holds(guard, known) for guard in GUARDS[call.tool]):
            continue
        if call.tool == "find_item" and any(h.key == str(step.args["tag"]) for h in state.handles):
            continue
        resolved = {**step.args, **{arg: results[ref]["id"] for arg, ref in call.handles.items()}}
        try:
            results[step.id] = simulator.call(call.tool, resolved)
        except ToolFailed as failed:
            if failed.status not in (404, 409):
                raise  # an admissible call is never malformed
            if call.tool == "drive":
                break  # the robot stands somewhere on its way: the executor would stop
            continue
        state = machine().apply(state, step)
        done.add(call.tool)
    return Counter(simulator.incidents()), done


@pytest.mark.parametrize("layout", LAYOUTS)
def test_guarded_plans_do_no_harm(layout: str) -> None:
    tools: set[str] = set()
    for policy in POLICIES:
        for seed in range(6):
            incidents, done = walk(layout, policy, seed)
            assert not +incidents, (layout, policy, seed, incidents)
            tools |= done
    assert {"drive", "grasp", "look", "wait", "stow_arm"} <= tools  # the walks did something


def test_the_guards_are_what_prevents_it() -> None:
    total: Counter[str] = Counter()
    for layout in LAYOUTS:
        for policy in POLICIES:
            for seed in range(4):
                total += walk(layout, policy, seed, guarded=False)[0]
    assert {"near_misses", "no_go_entries"} <= set(total)
    assert total["arm_out_drives"] == 0  # that is the machine's
