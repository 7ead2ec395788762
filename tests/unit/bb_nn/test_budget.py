"""When the budget of the gates moves."""

from __future__ import annotations

import json

import pytest

from bb_nn.budget import (
    BudgetRule,
    Phase,
    Reading,
    budget_from_json,
    budget_to_json,
    observe,
    promoted_to,
    start_budget,
)
from bb_nn.errors import BudgetError

RULE = BudgetRule(cool_down=2)
BASE = Reading(composition=0.1, risk=0.2, base_loss=3.0)
NAN = float("nan")


def reading(composition: float = 0.1, risk: float = 0.2, base_loss: float = 3.0) -> Reading:
    return Reading(composition, risk, base_loss)


def test_the_budget_grows_only_when_composition_does():
    state = start_budget(BASE, 0.05)
    assert observe(state, RULE, reading(0.105)) == state
    raised = observe(state, RULE, reading(0.2))
    assert raised.budget == pytest.approx(0.0625) and raised.reached == 0.2
    assert observe(raised, RULE, reading(0.2)) == raised


def test_small_gains_add_up_to_a_raise():
    state = start_budget(BASE, 0.05)
    for composition in (0.106, 0.109):
        state = observe(state, RULE, reading(composition))
    assert state.budget == 0.05
    assert observe(state, RULE, reading(0.112)).budget > 0.05


def test_the_budget_stops_at_the_ceiling():
    state = start_budget(BASE, 0.45)
    assert observe(state, RULE, reading(0.9)).budget == RULE.ceiling
    above = start_budget(BASE, 0.7)
    assert observe(above, RULE, reading(0.9)).budget == 0.7


@pytest.mark.parametrize(
    "harm", [reading(0.9, risk=0.21), reading(0.9, base_loss=3.02), reading(0.9, risk=NAN),
             reading(0.9, base_loss=NAN)]
)  # fmt: skip
def test_harm_lowers_at_once_in_production_too(harm):
    state = promoted_to(start_budget(BASE, 0.08), 0.08)
    lowered = observe(state, RULE, harm)
    assert lowered.budget == lowered.promoted == 0.04
    assert lowered.phase is Phase.COOLING


def test_a_number_that_is_none_is_no_gain():
    state = start_budget(BASE, 0.05)
    assert observe(state, RULE, reading(NAN)) == state


def test_after_harm_good_readings_in_a_row_come_before_a_raise():
    state = observe(start_budget(BASE, 0.08), RULE, reading(risk=1.0))
    state = observe(state, RULE, reading(0.5))
    assert state.phase is Phase.COOLING and state.budget == 0.04
    state = observe(state, RULE, reading(risk=1.0))
    assert state.budget == 0.02 and state.waits == 2
    for _ in range(2):
        state = observe(state, RULE, reading(0.5))
    assert state.phase is Phase.WATCHING and state.budget == 0.02
    assert observe(state, RULE, reading(0.5)).budget == 0.02
    assert observe(state, RULE, reading(0.6)).budget == 0.025


def test_a_raise_reaches_production_by_promotion_alone():
    state = observe(start_budget(BASE, 0.05), RULE, reading(0.5))
    assert state.promoted == 0
    assert promoted_to(state, state.budget).promoted == state.budget
    with pytest.raises(BudgetError, match=r"ᾱ 0\.3 was never trained with"):
        promoted_to(state, 0.3)


def test_nothing_more_is_promoted_while_cooling():
    state = promoted_to(start_budget(BASE, 0.4), 0.1)
    cooling = observe(state, RULE, reading(risk=1.0))
    assert promoted_to(cooling, 0.05).promoted == 0.05
    with pytest.raises(BudgetError, match="wait for 2 more good readings"):
        promoted_to(cooling, 0.15)


def test_the_state_survives_json():
    state = observe(start_budget(BASE, 0.08), RULE, reading(risk=1.0))
    assert budget_from_json(json.loads(json.dumps(budget_to_json(state)))) == state
    with pytest.raises(BudgetError, match="no state of a controller"):
        budget_from_json({"budget": 0.1})


@pytest.mark.parametrize("bad", [{"raise_by": 1.0}, {"ceiling": 0.0}, {"risk_margin": NAN}])
def test_bad_rules_are_refused(bad):
    with pytest.raises(BudgetError, match="alpha budget: rule"):
        BudgetRule(**bad)
