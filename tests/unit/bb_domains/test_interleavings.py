"""Which steps commute, and that plans hold in every order that is left."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest

from bb_domains.commute import order_edges, reduced
from bb_domains.compiler import PlanMachine
from bb_domains.interleavings import Moment, OrderProof, prove_order
from bb_domains.schema import parse_schema


def machine_of(**more: Any) -> PlanMachine:
    """Two lamps, a door, and rules between them."""
    data: dict[str, Any] = {
        "domain": "house",
        "limits": {"max_steps": 8},
        "fluents": {"lamp": [], "heater": [], "open": [], "seen": []},
        "tools": {
            "lamp_on": {"effects": ["lamp"]},
            "heat": {"effects": ["heater"]},
            "cool": {"effects": ["!heater"]},
            "open_door": {"effects": ["open"], "pre": "!open"},
            "close_door": {"effects": ["!open"], "pre": "open"},
            "look": {"effect": "read", "pre": "lamp", "effects": ["seen"]},
            "listen": {"effect": "read"},
        },
        **more,
    }
    return PlanMachine(parse_schema(data))


def lanes_of(machine: PlanMachine, *tools: str) -> list[int]:
    names = [lane.tool for lane in machine.lanes]
    return [names.index(tool) for tool in tools]


def with_objects(**more: Any) -> PlanMachine:
    """Pumps, each with a valve: neither may burst."""
    data: dict[str, Any] = {
        "domain": "pumps",
        "limits": {"max_steps": 8},
        "objects": {"pump": {"slots": 3}},
        "fluents": {"running": ["pump"], "valve": ["pump"], "power": []},
        "tools": {
            "find": {"effect": "read", "binds": {"object": "pump"}},
            "start": _on_pump("running(pump)"),
            "stop": _on_pump("!running(pump)"),
            "open": _on_pump("valve(pump)"),
            "close": _on_pump("!valve(pump)"),
            "inspect": {**_on_pump(), "effect": "read"},
        },
        **more,
    }
    return PlanMachine(parse_schema(data))


def _on_pump(*effects: str) -> dict[str, Any]:
    args = {"type": "object", "properties": {"pump": {}}, "required": ["pump"]}
    return {"args": args, "handles": {"pump": {"object": "pump"}}, "effects": list(effects)}


def pump_lanes(machine: PlanMachine, *calls: tuple[str, int]) -> list[int]:
    found = {(lane.tool, *lane.slots.values()): i for i, lane in enumerate(machine.lanes)}
    return [found[call] for call in calls]


def test_different_objects_commute_and_one_object_does_not() -> None:
    machine = with_objects()
    calls = [("find", 0), ("find", 1), ("start", 0), ("start", 1), ("open", 0)]
    edges = order_edges(machine, pump_lanes(machine, *calls))
    assert edges == ((0, 2), (1, 3), (2, 4))


def test_two_readings_of_one_object_commute() -> None:
    machine = with_objects()
    calls = [("find", 0), ("inspect", 0), ("inspect", 0), ("start", 0)]
    assert order_edges(machine, pump_lanes(machine, *calls)) == ((0, 1), (0, 2), (1, 3), (2, 3))


def test_a_call_that_names_no_object_touches_the_whole_world() -> None:
    machine = machine_of()
    assert order_edges(machine, lanes_of(machine, "lamp_on", "heat")) == ((0, 1),)
    assert order_edges(machine, lanes_of(machine, "listen", "listen")) == ()
    assert order_edges(machine, lanes_of(machine, "lamp_on", "look")) == ((0, 1),)


def test_order_that_follows_from_the_rest_is_left_out() -> None:
    assert reduced(4, [(0, 1), (1, 2), (0, 2), (0, 3), (2, 3)]) == ((0, 1), (1, 2), (2, 3))


def test_an_invariant_over_two_objects_orders_their_steps() -> None:
    """Pump 0 is stopped before pump 1 starts; neither call sees the other, the invariant does."""
    machine = with_objects(
        invariants=[
            {
                "name": "one_at_a_time",
                "never": "running(p) & running(q)",
                "for": {"p": "pump", "q": "pump"},
            }
        ]
    )
    calls = [("find", 0), ("find", 1), ("start", 0), ("stop", 0), ("start", 1)]
    lanes = pump_lanes(machine, *calls)
    assert (3, 4) not in order_edges(machine, lanes)
    found = prove_order(machine, lanes)
    assert isinstance(found, OrderProof)
    assert (3, 4) in found.edges
    assert found.n_obligations == 6


def test_what_fails_even_as_written_is_a_moment() -> None:
    machine = machine_of(invariants=[{"name": "cold", "never": "heater & open"}])
    found = prove_order(machine, lanes_of(machine, "heat", "open_door"))
    assert found == Moment((0, 1))
    assert prove_order(machine, lanes_of(machine, "close_door")) == Moment(())


@pytest.mark.parametrize("seed", range(30))
def test_every_order_that_is_left_holds_and_ends_alike(seed: int) -> None:
    """Against all permutations of small plans, run one by one on the plan machine's lanes."""
    machine = with_objects(
        invariants=[
            {"name": "pressure", "never": "running(p) & !valve(p)", "for": {"p": "pump"}},
            {
                "name": "one_at_a_time",
                "never": "running(p) & running(q)",
                "for": {"p": "pump", "q": "pump"},
            },
        ]
    )
    rng = random.Random(seed)
    lanes, bits = pump_lanes(machine, ("find", 0), ("find", 1)), 0
    for lane in lanes:
        bits = machine.lanes[lane].apply(bits)
    for _ in range(4):
        chosen = rng.choice([i for i in machine.allowed(bits) if machine.lanes[i].tool != "find"])
        lanes.append(chosen)
        bits = machine.lanes[chosen].apply(bits)
    proof = prove_order(machine, lanes)
    assert isinstance(proof, OrderProof)
    for order in itertools.permutations(range(len(lanes))):
        place = {step: at for at, step in enumerate(order)}
        if any(place[first] > place[then] for first, then in proof.edges):
            continue
        now = 0
        for step in order:
            lane = machine.lanes[lanes[step]]
            assert machine.pre_holds(now, lanes[step])
            needed = sum(1 << machine.layout.bound_bit("pump", s) for s in _given(lane))
            assert now & needed == needed
            now = lane.apply(now)
            assert not machine.violated(now)
        assert now == bits


def _given(lane: Any) -> list[int]:
    return [lane.slots["pump"]] if "pump" in lane.slots else []
