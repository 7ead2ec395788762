"""Completions against a plain search over all plans."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest

from bb_domains.calls import PLAN_CLOSE, step_open
from bb_domains.compiler import PlanMachine, PlanState
from bb_domains.schema import load_schema, parse_schema, schema_data

UNARY: dict[str, Any] = {
    "domain": "unary",
    "limits": {"max_steps": 5},
    "objects": {"box": {"slots": 2}},
    "fluents": {"open": ["box"], "lit": []},
    "tools": {
        "get": {
            "args": {
                "type": "object",
                "properties": {"n": {"type": "integer", "minimum": 1, "maximum": 9}},
                "required": ["n"],
            },
            "binds": {"object": "box", "key": "n"},
        },
        "light": {"effects": ["lit"]},
        "open_it": {
            "args": {"type": "object", "properties": {"box": {}}, "required": ["box"]},
            "handles": {"box": {"object": "box"}},
            "pre": "lit & !open(box)",
            "effects": ["open(box)"],
        },
        "look_into_it_carefully": {
            "args": {"type": "object", "properties": {"box": {}}, "required": ["box"]},
            "handles": {"box": {"object": "box"}},
        },
    },
    "graph": {"every_handle_used": True, "min_steps": 2},
}


def brute_force(machine: PlanMachine, least_steps: int = 0) -> Any:
    """Bytes of the cheapest end of a state by trying everything."""

    @cache
    def ends(state: PlanState, least: int) -> int | None:
        found = [len(PLAN_CLOSE)] if least == 0 and machine.can_end(state) else []
        if state.n_steps < machine.schema.limits.max_steps:
            for lane in machine.allowed(state.bits):
                rest = ends(machine.after(state, lane), max(0, least - 1))
                if rest is not None:
                    call = machine.texts[machine.lanes[lane].tool].levels[-1].most
                    found.append(len(step_open(state.n_steps)) + call + rest)
        return min(found) if found else None

    return lambda state: ends(state, least_steps)


def states(machine: PlanMachine, depth: int) -> set[PlanState]:
    found = level = {machine.initial()}
    for _ in range(depth):
        level = {
            machine.after(s, lane)
            for s in level
            if s.n_steps < machine.schema.limits.max_steps
            for lane in machine.allowed(s.bits)
        }
        found = found | level
    return found


def small(data: dict[str, Any], max_steps: int) -> PlanMachine:
    return PlanMachine(parse_schema({**data, "limits": {"max_steps": max_steps}}))


@pytest.mark.parametrize("every_handle_used", [True, False])
@pytest.mark.parametrize("max_steps", [3, 5])
def test_cheapest_ends_are_cheapest(max_steps: int, every_handle_used: bool) -> None:
    graph = {"every_handle_used": every_handle_used, "min_steps": 2}
    machine = small({**UNARY, "graph": graph}, max_steps)
    least, least_onward = brute_force(machine), brute_force(machine, 1)
    for state in states(machine, max_steps):
        found, onward = machine.completion(state), machine.continuation(state)
        assert (found and found[1]) == least(state)
        assert (onward and onward[1]) == least_onward(state)
        size = least_onward(state) or 0
        assert machine.can_go_on(state, size) == (size > 0)
        assert not machine.can_go_on(state, size - 1)


@pytest.mark.parametrize("max_cost", [0, 3, 5, 7])
def test_shortest_ends_keep_within_the_cost(max_cost: int) -> None:
    costs = dict(zip(UNARY["tools"], (2, 1, 3, 0, 4), strict=False))
    tools = {name: {**tool, "cost": costs[name]} for name, tool in UNARY["tools"].items()}
    limits = {"max_steps": 5, "max_cost": max_cost}
    machine = PlanMachine(parse_schema({**UNARY, "tools": tools, "limits": limits}))
    least, least_onward = brute_force(machine), brute_force(machine, 1)
    found_ends = set()
    for state in states(machine, 5):
        found, onward = machine.completion(state), machine.continuation(state)
        assert (found and found[1]) == least(state)
        assert (onward and onward[1]) == least_onward(state)
        room = machine.room(state)
        assert (room is None) == (onward is None)
        assert room is None or machine.can_go_on(state, room)
        found_ends.add(found is None)
    free = PlanMachine(parse_schema({**UNARY, "limits": {"max_steps": 5}}))
    assert all(state.cost == 0 for state in states(free, 5))
    assert True in found_ends


def test_fluents_of_two_objects_are_not_renumbered(shop_dir: Path) -> None:
    data = schema_data(load_schema(shop_dir / "plan_schema.yaml"))
    machine = small(data, 5)
    least = brute_force(machine)
    for state in states(machine, 4):
        found = machine.completion(state)
        assert (found and found[1]) == least(state)
