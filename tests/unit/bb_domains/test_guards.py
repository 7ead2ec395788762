"""Guards: parsed into a tree, evaluated without Python's eval."""

from __future__ import annotations

from typing import Any

import pytest

from bb_domains.errors import ConditionError
from bb_domains.guards import holds, parse_guard

VALUES: dict[str, Any] = {
    "amount": 25.5,
    "order": {"total": 30, "status": "open", "flags": {"vip": True, "count": 1}, "note": None},
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("amount <= order.total", True),
        ("args.amount > order.total", False),
        ("amount == 25.5", True),
        ("amount != 25.5", False),
        ("-3 < amount", True),
        ('order.status == "open" & amount >= 25.5', True),
        ('order.status == "paid" | amount < 30', True),
        ('!(order.status == "paid" | amount < 30)', False),
        ('amount < 1 | amount < 2 & order.status == "open"', False),
        ("order.flags.vip == true", True),
        ("order.flags.count == true", False),
        ("order.note == null", True),
        ('order.status < "p"', True),
    ],
)
def test_values(text: str, expected: bool) -> None:
    assert holds(parse_guard(text, ["amount", "order"], "g"), VALUES) is expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("amount <", "g: column 9: expected a number, a string or an argument"),
        ("amount", "g: column 7: expected one of <= < >= > == !="),
        ("(amount < 3", r"expected \)"),
        ("amount < 3 order", "column 12: expected the end instead of 'order'"),
        ("total < 3", "'total' is no argument; arguments are amount, order"),
        ("amount ~ 3", "column 8: expected one of .* instead of '~'"),
        ("args < 3", "'args' is no argument"),
        ("__import__('os') == 1", "'__import__' is no argument"),
        ('amount == "\\q"', "expected JSON"),
        ("(" * 500, "has 500 characters; use at most 400"),
        ("", "column 1: expected a number"),
    ],
)
def test_what_does_not_parse_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConditionError, match=message):
        parse_guard(text, ["amount", "order"], "g")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("amount <= order.price", "there is no order.price"),
        ("amount.x == 1", "there is no amount.x"),
        ("order.status <= 3", "'open' and 3 have no order"),
        ("order.flags.vip > 0", "True and 0 have no order"),
    ],
)
def test_what_cannot_be_evaluated_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConditionError, match=message):
        holds(parse_guard(text, ["amount", "order"], "g"), VALUES)


def test_deep_nesting_within_the_limit_works() -> None:
    text = "(" * 150 + "amount < 30" + ")" * 150
    assert holds(parse_guard(text, ["amount"], "g"), VALUES)
