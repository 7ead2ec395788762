"""The plan checker, one rule at a time."""

from __future__ import annotations

import dataclasses
import json

import pytest

from bb_core.plan import Plan, Step, parse_plan
from bb_domains.domain import make_domain
from bb_runtime.check import Certificate, check_plan, plan_hash, verify_certificate
from bb_runtime.errors import ExecutionRefused, PlanRefused


def edited(plan_json: str, **changes: object) -> str:
    """The plan with arguments of steps replaced: `c_email="x"` is step c, argument email."""
    value = json.loads(plan_json)
    for name, new in changes.items():
        step_id, _, arg = name.partition("_")
        step = next(step for step in value["plan"] if step["id"] == step_id)
        if arg in ("tool", "id", "after"):
            step[arg] = new
        elif new is None:
            del step["args"][arg]
        else:
            step["args"][arg] = new
    return json.dumps(value)


def test_a_good_plan_gets_a_certificate(shop, plan_json):
    certificate = check_plan(shop, plan_json)
    assert certificate.plan_hash == plan_hash(parse_plan(plan_json))
    assert certificate.domain_fingerprint == shop.fingerprint
    verify_certificate(certificate, shop, parse_plan(plan_json))


def test_spaces_and_the_form_of_the_text_do_not_matter(shop, plan_json):
    spaced = json.dumps(json.loads(plan_json), indent=2)
    assert check_plan(shop, spaced) == check_plan(shop, plan_json)
    assert check_plan(shop, parse_plan(plan_json)) == check_plan(shop, plan_json)


def test_order_edges_to_earlier_steps_are_allowed(shop, plan_json):
    check_plan(shop, edited(plan_json, d_after=["c"]))


@pytest.mark.parametrize(
    ("changes", "node", "rule", "message"),
    [
        ({"c_id": "z"}, "z", "id", "step 3 must have the id 'c'"),
        ({"b_tool": "get_ordre"}, "b", "tool", "no tool 'get_ordre'; use get_order"),
        ({"b_number": 99}, "b", "arguments", "number: 99 is less than the minimum of 1000"),
        ({"b_number": None}, "b", "arguments", "'number' is a required property"),
        ({"b_extra": 1}, "b", "arguments", "Additional properties are not allowed"),
        ({"c_email": "nobody"}, "c", "arguments", "email: 'nobody' is not a 'email'"),
        ({"d_amount": 12.075}, "d", "arguments", "amount: 12.075 is not a multiple of 0.01"),
        ({"d_amount": 600}, "d", "arguments", "amount: 600 is greater than the maximum"),
        ({"d_reason": "greed"}, "d", "arguments", "reason: 'greed' is not one of"),
        ({"d_order": "1042"}, "d", "arguments", "order: '1042' does not match"),
        ({"d_reason": "$b.id"}, "d", "arguments", "reason: "),
        ({"d_order": "$e.id"}, "d", "reference", "'order' refers to 'e', which is no earlier step"),
        ({"d_order": "$a.id"}, "d", "admissible", r"use \$b\.id"),
        ({"b_after": ["d"]}, "b", "order", "must come after 'd', which is no earlier step"),
        ({"c_tool": "find_customer"}, "c", "arguments", "'order' was unexpected"),
    ],
)
def test_refusals_name_step_rule_and_repair(shop, plan_json, changes, node, rule, message):
    with pytest.raises(PlanRefused, match=message) as caught:
        check_plan(shop, edited(plan_json, **changes))
    assert (caught.value.node, caught.value.rule) == (node, rule)


def test_a_reference_where_a_value_belongs_is_refused(shop, plan_json):
    steps = parse_plan(plan_json).steps[:2]
    plan = (*steps, Step("c", "change_city", {"order": "$b.id", "city": "$b.city"}))
    with pytest.raises(PlanRefused, match="argument 'city' takes a value, not a reference"):
        check_plan(shop, Plan(plan))


def without(plan_json: str, tool: str) -> Plan:
    """The plan without one tool's step, renamed so that only the precondition is at fault."""
    value = json.loads(plan_json)
    kept = [step for step in value["plan"] if step["tool"] != tool]
    names = {step["id"]: "abcdefgh"[i] for i, step in enumerate(kept)}
    text = json.dumps([{**step, "id": names[step["id"]]} for step in kept])
    for old, new in names.items():
        text = text.replace(f"${old}.", f"$@{new}.")
    return parse_plan('{"plan":' + text.replace("$@", "$") + "}")


@pytest.mark.parametrize(("tool", "node"), [("login", "a"), ("confirm_owner", "c")])
def test_preconditions(shop, plan_json, tool, node):
    with pytest.raises(PlanRefused, match=f"step {node}: admissible: .*; .*{tool}") as caught:
        check_plan(shop, without(plan_json, tool))
    assert caught.value.node == node


def test_nothing_is_done_twice(shop, plan_json):
    steps = parse_plan(plan_json).steps
    twice = Plan((*steps, dataclasses.replace(steps[3], id="e")))
    with pytest.raises(PlanRefused, match="step e: admissible"):
        check_plan(shop, twice)
    again = Plan((*steps[:2], dataclasses.replace(steps[1], id="c")))
    with pytest.raises(PlanRefused, match="order 1042 is bound already by step b"):
        check_plan(shop, again)


