"""Random plans, some calls at once: the certified order is kept, and the end is the same."""

from __future__ import annotations

import random
from functools import cache
from pathlib import Path

import pytest

from bb_core.plan import Plan, Step, step_id
from bb_domains.domain import make_domain
from bb_domains.errors import Inadmissible
from bb_domains.schema import load_schema, parse_schema, schema_data
from bb_runtime.check import check_plan
from bb_runtime.execute import execute
from bb_runtime.plan_program import plan_program
from bb_runtime.schedule import earlier_steps, schedule
from bem_kernel.ledger.chain import Ledger

SHOP = Path(__file__).parents[2] / "unit" / "bb_runtime" / "shop" / "plan_schema.yaml"


@cache
def domain_for(at_once):
    data = schema_data(load_schema(SHOP))
    data["limits"]["at_once"] = at_once
    data["graph"] = {"min_steps": 1}
    return make_domain(parse_schema(data))


def random_plan(machine, chance):
    """An admissible plan: steps drawn until one fits, a login first."""
    steps, state = [Step("a", "login", {})], machine.initial()
    state = machine.apply(state, steps[0])
    for _ in range(60):
        if len(steps) == 8:
            break
        step = random_step(step_id(len(steps)), state, chance)
        try:
            state = machine.apply(state, step)
        except (Inadmissible, IndexError):
            continue
        steps.append(step)
    return Plan(tuple(steps))


def random_step(name, state, chance):
    orders = [h.step for h in state.handles if h.object == "order"] or ["z"]
    customers = [h.step for h in state.handles if h.object == "customer"] or ["z"]
    order, customer = f"${chance.choice(orders)}.id", f"${chance.choice(customers)}.id"
    options = [
        ("get_order", {"number": chance.randrange(1000, 1010)}),
        ("confirm_owner", {"order": order, "email": "a@x.io"}),
        ("refund_order", {"order": order, "amount": 5, "reason": "late"}),
        ("change_city", {"order": order, "city": "Bern"}),
        ("find_customer", {"email": chance.choice(["p@x.io", "q@x.io"])}),
        ("add_note", {"customer": customer, "tag": "vip"}),
    ]
    return Step(name, *chance.choice(options))


@pytest.mark.parametrize("seed", range(40))
def test_schedules_keep_the_certified_order(seed):
    plan = random_plan(domain_for(1).machine, random.Random(seed))
    for at_once in (1, 2, 3, 8):
        domain = domain_for(at_once)
        order = check_plan(domain, plan).order
        started, ended, most = [], [], 0
        for move in schedule(plan, earlier_steps(domain, plan, order), at_once):
            if move.act != "end":
                assert all(a in ended for a, b in order if b == move.step.id)
                started.append(move.step.id)
            if move.act != "start":
                ended.append(move.step.id)
            most = max(most, len(started) - len(ended) + (move.act == "call"))
        assert sorted(started) == sorted(ended) == [step.id for step in plan.steps]
        assert most <= at_once
        if at_once == 1:
            assert started == sorted(started)


class Service:
    def call(self, tool, args, idempotency_key=None):
        return {"id": str(next(iter(args.values()), "")), "total": 100.0}


def test_the_end_is_the_same_however_many_run_at_once(tmp_path):
    together = 0
    for seed in range(4):
        plan = random_plan(domain_for(1).machine, random.Random(seed))
        facts = set()
        for at_once in (1, 4):
            domain = domain_for(at_once)
            certificate = check_plan(domain, plan)
            ports = plan_program(domain, plan, certificate).ports
            together += any(port.name.endswith(".start") for port in ports)
            with Ledger(tmp_path / f"{seed}-{at_once}.ledger", sync="batch") as ledger:
                done = execute(domain, plan, certificate, Service(), ledger)
            assert done.status == "done"
            facts.add(done.facts)
        assert len(facts) == 1
    assert together > 0
