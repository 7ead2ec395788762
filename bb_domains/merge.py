"""Merging JSON Schemas that must hold together (`allOf`, or keywords beside `anyOf`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bb_domains.errors import LowerError

ANNOTATIONS = frozenset(
    {
        "title",
        "description",
        "default",
        "example",
        "examples",
        "deprecated",
        "externalDocs",
        "xml",
        "discriminator",
        "readOnly",
        "writeOnly",
        "contentMediaType",
        "contentEncoding",
        "$comment",
        "$schema",
    }
)
"""Keywords that say nothing about which values are valid; they are dropped. So is every `x-…`."""

_LARGER = ("minimum", "exclusiveMinimum", "minLength", "minItems")
_SMALLER = ("maximum", "exclusiveMaximum", "maxLength", "maxItems")


def is_annotation(keyword: str) -> bool:
    """Whether a keyword never makes a value invalid."""
    return keyword in ANNOTATIONS or keyword.startswith("x-")


def merge_all(schema: Mapping[str, Any], pointer: str) -> dict[str, Any]:
    """Return an equal schema without `allOf` at its root.

    Raises:
        LowerError: two parts cannot be merged; names the JSON pointer and the keyword.
    """
    merged = {k: v for k, v in schema.items() if k != "allOf"}
    for i, part in enumerate(schema.get("allOf", ())):
        where = f"{pointer}/allOf/{i}"
        if not isinstance(part, Mapping):
            raise LowerError("is no schema", where=where, fix="write a mapping")
        merged = merge(merged, merge_all(part, where), where)
    return merged


def merge(first: Mapping[str, Any], second: Mapping[str, Any], pointer: str) -> dict[str, Any]:
    """Return the schema of the values that are valid under both.

    Raises:
        LowerError: the two contradict each other, or a keyword cannot be merged.
    """
    merged = dict(first)
    _check_closed(first, second, pointer)
    for keyword, value in second.items():
        if keyword not in merged or merged[keyword] == value or is_annotation(keyword):
            merged.setdefault(keyword, value)
        else:
            merged[keyword] = _both(keyword, merged[keyword], value, f"{pointer}/{keyword}")
    return merged


def _both(keyword: str, one: Any, two: Any, pointer: str) -> Any:
    """Return the value of `keyword` that means `one` and `two` together."""
    if keyword in _LARGER:
        return max(one, two)
    if keyword in _SMALLER:
        return min(one, two)
    if keyword == "required":
        return list(dict.fromkeys([*one, *two]))
    if keyword == "properties":
        return _merge_properties(one, two, pointer)
    if keyword == "items":
        return merge(one, two, pointer)
    if keyword == "enum":
        return _common([v for v in one if v in two], keyword, pointer)
    if keyword == "type":
        return _common_type(one, two, pointer)
    if keyword == "additionalProperties" and False in (one, two):
        return False
    raise LowerError(
        f"{keyword!r} is given twice with different values",
        where=pointer,
        fix="write the merged schema out in the overlay",
    )


def _merge_properties(
    one: Mapping[str, Any], two: Mapping[str, Any], pointer: str
) -> dict[str, Any]:
    merged = dict(one)
    for name, schema in two.items():
        merged[name] = merge(one[name], schema, f"{pointer}/{name}") if name in one else schema
    return merged


def _common_type(one: Any, two: Any, pointer: str) -> Any:
    first = [one] if isinstance(one, str) else list(one)
    second = [two] if isinstance(two, str) else list(two)
    if "number" in first and "integer" in second:
        first.append("integer")
    if "integer" in first and "number" in second:
        second.append("integer")
    common = _common([t for t in dict.fromkeys(first) if t in second], "type", pointer)
    return common[0] if len(common) == 1 else common


def _common(values: list[Any], keyword: str, pointer: str) -> list[Any]:
    if not values:
        raise LowerError(
            f"no value satisfies both {keyword!r}", where=pointer, fix="drop one of the two"
        )
    return values


def _check_closed(first: Mapping[str, Any], second: Mapping[str, Any], pointer: str) -> None:
    """Refuse to merge an object closed by `additionalProperties: false` with one that has more."""
    for closed, other in ((first, second), (second, first)):
        if closed.get("additionalProperties", True) is False:
            declared = closed.get("properties", {})
            extra = [name for name in other.get("properties", {}) if name not in declared]
            if extra:
                raise LowerError(
                    f"property {extra[0]!r} is forbidden by additionalProperties of the other part",
                    where=pointer,
                    fix="drop additionalProperties: false, or the property",
                )
