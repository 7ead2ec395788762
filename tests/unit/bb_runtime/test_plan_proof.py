"""The executor's program is proved, and a program with a step tampered with is not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bb_core.plan import parse_plan
from bb_runtime import plan_proof
from bb_runtime.check import check_plan
from bb_runtime.errors import ExecutionRefused, PlanRefused
from bb_runtime.plan_program import plan_program
from bb_runtime.plan_proof import prove_plan, prove_program


def test_the_program_of_a_checked_plan_is_proved(shop, plan_json):
    plan = parse_plan(plan_json)
    report = prove_plan(shop, plan, check_plan(shop, plan))
    assert report.accepted
    assert report.proofs >= len(plan.steps)


def test_a_program_without_an_effect_is_refuted(shop, plan_json, monkeypatch):
    """Without the effect of login, what needs it finds its precondition false."""
    plan = parse_plan(plan_json)
    certificate = check_plan(shop, plan)
    program = plan_program(shop, plan, certificate)
    names = [expert.name for expert in program.experts]
    effect = names.index("effect.login")
    spoilt = replace(
        program,
        experts=tuple(
            replace(program.experts[names.index("invariants")], name=expert.name)
            if i == effect
            else expert
            for i, expert in enumerate(program.experts)
        ),
    )
    report = prove_program(spoilt)
    assert not report.accepted
    monkeypatch.setattr(plan_proof, "plan_program", lambda *_: spoilt)
    with pytest.raises(PlanRefused, match="plan: proof: its program may come to BAD"):
        prove_plan(shop, plan, certificate)


def test_a_certificate_of_another_plan_is_refused(shop, plan_json):
    plan = parse_plan(plan_json)
    other = check_plan(shop, '{"plan":[{"id":"a","tool":"login","args":{}}]}')
    with pytest.raises(ExecutionRefused, match="belongs to another plan"):
        prove_plan(shop, plan, other)
