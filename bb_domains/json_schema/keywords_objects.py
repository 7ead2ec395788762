"""Keywords of objects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bb_domains.json_schema.clauses import ANY, Keys, Node, Objects
from bb_domains.json_schema.formulas import AllOf, AnyOf, Formula, Holds, Is, Keyword, Place


def properties(place: Place, value: Any, sign: bool) -> Formula:
    """`properties`."""
    if not isinstance(value, Mapping):
        raise place.refuse("properties", "is no mapping")
    found: list[Formula] = []
    for name, schema in value.items():
        node = place.node(f"properties/{name}", schema, sign)
        here = ((Keys(only=(name,)), node),)
        present = () if sign else ((name, True),)
        found.append(Is(Objects(present=present, every=here)))
    return (AllOf if sign else AnyOf)(tuple(found))


def _members(keys: Keys, node: Node, sign: bool) -> Formula:
    """All members in a class of keys satisfy a node, or some member there does."""
    if sign:
        return Is(Objects(every=((keys, node),)))
    return Is(Objects(least=1, some=((keys, node),)))


def pattern_properties(place: Place, value: Any, sign: bool) -> Formula:
    """`patternProperties`."""
    found = tuple(
        _members(Keys(matching=(p,)), place.node(f"patternProperties/{p}", s, sign), sign)
        for p, s in value.items()
    )
    return (AllOf if sign else AnyOf)(found)


def additional_properties(
    place: Place, value: Any, sign: bool, keyword: str = "additionalProperties"
) -> Formula:
    """`additionalProperties`."""
    keys = Keys(
        excluded=frozenset(place.schema.get("properties", ())),
        failing=tuple(place.schema.get("patternProperties", ())),
    )
    return _members(keys, place.node(keyword, value, sign), sign)


def property_names(place: Place, value: Any, sign: bool) -> Formula:
    """`propertyNames`: no member has a name that fails, or some member has."""
    fails = Keys(node=place.node("propertyNames", value, False))
    if sign:
        return Is(Objects(every=((fails, ((0, True),)),)))
    return Is(Objects(least=1, some=((fails, ANY),)))


def required(place: Place, value: Any, sign: bool) -> Formula:
    """`required`."""
    if not isinstance(value, list):
        raise place.refuse("required", "is no list", "list the names beside 'properties'")
    return (AllOf if sign else AnyOf)(tuple(Is(Objects(present=((name, sign),))) for name in value))


def dependencies(keyword: str) -> Keyword:
    """`dependentRequired`, `dependentSchemas`, and `dependencies`, which may be either."""

    def formula(place: Place, value: Any, sign: bool) -> Formula:
        found: list[Formula] = []
        for name, wanted in value.items():
            there = Is(Objects(present=((name, True),)))
            if isinstance(wanted, list):
                then: Formula = (AllOf if sign else AnyOf)(
                    tuple(Is(Objects(present=((other, sign),))) for other in wanted)
                )
            else:
                then = Holds(place.part(f"{keyword}/{name}", wanted, sign))
            if sign:
                absent = Is(Objects(present=((name, False),)))
                found.append(AnyOf((absent, AllOf((there, then)))))
            else:
                found.append(AllOf((there, then)))
        return (AllOf if sign else AnyOf)(tuple(found))

    return formula
