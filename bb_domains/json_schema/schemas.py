"""All schemas of a document, numbered: equal schemas have one number, references are followed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jsonschema_specifications import REGISTRY
from referencing import Resource
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012, UnknownDialect, specification_with

from bb_domains.errors import LowerError
from bb_domains.json_schema.clauses import Literal, Node


@dataclass(frozen=True)
class Entry:
    """One schema and where it stands.

    Attributes:
        schema: a mapping, or a Boolean.
        pointer: JSON pointer of its first appearance, or the reference that led to it.
        resolver: resolves references relative to it.
    """

    schema: Any
    pointer: str
    resolver: Any


class Schemas:
    """Interned schemas; number 0 is `false`, number 1 is `true`, number 2 the document.

    Raises:
        LowerError: the document names a dialect that is not known.
    """

    def __init__(self, schema: Any) -> None:
        dialect = schema.get("$schema", "") if isinstance(schema, Mapping) else ""
        try:
            specification = specification_with(dialect) if dialect else DRAFT202012
        except UnknownDialect as error:
            raise LowerError(
                f"dialect {dialect!r} is unknown", where="/$schema", fix="name a published draft"
            ) from error
        resource = Resource.from_contents(schema, default_specification=specification)
        resolver = REGISTRY.with_resource("", resource).resolver_with_root(resource)
        self._specification = specification
        self._numbers: dict[tuple[str, str], int] = {}
        self._entries: list[Entry] = []
        self.add(False, "", resolver)
        self.add(True, "", resolver)
        self.root = self.add(schema, "", resolver)

    def anchors(self, keyword: str, name: Any) -> int:
        """How often the document says `keyword: name`, as it does where a reference may lead."""
        found, waiting = 0, [self[self.root].schema]
        while waiting:
            part = waiting.pop()
            if isinstance(part, Mapping):
                found += part.get(keyword) == name
                waiting.extend(part.values())
            elif isinstance(part, list):
                waiting.extend(part)
        return found

    def __getitem__(self, number: int) -> Entry:
        return self._entries[number]

    def add(self, schema: Any, pointer: str, resolver: Any) -> int:
        """Number a schema."""
        if isinstance(schema, Mapping) and not schema:
            schema = True
        key = (json.dumps(schema, default=str), str(getattr(resolver, "_base_uri", "")))
        if isinstance(schema, bool):
            key = (key[0], "")
        if key not in self._numbers:
            self._numbers[key] = len(self._entries)
            self._entries.append(Entry(schema, pointer, resolver))
        return self._numbers[key]

    def part(self, parent: Entry, path: str, schema: Any, sign: bool = True) -> Literal:
        """The literal of a subschema of `parent`."""
        resolver = parent.resolver
        if isinstance(schema, Mapping):
            resource = Resource.from_contents(schema, default_specification=self._specification)
            resolver = resolver.in_subresource(resource)
        return self.add(schema, f"{parent.pointer}/{path}", resolver), sign

    def made(self, schema: Any, parent: Entry, sign: bool = True) -> Literal:
        """The literal of a schema of our own making that stands for a part of `parent`."""
        return self.add(schema, parent.pointer, parent.resolver), sign

    def follow(self, parent: Entry, reference: str, sign: bool) -> Literal:
        """The literal that a reference names.

        Raises:
            LowerError: it names nothing in this document.
        """
        try:
            found = parent.resolver.lookup(reference)
        except (Unresolvable, ValueError) as error:
            raise LowerError(
                f"reference {reference!r} names nothing in this document",
                where=f"{parent.pointer}/$ref",
                fix="put the schema under $defs",
            ) from error
        pointer = reference[1:] if reference.startswith("#/") else reference
        return self.add(found.contents, pointer, found.resolver), sign

    def node(self, *literals: Literal) -> Node:
        """The literals that must all hold, without those that always do."""
        return tuple(
            (0, True) if literal == (1, False) else literal
            for literal in dict.fromkeys(literals)
            if literal not in ((1, True), (0, False))
        )
