"""What distinguishes two plans."""

from __future__ import annotations

from bb_core.plan import Plan, Step, parse_plan
from bb_runtime.plan_diff import diff_plans, diff_text


def lines(first, second):
    return diff_text(diff_plans(first, second)).splitlines()


def test_a_plan_is_the_same_as_itself(plan_json):
    plan = parse_plan(plan_json)
    assert {change.kind for change in diff_plans(plan, plan)} == {"same"}


def test_an_inserted_step_renames_the_others_and_changes_nothing_else(plan_json):
    plan = parse_plan(plan_json)
    more = Plan(
        (
            plan.steps[0],
            Step("b", "find_customer", {"email": "p@x.io"}),
            Step("c", "get_order", {"number": 1042}),
            Step("d", "confirm_owner", {"order": "$c.id", "email": "ana@example.com"}),
            Step("e", "refund_order", {**plan.steps[3].args, "order": "$c.id"}),
        )
    )
    kinds = [change.kind for change in diff_plans(plan, more)]
    assert kinds == ["same", "added", "same", "same", "same"]
    assert [change.kind for change in diff_plans(more, plan)][1] == "removed"


def test_changed_arguments_are_named():
    one = Plan((Step("a", "t", {"x": 1, "y": 2}), Step("b", "t", {"x": "$a.id"})))
    two = Plan((Step("a", "t", {"x": 1, "z": 3}), Step("b", "t", {"x": "$a.no"}, ("a",))))
    assert lines(one, two) == [
        "~ a  t  y: 2 -> -; z: - -> 3",
        '~ b  t  x: "$a.id" -> "$a.no"; after: - -> a',
    ]


def test_pairs_are_those_that_differ_least():
    """The second of two equal tools is paired with the one that has its arguments."""
    one = Plan((Step("a", "t", {"x": 1}), Step("b", "t", {"x": 2})))
    two = Plan((Step("a", "t", {"x": 2}),))
    assert lines(one, two) == ['- a  t  {"x":1}', '  a  t  {"x":2}']


def test_other_tools_are_never_pairs():
    assert lines(Plan((Step("a", "t"),)), Plan((Step("a", "u"),))) == ["- a  t  {}", "+ a  u  {}"]
