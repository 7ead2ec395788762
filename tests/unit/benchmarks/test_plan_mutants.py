"""Every kind of mutant is made, and refused by the checker; the plain reading knows a good plan."""

from __future__ import annotations

from random import Random

import pytest

from bb_core.plan import MAX_STEPS, Plan, Step, step_id
from bb_domains.domain import load_domain
from bb_domains.kit import make_requests
from bb_runtime.check import check_plan
from bb_runtime.errors import PlanRefused
from benchmarks.plan_mutants import KINDS, is_valid, wrong_id


@pytest.fixture(scope="module")
def domain():
    return load_domain("api_json")


@pytest.fixture(scope="module")
def plans(domain):
    return [request.plan for request in make_requests(domain, "train", 12, 3)]


def test_good_plans_are_good_to_both(domain, plans):
    for plan in plans:
        assert is_valid(domain.schema, plan)
        check_plan(domain, plan)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_each_kind_is_made_and_refused(domain, plans, kind):
    made = [kind(domain.schema, plan, Random(i)) for i, plan in enumerate(plans)]
    spoilt = [plan for plan in made if plan is not None]
    assert spoilt
    for plan in spoilt:
        with pytest.raises(PlanRefused):
            check_plan(domain, plan, repair=False)


def test_the_longest_plan_has_wrong_ids_too(domain):
    steps = tuple(Step(step_id(i), "login", {}) for i in range(MAX_STEPS))
    for seed in range(20):
        spoilt = wrong_id(domain.schema, Plan(steps), Random(seed))
        assert [s.id for s in spoilt.steps] != [s.id for s in steps]
