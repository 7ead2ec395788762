"""JSON Schemas as constraints of a decode: the compiled grammar, its guard, and the oracle.

What a schema says is kept three times over: the grammar allows only instances, the guard refuses
what no grammar can say, and before a text may end the oracle validates it.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any, Literal

from bb_domains.errors import LowerError
from bb_domains.json_schema.compile import SchemaGrammar, compile_schema
from bb_domains.json_schema.rules import Order
from bb_domains.json_schema.validate import InvalidText, Oracle
from bb_runtime.errors import MaskError

_KEPT = 256


@dataclass(frozen=True)
class SchemaConstraint:
    """A schema, ready to constrain.

    Attributes:
        grammar: its grammar and guard.
        oracle: judges finished texts.
    """

    grammar: SchemaGrammar
    oracle: Oracle

    def check(self, text: str | bytes) -> Any:
        """Return the value of a finished text.

        Raises:
            MaskError: the oracle refuses it; the text must not be handed on.
        """
        try:
            return self.oracle.check(text)
        except InvalidText as error:
            raise MaskError(
                f"a finished text does not validate at {error.where}: {error.what}",
                where="masks",
                fix="report this schema; nothing was handed on",
            ) from error


_Formats = Literal["refuse", "annotate"]
_CACHE: OrderedDict[tuple[str, str, str], SchemaConstraint] = OrderedDict()
_LOCK = Lock()


def schema_constraint(
    schema: Any, unknown_formats: _Formats = "refuse", order: Order = "declared"
) -> SchemaConstraint:
    """Compile a JSON Schema, or take it from those compiled last.

    Args:
        schema: an object.
        unknown_formats: "annotate" takes formats that no standard knows for annotations.
        order: whether declared properties stand in their order or in any.

    Raises:
        MaskError: something in it cannot be kept, by name and JSON pointer.
    """
    if not isinstance(schema, Mapping):
        raise MaskError(
            f"a JSON Schema must be an object here, not {schema!r}", where="masks", fix="use {}"
        )
    try:
        key = (json.dumps(schema, allow_nan=False), unknown_formats, order)
    except (TypeError, ValueError, RecursionError) as error:
        raise MaskError(
            f"the JSON Schema is no JSON: {error}", where="masks", fix="write plain JSON"
        ) from error
    with _LOCK:
        if key in _CACHE:
            _CACHE.move_to_end(key)
            return _CACHE[key]
    try:
        made = SchemaConstraint(compile_schema(schema, unknown_formats, order), Oracle(schema))
    except LowerError as error:
        raise MaskError(
            f"the JSON Schema is refused at {error.where or '/'}: {error.what}",
            where="masks",
            fix=error.fix,
        ) from error
    except RecursionError as error:
        raise MaskError(
            "the JSON Schema is nested too deeply", where="masks", fix="flatten it"
        ) from error
    try:
        made.grammar.lark.encode()
    except UnicodeEncodeError as error:
        raise MaskError(
            "the JSON Schema holds half a surrogate pair",
            where="masks",
            fix="write whole characters",
        ) from error
    with _LOCK:
        _CACHE[key] = made
        if len(_CACHE) > _KEPT:
            _CACHE.popitem(last=False)
    return made
