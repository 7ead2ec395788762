"""Keywords of numbers and strings, and sizes of arrays and objects."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from bb_domains.json_schema.clauses import Arrays, Numbers, Objects, Strings
from bb_domains.json_schema.formats import NUMBER_FORMATS, PLAIN_FORMATS, STRING_FORMATS
from bb_domains.json_schema.formulas import FALSE, TRUE, AnyOf, Formula, Is, Keyword, Place


def bound(keyword: str) -> Keyword:
    """The keyword that bounds a number, a length or a size from one side."""

    def formula(place: Place, value: Any, sign: bool) -> Formula:
        if isinstance(value, bool):  # draft 4: a flag beside the bound
            return TRUE if sign else FALSE
        number = Fraction(str(value))
        is_open = keyword.startswith("exclusive") or (
            place.schema.get("exclusive" + keyword.capitalize()) is True
        )
        if keyword.lower().endswith("minimum"):
            return Is(Numbers(number, is_open) if sign else _below(number, not is_open))
        return Is(_below(number, is_open) if sign else Numbers(number, not is_open))

    return formula


def _below(number: Fraction, is_open: bool) -> Numbers:
    return Numbers(high=number, high_open=is_open)


def multiple_of(place: Place, value: Any, sign: bool) -> Formula:
    """`multipleOf`; its failing is sayable only for whole numbers: not an integer."""
    number = Fraction(str(value))
    if sign:
        return Is(Numbers(multiples=(number,)))
    if number == 1:
        return Is(Numbers(integral=False))
    raise place.refuse("multipleOf", "cannot be negated")


_SIZED: dict[str, Any] = {"string": Strings, "array": Arrays, "object": Objects}


def size(is_least: bool) -> Keyword:
    """`minLength` and its like."""

    def formula(place: Place, value: Any, sign: bool) -> Formula:
        made, number = _SIZED[place.kind], int(value)
        if is_least == sign:
            number += not sign
            return Is(made(least=number))
        number -= not sign
        return Is(made(most=number)) if number >= 0 else FALSE

    return formula


def pattern(place: Place, value: Any, sign: bool) -> Formula:
    """`pattern`."""
    named = (("pattern", value),)
    return Is(Strings(must=named) if sign else Strings(must_not=named))


def format_(place: Place, value: Any, sign: bool) -> Formula:
    """`format`, as an assertion."""
    if value in NUMBER_FORMATS:
        limits = NUMBER_FORMATS[value] if place.kind == "number" else None
        if limits is None:
            return TRUE if sign else FALSE
        low, high = map(Fraction, limits)
        if sign:
            return Is(Numbers(low, False, high, False))
        return AnyOf((Is(_below(low, True)), Is(Numbers(high, True))))
    if value in PLAIN_FORMATS:
        return TRUE if sign else FALSE
    if value in STRING_FORMATS:
        if place.kind != "string":
            return TRUE if sign else FALSE
        named = (("format", value),)
        return Is(Strings(must=named) if sign else Strings(must_not=named))
    if place.unknown_formats == "annotate" and sign:
        return TRUE
    raise place.refuse(
        "format", f"names {value!r}, which is unknown", "use a format of the standard or a pattern"
    )
