"""OpenAPI documents: looking things up by JSON pointer, following `$ref`, expanding schemas."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from bb_domains.errors import OpenApiError
from bb_domains.marks import MOST_NODES

Pointer = tuple[str, ...]

_MOST_HOPS = 32
_KEEP_WHOLE = frozenset({"enum", "const", "example", "examples", "default"})


@dataclass(frozen=True)
class Document:
    """An OpenAPI document as plain data, and where it came from."""

    data: Any
    source: str

    def error(self, pointer: Pointer, what: str, fix: str) -> OpenApiError:
        """The error for a place in the document."""
        return OpenApiError(what, where=f"{self.source}: {write_pointer(pointer)}", fix=fix)

    def at(self, pointer: Pointer, referrer: Pointer | None = None) -> Any:
        """Return the node at a pointer.

        Raises:
            OpenApiError: there is none; names the place that refers to it, if one does.
        """
        node = self.data
        for part in pointer:
            if isinstance(node, Mapping) and part in node:
                node = node[part]
            elif isinstance(node, list) and part.isdigit() and int(part) < len(node):
                node = node[int(part)]
            else:
                raise self.error(
                    pointer if referrer is None else (*referrer, "$ref"),
                    f"{write_pointer(pointer)} does not exist",
                    "add it, or mend the reference",
                )
        return node

    def mapping(self, pointer: Pointer, *, required: bool = True) -> Mapping[str, Any]:
        """Return the mapping at a pointer; an empty one if it is missing and not required.

        Raises:
            OpenApiError: it is missing, or no mapping.
        """
        if not required and pointer[0] not in self.data:
            return {}
        node = self.at(pointer)
        if not isinstance(node, Mapping):
            raise self.error(pointer, "must be a mapping", "mend the document")
        return node

    def resolve(self, pointer: Pointer) -> tuple[Mapping[str, Any], Pointer]:
        """Follow `$ref` from a node; return the mapping it leads to, and its pointer.

        Raises:
            OpenApiError: a reference leads nowhere, round in a circle, or out of the document.
        """
        node = self.mapping(pointer)
        for _ in range(_MOST_HOPS):
            if "$ref" not in node:
                return node, pointer
            target = self.target(node["$ref"], pointer)
            found = self.at(target, referrer=pointer)
            if not isinstance(found, Mapping):
                raise self.error(target, "must be a mapping", "mend the document")
            node, pointer = found, target
        raise self.error(pointer, "references go round in a circle", "break the circle")

    def expand(self, pointer: Pointer) -> dict[str, Any]:
        """Return the schema at a pointer as JSON Schema 2020-12 without references.

        OpenAPI 3.0's `nullable` and Boolean exclusive limits are rewritten, `readOnly` properties
        are left out, since requests do not send them.

        Raises:
            OpenApiError: a reference leads nowhere, or a schema contains itself.
        """
        expansion = _Expansion(self, iter(range(MOST_NODES)))
        expanded: dict[str, Any] = expansion.expand(self.at(pointer), pointer, ())
        return expanded

    def target(self, reference: Any, pointer: Pointer) -> Pointer:
        """Return where a `$ref` at a pointer points to.

        Raises:
            OpenApiError: it points out of the document.
        """
        if not isinstance(reference, str) or not reference.startswith("#/"):
            raise self.error(
                (*pointer, "$ref"),
                f"{reference!r} points out of the document",
                "bundle the documents into one file first",
            )
        return read_pointer(reference[1:])


@dataclass(frozen=True)
class _Expansion:
    """One schema being written out in full; references can make it grow beyond measure."""

    document: Document
    budget: Iterator[int]

    def expand(self, node: Any, pointer: Pointer, within: tuple[Pointer, ...]) -> Any:
        """Return a node in full; `within` are the references it stands inside."""
        if next(self.budget, None) is None:
            what = f"has more than {MOST_NODES} nodes in full"
            raise self.document.error(pointer, what, "drop the tool in a shorter document")
        if not isinstance(node, Mapping):
            return node
        if "$ref" in node:
            return self._referred(node, pointer, within)
        expanded = {
            key: self._keyword(key, value, (*pointer, key), within) for key, value in node.items()
        }
        return _without_read_only(_exclusive(_nullable(expanded)))

    def _referred(
        self, node: Mapping[str, Any], pointer: Pointer, within: tuple[Pointer, ...]
    ) -> Any:
        target = self.document.target(node["$ref"], pointer)
        if target in within:
            raise self.document.error(
                (*pointer, "$ref"),
                f"{write_pointer(target)} contains itself",
                "take the circle out of the document; plans have no room for endless values",
            )
        referred = self.document.at(target, referrer=pointer)
        found = self.expand(referred, target, (*within, target))
        beside = {k: v for k, v in node.items() if k not in ("$ref", "description", "summary")}
        if not beside:
            return found
        return {"allOf": [found, self.expand(beside, pointer, within)]}

    def _keyword(self, key: str, value: Any, pointer: Pointer, within: tuple[Pointer, ...]) -> Any:
        if key in _KEEP_WHOLE:
            return value
        if key == "properties" and isinstance(value, Mapping):
            return {k: self.expand(v, (*pointer, k), within) for k, v in value.items()}
        if isinstance(value, list):
            return [self.expand(v, (*pointer, str(i)), within) for i, v in enumerate(value)]
        return self.expand(value, pointer, within)


def read_pointer(text: str) -> Pointer:
    """Split a JSON pointer, percent-encoded as in a fragment, into its parts."""
    parts = unquote(text).split("/")[1:]
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in parts)


def write_pointer(pointer: Pointer) -> str:
    """Return a JSON pointer as text."""
    return "#/" + "/".join(part.replace("~", "~0").replace("/", "~1") for part in pointer)


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    nullable = schema.pop("nullable", False)
    if not nullable or "type" not in schema:
        return schema
    kind = schema["type"]
    kinds = [kind] if isinstance(kind, str) else list(kind)
    schema["type"] = kinds if "null" in kinds else [*kinds, "null"]
    if "enum" in schema and None not in schema["enum"]:
        schema["enum"] = [*schema["enum"], None]
    return schema


def _exclusive(schema: dict[str, Any]) -> dict[str, Any]:
    for opened, closed in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if isinstance(schema.get(opened), bool):
            strict = schema.pop(opened)
            if strict and closed in schema:
                schema[opened] = schema.pop(closed)
    return schema


def _without_read_only(schema: dict[str, Any]) -> dict[str, Any]:
    properties = schema.get("properties")
    if not isinstance(properties, Mapping):
        return schema
    kept = {
        name: part
        for name, part in properties.items()
        if not (isinstance(part, Mapping) and part.get("readOnly"))
    }
    if len(kept) < len(properties):
        schema["properties"] = kept
        if "required" in schema:
            schema["required"] = [n for n in schema["required"] if n in kept or n not in properties]
    return schema
