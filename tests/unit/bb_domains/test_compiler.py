"""The plan machine: what it admits, why it refuses, when a plan may end."""

from __future__ import annotations

from typing import Any

import pytest

from bb_core.plan import Step, step_id
from bb_domains.compiler import Call, PlanMachine, PlanState
from bb_domains.errors import ConditionError, Inadmissible, LowerError, SchemaError
from bb_domains.schema import PlanSchema, parse_schema, schema_data


def run(machine: PlanMachine, *calls: tuple[str, dict[str, Any]]) -> PlanState:
    state = machine.initial()
    for tool, args in calls:
        state = machine.apply(state, Step(step_id(state.n_steps), tool, args))
    return state


LOGIN: tuple[str, dict[str, Any]] = ("login", {})
ORDER = ("get_order", {"number": 1042})
CUSTOMER = ("find_customer", {"email": "ana@example.com"})
CONFIRM = ("confirm", {"customer": "$c.id", "order": "$b.data.id"})
REFUND = ("refund", {"order": "$b.id", "amount": 25.5, "reason": "late"})


def test_only_login_is_admissible_at_first(machine: PlanMachine) -> None:
    assert machine.admissible(machine.initial()) == [Call("login", {})]


def test_handles_appear_by_step(machine: PlanMachine) -> None:
    state = run(machine, LOGIN, ORDER, CUSTOMER)
    assert Call("confirm", {"customer": "c", "order": "b"}) in machine.admissible(state)
    assert Call("track", {"order": "b"}) in machine.admissible(state)
    assert "refund" not in {call.tool for call in machine.admissible(state)}


def test_effects_open_and_close_calls(machine: PlanMachine) -> None:
    state = run(machine, LOGIN, ORDER, CUSTOMER, CONFIRM)
    assert Call("refund", {"order": "b"}) in machine.admissible(state)
    after = machine.apply(state, Step("e", *REFUND))
    assert Call("refund", {"order": "b"}) not in machine.admissible(after)


def test_nothing_is_admissible_after_the_last_step(machine: PlanMachine) -> None:
    state = run(machine, *[LOGIN, ("logout", {})] * 3)
    assert machine.admissible(state) == []
    with pytest.raises(Inadmissible, match="step g: a plan has at most 6 steps; end the plan"):
        machine.apply(state, Step("g", "login"))


@pytest.mark.parametrize(
    ("before", "step", "message"),
    [
        ([], Step("b", "login"), "step 1 must have id 'a'"),
        ([], Step("a", "logn"), "no tool 'logn'; use one of login"),
        (
            [],
            Step("a", *ORDER),
            r"get_order needs logged_in, but logged_in is false; first call login\(\)",
        ),
        ([LOGIN], Step("b", "login", {}, ("z",)), "'after' names 'z', which is no earlier step"),
        ([LOGIN, ORDER], Step("c", *ORDER), "order 1042 is bound already by step b"),
        ([LOGIN, ORDER], Step("c", "get_order", {"number": 1042.0}), "bound already by step b"),
        ([LOGIN], Step("b", "get_order", {}), "argument 'number' is missing"),
        ([LOGIN], Step("b", "get_order", {"number": "$a.id"}), "may not be a reference"),
        (
            [LOGIN],
            Step("b", "track", {"order": "$a.id"}),
            "must be a handle of type order, not '\\$a.id'; bind an object of type order first",
        ),
        ([LOGIN, ORDER], Step("c", "track", {"order": "$b.data.id"}), r"use \$b\.id"),
        ([LOGIN, ORDER], Step("c", "track", {"order": 1042}), "not 1042"),
        ([LOGIN, ORDER], Step("c", "track", {}), "must be a handle of type order, not None"),
        (
            [LOGIN, ORDER, CUSTOMER],
            Step("d", "track", {"order": "$c.id"}),
            "must be a handle of type order",
        ),
        (
            [LOGIN, ORDER, CUSTOMER],
            Step("d", *REFUND),
            r"the invariant no_refund_unconfirmed would be violated; "
            r"first call confirm\(customer=\$c, order=\$b\)",
        ),
        ([LOGIN, ORDER], Step("c", *REFUND), "no admissible call mends it"),
        (
            [
                LOGIN,
                ("get_order", {"number": 1001}),
                ("get_order", {"number": 1002}),
                ("get_order", {"number": 1003}),
            ],
            Step("e", *ORDER),
            "a plan binds at most 3 objects of type order",
        ),
    ],
)
def test_refusals_name_the_rule_and_a_repair(
    machine: PlanMachine, before: list[tuple[str, dict[str, Any]]], step: Step, message: str
) -> None:
    with pytest.raises(Inadmissible, match=message) as caught:
        machine.apply(run(machine, *before), step)
    assert caught.value.step_id == step.id


