"""Lowering: JSON Schema to bounded rules whose texts are exactly valid, canonical JSON.

Every text of a lowered rule parses, validates against the schema it came from, and is what
`json.dumps(value, separators=(",", ":"), ensure_ascii=True)` writes for its value. The converse
holds within the profile: strings are printable ASCII and bounded (`strings`), numbers have at most
two decimals and a bounded range (`numerals`), objects have their declared properties in declared
order and no others, arrays are bounded.

What a schema says beyond that is refused by name with its JSON pointer. Dropped are only the
annotations listed in `merge.ANNOTATIONS`, the formats in `strings.PLAIN_FORMATS` and
`numerals.NUMBER_FORMATS`, and `additionalProperties`, since no additional property is ever written.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bb_core.plan import references
from bb_domains.bounds import Bounds
from bb_domains.errors import LowerError
from bb_domains.merge import is_annotation, merge, merge_all
from bb_domains.numerals import integer_rule, number_rule, value_text
from bb_domains.rules import Lit, Opt, Rule, alt, seq
from bb_domains.strings import FORMATS, LEAST_EMAIL, PLAIN_FORMATS, email_terminal, string_terminal
from bb_domains.validate import is_valid

_KEYWORDS: dict[str, frozenset[str]] = {
    "object": frozenset({"properties", "required", "additionalProperties"}),
    "array": frozenset({"items", "minItems", "maxItems"}),
    "string": frozenset({"minLength", "maxLength", "format"}),
    "number": frozenset(
        {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "format"}
    ),
    "boolean": frozenset(),
    "null": frozenset(),
}
_KEYWORDS["integer"] = _KEYWORDS["number"]
_LOGIC = frozenset({"type", "enum", "const", "anyOf", "oneOf", "allOf"})
_KNOWN = _LOGIC.union(*_KEYWORDS.values())
_MOST_LENGTH = 512


def lower(schema: Any, bounds: Bounds, pointer: str = "") -> Rule:
    """Lower one JSON Schema.

    Args:
        schema: the schema; references must have been resolved.
        bounds: how long texts may get.
        pointer: JSON pointer of the schema, for messages.

    Raises:
        LowerError: the schema says something the rules cannot keep, or allows no value.
    """
    if schema is False or not isinstance(schema, Mapping):
        raise LowerError(f"{schema!r} is no schema to write values for", where=pointer or "/")
    flat = {k: v for k, v in merge_all(schema, pointer).items() if not is_annotation(k)}
    for keyword in flat:
        if keyword not in _KNOWN:
            raise LowerError(
                f"keyword {keyword!r} is not supported",
                where=f"{pointer}/{keyword}",
                fix="narrow the schema in the overlay with keywords that are",
            )
    if "enum" in flat or "const" in flat:
        return _literals(flat, pointer)
    for keyword in ("anyOf", "oneOf"):
        if keyword in flat:
            return _alternatives(flat, keyword, bounds, pointer)
    kind = _kind(flat, pointer)
    if isinstance(kind, list):
        return alt(*(lower(_only(flat, one), bounds, pointer) for one in kind))
    return _LOWERINGS[kind](_only(flat, kind), bounds, pointer)


def _kind(schema: Mapping[str, Any], pointer: str) -> str | list[str]:
    """Return the type or types of a schema, deduced from its keywords where it names none."""
    kind = schema.get("type")
    if kind is None:
        if "properties" in schema:
            return "object"
        if "items" in schema:
            return "array"
        raise LowerError("has no type", where=pointer or "/", fix="declare one in the overlay")
    for one in [kind] if isinstance(kind, str) else kind:
        if one not in _KEYWORDS:
            raise LowerError(
                f"unknown type {one!r}", where=f"{pointer}/type", fix=f"use {', '.join(_KEYWORDS)}"
            )
    if isinstance(kind, str):
        return kind
    if "number" in kind and "integer" in kind:
        kind = [one for one in kind if one != "integer"]
    return kind[0] if len(kind) == 1 else list(kind)


def _only(schema: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """The part of a schema that speaks about values of one type; the rest is true of them."""
    kept = {k: v for k, v in schema.items() if k in _KEYWORDS[kind]}
    return {"type": kind, **kept}


def _literals(schema: Mapping[str, Any], pointer: str) -> Rule:
    """Lower `enum` and `const`: the listed values that the other keywords allow."""
    listed = schema["enum"] if "enum" in schema else [schema["const"]]
    values = [v for v in listed if is_valid(v, schema)]
    if not values:
        raise LowerError("allows no value", where=pointer or "/", fix="mend enum or its type")
    if references(values):
        raise LowerError(
            f"value {references(values)[0]} looks like a reference",
            where=pointer or "/",
            fix="drop it from the enum in the overlay",
        )
    # Longest first: as in every alternative of ours, no text may hide a longer one.
    return alt(*(Lit(t) for t in sorted(map(value_text, values), key=len, reverse=True)))


def _alternatives(schema: Mapping[str, Any], keyword: str, bounds: Bounds, pointer: str) -> Rule:
    rest = {k: v for k, v in schema.items() if k != keyword}
    parts = [
        merge(rest, merge_all(part, f"{pointer}/{keyword}/{i}"), f"{pointer}/{keyword}/{i}")
        for i, part in enumerate(schema[keyword])
    ]
    for j, second in enumerate(parts):
        for i, first in enumerate(parts[:j]):
            if not _disjoint(first, second):
                raise LowerError(
                    f"alternatives {i} and {j} are not told apart by type or const",
                    where=f"{pointer}/{keyword}",
                    fix="keep one of them in the overlay",
                )
    return alt(*(lower(p, bounds, f"{pointer}/{keyword}/{i}") for i, p in enumerate(parts)))


def _disjoint(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    """Whether no value can be valid under both, as far as types and constants tell."""
    one, two = _listed(first), _listed(second)
    if one is not None and two is not None:
        return not set(map(value_text, one)) & set(map(value_text, two))
    if one is not None or two is not None:
        listed, other = (one, second) if one is not None else (two, first)
        return not any(is_valid(value, other) for value in listed or ())
    if not _types(first) & _types(second):
        return True
    if _types(first) & _types(second) != {"object"}:
        return False
    shared = [
        name
        for name in first.get("required", ())
        if name in second.get("required", ())
        and name in first.get("properties", {})
        and name in second.get("properties", {})
    ]
    return any(_disjoint(first["properties"][name], second["properties"][name]) for name in shared)


def _listed(schema: Mapping[str, Any]) -> Sequence[Any] | None:
    if "const" in schema:
        return [schema["const"]]
    return schema.get("enum")


def _types(schema: Mapping[str, Any]) -> set[str]:
    kind = schema.get("type")
    if kind is None:
        kind = "object" if "properties" in schema else "array" if "items" in schema else None
    if kind is None:
        return set(_KEYWORDS) - {"integer"}
    found = {kind} if isinstance(kind, str) else set(kind)
    return {"number" if one == "integer" else one for one in found}


def lower_object(
    schema: Mapping[str, Any], bounds: Bounds, pointer: str, given: Mapping[str, Rule] | None = None
) -> Rule:
    """Lower an object; `given` are rules for properties whose schema is not to be lowered.

    Raises:
        LowerError: a required property is not declared, or a property cannot be lowered.
    """
    properties = schema.get("properties", {})
    required = set(schema.get("required", ()))
    for name in schema.get("required", ()):
        if name not in properties:
            raise LowerError(
                f"required property {name!r} is not declared",
                where=f"{pointer}/required",
                fix="declare it under properties",
            )
    rules: list[tuple[bool, Rule]] = []
    for name, part in properties.items():
        if name in required or bounds.optional:
            value = (given or {}).get(name) or lower(part, bounds, f"{pointer}/properties/{name}")
            rules.append((name in required, seq(Lit(value_text(name) + ":"), value)))
    return seq(Lit("{"), _members(rules), Lit("}"))


def _members(rules: list[tuple[bool, Rule]]) -> Rule:
    """Properties in order with commas between those that are there."""
    first = next((i for i, (needed, _) in enumerate(rules) if needed), None)
    if first is not None:
        before = [Opt(seq(rule, Lit(","))) for _, rule in rules[:first]]
        return seq(*before, rules[first][1], *_following(rules[first + 1 :]))
    if not rules:
        return Lit("")
    starts = [seq(rule, *_following(rules[i + 1 :])) for i, (_, rule) in enumerate(rules)]
    return Opt(alt(*starts))


def _following(rules: list[tuple[bool, Rule]]) -> list[Rule]:
    return [seq(Lit(","), r) if needed else Opt(seq(Lit(","), r)) for needed, r in rules]


def _array(schema: Mapping[str, Any], bounds: Bounds, pointer: str) -> Rule:
    least = schema.get("minItems", 0)
    most = max(least, min(schema.get("maxItems", bounds.max_items), bounds.max_items))
    if least > schema.get("maxItems", least) or least > _MOST_LENGTH:
        raise LowerError("minItems is too large", where=f"{pointer}/minItems", fix="lower it")
    if most == 0:
        return Lit("[]")
    if "items" not in schema:
        raise LowerError("has no items", where=pointer or "/", fix="declare them in the overlay")
    item = lower(schema["items"], bounds, f"{pointer}/items")
    tail: Rule = Lit("")
    for position in range(most, 1, -1):
        part = seq(Lit(","), item, tail)
        tail = part if position <= least else Opt(part)
    body = seq(item, tail)
    return seq(Lit("["), body if least else Opt(body), Lit("]"))


def _string(schema: Mapping[str, Any], bounds: Bounds, pointer: str) -> Rule:
    least, form = schema.get("minLength", 0), schema.get("format")
    declared = schema.get("maxLength", math.inf)
    if least > declared or least > _MOST_LENGTH:
        raise LowerError("minLength is too large", where=f"{pointer}/minLength", fix="lower it")
    if form is None or form in PLAIN_FORMATS:
        return string_terminal(least, max(least, int(min(declared, bounds.max_string))))
    if form == "email" and least <= LEAST_EMAIL <= declared:
        return email_terminal(int(min(declared, max(bounds.max_string, LEAST_EMAIL))))
    if form in FORMATS and least <= FORMATS[form]().least - 2 <= declared:
        return FORMATS[form]()
    raise LowerError(
        f"format {form!r} is not supported with these lengths"
        if form in FORMATS or form == "email"
        else f"format {form!r} is not supported",
        where=f"{pointer}/format",
        fix=f"use {', '.join([*FORMATS, 'email'])} or drop it in the overlay",
    )


_LOWERINGS: dict[str, Callable[[Mapping[str, Any], Bounds, str], Rule]] = {
    "object": lower_object,
    "array": _array,
    "string": _string,
    "integer": integer_rule,
    "number": number_rule,
    "boolean": lambda schema, bounds, pointer: alt(Lit("true"), Lit("false")),
    "null": lambda schema, bounds, pointer: Lit("null"),
}
