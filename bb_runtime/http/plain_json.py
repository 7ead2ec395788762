"""Bodies that mean one thing only, whoever reads them.

JSON lets a key stand twice, and readers differ in which they take; Python's reads UTF-16 as well,
numbers that are none, and halves of surrogate pairs, which no text holds. A body that whatever
stands before the server may read otherwise is refused, and so is one that says it is something
else: a form that a browser sends for a foreign page cannot say that it is JSON.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NoReturn

JSON_TYPE = b"application/json"


class _AmbiguousError(ValueError):
    """What readers take for different things."""


def body_fault(body: bytes, content_type: bytes) -> str:
    """What is wrong with a body; empty if it is plain JSON, or not there.

    Args:
        body: the whole body.
        content_type: the header of that name; empty for none.
    """
    if not body:
        return ""
    if content_type.partition(b";")[0].strip().lower() != JSON_TYPE:
        return "the body is not said to be JSON; send content-type: application/json"
    try:
        plain_json(body.decode("utf-8"))
    except UnicodeDecodeError:
        return "the body is not JSON in UTF-8; encode it so"
    except ValueError as error:
        return f"the body {error}"
    return ""


def plain_json(text: str) -> Any:
    """What a text of JSON holds: a body, or one inside it.

    Raises:
        ValueError: readers may take it for different things, or none can; says why.
    """
    try:
        found = json.loads(text, object_pairs_hook=_distinct, parse_constant=_no_constant)
        if "\\ud" in text.lower():  # an escape for half a surrogate pair, or for a whole one
            json.dumps(found, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        what = "is not plain JSON: it holds half a surrogate pair; write whole characters"
        raise ValueError(what) from None
    except _AmbiguousError as error:
        raise ValueError(f"is not plain JSON: {error}") from None
    except RecursionError:
        raise ValueError("is nested too deeply; flatten it") from None
    except ValueError as error:
        raise ValueError(f"is not JSON: {error}") from None
    return found


def _distinct(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _AmbiguousError("an object has a key twice; write it once")
    return found


def _no_constant(name: str) -> NoReturn:
    raise _AmbiguousError(f"{name} is no number; write a finite one, or null")
