"""What the plan schema of the robots domain allows and refuses."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import pytest

from bb_core.plan import Step, step_id
from bb_domains import robots
from bb_domains.compiler import PlanMachine
from bb_domains.domain import make_domain
from bb_domains.errors import Inadmissible
from bb_domains.lint import lint
from bb_domains.schema import parse_schema
from bb_domains.states import PlanState


@cache
def machine() -> PlanMachine:
    return PlanMachine(robots.plan_schema())


def route(number: int = 3) -> tuple[str, dict[str, Any]]:
    return "plan_route", {"kind": "shelf", "number": number, "way": "safe"}


def drive(to: str, start: str) -> tuple[str, dict[str, Any]]:
    return "drive", {"to": f"${to}.id", "from": f"${start}.id", "pace": "slow"}


def run(*calls: tuple[str, dict[str, Any]]) -> PlanState:
    state = machine().initial()
    for i, (tool, args) in enumerate(calls):
        state = machine().apply(state, Step(step_id(i), tool, args))
    return state


UNDOCK: tuple[str, dict[str, Any]] = ("undock", {})
ITEM: tuple[str, dict[str, Any]] = ("find_item", {"tag": 1234})
OTHER: tuple[str, dict[str, Any]] = ("find_item", {"tag": 1235})
THERE = (UNDOCK, ITEM, OTHER, route(), drive("d", "a"))
GRASP: tuple[str, dict[str, Any]] = ("grasp", {"item": "$b.id", "at": "$d.id"})
STOW: tuple[str, dict[str, Any]] = ("stow_arm", {})


@pytest.mark.parametrize(
    ("calls", "message"),
    [
        ((route(),), "plan_route needs undocked"),
        ((UNDOCK, route(), route(4)), "plan_route needs .*planned is true"),
        ((UNDOCK, route(), drive("b", "a"), drive("b", "a")), "drive needs planned"),
        ((*THERE, GRASP, route(4)), "plan_route needs .*arm_out is true"),
        (
            (*THERE, GRASP, STOW, ("grasp", {"item": "$c.id", "at": "$d.id"})),
            "grasp needs .*gripper_full is true",
        ),
        ((*THERE, ("grasp", {"item": "$b.id", "at": "$a.id"})), r"at\(\$a\) is false"),
        ((*THERE, GRASP, STOW, ("dock", {"at": "$d.id"})), "dock needs .*gripper_full is true"),
        ((*THERE, GRASP, STOW, ("open_door", {"at": "$d.id"})), "open_door needs .*gripper_full"),
        ((*THERE, ("put", {"item": "$b.id", "at": "$d.id"})), r"holding\(\$b\) is false"),
        ((UNDOCK, ("charge", {"percent": 80})), "charge needs !undocked"),
        ((UNDOCK, ("dock", {"at": "$a.id"}), UNDOCK), "undock needs .*left is true"),
        ((ITEM,), "find_item needs undocked"),
    ],
)
def test_what_must_not_be_is_refused(
    calls: tuple[tuple[str, dict[str, Any]], ...], message: str
) -> None:
    run(*calls[:-1])  # all but the last may be
    with pytest.raises(Inadmissible, match=message):
        run(*calls)


def test_a_repair_is_named() -> None:
    with pytest.raises(Inadmissible) as refused:
        run(*THERE, GRASP, route(4))
    assert refused.value.repair == "first call stow_arm()"


def test_a_plan_has_as_many_drives_as_there_are_stops() -> None:
    calls: list[tuple[str, dict[str, Any]]] = [UNDOCK]
    here = "a"
    for number in range(1, 8):
        calls.append(route(number))
        stop = step_id(len(calls) - 1)
        calls.append(drive(stop, here))
        here = stop
    run(*calls)
    with pytest.raises(Inadmissible, match="at most 8 objects of type stop"):
        run(*calls, route(9))


def test_every_tool_can_be_used_and_the_shortest_plan_is_short() -> None:
    found = [f for f in lint(make_domain(robots.plan_schema())) if f.where != "tools"]
    assert found == []
    completion = machine().completion(machine().initial())
    assert completion is not None
    assert completion[0] == 4


def test_the_readme_runs_and_names_every_file() -> None:
    readme = robots.SCHEMA.parent / "README.md"
    text = readme.read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    exec(compile(block, str(readme), "exec"), {})
    files = {path.name for path in readme.parent.glob("*.*")} - {"__init__.py", "README.md"}
    assert {name for name in files if f"`{name}`" not in text} == set()


def test_movements_can_be_looked_up_and_take_their_time() -> None:
    for name, tool in robots.plan_schema().tools.items():
        assert tool.effect == "read" or tool.idempotent or tool.probe, name
        assert tool.timeout_s >= 10.0


def test_invariants_speak_of_distinct_objects() -> None:
    number = {"type": "integer", "minimum": 1, "maximum": 9}
    given = {"type": "object", "properties": {"box": {}}, "required": ["box"]}
    schema = parse_schema(
        {
            "domain": "boxes",
            "objects": {"box": {"slots": 3}},
            "fluents": {"held": ["box"]},
            "tools": {
                "find": {
                    "args": {"type": "object", "properties": {"n": number}, "required": ["n"]},
                    "binds": {"object": "box", "key": "n"},
                },
                "take": {
                    "args": given,
                    "handles": {"box": {"object": "box"}},
                    "effects": ["held(box)"],
                },
            },
            "invariants": [
                {"name": "one", "never": "held(a) & held(b)", "for": {"a": "box", "b": "box"}}
            ],
        }
    )
    boxes = PlanMachine(schema)
    state = boxes.initial()
    for i, (tool, args) in enumerate(
        [("find", {"n": 1}), ("find", {"n": 2}), ("take", {"box": "$b.id"})]
    ):
        state = boxes.apply(state, Step(step_id(i), tool, args))
    with pytest.raises(Inadmissible, match="the invariant one would be violated"):
        boxes.apply(state, Step("d", "take", {"box": "$a.id"}))
