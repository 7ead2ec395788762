"""What the phone's mask lets through is admissible, and every request's plan is let through."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bb_core.plan import parse_plan, plan_text, step_text
from bb_domains.calls import PLAN_CLOSE, step_open
from bb_domains.domain import Domain, make_domain
from bb_domains.grammar import parse_with_lark, step_grammar
from bb_domains.phone import plan_schema, requests
from bb_domains.phone.policies import ALLOWED
from bb_domains.simulation import SPLITS
from bb_domains.validate import is_valid


@pytest.fixture(scope="module")
def phone() -> Domain:
    return make_domain(plan_schema())


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 2**32), st.integers(0, 1600))
def test_decoded_plans_are_admissible(walker: Any, phone: Domain, seed: int, extra: int) -> None:
    machine = phone.machine
    least = machine.completion(machine.initial())
    assert least is not None
    text = walker.plan(machine, least[1] + extra, random.Random(seed))
    assert len(text) <= least[1] + extra
    parse_with_lark(phone.grammar, text)
    plan = parse_plan(text)
    assert len(plan.steps) >= 2
    state = machine.initial()
    for step in plan.steps:
        assert is_valid(dict(step.args), phone.schema.tools[step.tool].plan_args())
        state = machine.apply(state, step)
        if step.tool == "allow_permission":
            assert step.args["permission"] in ALLOWED
        assert machine.violated(state.bits) == ""
    assert machine.can_end(state)


@pytest.mark.parametrize("split", SPLITS)
def test_every_requests_plan_is_let_through(split: str, walker: Any, phone: Domain) -> None:
    machine = phone.machine
    for request in requests(split, 3, 9):
        state, left = machine.initial(), len(plan_text(request.plan)) + 400
        for i, step in enumerate(request.plan.steps):
            is_last = i == len(request.plan.steps) - 1
            opening = step_open(i)
            head = f'{{"id":"{step.id}","tool":"'
            body = opening + step_text(step).removeprefix(head)
            tail = PLAN_CLOSE if is_last else step_open(i + 1)
            assert walker.accepts(step_grammar(machine, state, left), body + tail), body + tail
            state, left = machine.apply(state, step), left - len(body)