def test_the_repair_is_admissible(machine: PlanMachine) -> None:
    state = run(machine, LOGIN, ORDER, CUSTOMER)
    mended = machine.apply(state, Step("d", "confirm", dict(CONFIRM[1])))
    assert machine.apply(mended, Step("e", *REFUND)).n_steps == 5


def test_a_plan_may_end_when_every_handle_is_used(machine: PlanMachine) -> None:
    assert not machine.can_end(machine.initial())
    assert machine.can_end(run(machine, LOGIN))
    assert not machine.can_end(run(machine, LOGIN, ORDER))
    assert machine.can_end(run(machine, LOGIN, ORDER, ("track", {"order": "$b.id"})))


def test_completion_counts_steps_and_bytes(machine: PlanMachine) -> None:
    plan = '{"plan":[{"id":"a","tool":"login","args":{}}]}'
    assert machine.completion(machine.initial()) == (1, len(plan))
    state = run(machine, LOGIN, ORDER)
    rest = ',{"id":"c","tool":"track","args":{"order":"$b.id"}}]}'
    assert machine.completion(state) == machine.continuation(state) == (1, len(rest))
    assert machine.completion(run(machine, LOGIN)) == (0, len("]}"))


def test_a_state_that_cannot_be_completed_is_a_dead_end(machine: PlanMachine) -> None:
    calls = [LOGIN, *[("get_order", {"number": n}) for n in (1001, 1002, 1003)]]
    state = run(machine, *calls, CUSTOMER)
    assert machine.completion(state) is None
    assert not machine.can_go_on(state, 10_000)


def test_experts_step_the_state_as_the_machine_does(machine: PlanMachine) -> None:
    import numpy as np

    from bem_kernel.experts.expert import step
    from bem_kernel.experts.template import bind
    from bem_kernel.lanes import unpack_bits

    planes = np.zeros((machine.layout.n_bits, 1), dtype=np.uint64)
    state = machine.initial()
    for tool, args in [LOGIN, ORDER, CUSTOMER, CONFIRM, REFUND]:
        here = Step(step_id(state.n_steps), tool, args)
        slots = machine.step_slots(state, here)
        handles = {a: slots[a] for a in machine.schema.tools[tool].handles}
        planes = step(bind(machine.experts.pre[tool], handles), planes)
        planes = step(bind(machine.experts.effect[tool], slots), planes)
        planes = step(machine.experts.invariants, planes)
        state = machine.apply(state, here)
        bits = unpack_bits(planes, 1)[0]
        assert sum(1 << i for i in np.flatnonzero(bits).tolist()) == state.bits


def test_experts_raise_bad(machine: PlanMachine) -> None:
    import numpy as np

    from bem_kernel.experts.expert import step
    from bem_kernel.experts.template import bind

    planes = np.zeros((machine.layout.n_bits, 1), dtype=np.uint64)
    refused = step(bind(machine.experts.pre["track"], {"order": 0}), planes)
    assert refused[machine.layout.bad, 0] & 1
    planes = step(bind(machine.experts.effect["get_order"], {"self": 0}), planes)
    planes = step(bind(machine.experts.effect["refund"], {"order": 0}), planes)
    assert step(machine.experts.invariants, planes)[machine.layout.bad, 0] & 1


