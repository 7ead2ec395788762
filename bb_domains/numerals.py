"""Numbers in plan texts: their one canonical form, and the terminals of their JSON Schemas.

Integers are written plainly; decimals have at most two places and no trailing zero (`ranges`), so
an integral amount is `40`, never `40.0`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from bb_domains.bounds import Bounds
from bb_domains.errors import LowerError
from bb_domains.ranges import hundredths_pattern, integer_pattern
from bb_domains.rules import Lit, Rule, Rx, alt

NUMBER_FORMATS: Mapping[str, float] = {
    "int32": 2.0**31,
    "int64": 2.0**63,
    "float": math.inf,
    "double": math.inf,
    "decimal": math.inf,
}
"""Formats of numbers, with the bound on absolute values that each implies."""

_MOST_LISTED = 1000
_MOST_DIGITS = 15


def value_text(value: Any) -> str:
    """Return the one text of a JSON value in a plan."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def hundredths_text(value: int) -> str:
    """The one text of `value` / 100: `40`, `25.5`, `25.05`."""
    whole, rest = divmod(abs(value), 100)
    fraction = "" if rest == 0 else f".{rest // 10}" if rest % 10 == 0 else f".{rest:02d}"
    return f"{'-' if value < 0 else ''}{whole}{fraction}"


def integer_rule(schema: Mapping[str, Any], bounds: Bounds, pointer: str) -> Rule:
    """The integers that a schema allows.

    Raises:
        LowerError: it allows none, or its `multipleOf` or format is not supported.
    """
    stride = _stride(schema, 1, pointer)
    low, high = _range(schema, bounds, 1, pointer)
    return _integers(low, high) if stride == 1 else _listed(low, high, stride, 1, pointer)


def number_rule(schema: Mapping[str, Any], bounds: Bounds, pointer: str) -> Rule:
    """The numbers with at most two decimals that a schema allows.

    Raises:
        LowerError: it allows none, or its `multipleOf` or format is not supported.
    """
    stride = _stride(schema, 100, pointer) if "multipleOf" in schema else 1
    low, high = _range(schema, bounds, 100, pointer)
    if stride == 1:
        least, most = _lengths(low, high, 100)
        return Rx("NUMBER", hundredths_pattern(low, high), least, most, high - low + 1)
    if stride == 100 and -(-low // 100) <= high // 100:
        return _integers(-(-low // 100), high // 100)
    return _listed(low, high, stride, 100, pointer)


def _integers(low: int, high: int) -> Rx:
    least, most = _lengths(low, high, 1)
    return Rx("INT", integer_pattern(low, high), least, most, high - low + 1)


def _stride(schema: Mapping[str, Any], scale: int, pointer: str) -> int:
    """`multipleOf` times `scale`."""
    stride = Decimal(str(schema.get("multipleOf", 1))) * scale
    if stride != int(stride) or stride < 1:
        raise LowerError(
            f"multipleOf {schema['multipleOf']} is not supported",
            where=f"{pointer}/multipleOf",
            fix="use a whole number" if scale == 1 else "use a multiple of 0.01",
        )
    return int(stride)


def _range(schema: Mapping[str, Any], bounds: Bounds, scale: int, pointer: str) -> tuple[int, int]:
    """The smallest and largest value times `scale`, both included."""
    form = schema.get("format")
    if form is not None and form not in NUMBER_FORMATS:
        raise LowerError(
            f"format {form!r} is not supported",
            where=f"{pointer}/format",
            fix=f"use {', '.join(NUMBER_FORMATS)} or drop it in the overlay",
        )
    widest = 10**bounds.max_digits * scale - 1
    low = _limit(schema, "minimum", "exclusiveMinimum", scale)
    high = _limit(schema, "maximum", "exclusiveMaximum", scale)
    if low is None:
        low = -widest if high is None else min(-widest, high)
    if high is None:
        high = max(widest, low)
    size = NUMBER_FORMATS[form] if form else math.inf
    if size != math.inf:
        low, high = max(low, -int(size) * scale), min(high, (int(size) - 1) * scale)
    if low > high:
        raise LowerError("allows no number", where=pointer or "/", fix="mend minimum and maximum")
    if max(abs(low), abs(high)) >= scale * 10**_MOST_DIGITS:
        raise LowerError(
            f"allows numbers of more than {_MOST_DIGITS} digits",
            where=pointer or "/",
            fix="narrow minimum and maximum in the overlay",
        )
    return low, high


def _limit(schema: Mapping[str, Any], closed: str, opened: str, scale: int) -> int | None:
    """One end of a range times `scale`, rounded into the range; None if the schema has none."""
    is_low = closed == "minimum"
    found: list[int] = []
    for keyword in (closed, opened):
        if keyword in schema:
            exact = Decimal(str(schema[keyword])) * scale
            whole = int(exact.to_integral_value("ROUND_CEILING" if is_low else "ROUND_FLOOR"))
            if keyword == opened and whole == exact:
                whole += 1 if is_low else -1
            found.append(whole)
    if not found:
        return None
    return max(found) if is_low else min(found)


def _lengths(low: int, high: int, scale: int) -> tuple[int, int]:
    """Bounds on the bytes of the numbers low/scale .. high/scale."""
    decimals = 3 if scale == 100 and high != low else 0
    longest = max(len(hundredths_text(n) if scale == 100 else str(n)) for n in (low, high))
    whole = max(len(str(abs(n) // scale)) + (n < 0) for n in (low, high))
    if low <= 0 <= high:
        return 1, max(longest, whole + decimals)
    near = min(abs(low), abs(high))
    return len(str(near // scale)) + (high < 0), max(longest, whole + decimals)


def _listed(low: int, high: int, stride: int, scale: int, pointer: str) -> Rule:
    first, last = -(-low // stride), high // stride
    if first > last or last - first >= _MOST_LISTED:
        raise LowerError(
            f"allows {max(0, last - first + 1)} numbers",
            where=f"{pointer}/multipleOf",
            fix=f"narrow minimum and maximum until there are 1 to {_MOST_LISTED}",
        )
    numbers = [n * stride for n in range(first, last + 1)]
    texts = [hundredths_text(n) if scale == 100 else str(n) for n in numbers]
    return alt(*(Lit(t) for t in sorted(texts, key=len, reverse=True)))
