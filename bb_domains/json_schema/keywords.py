"""Each keyword as a formula over clauses and literals, for one kind of value and either sign.

A keyword that fails is a formula too, so `not` needs no case of its own: it is pushed down to the
keywords [after Attouche et al., "Witness Generation for JSON Schema", VLDB 15(13), 2022].
"""

from __future__ import annotations

from typing import Any

from bb_domains.json_schema import keywords_arrays as arrays
from bb_domains.json_schema import keywords_logic as logic
from bb_domains.json_schema import keywords_objects as objects
from bb_domains.json_schema import keywords_scalars as scalars
from bb_domains.json_schema.formulas import FALSE, TRUE, AllOf, AnyOf, Formula, Keyword, Place


def unevaluated(keyword: str, like: Keyword, beside: frozenset[str]) -> Keyword:
    """`unevaluatedItems` and `unevaluatedProperties` where nothing beside them evaluates more."""

    def formula(place: Place, value: Any, sign: bool) -> Formula:
        if value is True or value == {}:
            return TRUE if sign else FALSE
        others = beside & set(place.schema)
        if others:
            raise place.refuse(keyword, f"beside {sorted(others)[0]!r} is not supported")
        return like(place, value, sign)

    return formula


_IN_PLACE = frozenset(
    {"allOf", "anyOf", "oneOf", "not", "if", "$ref", "$dynamicRef", "$recursiveRef"}
)

LOGIC: dict[str, Keyword] = {
    "$ref": logic.ref,
    "$dynamicRef": logic.dynamic_ref,
    "$recursiveRef": logic.recursive_ref,
    "allOf": logic.all_of,
    "anyOf": logic.any_of,
    "oneOf": logic.one_of,
    "not": logic.not_,
    "if": logic.if_,
    "type": logic.type_,
    "enum": logic.enum,
    "const": logic.const,
}
BY_KIND: dict[str, dict[str, Keyword]] = {
    "null": {},
    "boolean": {},
    "number": {
        **{
            k: scalars.bound(k)
            for k in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
        },
        "multipleOf": scalars.multiple_of,
        "format": scalars.format_,
    },
    "string": {
        "minLength": scalars.size(True),
        "maxLength": scalars.size(False),
        "pattern": scalars.pattern,
        "format": scalars.format_,
    },
    "array": {
        "minItems": scalars.size(True),
        "maxItems": scalars.size(False),
        "prefixItems": arrays.prefix_items,
        "items": arrays.items,
        "additionalItems": arrays.additional_items,
        "contains": arrays.contains,
        "uniqueItems": arrays.unique_items,
        "unevaluatedItems": unevaluated(
            "unevaluatedItems",
            lambda p, v, s: arrays.items(p, v, s),
            _IN_PLACE | {"items", "contains"},
        ),
    },
    "object": {
        "minProperties": scalars.size(True),
        "maxProperties": scalars.size(False),
        "properties": objects.properties,
        "patternProperties": objects.pattern_properties,
        "additionalProperties": objects.additional_properties,
        "propertyNames": objects.property_names,
        "required": objects.required,
        "dependencies": objects.dependencies("dependencies"),
        "dependentRequired": objects.dependencies("dependentRequired"),
        "dependentSchemas": objects.dependencies("dependentSchemas"),
        "unevaluatedProperties": unevaluated(
            "unevaluatedProperties",
            lambda p, v, s: objects.additional_properties(p, v, s, "unevaluatedProperties"),
            _IN_PLACE | {"dependentSchemas", "additionalProperties"},
        ),
    },
}
"""What each keyword means to values of each kind; to other kinds it means nothing."""


def schema_formula(place: Place, sign: bool) -> Formula:
    """The formula of a whole schema: all its keywords, in order of appearance."""
    schema = place.entry.schema
    if isinstance(schema, bool):
        return TRUE if schema == sign else FALSE
    parts = []
    for keyword, value in schema.items():
        meaning = LOGIC.get(keyword) or BY_KIND[place.kind].get(keyword)
        if meaning is not None:
            parts.append(meaning(place, value, sign))
    return (AllOf if sign else AnyOf)(tuple(parts))