def with_tool(shop: PlanSchema, name: str, **change: Any) -> PlanSchema:
    data = schema_data(shop)
    data["tools"][name] = {**data["tools"].get(name, {}), **change}
    return parse_schema(data)


@pytest.mark.parametrize(
    ("tool", "change", "message"),
    [
        ("login", {"pre": "logged"}, r"tools\.login\.pre: no fluent 'logged'"),
        ("refund", {"pre": "owns(order)"}, r"it takes \(customer, order\)"),
        ("login", {"effects": ["tracked(self)"]}, "speaks of 'self'"),
        ("login", {"effects": ["logged_in", "!logged_in"]}, "one fluent is written twice"),
        ("refund", {"guards": ["amount < total"]}, r"tools\.refund\.guards\.0: column 10: 'total'"),
    ],
)
def test_meaningless_expressions_are_refused(
    shop: PlanSchema, tool: str, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConditionError, match=message):
        PlanMachine(with_tool(shop, tool, **change))


def test_an_argument_that_cannot_be_lowered_is_refused(shop: PlanSchema) -> None:
    args = {"type": "object", "properties": {"x": {"type": "string", "pattern": "a+"}}}
    with pytest.raises(LowerError, match="/tools/login/args/properties/x/pattern: keyword 'patt"):
        PlanMachine(with_tool(shop, "login", args=args))


def test_two_keys_for_one_type_are_refused(shop: PlanSchema) -> None:
    args = {
        "type": "object",
        "properties": {"phone": {"type": "integer"}},
        "required": ["phone"],
    }
    binds = {"object": "customer", "key": "phone"}
    with pytest.raises(SchemaError, match="customer is bound by 'email' of find_customer and by"):
        PlanMachine(with_tool(shop, "find_by_phone", args=args, binds=binds))


def test_an_argument_named_self_is_refused(shop: PlanSchema) -> None:
    args = {"type": "object", "properties": {"self": {"type": "integer"}}, "required": ["self"]}
    with pytest.raises(SchemaError, match="'self' is the object a step binds"):
        PlanMachine(with_tool(shop, "make", args=args, binds={"object": "order", "key": None}))


def test_an_invariant_violated_from_the_start_is_refused(shop: PlanSchema) -> None:
    data = schema_data(shop)
    data["invariants"].append({"name": "always_in", "never": "!logged_in"})
    with pytest.raises(SchemaError, match=r"invariants\.always_in: is violated before the first"):
        PlanMachine(parse_schema(data))


def test_an_invariant_speaks_of_bound_objects_only(shop: PlanSchema) -> None:
    data = schema_data(shop)
    data["invariants"] = [{"name": "tracked", "never": "!tracked(o)", "for": {"o": "order"}}]
    strict = PlanMachine(parse_schema(data))
    state = run(strict, LOGIN)
    assert "get_order" not in {call.tool for call in strict.admissible(state)}


def test_one_object_is_not_given_twice(shop: PlanSchema) -> None:
    args = {"type": "object", "properties": {"a": {}, "b": {}}, "required": ["a", "b"]}
    handles = {"a": {"object": "order"}, "b": {"object": "order"}}
    merging = PlanMachine(with_tool(shop, "join", args=args, handles=handles))
    state = run(merging, LOGIN, ORDER)
    with pytest.raises(Inadmissible, match="join is given one object twice"):
        merging.apply(state, Step("c", "join", {"a": "$b.id", "b": "$b.id"}))
    state = merging.apply(state, Step("c", "get_order", {"number": 1043}))
    assert merging.apply(state, Step("d", "join", {"a": "$c.id", "b": "$b.id"})).n_steps == 4


def test_no_more_objects_are_bound_than_there_are_keys(shop: PlanSchema) -> None:
    args = {
        "type": "object",
        "properties": {"number": {"enum": [1, 2]}},
        "required": ["number"],
    }
    few = PlanMachine(with_tool(shop, "get_order", args=args, places={"number": "path"}))
    state = run(few, LOGIN, ("get_order", {"number": 1}), ("get_order", {"number": 2}))
    assert "get_order" not in {call.tool for call in few.admissible(state)}
