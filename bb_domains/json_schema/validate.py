"""The oracle: does a text validate against a schema, by the `jsonschema` package?

Three things are read otherwise than there: `multipleOf` is exact (19.99 is a multiple of 0.01), an
object that repeats a key is no instance, and patterns are searched for by the package `regex`: it
reads them as `re` does, but can be stopped, where `^(a+)+$` could hold the whole process for ever.
`unevaluatedProperties` is judged like `additionalProperties`: it is compiled only where it means
the same.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any

import jsonschema
import regex  # type: ignore[import-untyped]
from jsonschema_specifications import REGISTRY
from referencing.exceptions import Unresolvable

from bb_domains.errors import DomainError
from bb_domains.json_schema.dialect import validator_class

LONGEST_S = 1.0
"""A text that takes longer to judge is refused."""


class _Clock(threading.local):
    until_s = 0.0


_clock = _Clock()


class InvalidText(DomainError):  # noqa: N818 - a verdict, not a malfunction
    """A text is no JSON, or does not validate; `where` is the JSON pointer in the text."""


class Oracle:
    """A compiled schema that judges texts.

    Args:
        schema: a valid schema; the dialect it names decides, draft 2020-12 where it names none.
    """

    def __init__(self, schema: Any) -> None:
        dialect = validator_class(schema)
        exact = jsonschema.validators.extend(dialect, _KEYWORDS)
        # Without a registry of its own, a validator fetches what a reference names.
        self._validator = exact(schema, registry=REGISTRY, format_checker=dialect.FORMAT_CHECKER)

    def check(self, text: str | bytes) -> Any:
        """Return the value of a valid text.

        Raises:
            InvalidText: it is not valid; names the place.
        """
        try:
            value = json.loads(text, object_pairs_hook=_without_repeats)
        except ValueError as error:
            raise InvalidText(f"is no JSON: {error}", where="/") from error
        _clock.until_s = time.monotonic() + LONGEST_S
        try:
            fault = jsonschema.exceptions.best_match(self._validator.iter_errors(value))
        except TimeoutError as error:
            what = f"takes longer than {LONGEST_S:g} s to judge"
            raise InvalidText(what, where="/") from error
        except Unresolvable as error:
            raise InvalidText(f"cannot be judged: {error}", where="/") from error
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
    is_finite = abs(instance) < float("inf")  # 1e400 is not, once it is read
    if not is_finite or Fraction(str(instance)) % Fraction(str(step)):
        yield jsonschema.ValidationError(f"{instance!r} is not a multiple of {step}")


def _is_found(pattern: str, text: str) -> bool:
    """Whether a pattern matches somewhere in a text.

    Raises:
        TimeoutError: the time for this text is over.
    """
    left_s = _clock.until_s - time.monotonic()
    if left_s <= 0:
        raise TimeoutError
    return regex.search(pattern, text, concurrent=True, timeout=left_s) is not None


def _pattern(
    validator: Any, pattern: str, instance: Any, schema: Any
) -> Iterator[jsonschema.ValidationError]:
    if validator.is_type(instance, "string") and not _is_found(pattern, instance):
        yield jsonschema.ValidationError(f"{instance!r} does not match {pattern!r}")


def _pattern_properties(
    validator: Any, patterns: Mapping[str, Any], instance: Any, schema: Any
) -> Iterator[jsonschema.ValidationError]:
    if not validator.is_type(instance, "object"):
        return
    for pattern, wanted in patterns.items():
        for name, value in instance.items():
            if _is_found(pattern, name):
                yield from validator.descend(value, wanted, path=name, schema_path=pattern)


def _other_properties(
    validator: Any, wanted: Any, instance: Any, schema: Mapping[str, Any]
) -> Iterator[jsonschema.ValidationError]:
    if not validator.is_type(instance, "object"):
        return
    patterns = schema.get("patternProperties", {})
    for name, value in instance.items():
        declared = name in schema.get("properties", {})
        if declared or any(_is_found(pattern, name) for pattern in patterns):
            continue
        if wanted is False:
            yield jsonschema.ValidationError(f"property {name!r} is not allowed")
        else:
            yield from validator.descend(value, wanted, path=name)


_KEYWORDS = {
    "multipleOf": _multiple_of,
    "pattern": _pattern,
    "patternProperties": _pattern_properties,
    "additionalProperties": _other_properties,
    "unevaluatedProperties": _other_properties,
}