def test_a_handle_that_nothing_uses_is_refused(shop, plan_json):
    with pytest.raises(PlanRefused, match="step b: end: what it looks up is used by no"):
        check_plan(shop, Plan(parse_plan(plan_json).steps[:2]))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "syntax: plan: line 1, column 1: not JSON"),
        ('{"plan":[]} x', "syntax: .*Extra data"),
        ('{"plan":[],"plan":[]}', "syntax: .*written twice"),
        ('{"plan":[{"id":"a","tool":"login","args":{"x":NaN}}]}', "NaN is not JSON"),
        ('{"plan":[]}', "end: 0 steps are fewer than the domain's 1; add steps"),
        ('{"steps":[]}', "syntax"),
    ],
)
def test_texts_that_are_no_plans(shop, text, message):
    with pytest.raises(PlanRefused, match=message) as caught:
        check_plan(shop, text)
    assert caught.value.node == ""


def test_too_many_steps(shop):
    steps = tuple(Step("abcdefghi"[i], "login", {}) for i in range(9))
    with pytest.raises(PlanRefused, match="length: 9 steps are more than the domain's 8"):
        check_plan(shop, Plan(steps))


def test_a_text_outside_the_grammar_is_refused(shop, plan_json):
    """JSON Schema admits a control character in a string; the grammar of the masks does not."""
    steps = parse_plan(plan_json).steps[:2]
    steps = (*steps, Step("c", "change_city", {"order": "$b.id", "city": "a\tb"}))
    with pytest.raises(PlanRefused, match="plan: grammar: plan text: column"):
        check_plan(shop, Plan(steps))


def test_a_certificate_cannot_be_forged(shop, plan_json):
    plan = parse_plan(plan_json)
    good = check_plan(shop, plan)
    other = check_plan(shop, Plan((Step("a", "login", {}),)))
    own = Certificate(plan_hash(plan), shop.fingerprint, (), "0" * 64, "0" * 64)
    forgeries = (
        own,
        dataclasses.replace(other, plan_hash=good.plan_hash),
        dataclasses.replace(good, order=()),
        dataclasses.replace(good, proof=other.proof),
    )
    for forged in forgeries:
        with pytest.raises(ExecutionRefused, match="not made by the checker of this process"):
            verify_certificate(forged, shop, plan)
    with pytest.raises(ExecutionRefused, match="belongs to another plan"):
        verify_certificate(other, shop, plan)


def test_a_certificate_is_for_one_version_of_a_domain(shop, plan_json):
    newer = make_domain(shop.schema.model_copy(update={"version": 2}))
    with pytest.raises(ExecutionRefused, match="another version of domain shop"):
        verify_certificate(check_plan(shop, plan_json), newer, parse_plan(plan_json))


def test_the_certificate_names_the_order_that_matters(shop):
    """Two orders are looked up and refunded: what concerns one does not wait for the other."""
    text = (
        '{"plan":[{"id":"a","tool":"login","args":{}},'
        '{"id":"b","tool":"get_order","args":{"number":1042}},'
        '{"id":"c","tool":"get_order","args":{"number":1043}},'
        '{"id":"d","tool":"change_city","args":{"order":"$b.id","city":"Bonn"}},'
        '{"id":"e","tool":"change_city","args":{"order":"$c.id","city":"Ulm"}}]}'
    )
    certificate = check_plan(shop, text)
    assert certificate.order == (("a", "b"), ("a", "c"), ("b", "d"), ("c", "e"))
    asked = check_plan(shop, edited(text, e_after=["d"]))
    assert ("d", "e") in asked.order
    assert asked.proof != certificate.proof


@pytest.mark.parametrize(
    ("changes", "edit"),
    [
        ({"c_id": "z"}, "name the steps"),
        ({"b_tool": "get_ordre"}, "call get_order in step b"),
        ({"b_number": 99}, "write number=1000 in step b"),
        ({"d_amount": 12.075}, "write amount=12.07 in step d"),
        ({"d_reason": "lat"}, "write reason='late' in step d"),
        ({"b_extra": 1}, "write no extra in step b"),
        ({"d_order": "$a.id"}, r"write order='\$b.id' in step d"),
        ({"b_after": ["d"]}, "let step b wait for earlier steps only"),
    ],
)
def test_the_nearest_plan_that_passes_is_found(shop, plan_json, changes, edit):
    with pytest.raises(PlanRefused, match=f"nearest plan that passes: {edit}") as caught:
        check_plan(shop, edited(plan_json, **changes))
    assert caught.value.nearest is not None
    check_plan(shop, caught.value.nearest.plan)
    with pytest.raises(PlanRefused) as plain:
        check_plan(shop, edited(plan_json, **changes), repair=False)
    assert plain.value.nearest is None


def test_steps_in_the_wrong_order_are_moved(shop, plan_json):
    a, b, c, d = parse_plan(plan_json).steps
    swapped = Plan((a, b, dataclasses.replace(d, id="c"), dataclasses.replace(c, id="d")))
    with pytest.raises(PlanRefused, match="step c: admissible: .*move step c behind") as caught:
        check_plan(shop, swapped)
    assert caught.value.nearest.plan == parse_plan(plan_json)


def test_values_are_never_made_up(shop, plan_json):
    """The refund would need a confirmation, whose e-mail address nobody named."""
    with pytest.raises(PlanRefused, match="first call confirm_owner") as caught:
        check_plan(shop, without(plan_json, "confirm_owner"))
    assert caught.value.nearest is None
