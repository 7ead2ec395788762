from __future__ import annotations

import pytest

from bb_core.errors import BBError
from bb_core.plan import (
    Plan,
    PlanGraphError,
    PlanSyntaxError,
    Ref,
    Step,
    parse_plan,
    parse_reference,
    plan_graph,
    plan_text,
    references,
    rename_steps,
    step_id,
    step_text,
)

REFUND = (
    '{"plan":[{"id":"a","tool":"login","args":{}},'
    '{"id":"b","tool":"get_order","args":{"number":1042}},'
    '{"id":"c","tool":"refund_order","args":{"order":"$b.id","amount":25.5},"after":["a"]}]}'
)


def test_text_and_plan_are_the_same_thing() -> None:
    plan = parse_plan(REFUND)
    assert plan.steps[2] == Step("c", "refund_order", {"order": "$b.id", "amount": 25.5}, ("a",))
    assert plan_text(plan) == REFUND


def test_text_is_ascii_and_keeps_the_order_of_arguments() -> None:
    assert step_text(Step("a", "note", {"z": "é", "a": [1, None]})) == (
        '{"id":"a","tool":"note","args":{"z":"\\u00e9","a":[1,null]}}'
    )


def test_text_refuses_what_is_not_json() -> None:
    with pytest.raises(PlanSyntaxError, match="step a: arguments are not JSON.*use JSON values"):
        step_text(Step("a", "note", {"x": float("nan")}))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1, column 1: not JSON"),
        (REFUND + "x", r"line 1, column \d+: not JSON: Extra data"),
        ("[]", 'an object with the one key "plan"'),
        ('{"plan":[],"more":1}', 'the one key "plan"'),
        ('{"plan":{}}', "/plan: must be a list of steps"),
        ('{"plan":[],"plan":[]}', "key 'plan' is written twice"),
        ('{"plan":[7]}', "/plan/0: must be an object"),
        ('{"plan":[{"id":"a","tool":"t"}]}', '/plan/0: has no "args"'),
        ('{"plan":[{"id":"a","tool":"t","args":{},"x":1}]}', "/plan/0: unknown key 'x'"),
        ('{"plan":[{"id":"a.b","tool":"t","args":{}}]}', "/plan/0/id: 'a.b' is no step id"),
        ('{"plan":[{"id":7,"tool":"t","args":{}}]}', "/plan/0/id: 7 is no step id"),
        ('{"plan":[{"id":"a","tool":"","args":{}}]}', "/plan/0/tool: must be the name of a tool"),
        ('{"plan":[{"id":"a","tool":"t","args":[]}]}', "/plan/0/args: must be an object"),
        ('{"plan":[{"id":"a","tool":"t","args":{},"after":"b"}]}', "/plan/0/after: must be a list"),
        ('{"plan":[{"id":"a","tool":"t","args":{"x":1,"x":2}}]}', "key 'x' is written twice"),
        ('{"plan":[{"id":"a","tool":"t","args":{"x":NaN}}]}', "NaN is not JSON"),
        ('{"plan":[{"id":"a","tool":"t","args":{"x":1e999}}]}', "1e999 is too large"),
        ('{"plan":[{"id":"a","tool":"t","args":{"x":"\\ud800"}}]}', "half a surrogate pair"),
        ('{"plan":[{"id":"a","tool":"t","args":{"x":' + "9" * 5000 + "}}]}", "smaller number"),
        ('{"plan":' + "[" * 100_000, "nested too deeply"),
    ],
)
def test_what_is_no_plan_is_refused(text: str, message: str) -> None:
    with pytest.raises(PlanSyntaxError, match=message):
        parse_plan(text)


def test_ids_are_distinct() -> None:
    text = '{"plan":[{"id":"a","tool":"t","args":{}},{"id":"a","tool":"u","args":{}}]}'
    with pytest.raises(PlanSyntaxError, match="/plan/1/id: id 'a' is used twice"):
        parse_plan(text)


def test_plans_have_at_most_26_steps() -> None:
    steps = [f'{{"id":"s{i}","tool":"t","args":{{}}}}' for i in range(27)]
    with pytest.raises(PlanSyntaxError, match="has 27 steps; use at most 26"):
        parse_plan('{"plan":[' + ",".join(steps) + "]}")
    assert [step_id(0), step_id(25)] == ["a", "z"]
    for i in (-1, 26):
        with pytest.raises(BBError, match=f"step {i} has no id"):
            step_id(i)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("$b.id", Ref("b", "id")),
        ("$step_2.items.0.id", Ref("step_2", "items.0.id")),
        ("$5.00", None),
        ("$b", None),
        ("$b.", None),
        ("$b.id ", None),
        ("$b.id\n", None),
        ("pay $b.id", None),
    ],
)
def test_a_reference_is_a_whole_string(text: str, found: Ref | None) -> None:
    assert parse_reference(text) == found


def test_references_are_found_with_their_place() -> None:
    value = {"x": ["$a.id", {"y/z": "$b.n.m"}], "w": "no $a.id", "v": 3}
    assert references(value) == [Ref("a", "id", "/x/0"), Ref("b", "n.m", "/x/1/y~1z")]


def test_graph_has_data_and_order_edges() -> None:
    graph = plan_graph(parse_plan(REFUND), edges=[("a", "b")])
    assert graph.nodes["b"] == {"tool": "get_order", "args": {"number": 1042}}
    assert dict(graph.edges) == {
        ("a", "b"): {"kind": "order", "uses": ()},
        ("a", "c"): {"kind": "order", "uses": ()},
        ("b", "c"): {"kind": "data", "uses": (("/order", "id"),)},
    }


def test_a_data_edge_covers_an_order_edge() -> None:
    plan = Plan((Step("a", "t"), Step("b", "u", {"x": "$a.p", "w": "$a.q"}, ("a",))))
    assert dict(plan_graph(plan).edges) == {
        ("a", "b"): {"kind": "data", "uses": (("/w", "q"), ("/x", "p"))}
    }


def test_graph_refuses_unknown_steps_and_cycles() -> None:
    with pytest.raises(PlanGraphError, match="step b: refers to step 'z'.*use one of a, b"):
        plan_graph(Plan((Step("a", "t"), Step("b", "t", {"x": "$z.id"}))))
    with pytest.raises(PlanGraphError, match="step a: refers to step 'z'"):
        plan_graph(Plan((Step("a", "t", {}, ("z",)),)))
    with pytest.raises(PlanGraphError, match="steps wait for each other: a -> b -> a"):
        plan_graph(Plan((Step("a", "t", {"x": "$b.id"}), Step("b", "t", {}, ("a",)))))
    with pytest.raises(PlanGraphError, match="wait for each other: a -> a"):
        plan_graph(Plan((Step("a", "t", {"x": "$a.id"}),)))


def test_renaming_follows_references() -> None:
    plan = Plan((Step("one", "t"), Step("b", "u", {"x": ["$one.id", "$gone.id"]}, ("one",))))
    assert rename_steps(plan) == Plan(
        (Step("a", "t"), Step("b", "u", {"x": ["$a.id", "$gone.id"]}, ("a",)))
    )
