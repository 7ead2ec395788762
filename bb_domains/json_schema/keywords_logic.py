"""Keywords that combine schemas, and those that list values."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from bb_domains.json_schema.clauses import Booleans, Numbers, Strings
from bb_domains.json_schema.formulas import (
    FALSE,
    TRUE,
    AllOf,
    AnyOf,
    Formula,
    Holds,
    Is,
    OneOf,
    Place,
)


def every(place: Place, path: str, schemas: Sequence[Any], sign: bool) -> tuple[Formula, ...]:
    """One `Holds` for each schema of a list."""
    return tuple(Holds(place.part(f"{path}/{i}", s, sign)) for i, s in enumerate(schemas))


def all_of(place: Place, value: Any, sign: bool) -> Formula:
    """`allOf`."""
    return (AllOf if sign else AnyOf)(every(place, "allOf", value, sign))


def any_of(place: Place, value: Any, sign: bool) -> Formula:
    """`anyOf`."""
    return (AnyOf if sign else AllOf)(every(place, "anyOf", value, sign))


def one_of(place: Place, value: Any, sign: bool) -> Formula:
    """`oneOf`; it fails for none, and for any two."""
    if sign:
        return OneOf(tuple(place.part(f"oneOf/{i}", s)[0] for i, s in enumerate(value)))
    true = every(place, "oneOf", value, True)
    pairs = [AllOf((a, b)) for i, a in enumerate(true) for b in true[i + 1 :]]
    return AnyOf((AllOf(every(place, "oneOf", value, False)), *pairs))


def not_(place: Place, value: Any, sign: bool) -> Formula:
    """`not`."""
    return Holds(place.part("not", value, not sign))


def if_(place: Place, value: Any, sign: bool) -> Formula:
    """`if` with `then` and `else`."""
    branches = []
    for keyword, condition in (("then", True), ("else", False)):
        body = place.schema.get(keyword, True)
        branches.append(
            AllOf(
                (Holds(place.part("if", value, condition)), Holds(place.part(keyword, body, sign)))
            )
        )
    return AnyOf(tuple(branches))


def ref(place: Place, value: Any, sign: bool) -> Formula:
    """`$ref`."""
    return Holds(place.schemas.follow(place.entry, value, sign))


def dynamic_ref(place: Place, value: Any, sign: bool) -> Formula:
    """`$dynamicRef` where only one schema can be meant, whatever led here."""
    if place.schemas.anchors("$dynamicAnchor", value[1:]) > 1:
        raise place.refuse("$dynamicRef", "may mean several schemas", "use '$ref'")
    return Holds(place.schemas.follow(place.entry, value, sign))


def recursive_ref(place: Place, value: Any, sign: bool) -> Formula:
    """`$recursiveRef` where only one schema can be meant, whatever led here."""
    if place.schemas.anchors("$recursiveAnchor", True) > 1:
        raise place.refuse("$recursiveRef", "may mean several schemas", "use '$ref'")
    return Holds(place.schemas.follow(place.entry, value, sign))


def type_(place: Place, value: Any, sign: bool) -> Formula:
    """`type`."""
    kinds = {value} if isinstance(value, str) else set(value)
    if place.kind == "number" and "number" not in kinds and "integer" in kinds:
        return Is(Numbers(integral=sign))
    return TRUE if (place.kind in kinds) == sign else FALSE


def kind_of(value: Any) -> str:
    """The kind of a JSON value."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    return "string" if isinstance(value, str) else "array" if isinstance(value, list) else "object"


def const(place: Place, value: Any, sign: bool) -> Formula:
    """`const`."""
    return enum(place, [value], sign)


def enum(place: Place, value: Any, sign: bool) -> Formula:
    """`enum`."""
    values = [v for v in value if kind_of(v) == place.kind]
    if place.kind == "string":
        if sign:
            return Is(Strings(chosen=tuple(dict.fromkeys(values)))) if values else FALSE
        return Is(Strings(excluded=frozenset(values)))
    if place.kind == "boolean":
        chosen = frozenset(values) if sign else frozenset({True, False}) - frozenset(values)
        return Is(Booleans(chosen)) if chosen else FALSE
    if place.kind == "null":
        return TRUE if bool(values) == sign else FALSE
    parts = tuple(_value(place, v, sign) for v in values)
    return AnyOf(parts) if sign else AllOf(parts)


def _value(place: Place, value: Any, sign: bool) -> Formula:
    """Exactly one number, array or object, or anything else."""
    if place.kind == "number":
        exact = Fraction(str(value))
        if sign:
            return Is(Numbers(exact, False, exact, False))
        return AnyOf((Is(Numbers(high=exact, high_open=True)), Is(Numbers(exact, True))))
    if place.kind == "array":
        schema: dict[str, Any] = {
            "type": "array",
            "prefixItems": [{"const": item} for item in value],
            "items": False,
            "minItems": len(value),
        }
        if not value:
            schema = {"type": "array", "maxItems": 0}
    else:
        schema = {
            "type": "object",
            "properties": {name: {"const": item} for name, item in value.items()},
            "required": list(value),
            "additionalProperties": False,
        }
    return Holds(place.schemas.made(schema, place.entry, sign))
