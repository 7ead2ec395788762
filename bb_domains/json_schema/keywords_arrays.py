"""Keywords of arrays."""

from __future__ import annotations

from typing import Any

from bb_domains.json_schema.clauses import Arrays, Count, Span
from bb_domains.json_schema.formulas import FALSE, TRUE, AllOf, AnyOf, Formula, Is, Place


def items(place: Place, value: Any, sign: bool) -> Formula:
    """`items`, which is a list of prefixes in older drafts."""
    if isinstance(value, list):
        return prefix_items(place, value, sign, "items")
    start = len(place.schema.get("prefixItems", ()))
    return _rest(place, "items", start, value, sign)


def additional_items(place: Place, value: Any, sign: bool) -> Formula:
    """`additionalItems`, which speaks only beside a list of `items`."""
    prefixes = place.schema.get("items")
    if not isinstance(prefixes, list):
        return TRUE if sign else FALSE
    return _rest(place, "additionalItems", len(prefixes), value, sign)


def _rest(place: Place, keyword: str, start: int, value: Any, sign: bool) -> Formula:
    node = place.node(keyword, value, sign)
    if sign:
        return Is(Arrays(spans=(Span(start, None, node),)))
    return Is(Arrays(least=start + 1, counts=(Count(start, node, 1, None),)))


def prefix_items(place: Place, value: Any, sign: bool, keyword: str = "prefixItems") -> Formula:
    """`prefixItems`."""
    found = []
    for i, schema in enumerate(value):
        span = Span(i, i + 1, place.node(f"{keyword}/{i}", schema, sign))
        found.append(Is(Arrays(least=0 if sign else i + 1, spans=(span,))))
    return (AllOf if sign else AnyOf)(tuple(found))


def contains(place: Place, value: Any, sign: bool) -> Formula:
    """`contains` with `minContains` and `maxContains`."""
    least = int(place.schema.get("minContains", 1))
    most = place.schema.get("maxContains")
    most = None if most is None else int(most)
    node = place.node("contains", value)

    def counted(low: int, high: int | None) -> Formula:
        if high == 0:
            fails = place.node("contains", value, False)
            return Is(Arrays(spans=(Span(0, None, fails),)))
        return Is(Arrays(least=low, counts=(Count(0, node, low, high),)))

    if sign:
        return TRUE if (least, most) == (0, None) else counted(least, most)
    fewer = (counted(0, least - 1),) if least else ()
    more = () if most is None else (counted(most + 1, None),)
    return AnyOf((*fewer, *more))


def unique_items(place: Place, value: Any, sign: bool) -> Formula:
    """`uniqueItems`."""
    if not value:
        return TRUE if sign else FALSE
    if sign:
        return Is(Arrays(unique=True))
    raise place.refuse("uniqueItems", "cannot be negated")
