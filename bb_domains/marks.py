"""YAML with places: plain data, and for every node the line and column where it is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from bb_core.files import decode_yaml, read_text
from bb_domains.errors import SchemaError

Path_ = tuple[str | int, ...]
"""The way from the root of a document to one of its nodes: keys and list positions."""


@dataclass(frozen=True)
class Marked:
    """A YAML document with the places of its nodes.

    Attributes:
        data: the document as plain data.
        source: file name or other origin, for messages.
        places: (line, column), both from 1, by the node's path.
    """

    data: Any
    source: str
    places: Mapping[Path_, tuple[int, int]] = field(default_factory=dict)

    def where(self, path: Sequence[str | int]) -> str:
        """Return `source:line:column: dotted.path` of the nearest node that is written down."""
        dotted = ".".join(str(part) for part in path)
        for length in range(len(path), -1, -1):
            place = self.places.get(tuple(path[:length]))
            if place is not None:
                prefix = f"{self.source}:{place[0]}:{place[1]}"
                return f"{prefix}: {dotted}" if dotted else prefix
        return f"{self.source}: {dotted}" if self.source and dotted else self.source or dotted


def read_marked(path: str | Path) -> Marked:
    """Read a YAML file with its places.

    Raises:
        BBError: the file cannot be read or is not plain YAML.
        SchemaError: a key is written twice.
    """
    return decode_marked(read_text(path), source=str(path))


def decode_marked(text: str, *, source: str) -> Marked:
    """Like `read_marked`, for a text."""
    data = decode_yaml(text, where=source)
    places: dict[Path_, tuple[int, int]] = {}
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if root is not None:
        _collect(root, (), places, source)
    return Marked(data, source, places)


def _collect(
    node: yaml.Node, path: Path_, places: dict[Path_, tuple[int, int]], source: str
) -> None:
    """Note the place of `node` and of everything below it."""
    places.setdefault(path, (node.start_mark.line + 1, node.start_mark.column + 1))
    if isinstance(node, yaml.SequenceNode):
        for i, item in enumerate(node.value):
            _collect(item, (*path, i), places, source)
    elif isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            name = str(key.value)
            mark = key.start_mark
            if name in seen:
                raise SchemaError(
                    f"key {name!r} is written twice",
                    where=f"{source}:{mark.line + 1}:{mark.column + 1}",
                    fix="keep one of them",
                )
            seen.add(name)
            places[(*path, name)] = (mark.line + 1, mark.column + 1)
            _collect(value, (*path, name), places, source)
