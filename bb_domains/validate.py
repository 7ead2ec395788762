"""JSON Schema validation as plans need it: decimal `multipleOf`, and the formats we emit.

jsonschema divides floats, so it finds 0.07 no multiple of 0.01; here the shortest decimal texts
are divided. Formats that `strings` can write are asserted; others say nothing, as in jsonschema.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Any

import jsonschema
from jsonschema.validators import extend

_EMAIL = re.compile(r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)+")
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_DATE_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")


def _multiple_of(
    validator: Any, divisor: Any, instance: Any, schema: Any
) -> Iterator[jsonschema.ValidationError]:
    if not isinstance(instance, (int, float)) or isinstance(instance, bool):
        return
    if Decimal(str(instance)) % Decimal(str(divisor)) != 0:
        yield jsonschema.ValidationError(f"{instance!r} is not a multiple of {divisor}")


_formats = jsonschema.FormatChecker(formats=())


@_formats.checks("email")
def _is_email(value: object) -> bool:
    return not isinstance(value, str) or _EMAIL.fullmatch(value) is not None


@_formats.checks("uuid")
def _is_uuid(value: object) -> bool:
    return not isinstance(value, str) or _UUID.fullmatch(value) is not None


@_formats.checks("date", raises=ValueError)
def _is_date(value: object) -> bool:
    return not isinstance(value, str) or bool(datetime.date.fromisoformat(value))


@_formats.checks("date-time", raises=ValueError)
def _is_date_time(value: object) -> bool:
    if not isinstance(value, str):
        return True
    if not _DATE_TIME.fullmatch(value):
        return False
    return bool(datetime.datetime.fromisoformat(value.upper()))


_Validator = extend(jsonschema.Draft202012Validator, {"multipleOf": _multiple_of})


def validator(schema: Mapping[str, Any]) -> Any:
    """Return a jsonschema validator (`iter_errors`, `is_valid`) for a JSON Schema 2020-12."""
    return _Validator(schema, format_checker=_formats)


def is_valid(value: Any, schema: Mapping[str, Any]) -> bool:
    """Whether a value is valid under a schema."""
    return bool(validator(schema).is_valid(value))


@lru_cache(maxsize=1)
def known_formats() -> frozenset[str]:
    """Formats that `validator` asserts."""
    return frozenset(_formats.checkers)
