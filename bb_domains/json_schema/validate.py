"""The oracle: does a text validate against a schema, by the `jsonschema` package?

Two things are read otherwise than there: `multipleOf` is exact (19.99 is a multiple of 0.01), and
an object that repeats a key is no instance.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import jsonschema

from bb_domains.errors import DomainError
from bb_domains.json_schema.dialect import validator_class


class InvalidText(DomainError):  # noqa: N818 - a verdict, not a malfunction
    """A text is no JSON, or does not validate; `where` is the JSON pointer in the text."""


class Oracle:
    """A compiled schema that judges texts.

    Args:
        schema: a valid schema; the dialect it names decides, draft 2020-12 where it names none.
    """

    def __init__(self, schema: Any) -> None:
        dialect = validator_class(schema)
        exact = jsonschema.validators.extend(dialect, {"multipleOf": _multiple_of})
        self._validator = exact(schema, format_checker=dialect.FORMAT_CHECKER)

    def check(self, text: str | bytes) -> Any:
        """Return the value of a valid text.

        Raises:
            InvalidText: it is not valid; names the place.
        """
        try:
            value = json.loads(text, object_pairs_hook=_without_repeats)
        except ValueError as error:
            raise InvalidText(f"is no JSON: {error}", where="/") from error
        fault = jsonschema.exceptions.best_match(self._validator.iter_errors(value))
        if fault is not None:
            pointer = "/" + "/".join(map(str, fault.absolute_path))
            raise InvalidText(fault.message, where=pointer)
        return value


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("an object repeats a key")
    return found


def _multiple_of(
    validator: Any, step: Any, instance: Any, schema: Any
) -> Iterator[jsonschema.ValidationError]:
    if not validator.is_type(instance, "number"):
        return
    if Decimal(str(instance)) % Decimal(str(step)):
        yield jsonschema.ValidationError(f"{instance!r} is not a multiple of {step}")
