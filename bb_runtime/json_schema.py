"""Refuse JSON Schemas that would be taken for weaker ones than they look.

JSON Schema ignores keywords it does not know, and so does every compiler of masks: `maxLenght`
constrains nothing. A constraint is never ignored here, so a schema must be valid and hold only
keywords that are known.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import jsonschema
from jsonschema_specifications import REGISTRY

from bb_runtime.errors import MaskError

_IN_MAPPING = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
_IN_LIST = ("allOf", "anyOf", "oneOf", "prefixItems")
_ONE = (
    "additionalProperties",
    "items",
    "contains",
    "not",
    "if",
    "then",
    "else",
    "propertyNames",
    "unevaluatedItems",
    "unevaluatedProperties",
)
# Annotations of OpenAPI and of older drafts: they constrain nothing in JSON Schema either.
_ANNOTATIONS = frozenset({"example", "id", "x-guidance", "xml", "externalDocs"})


@cache
def _keywords() -> frozenset[str]:
    """All keywords of draft 2020-12, from its own meta-schemas (which keep draft 7's names)."""
    known = set(_ANNOTATIONS)
    for uri in REGISTRY:
        if "2020-12" in uri:
            known |= set(REGISTRY.contents(uri).get("properties", {}))
    return frozenset(known)


def check_json_schema(schema: Any) -> None:
    """Check that a schema is valid draft 2020-12 and holds no unknown keyword.

    Raises:
        MaskError: naming the JSON pointer of the fault.
    """
    if not isinstance(schema, Mapping):
        raise MaskError(
            f"a JSON Schema must be an object here, not {schema!r}", where="masks", fix="use {}"
        )
    try:
        jsonschema.Draft202012Validator.check_schema(schema)
    except jsonschema.SchemaError as error:
        pointer = "/" + "/".join(str(part) for part in error.absolute_path)
        raise MaskError(
            f"the JSON Schema is not valid at {pointer}: {error.message}",
            where="masks",
            fix="correct the schema",
        ) from error
    for pointer, keyword in _unknown(schema, ""):
        raise MaskError(
            f"the JSON Schema holds the unknown keyword {keyword!r} at {pointer or '/'}, "
            "which would constrain nothing",
            where="masks",
            fix="correct its spelling or remove it",
        )


def _unknown(schema: Any, pointer: str) -> Iterator[tuple[str, str]]:
    if not isinstance(schema, Mapping):
        return
    for key in schema:
        if key not in _keywords() and not key.startswith("x-"):
            yield pointer, key
    for key in _ONE:
        yield from _unknown(schema.get(key), f"{pointer}/{key}")
    for key in _IN_MAPPING:
        for name, part in schema.get(key, {}).items():
            yield from _unknown(part, f"{pointer}/{key}/{name}")
    for key in _IN_LIST:
        for index, part in enumerate(schema.get(key, ())):
            yield from _unknown(part, f"{pointer}/{key}/{index}")
