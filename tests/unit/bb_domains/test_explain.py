"""Refusals name what stands in the way, and repairs that the plan's limits allow."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from bb_core.plan import Step, step_id
from bb_domains.compiler import PlanMachine
from bb_domains.errors import Inadmissible
from bb_domains.schema import parse_schema


def refused(pre: str, held: str = "", limits: dict[str, Any] | None = None) -> Inadmissible:
    """What is said of a tool with this precondition after steps that set the facts in `held`."""
    facts = "abcdefghijklm"
    tools = {f"set_{f}": {"effects": [f], "cost": 3} for f in facts}
    data = {
        "domain": "d",
        "limits": limits or {},
        "fluents": {f: [] for f in facts},
        "tools": {**tools, "try": {"pre": pre}},
    }
    machine = PlanMachine(parse_schema(data))
    state = machine.initial()
    for fact in held:
        state = machine.apply(state, Step(step_id(state.n_steps), f"set_{fact}"))
    with pytest.raises(Inadmissible) as caught:
        machine.apply(state, Step(step_id(state.n_steps), "try"))
    return caught.value


@pytest.mark.parametrize(
    ("pre", "held", "facts"),
    [
        ("a & !b", "", "but a is false"),
        ("a & !b", "ab", "but b is true"),
        ("a & b & !c", "", "but a is false, b is false"),
        ("a | b", "", "but a is false, b is false (changing one is enough)"),
        ("(a | b) & c", "c", "but a is false, b is false (changing one is enough)"),
        ("a & b | c & d & e", "", "but a is false, b is false"),
        ("a & b | c & d & e", "cd", "but e is false"),
        ("(a | b) & (a | c)", "", "but a is false"),
        ("a ^ b", "ab", "but a is true, b is true (changing one is enough)"),
        ("a & !a", "", ", which never holds"),
        ("false", "", ", which never holds"),
    ],
)
def test_only_facts_that_stand_in_the_way_are_named(pre: str, held: str, facts: str) -> None:
    comma = "" if facts.startswith(",") else ", "
    assert refused(pre, held).rule == f"try needs {pre}{comma}{facts}"


def test_what_is_named_mends_it_and_less_does_not() -> None:
    pre = "(a | b & !c) & (d & e | !a) & (c | d)"
    for n in range(4):
        for held in itertools.combinations("abcde", n):
            truth = {f: f in held for f in "abcde"}
            expression = pre.replace("!", " not ").replace("&", " and ").replace("|", " or ")
            if eval(expression, {}, truth):
                continue
            said = refused(pre, "".join(held)).rule.split(", but ")[1]
            facts, is_choice, _ = said.partition(" (changing one is enough)")
            named = [fact.split()[0] for fact in facts.split(", ")]
            sets = [[name] for name in named] if is_choice else [named]
            for changed in sets:
                assert eval(expression, {}, {f: v ^ (f in changed) for f, v in truth.items()})
            for size in range(len(sets[0])):
                for fewer in itertools.combinations("abcde", size):
                    after = {f: v ^ (f in fewer) for f, v in truth.items()}
                    assert not eval(expression, {}, after)


def test_of_very_many_facts_all_are_named() -> None:
    pre = " & ".join("abcdefghijklm")
    assert refused(pre, "abcdefghijk", {"max_steps": 20}).rule.count(" is ") == 13


@pytest.mark.parametrize(
    ("limits", "repair"),
    [
        ({}, "first call set_a(), then set_b()"),
        ({"max_steps": 3}, "first call set_a(), then set_b()"),
        ({"max_steps": 2}, "no admissible call mends it"),
        ({"max_cost": 7}, "first call set_a(), then set_b()"),
        ({"max_cost": 6}, "no admissible call mends it"),
    ],
)
def test_a_repair_keeps_the_limits(limits: dict[str, Any], repair: str) -> None:
    assert refused("a & b", limits=limits).repair.startswith(repair)


def test_a_longer_repair_may_be_the_one_that_is_affordable() -> None:
    tools = {
        "dear": {"effects": ["a"], "cost": 9},
        "first": {"effects": ["half"], "pre": "!half"},
        "second": {"effects": ["a"], "pre": "half"},
        "try": {"pre": "a"},
    }
    for limit, repair in ((9, "first call first(), then second()"), (10, "first call dear()")):
        data = {"domain": "d", "limits": {"max_cost": limit}, "tools": tools}
        machine = PlanMachine(parse_schema({**data, "fluents": {"a": [], "half": []}}))
        with pytest.raises(Inadmissible, match="try needs a") as caught:
            machine.apply(machine.initial(), Step("a", "try"))
        assert caught.value.repair == repair
