"""Risk components of single requests."""

from __future__ import annotations

import numpy as np
import pytest

from bb_core.lyapunov import Risk
from bb_safety.eprocess import EvidenceError
from bb_safety.risk import (
    COMPONENTS,
    Change,
    PlanOutcome,
    request_risk,
    risk_columns,
    weighted_risk,
    world_changes,
)

BEFORE = {"orders": {"1042": {"status": "paid", "total": 25.5}}, "clock": 1}
REFUNDED = {"orders": {"1042": {"status": "refunded", "total": 25.5}}, "clock": 2}
REFERENCE = world_changes(BEFORE, REFUNDED, ignore=["clock"])


def test_changes_name_the_leaf_and_both_values() -> None:
    assert list(REFERENCE) == [Change("/orders/1042/status", '"paid"', '"refunded"')]


def test_changes_see_what_appears_and_disappears() -> None:
    found = world_changes({"a": {"x/y": 1}, "gone": []}, {"a": {"x/y": 1, "m~n": {}}})
    assert found == {Change("/a/m~0n", None, "{}"), Change("/gone", "[]", None)}


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (PlanOutcome(finished=False), {"unfinished"}),
        (PlanOutcome(finished=True), {"refused"}),
        (PlanOutcome(finished=True, admitted=True, changes=REFERENCE), set()),
        (PlanOutcome(finished=True, admitted=True), {"wrong_effect"}),
        (
            PlanOutcome(
                finished=True,
                admitted=True,
                changes=world_changes(BEFORE, {"orders": {}}, ignore=["clock"]),
            ),
            {"wrong_effect"},
        ),
    ],
)
def test_each_outcome_has_its_component(outcome: PlanOutcome, expected: set[str]) -> None:
    risk = request_risk(outcome, REFERENCE)
    assert {name for name, value in risk.items() if value == 1.0} == expected
    assert set(risk) == set(COMPONENTS)


def test_doing_nothing_is_right_when_the_reference_does_nothing() -> None:
    outcome = PlanOutcome(finished=True, admitted=True)
    assert request_risk(outcome, frozenset())["wrong_effect"] == 0.0


@pytest.mark.parametrize(
    "impossible",
    [
        {"finished": False, "admitted": True},
        {"finished": True, "admitted": False, "changes": REFERENCE},
    ],
)
def test_effects_without_an_admitted_plan_cannot_be_stated(impossible: dict) -> None:
    with pytest.raises(EvidenceError, match="only an admitted plan is run"):
        PlanOutcome(**impossible)


def test_the_weighted_risk_is_the_weighted_sum() -> None:
    rows = [
        request_risk(PlanOutcome(finished=False), REFERENCE),
        request_risk(PlanOutcome(finished=True), REFERENCE),
        request_risk(PlanOutcome(finished=True, admitted=True), REFERENCE),
        request_risk(PlanOutcome(finished=True, admitted=True, changes=REFERENCE), REFERENCE),
    ]
    risks = [Risk("refused", 0.3), Risk("wrong_effect", 0.6), Risk("unfinished", 0.1)]
    np.testing.assert_allclose(weighted_risk(risk_columns(rows), risks), [0.1, 0.3, 0.6, 0.0])


def test_other_components_than_declared_are_refused() -> None:
    with pytest.raises(EvidenceError, match=r"risks measured \['leak'\], risks declared"):
        weighted_risk({"leak": np.zeros(3)}, [Risk("refused", 1.0)])
