"""Trees of what a screen shows, as `uiautomator dump` writes them.

    <hierarchy rotation="0"><node text="Save" resource-id="org.example.contacts:id/save"
        class="android.widget.Button" package="org.example.contacts" content-desc=""
        clickable="true" enabled="true" bounds="[0,120][1080,240]" …>…</node></hierarchy>

Dumps come from a phone, that is, from whatever apps put on its screen: document types and entities
are refused, and so is what is too large or nested too deeply.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import NoReturn
from xml.parsers import expat
from xml.sax.saxutils import quoteattr

from bb_core.errors import BBError

MOST_CHARACTERS = 4_000_000
MOST_NODES = 20_000
MOST_DEPTH = 100

Point = tuple[int, int]

_BOUNDS = re.compile(r"\[(-?[0-9]{1,6}),(-?[0-9]{1,6})\]\[(-?[0-9]{1,6}),(-?[0-9]{1,6})\]")
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


@dataclass(frozen=True)
class Bounds:
    """A rectangle in pixels; `right` and `bottom` lie outside."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def center(self) -> Point:
        """The pixel in the middle."""
        return (self.left + self.right) // 2, (self.top + self.bottom) // 2

    @property
    def is_empty(self) -> bool:
        """Whether there is no pixel in it."""
        return self.right <= self.left or self.bottom <= self.top

    def holds(self, point: Point) -> bool:
        """Whether a pixel lies inside."""
        return self.left <= point[0] < self.right and self.top <= point[1] < self.bottom

    def __str__(self) -> str:
        return f"[{self.left},{self.top}][{self.right},{self.bottom}]"


@dataclass(frozen=True)
class Node:
    """One element of a screen.

    Attributes:
        bounds: where it is.
        kind: last part of its class: Button, EditText, Switch, TextView, FrameLayout, …
        package: the app it belongs to.
        id: its resource id without the package; "" if it has none.
        text, desc: what it shows, and what it says to those who cannot see it.
        clickable, enabled, checked, focused, password: as in the dump.
        children: elements within it, later ones above earlier ones.
        name: what a simulated phone knows it to be; never written to a dump.
    """

    bounds: Bounds
    kind: str = "FrameLayout"
    package: str = ""
    id: str = ""
    text: str = ""
    desc: str = ""
    clickable: bool = False
    enabled: bool = True
    checked: bool = False
    focused: bool = False
    password: bool = False
    children: tuple[Node, ...] = ()
    name: str = field(default="", compare=False)

    def walk(self) -> tuple[Node, ...]:
        """This element and everything within, in the order in which it is drawn."""
        return self._all

    @cached_property
    def _all(self) -> tuple[Node, ...]:
        found, pending = [], [self]
        while pending:
            node = pending.pop()
            found.append(node)
            pending.extend(reversed(node.children))
        return tuple(found)


def hit(tree: Node, point: Point) -> Node | None:
    """The topmost element at a point that takes taps; None if there is none."""
    found = None
    for node in tree.walk():
        if node.clickable and node.enabled and node.bounds.holds(point):
            found = node
    return found


def parse_dump(text: str) -> Node:
    """Read what `uiautomator dump` wrote; windows are gathered under one root.

    Raises:
        BBError: not such a dump, or one that no phone writes: with a document type or an entity,
            more than `MOST_NODES` elements, or deeper than `MOST_DEPTH`.
    """
    if len(text) > MOST_CHARACTERS:
        _refuse(f"has {len(text)} characters", f"at most {MOST_CHARACTERS} are read")
    reader = _Reader()
    parser = expat.ParserCreate()
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.StartDoctypeDeclHandler = reader.doctype
    parser.EntityDeclHandler = reader.entity
    try:
        parser.Parse(text.encode("utf-8", "surrogatepass"), True)
    except expat.ExpatError as error:
        _refuse(f"is no XML: {error}")
    tops = reader.finished
    if not tops:
        _refuse("shows nothing", "wake the phone, and dump again")
    if len(tops) == 1:
        return tops[0]
    right, bottom = max(n.bounds.right for n in tops), max(n.bounds.bottom for n in tops)
    return Node(Bounds(0, 0, right, bottom), children=tuple(tops))


def write_dump(tree: Node) -> str:
    """A tree as `uiautomator dump` writes it, without what only a simulated phone knows."""
    head = "<?xml version='1.0' encoding='UTF-8' standalone='yes' ?>"
    return f'{head}<hierarchy rotation="0">{_element(tree)}</hierarchy>'


def _element(node: Node) -> str:
    values = {
        "text": node.text,
        "resource-id": f"{node.package}:id/{node.id}" if node.id else "",
        "class": f"android.widget.{node.kind}",
        "package": node.package,
        "content-desc": node.desc,
        "checked": str(node.checked).lower(),
        "clickable": str(node.clickable).lower(),
        "enabled": str(node.enabled).lower(),
        "focused": str(node.focused).lower(),
        "password": str(node.password).lower(),
        "bounds": str(node.bounds),
    }
    written = " ".join(f"{name}={quoteattr(_clean(text))}" for name, text in values.items())
    return f"<node {written}>{''.join(_element(child) for child in node.children)}</node>"


def _clean(text: str) -> str:
    return _CONTROL.sub("\ufffd", text)


@dataclass
class _Open:
    """An element whose end has not been read yet."""

    values: dict[str, str]
    children: list[Node] = field(default_factory=list)


class _Reader:
    """Builds the tree from the parser's events."""

    def __init__(self) -> None:
        self.finished: list[Node] = []
        self._open: list[_Open] = []
        self._n_nodes = 0
        self._seen_root = False

    def start(self, tag: str, values: dict[str, str]) -> None:
        if tag == "hierarchy" and not self._seen_root:
            self._seen_root = True
            return
        if tag != "node" or not self._seen_root:
            _refuse(f"has an element {tag[:40]!r}", "give it what uiautomator dump writes")
        self._n_nodes += 1
        if self._n_nodes > MOST_NODES:
            _refuse(f"has more than {MOST_NODES} elements", "look at what the app shows")
        if len(self._open) >= MOST_DEPTH:
            _refuse(f"is deeper than {MOST_DEPTH} elements", "look at what the app shows")
        self._open.append(_Open(values))

    def end(self, tag: str) -> None:
        if tag != "node":
            return
        done = self._open.pop()
        node = _node(done)
        (self._open[-1].children if self._open else self.finished).append(node)

    def doctype(self, *_: object) -> NoReturn:
        _refuse("declares a document type", "give it what uiautomator dump writes")

    def entity(self, *_: object) -> NoReturn:
        _refuse("declares an entity", "give it what uiautomator dump writes")


def _node(done: _Open) -> Node:
    values = done.values
    found = _BOUNDS.fullmatch(values.get("bounds", ""))
    if found is None:
        _refuse(f"has bounds {values.get('bounds', '')[:40]!r}", "bounds are [x,y][x,y]")
    package = values.get("package", "")
    return Node(
        Bounds(*(int(part) for part in found.groups())),
        values.get("class", "").rpartition(".")[2],
        package,
        values.get("resource-id", "").rpartition(":id/")[2],
        values.get("text", ""),
        values.get("content-desc", ""),
        values.get("clickable") == "true",
        values.get("enabled", "true") == "true",
        values.get("checked") == "true",
        values.get("focused") == "true",
        values.get("password") == "true",
        tuple(done.children),
    )


def _refuse(what: str, fix: str = "") -> NoReturn:
    raise BBError(what, where="ui dump", fix=fix)
