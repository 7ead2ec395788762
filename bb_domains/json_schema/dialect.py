"""Is a schema valid in its dialect, and does it hold nothing that would constrain nothing?

JSON Schema ignores keywords that it does not know: `maxLenght` constrains nothing. A keyword that
resembles one that constrains is refused as a misspelling; every other unknown one is an annotation,
as the standard says, and is reported, never passed over in silence.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import jsonschema
from jsonschema_specifications import REGISTRY

from bb_domains.errors import LowerError
from bb_domains.json_schema.keywords import BY_KIND, LOGIC

_IN_MAPPING = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
_IN_LIST = ("allOf", "anyOf", "oneOf", "prefixItems", "items")
_ONE = (
    "additionalProperties",
    "items",
    "additionalItems",
    "contains",
    "not",
    "if",
    "then",
    "else",
    "propertyNames",
    "unevaluatedItems",
    "unevaluatedProperties",
)
_BESIDE = frozenset({"then", "else", "minContains", "maxContains"})
_NAMING = frozenset({"$dynamicAnchor", "$recursiveAnchor", "$anchor", "$id", "id", "$schema"})
REFUSED = frozenset({"extends", "disallow", "divisibleBy"})
"""Keywords that constrain and cannot be kept."""


@cache
def constraining() -> frozenset[str]:
    """All keywords that can make a value invalid."""
    return frozenset(LOGIC).union(*BY_KIND.values(), _BESIDE, REFUSED)


@cache
def known() -> frozenset[str]:
    """All keywords of the published drafts, from their own meta-schemas."""
    found = set(constraining()) | _NAMING
    for uri in REGISTRY:
        contents = REGISTRY.contents(uri)
        found |= set(contents.get("properties", {})) if isinstance(contents, Mapping) else set()
    return frozenset(found)


def validator_class(schema: Any) -> Any:
    """The validator of the dialect that a schema names; of draft 2020-12 where it names none."""
    return jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)


def check_dialect(schema: Any) -> tuple[tuple[str, str], ...]:
    """Check a schema, and return (JSON pointer, keyword) of what is read as an annotation.

    Raises:
        LowerError: it is not valid in its dialect, or holds a keyword that cannot be kept or that
            looks misspelt; names the JSON pointer.
    """
    if not isinstance(schema, Mapping | bool):
        raise LowerError(f"{schema!r} is no JSON Schema", where="/", fix="write an object")
    named = schema.get("$schema", "") if isinstance(schema, Mapping) else ""
    if not isinstance(named, str) or "draft-03" in named:
        raise LowerError(
            f"dialect {named!r} is unknown", where="/$schema", fix="name draft 4 or a later one"
        )
    try:
        validator_class(schema).check_schema(schema)
    except jsonschema.SchemaError as error:
        pointer = "/" + "/".join(str(part) for part in error.absolute_path)
        raise LowerError(
            f"the JSON Schema is not valid at {pointer}: {error.message}",
            where=pointer,
            fix="correct the schema",
        ) from error
    found = []
    for pointer, keyword in _keywords(schema, ""):
        if keyword in REFUSED:
            raise LowerError(
                f"keyword {keyword!r} is not supported",
                where=f"{pointer}/{keyword}",
                fix="say it with other keywords",
            )
        if keyword in known():
            continue
        meant = next((word for word in sorted(constraining()) if resembles(keyword, word)), None)
        if meant is not None:
            raise LowerError(
                f"the JSON Schema holds the unknown keyword {keyword!r} at {pointer or '/'}, "
                "which would constrain nothing",
                where=f"{pointer}/{keyword}",
                fix=f"write {meant!r} or remove it",
            )
        found.append((pointer, keyword))
    return tuple(found)


def resembles(keyword: str, word: str) -> bool:
    """Whether a keyword is probably a misspelling: the same letters, or up to two slips.

    Short words differ by less: `min` is no slip of `not`.
    """
    plain = "".join(c for c in keyword.lower() if c.isalnum())
    target = "".join(c for c in word.lower() if c.isalnum())
    if plain == target and not keyword.startswith("_"):
        return True
    slips = 2 if len(target) >= 7 else 1 if len(target) >= 5 else 0
    if abs(len(plain) - len(target)) > slips or not keyword.isalpha():
        return False
    return bool(slips) and _distance(plain, target) <= slips


def _distance(one: str, two: str) -> int:
    """Edit distance with transpositions of neighbours (Damerau, restricted)."""
    rows = [list(range(len(two) + 1))]
    for i, a in enumerate(one, 1):
        row = [i]
        for j, b in enumerate(two, 1):
            best = min(rows[-1][j] + 1, row[-1] + 1, rows[-1][j - 1] + (a != b))
            if i > 1 and j > 1 and a == two[j - 2] and one[i - 2] == b:
                best = min(best, rows[-2][j - 2] + 1)
            row.append(best)
        rows.append(row)
    return rows[-1][-1]


def _keywords(schema: Any, pointer: str) -> Iterator[tuple[str, str]]:
    """Every keyword of a schema and its subschemas, with the pointer of the schema it stands in."""
    if not isinstance(schema, Mapping):
        return
    for key in schema:
        if not key.startswith("x-"):
            yield pointer, key
    for key in _ONE:
        yield from _keywords(schema.get(key), f"{pointer}/{key}")
    for key in _IN_MAPPING:
        parts = schema.get(key)
        for name, part in parts.items() if isinstance(parts, Mapping) else ():
            yield from _keywords(part, f"{pointer}/{key}/{name}")
    for key in _IN_LIST:
        parts = schema.get(key)
        for index, part in enumerate(parts if isinstance(parts, list) else ()):
            yield from _keywords(part, f"{pointer}/{key}/{index}")
