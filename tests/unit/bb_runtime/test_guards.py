"""Guards and what they compare."""

from __future__ import annotations

import pytest

from bb_core.errors import BBError
from bb_core.plan import Step
from bb_runtime.guards import check_guard, parse_guard

STEP = Step("c", "refund", {"order": "$b.id", "amount": 12.5, "reason": "late"})
RESULTS = {"b": {"id": "o1", "total": 12.5, "status": "open", "city": {"name": "Bonn"}, "n": "7"}}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("amount <= order.total", True),
        ("amount < order.total", False),
        ("amount>=12.5", True),
        ("order.status != \"cancelled\"", True),
        ("order.status == \"cancelled\"", False),
        ("order.city.name == \"Bonn\"", True),
        ("reason == \"late\"", True),
        ("-1 < amount", True),
        ("amount <= order.missing", False),
        ("amount != order.missing", False),
        ("missing == missing", False),
        ("amount <= order.n", False),
        ("amount != order.status", False),
        ("reason.total == reason.total", False),
        ("order.city == order.city", False),
    ],
)  # fmt: skip
def test_guards(text, holds):
    assert check_guard(parse_guard(text, "t"), STEP, RESULTS).holds is holds


def test_a_fact_of_a_step_that_has_not_run_is_not_known():
    found = check_guard(parse_guard("amount <= order.total", "t"), STEP, {})
    assert not found.holds and found.left == 12.5 and found.right is None


@pytest.mark.parametrize("text", ["", "amount", "a < b < c", "amount = 3", "a() < 1", "x <= $b.id"])
def test_other_texts_are_no_guards(text):
    with pytest.raises(BBError, match=r"tool x: .* is no guard; write one comparison"):
        parse_guard(text, "tool x")
