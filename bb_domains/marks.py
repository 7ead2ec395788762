"""YAML with places: plain data, and for every node the line and column where it is written.

Plain means what JSON can say: keys are strings and dates are text. A document that contains itself
through its anchors, or that grows beyond measure through them, is refused.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from bb_core.files import decode_yaml, read_text
from bb_domains.errors import SchemaError

Path_ = tuple[str | int, ...]
"""The way from the root of a document to one of its nodes: keys and list positions."""


MOST_NODES = 200_000

_LOADER = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader


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
    try:
        root = yaml.compose(text, Loader=_LOADER)
        if root is not None:
            _Places(source, places).collect(root, (), ())
        return Marked(plain(data, source), source, places)
    except RecursionError as error:
        raise SchemaError("nested too deeply", where=source, fix="flatten it") from error


def plain(data: Any, source: str) -> Any:
    """Return data as JSON could say it.

    Raises:
        SchemaError: a key is no text or number, or there are more than `MOST_NODES` nodes.
    """
    return _plain(data, source, iter(range(MOST_NODES)))


def _plain(node: Any, source: str, budget: Iterator[int]) -> Any:
    if next(budget, None) is None:
        raise SchemaError(
            f"has more than {MOST_NODES} nodes", where=source, fix="split it, or drop anchors"
        )
    if isinstance(node, Mapping):
        return {_key(k, source): _plain(v, source, budget) for k, v in node.items()}
    if isinstance(node, (list, tuple)):
        return [_plain(item, source, budget) for item in node]
    return node.isoformat() if isinstance(node, datetime.date) else node


def _key(key: Any, source: str) -> str:
    if isinstance(key, str):
        return key
    if isinstance(key, bool) or not isinstance(key, (int, float)):
        what = f"key {key!r} is no text"
        raise SchemaError(
            what, where=source, fix="put it in quotes (YAML reads on and no as truth)"
        )
    return str(key)


@dataclass(frozen=True)
class _Places:
    """Collects the place of every node."""

    source: str
    places: dict[Path_, tuple[int, int]]
    seen: set[int] = field(default_factory=set)

    def collect(self, node: yaml.Node, path: Path_, within: tuple[int, ...]) -> None:
        """Note the place of `node` and of everything below it; `within` are the nodes around it."""
        mark = node.start_mark
        if id(node) in within:
            raise self._error(mark, "contains itself", "drop the alias")
        self.places.setdefault(path, (mark.line + 1, mark.column + 1))
        if id(node) in self.seen:  # an alias: its anchor's places are noted already
            return
        self.seen.add(id(node))
        within = (*within, id(node))
        if isinstance(node, yaml.SequenceNode):
            for i, item in enumerate(node.value):
                self.collect(item, (*path, i), within)
        elif isinstance(node, yaml.MappingNode):
            self._collect_items(node, path, within)

    def _collect_items(self, node: yaml.MappingNode, path: Path_, within: tuple[int, ...]) -> None:
        keys: set[str] = set()
        for key, value in node.value:
            name, mark = str(key.value), key.start_mark
            if name in keys:
                raise self._error(mark, f"key {name!r} is written twice", "keep one of them")
            keys.add(name)
            self.places[(*path, name)] = (mark.line + 1, mark.column + 1)
            self.collect(value, (*path, name), within)

    def _error(self, mark: yaml.Mark, what: str, fix: str) -> SchemaError:
        return SchemaError(what, where=f"{self.source}:{mark.line + 1}:{mark.column + 1}", fix=fix)
