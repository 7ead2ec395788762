"""JSON Schema validation as plans need it: decimal `multipleOf`, and the formats we emit.

jsonschema divides floats, so it finds 0.07 no multiple of 0.01; here the shortest decimal texts
are divided. Formats that `strings` can write are asserted; others say nothing, as in jsonschema.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any

import jsonschema
from jsonschema.exceptions import best_match
from jsonschema.validators import extend

from bb_domains.errors import LowerError

_EMAIL = re.compile(r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)+")
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_DATE_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")


def _multiple_of(
    validator: Any, divisor: Any, instance: Any, schema: Any
) -> Iterator[jsonschema.ValidationError]:
    if not isinstance(instance, (int, float)) or isinstance(instance, bool):
        return
    if Fraction(str(instance)) % Fraction(str(divisor)) != 0:  # exact, however large
        yield jsonschema.ValidationError(f"{instance!r} is not a multiple of {divisor}")


def _is_email(value: object) -> bool:
    return not isinstance(value, str) or _EMAIL.fullmatch(value) is not None


def _is_uuid(value: object) -> bool:
    return not isinstance(value, str) or _UUID.fullmatch(value) is not None


def _is_date(value: object) -> bool:
    return not isinstance(value, str) or bool(datetime.date.fromisoformat(value))


def _is_date_time(value: object) -> bool:
    if not isinstance(value, str):
        return True
    if not _DATE_TIME.fullmatch(value):
        return False
    return bool(datetime.datetime.fromisoformat(value.upper()))


def _format_checker() -> jsonschema.FormatChecker:
    checker = jsonschema.FormatChecker(formats=())
    checker.checks("email")(_is_email)
    checker.checks("uuid")(_is_uuid)
    checker.checks("date", raises=ValueError)(_is_date)
    checker.checks("date-time", raises=ValueError)(_is_date_time)
    return checker


_FORMATS = _format_checker()

_META = jsonschema.Draft202012Validator.META_SCHEMA

_Validator = extend(jsonschema.Draft202012Validator, {"multipleOf": _multiple_of})


def validator(schema: Mapping[str, Any]) -> Any:
    """Return a jsonschema validator (`iter_errors`, `is_valid`) for a JSON Schema 2020-12."""
    return _Validator(schema, format_checker=_FORMATS)


def is_valid(value: Any, schema: Mapping[str, Any]) -> bool:
    """Whether a value is valid under a schema."""
    return bool(validator(schema).is_valid(value))


def check_schema(schema: Mapping[str, Any], pointer: str) -> None:
    """Refuse what is no JSON Schema at all, such as `minimum: "3"`, and references.

    References would make the validator look for other documents.

    Raises:
        LowerError: names the JSON pointer within the schema.
    """
    for where in _references(schema, pointer):
        raise LowerError("is a reference", where=where, fix="write the schema out in its place")
    found = best_match(jsonschema.Draft202012Validator(_META).iter_errors(schema))
    if found is not None:
        where = "/".join([pointer, *map(str, found.absolute_path)])
        raise LowerError(f"is no JSON Schema: {found.message}", where=where, fix="mend it")


def _references(node: Any, pointer: str) -> Iterator[str]:
    """JSON pointers of all references in a schema."""
    parts = node.items() if isinstance(node, Mapping) else enumerate(node)
    for key, value in parts:
        where = f"{pointer}/{key}"
        if key in ("$ref", "$dynamicRef") and isinstance(value, str):
            yield where
        elif isinstance(value, (Mapping, list)):
            yield from _references(value, where)
