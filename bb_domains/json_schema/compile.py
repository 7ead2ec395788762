"""A JSON Schema to the grammar of its instances."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from bb_domains.errors import LowerError
from bb_domains.json_schema.dialect import check_dialect
from bb_domains.json_schema.effort import bounded
from bb_domains.json_schema.emit import Emitter
from bb_domains.json_schema.expand import Expander
from bb_domains.json_schema.guard import Guard, Places
from bb_domains.json_schema.regex import Language
from bb_domains.json_schema.rules import Order
from bb_domains.json_schema.schemas import Schemas


@dataclass(frozen=True)
class SchemaGrammar:
    """What a schema became.

    Attributes:
        lark: a grammar in llguidance's dialect of Lark, whose texts are compact JSON.
        guard: keeps what the grammar cannot say; None where it says everything.
        strings: the languages of its strings and keys that are narrower than all texts.
        annotations: (JSON pointer, keyword) of what was read as an annotation.
    """

    lark: str
    guard: Guard | None = None
    strings: tuple[Language, ...] = ()
    annotations: tuple[tuple[str, str], ...] = ()


def compile_schema(
    schema: Mapping[str, Any] | bool,
    unknown_formats: Literal["refuse", "annotate"] = "refuse",
    order: Order = "declared",
) -> SchemaGrammar:
    """The grammar of a schema's instances.

    Args:
        schema: a JSON Schema.
        unknown_formats: "annotate" takes formats that no standard knows for annotations.
        order: "any" lets declared properties (up to 40, where their number is not bounded) stand in
            any order, which forces fewer tokens; others always stand in order of declaration.

    Raises:
        LowerError: something in the schema that cannot be kept, by name and JSON pointer; or no
            value satisfies it.
    """
    with bounded():
        annotations = check_dialect(schema)
        schemas = Schemas(schema)
        expander = Expander(schemas, unknown_formats)
        emitter = Emitter(expander, order)
        root = schemas.node((schemas.root, True))
        start = emitter.document(root)
        if start not in emitter.grammar.productive():
            raise LowerError("allows no value", where="/", fix="mend what contradicts itself")
        guard = Guard(Places(expander, root)) if emitter.needs_guard else None
        return SchemaGrammar(
            emitter.grammar.lark(start), guard, tuple(emitter.grammar.languages), annotations
        )
