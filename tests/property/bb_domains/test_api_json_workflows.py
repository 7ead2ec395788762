"""Every scripted plan passes the plan machine and the grammar of its domain."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bb_core.plan import Plan, plan_text
from bb_domains.api_json import plan_schema
from bb_domains.api_json.bodies import check_email
from bb_domains.api_json.entities import make_amount, make_city, make_email, make_name
from bb_domains.api_json.planner import in_units
from bb_domains.api_json.workflows import (
    GOAL_KINDS,
    LEVELS,
    REASONS,
    TAGS,
    Goal,
    plan_for,
    slot_names,
)
from bb_domains.domain import Domain, make_domain
from bb_domains.errors import Inadmissible
from bb_domains.grammar import parse_with_lark


@pytest.fixture(scope="module")
def domain() -> Domain:
    return make_domain(plan_schema())


@st.composite
def goals(draw: st.DrawFn, most: int = 4) -> tuple[Goal, ...]:
    """Goals on different orders and customers, with entities of ours."""
    rng = random.Random(draw(st.integers(0, 2**32)))
    wanted = draw(st.lists(st.sampled_from(GOAL_KINDS), min_size=1, max_size=most))
    numbers, made = rng.sample(range(1000, 10_000), len(wanted)), []
    emails: set[str] = set()
    while len(emails) < 2 * len(wanted):
        emails.add(make_email(rng, *make_name(rng)))
    unused = sorted(emails)
    for kind, number in zip(wanted, numbers, strict=True):
        values: dict[str, int | float | str] = {
            "number": number,
            "email": unused.pop(),
            "new_email": unused.pop(),
            "amount": in_units(make_amount(rng, 1, 50_000)),
            "city": make_city(rng),
            "reason": rng.choice(REASONS),
            "level": rng.choice(LEVELS),
            "tag": rng.choice(TAGS),
        }
        made.append(Goal(kind, {name: values[name] for name in slot_names(kind)}))
    return tuple(made)


def admit(domain: Domain, plan: Plan) -> None:
    """Walk a plan through the machine; it must be allowed to end."""
    state = domain.machine.initial()
    for step in plan.steps:
        state = domain.machine.apply(state, step)
    assert domain.machine.can_end(state)


@settings(max_examples=30)
@given(goals())
def test_scripted_plans_are_admissible(domain: Domain, wishes: tuple[Goal, ...]) -> None:
    admit(domain, plan_for(wishes))


@settings(max_examples=15)
@given(goals())
def test_scripted_plans_are_in_the_grammar(domain: Domain, wishes: tuple[Goal, ...]) -> None:
    parse_with_lark(domain.grammar, plan_text(plan_for(wishes)))


@settings(max_examples=30)
@given(goals(most=3), st.data())
def test_a_plan_without_one_of_its_steps_is_refused(
    domain: Domain, wishes: tuple[Goal, ...], data: st.DataObject
) -> None:
    """No step of a workflow is there for decoration, but for the actions themselves."""
    steps = plan_for(wishes).steps
    needed = [
        i
        for i, step in enumerate(steps)
        if step.tool in ("login", "confirm_owner", "get_order", "find_customer")
    ]
    left_out = data.draw(st.sampled_from(needed))
    with pytest.raises(Inadmissible):
        admit(domain, Plan(steps[:left_out] + steps[left_out + 1 :]))


@given(st.integers(0, 2**32))
def test_entities_fit_the_service(seed: int) -> None:
    rng = random.Random(seed)
    email, city = make_email(rng, *make_name(rng)), make_city(rng)
    assert check_email(email) == email == email.lower() and len(email) <= 48
    assert re.fullmatch(r"[A-Z][a-z]+( [A-Z][a-z]+)?", city) and len(city) <= 40


@given(st.integers(0, 2**32), st.integers(1, 50_000), st.integers(0, 50_000))
def test_amounts_stay_in_their_range(seed: int, low: int, more: int) -> None:
    high = min(low + more, 50_000)
    cents = make_amount(random.Random(seed), low, high)
    assert low <= cents <= high
    assert round(in_units(cents) * 100) == cents
