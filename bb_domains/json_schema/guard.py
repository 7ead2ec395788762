"""What no context-free grammar says of JSON: items that differ, keys that do not repeat.

A guard reads a text byte by byte beside the grammar's matcher and refuses the byte that would make
two items of a `uniqueItems` array equal, or two keys of one object. Which arrays must have unique
items depends on where they stand, so the guard walks the schema as it reads.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

from bb_domains.json_schema.clauses import Arrays, Clause, Node, Objects
from bb_domains.json_schema.effort import bounded
from bb_domains.json_schema.expand import Expander

_QUOTE, _ESCAPE, _COMMA, _COLON = b'"\\,:'
_OPEN_OBJECT, _CLOSE_OBJECT, _OPEN_ARRAY, _CLOSE_ARRAY = b"{}[]"
CLOSING_BYTES = b'",]}'
"""A token without any of these completes no item and no key."""
_MOST_STEPS = 200_000


class Places:
    """Where in a document of a schema an array must have unique items."""

    def __init__(self, expander: Expander, root: Node) -> None:
        self._expander = expander
        self.root = frozenset({root})

    def opened(self, nodes: frozenset[Node], kind: str) -> tuple[Clause, ...]:
        """What an array or object that satisfies one of the nodes may be.

        Raises:
            LowerError: that takes too many steps to say.
        """
        with bounded(_MOST_STEPS):
            found = (c for node in nodes for c in self._expander.clauses(node, kind))
            return tuple(dict.fromkeys(found))

    def child(self, clauses: tuple[Clause, ...], at: str | int) -> frozenset[Node]:
        """What the member or item of a container may be.

        Raises:
            LowerError: that takes too many steps to say.
        """
        found = set()
        with bounded(_MOST_STEPS):
            for clause in clauses:
                if isinstance(clause, Objects) and isinstance(at, str):
                    found.add(self._expander.member_node(clause, at))
                elif isinstance(clause, Arrays) and isinstance(at, int):
                    found.add(self._expander.item_node(clause, at))
        return frozenset(found)


@dataclass(frozen=True)
class _Frame:
    """One open container: what it may be, and what it holds so far."""

    clauses: tuple[Clause, ...]
    is_array: bool
    is_unique: bool
    start: int
    seen: frozenset[str] = frozenset()
    index: int = 0
    key: str | None = None


@dataclass(frozen=True)
class Guard:
    """The state after a text; `feed` gives the state after more of it."""

    places: Places
    text: bytes = b""
    frames: tuple[_Frame, ...] = ()
    string_start: int = -1
    is_escaped: bool = False

    @property
    def quotes_needed(self) -> int | None:
        """How many quotes a token needs to repeat something; 0: others will do, None: it cannot.

        A key ends at a quote: at the next one inside a key, at the second before a key, at the
        third inside a string that is a value.
        """
        if any(frame.is_unique and frame.seen for frame in self.frames):
            return 0
        if not any(frame.seen for frame in self.frames):
            return None
        if self.string_start < 0:
            return 2
        frame = self.frames[-1]
        return 1 if not frame.is_array and frame.key is None else 3

    def feed(self, more: bytes) -> Guard | None:
        """The state after more text; None if it repeats something."""
        state: Guard | None = replace(self, text=self.text + more)
        for at in range(len(self.text), len(self.text) + len(more)):
            assert state is not None
            state = state._read(at)
            if state is None:
                return None
        return state

    def _read(self, at: int) -> Guard | None:
        byte = self.text[at]
        if self.string_start >= 0:
            if self.is_escaped:
                return replace(self, is_escaped=False)
            if byte == _ESCAPE:
                return replace(self, is_escaped=True)
            return self._end_string(at) if byte == _QUOTE else self
        if byte == _QUOTE:
            return replace(self, string_start=at)
        if byte in (_OPEN_OBJECT, _OPEN_ARRAY):
            return self._open(at, byte == _OPEN_ARRAY)
        if byte in (_CLOSE_OBJECT, _CLOSE_ARRAY):
            if self._repeats(at):
                return None
            return replace(self, frames=self.frames[:-1])
        if byte == _COMMA:
            return self._next(at)
        return self

    def _end_string(self, at: int) -> Guard | None:
        start, frame = self.string_start, self.frames[-1] if self.frames else None
        ended = replace(self, string_start=-1)
        if frame is None:
            return ended
        if frame.is_array:
            is_repeated = frame.is_unique and _canonical(self.text[start : at + 1]) in frame.seen
            return None if is_repeated else ended
        if frame.key is not None:
            return ended
        try:
            key = json.loads(self.text[start : at + 1])
        except ValueError:  # no text, so no grammar allows it either
            return None
        if key in frame.seen:
            return None
        named = replace(frame, key=key, seen=frame.seen | {key})
        return replace(ended, frames=(*self.frames[:-1], named))

    def _open(self, at: int, is_array: bool) -> Guard:
        nodes = self.places.root
        if self.frames:
            frame = self.frames[-1]
            nodes = self.places.child(
                frame.clauses, frame.index if frame.is_array else frame.key or ""
            )
        clauses = self.places.opened(nodes, "array" if is_array else "object")
        is_unique = any(isinstance(c, Arrays) and c.unique for c in clauses)
        opened = _Frame(clauses, is_array, is_unique, at + 1)
        return replace(self, frames=(*self.frames, opened))

    def _item(self, at: int) -> str | None:
        """The item that ends here, where the innermost container is an array of unique items."""
        frame = self.frames[-1] if self.frames else None
        if frame is None or not frame.is_unique or at == frame.start:
            return None
        return _canonical(self.text[frame.start : at])

    def _repeats(self, at: int) -> bool:
        item = self._item(at)
        return item is not None and item in self.frames[-1].seen

    def _next(self, at: int) -> Guard | None:
        if not self.frames:
            return self
        frame, item = self.frames[-1], self._item(at)
        if item is not None and item in frame.seen:
            return None
        seen = frame.seen if item is None else frame.seen | {item}
        following = replace(frame, start=at + 1, seen=seen, index=frame.index + 1, key=None)
        return replace(self, frames=(*self.frames[:-1], following))


def _canonical(text: bytes) -> str:
    """One text for all equal JSON values: keys sorted, 1.0 as 1."""
    try:
        return json.dumps(_whole(json.loads(text)), sort_keys=True)
    except ValueError:  # no text, so no grammar allows it either
        return ""


def _whole(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_whole(item) for item in value]
    if isinstance(value, dict):
        return {key: _whole(item) for key, item in value.items()}
    return value
