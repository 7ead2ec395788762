"""JSON Schemas of arguments, guessed from the values that were seen.

A guess is wider than what was seen, by round bounds: numbers up to the next power of ten, strings
up to the next usual length. Few values that each occur often are taken for all there are.
"""

from __future__ import annotations

import datetime
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from bb_domains.vocabulary import LEAST_USES, MAX_VALUES

LENGTHS = (8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)

_EMAIL = re.compile(r"[a-z0-9._%+-]+@[a-z0-9-]+(\.[a-z0-9-]+)+")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_UTC = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")


def shape_of(values: Sequence[Any]) -> dict[str, Any]:
    """The JSON Schema of an argument that had these values; nulls are left out."""
    kinds: dict[str, list[Any]] = {}
    for value in values:
        if value is not None:
            kinds.setdefault(_kind(value), []).append(value)
    shapes = [_SHAPES[kind](found) for kind, found in kinds.items()]
    if not shapes:
        return {"type": "null"}
    return shapes[0] if len(shapes) == 1 else {"anyOf": shapes}


def object_shape(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The JSON Schema of objects like these; what each of them has is required."""
    names = dict.fromkeys(name for row in rows for name in row)
    return {
        "type": "object",
        "properties": {name: shape_of([r[name] for r in rows if name in r]) for name in names},
        "required": [name for name in names if all(name in row for row in rows)],
        "additionalProperties": False,
    }


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"


def _numbers(values: Sequence[int | float]) -> dict[str, Any]:
    low, high = min(values), max(values)
    places = max(_decimals(value) for value in values)
    digits = len(str(int(max(abs(low), abs(high)))))
    step = 10.0**-places if places else 1
    most = 10**digits - step
    floor = -most if low < 0 else 0 if low < step else step
    if not places:
        if low >= 10 and len(str(int(low))) == digits:
            floor = 10 ** (digits - 1)
        return {"type": "integer", "minimum": int(floor), "maximum": int(most)}
    if places > 2:
        return {"type": "number", "minimum": floor, "maximum": most}
    bounds = {"minimum": round(floor, places), "maximum": round(most, places)}
    return {"type": "number", **bounds, "multipleOf": round(step, places)}


def _decimals(value: int | float) -> int:
    exponent = Decimal(str(value)).normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def _strings(values: Sequence[str]) -> dict[str, Any]:
    counts = Counter(values)
    if len(counts) <= MAX_VALUES and len(values) >= LEAST_USES * len(counts):
        return {"enum": sorted(counts)}
    for name, pattern in (("email", _EMAIL), ("uuid", _UUID), ("date-time", _UTC)):
        if all(pattern.fullmatch(value) for value in counts):
            return {"type": "string", "format": name}
    if all(_DATE.fullmatch(value) and _is_date(value) for value in counts):
        return {"type": "string", "format": "date"}
    longest = max(map(len, counts))
    most = next((n for n in LENGTHS if n >= longest), LENGTHS[-1])
    return {"type": "string", "minLength": int(all(counts)), "maxLength": most}


def _is_date(text: str) -> bool:
    try:
        return bool(datetime.date.fromisoformat(text))
    except ValueError:
        return False


def _arrays(values: Sequence[list[Any]]) -> dict[str, Any]:
    items = [item for value in values for item in value]
    return {"type": "array", "items": shape_of(items), "maxItems": max(1, *map(len, values), 1)}


def _booleans(values: Sequence[bool]) -> dict[str, Any]:
    return {"type": "boolean"}


_SHAPES: dict[str, Callable[[Sequence[Any]], dict[str, Any]]] = {
    "boolean": _booleans,
    "number": _numbers,
    "string": _strings,
    "array": _arrays,
    "object": object_shape,
}
