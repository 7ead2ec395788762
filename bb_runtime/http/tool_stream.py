"""Calls of tools read from text as it comes, the same however the text is cut.

The text is one of `tool_calls.CallForm`. Every character is read once; what is told depends on the
characters before it and never on where a chunk ended, so that all parts together are the same for
every cut (the deltas themselves may be cut elsewhere).
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from bb_runtime.http.tool_calls import CallForm
from bb_runtime.http.tool_row import TAG

_SPACE = " \t\r\n"


@dataclass(frozen=True)
class Said:
    """Text outside of calls."""

    text: str


@dataclass(frozen=True)
class CallBegun:
    """A call whose name is known."""

    index: int
    name: str


@dataclass(frozen=True)
class CallGoesOn:
    """The next piece of a call's arguments, as written."""

    index: int
    arguments: str


Event = Said | CallBegun | CallGoesOn


class CallReader:
    """Reads one answer.

    Args:
        form: how calls stand in the text.
        name: of the one function; for the form "arguments".

    Attributes:
        n_calls: calls begun.
    """

    def __init__(self, form: CallForm, name: str = "") -> None:
        self._name = name
        self._list: _ListReader | None = _ListReader() if form == "list" else None
        self._is_one = form == "arguments"
        self._held = ""
        self.n_calls = 0

    def add(self, text: str, *, is_last: bool = False) -> list[Event]:
        """What has become certain with this text.

        Args:
            text: the next piece.
            is_last: none will follow.
        """
        events = self._read_one(text) if self._is_one else self._read(text, is_last)
        self.n_calls += sum(isinstance(event, CallBegun) for event in events)
        return _merged(events)

    def _read_one(self, text: str) -> list[Event]:
        if not text:
            return []
        begun: list[Event] = [] if self.n_calls else [CallBegun(0, self._name)]
        return [*begun, CallGoesOn(0, text)]

    def _read(self, text: str, is_last: bool) -> list[Event]:
        if self._list is not None:
            return self._list.read(text)
        text = self._held + text
        said, tag, rest = text.partition(TAG)
        if tag:
            self._held, self._list = "", _ListReader()
            return [*_said(said), *self._list.read(rest)]
        keep = 0 if is_last else _n_begun(text)
        self._held = text[len(text) - keep :]
        return _said(text[: len(text) - keep])


class _ListReader:
    """Reads `[{"name":"f","arguments":{…}},…]`, character by character."""

    def __init__(self) -> None:
        self._depth = 0
        self._is_string = self._is_escaped = False
        self._key: str | None = None  # of the value being read, at depth 2
        self._piece = ""  # of the string or value being read, at depth 2
        self._index = -1

    def read(self, text: str) -> list[Event]:
        """What these characters say."""
        return [event for character in text for event in self._character(character)]

    def _character(self, character: str) -> list[Event]:
        if self._is_string:
            return self._in_string(character)
        if character == '"':
            self._is_string = True
            return self._keep(character)
        if character in "[{":
            self._depth += 1
            if self._depth == 2:
                self._index += 1
                self._key, self._piece = None, ""
                return []
            return self._keep(character)
        if character in "]}":
            self._depth -= 1
            if self._depth < 2:
                return self._end_value()
            return self._keep(character)
        if self._depth == 2 and character == ":" and self._key is None:
            self._key, self._piece = json.loads(self._piece), ""
            return []
        if self._depth == 2 and character == ",":
            return self._end_value()
        return self._keep(character)

    def _in_string(self, character: str) -> list[Event]:
        if self._is_escaped:
            self._is_escaped = False
        elif character == "\\":
            self._is_escaped = True
        elif character == '"':
            self._is_string = False
        return self._keep(character)

    def _keep(self, character: str) -> list[Event]:
        if self._depth < 2 or (self._depth == 2 and not self._is_string and character in _SPACE):
            return []
        if self._key == "arguments":
            return [CallGoesOn(self._index, character)]
        self._piece += character
        return []

    def _end_value(self) -> list[Event]:
        key, piece = self._key, self._piece
        self._key, self._piece = None, ""
        return [CallBegun(self._index, json.loads(piece))] if key == "name" else []


def _said(text: str) -> list[Event]:
    return [Said(text)] if text else []


def _n_begun(text: str) -> int:
    """Characters at the end that may begin the tag."""
    sizes = range(min(len(text), len(TAG) - 1), 0, -1)
    return next((size for size in sizes if text.endswith(TAG[:size])), 0)


def _merged(events: list[Event]) -> list[Event]:
    """Pieces of the same call's arguments as one."""
    merged: list[Event] = []
    for event in events:
        last = merged[-1] if merged else None
        if isinstance(event, CallGoesOn) and isinstance(last, CallGoesOn):
            merged[-1] = CallGoesOn(event.index, last.arguments + event.arguments)
        else:
            merged.append(event)
    return merged
