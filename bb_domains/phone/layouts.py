"""Layouts: how a phone's apps look; and screens drawn that way.

A layout says how large things are, where the buttons stand, in which words, and whether apps give
their elements resource ids. What a plan has to do is the same in all of them; where to tap is not.

    status bar
    toolbar       title, and the buttons if they stand above
    body          fields, rows, switches, labels, one below another; scrolls
    buttons       if they stand below; above the keyboard while it is shown
    keyboard
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from bb_domains.phone.elements import load_book
from bb_domains.phone.tree import Bounds, Node
from bb_domains.variants import Variants

Part = Literal["field", "button", "label", "switch", "row", "extra"]

STATUS_BAR = 60  # pixels


@dataclass(frozen=True)
class Layout:
    """One look.

    Attributes:
        name: its name.
        held_out: whether it is kept for `unseen_layouts`.
        size: of the screen, in pixels.
        row: height of what stands in the body, in pixels.
        say: which of the texts of an element is used.
        ids: whether elements have resource ids.
        icons: whether buttons say what they do in their description only.
        labels: whether the words of fields and switches stand in a label of their own.
        capitals: whether buttons shout.
        above: whether buttons stand in the toolbar.
        columns: buttons beside one another.
        nest: containers around everything.
        extras: further buttons that nobody asked for.
    """

    name: str
    held_out: bool
    size: tuple[int, int] = (1080, 2280)
    row: int = 150
    say: int = 0
    ids: bool = True
    icons: bool = False
    labels: bool = False
    capitals: bool = False
    above: bool = False
    columns: int = 2
    nest: int = 1
    extras: int = 1


LAYOUTS = Variants(
    "layout",
    (
        Layout("plain", False),
        Layout("toolbar", False, above=True, icons=True, columns=3, nest=3),
        Layout("large_text", False, (1080, 2340), 260, 1, capitals=True, columns=1, nest=2),
        Layout("old", False, (720, 1280), 110, 1, ids=False, labels=True, nest=4, extras=2),
        Layout("tablet", False, (1600, 2560), 130, 2, above=True, columns=4, extras=3),
        Layout("small", True, (540, 960), 100, 2, ids=False, icons=True, columns=2, nest=5),
        Layout(
            "dense", True, (1440, 3120), 120, 1, ids=False, labels=True, above=True, columns=3,
            capitals=True, nest=2, extras=3,
        ),
    ),
)  # fmt: skip

EXTRAS: Mapping[str, tuple[str, ...]] = {
    "contacts": ("Import", "Share all", "New group"),
    "contact": ("Share", "Edit", "Delete call log"),
    "contact_form": ("Save as draft", "Scan card", "More fields"),
    "threads": ("New group message", "Archive", "Mark all read"),
    "composer": ("Send later", "Attach", "Camera"),
    "calendar": ("Today", "New reminder", "Search events"),
    "event_form": ("Save as template", "Invite", "Repeat"),
    "settings": ("Search settings", "About", "Users"),
    "bank": ("Request money", "Pay again", "Transfer abroad"),
    "payment_form": ("Save payee", "Pay later", "Currencies"),
    "review": ("Pay later", "Share", "Save as template"),
}
"""Buttons without a meaning for plans, some of them in words near to those that have one."""


@dataclass(frozen=True)
class Item:
    """Something to draw: its name in the book (a row with its text), its part, and what it shows.

    Attributes:
        name: its element, `contact_row:Ann Bell` for rows.
        part: how it is drawn.
        text: what it shows: the value of a field or label, the text of a row.
        on: whether a switch is on, or a field has the focus.
        secret: whether a field hides what is typed.
    """

    name: str
    part: Part
    text: str = ""
    on: bool = False
    secret: bool = False


@dataclass(frozen=True)
class Picture:
    """A screen to draw.

    Attributes:
        package: the app it belongs to.
        title: what its toolbar says; an element of the book says its own words.
        items: what it shows, buttons included.
        scroll: rows of the body that are scrolled away.
        keyboard: whether the keyboard is shown.
    """

    package: str
    title: str
    items: tuple[Item, ...]
    scroll: int = 0
    keyboard: bool = False


def extras(layout: Layout, screen: str, rng: random.Random) -> tuple[Item, ...]:
    """The buttons of a screen that nobody asked for."""
    words = EXTRAS.get(screen, ())
    chosen = rng.sample(words, min(layout.extras, len(words)))
    return tuple(Item(f"extra:{word}", "extra", word) for word in chosen)


@lru_cache(maxsize=64)  # a screen is looked at again and again before it changes
def draw(layout: Layout, picture: Picture) -> Node:
    """What the screen shows, as its tree."""
    pen = _Pen(layout, picture)
    inner: tuple[Node, ...] = tuple(pen.nodes())
    width, height = layout.size
    full = Bounds(0, 0, width, height)
    for _ in range(layout.nest):
        inner = (Node(full, package=picture.package, children=inner),)
    bar = Node(Bounds(0, 0, width, STATUS_BAR), package="com.android.systemui")
    return Node(full, package=picture.package, children=(bar, *inner))


def body_rows(layout: Layout, picture: Picture) -> int:
    """How many rows of the body there is room for."""
    return _Pen(layout, picture).room


class _Pen:
    """Places the items of one picture."""

    def __init__(self, layout: Layout, picture: Picture) -> None:
        self._layout, self._picture = layout, picture
        buttons = [i for i in picture.items if i.part in ("button", "extra")]
        self._body = [i for i in picture.items if i.part not in ("button", "extra")]
        lines = -(-len(buttons) // layout.columns)
        self._buttons = buttons
        height = layout.size[1]
        self._keyboard_top = height - (height // 3 if picture.keyboard else 0)
        strip = lines * layout.row
        self._title_top = STATUS_BAR
        self._body_top = STATUS_BAR + layout.row + (strip if layout.above else 0)
        self._body_bottom = self._keyboard_top - (0 if layout.above else strip)
        self._strip_top = STATUS_BAR + layout.row if layout.above else self._body_bottom
        self._height = layout.row * (2 if layout.labels else 1)
        self.room = max(1, (self._body_bottom - self._body_top) // self._height)

    def nodes(self) -> Iterable[Node]:
        """Title, body, buttons, keyboard."""
        layout, picture = self._layout, self._picture
        width, height = layout.size
        title = Bounds(20, self._title_top, width - 20, self._title_top + layout.row)
        if picture.title:
            words = self._words(picture.title) or picture.title
            yield self._node("title", picture.title, title, "TextView", text=words)
        shown = self._body[picture.scroll : picture.scroll + self.room]
        for i, item in enumerate(shown):
            yield from self._body_item(item, self._body_top + i * self._height)
        yield from self._button_nodes()
        if picture.keyboard:
            yield Node(
                Bounds(0, self._keyboard_top, width, height),
                package="com.android.inputmethod.latin",
                clickable=True,
                name="keyboard",
            )

    def _button_nodes(self) -> Iterable[Node]:
        layout = self._layout
        wide = layout.size[0] // layout.columns
        for i, item in enumerate(self._buttons):
            line, column = divmod(i, layout.columns)
            top = self._strip_top + line * layout.row
            place = Bounds(column * wide, top, (column + 1) * wide, top + layout.row)
            words = item.text or self._words(item.name)
            words = words.upper() if layout.capitals else words
            text, desc = ("", words) if layout.icons else (words, "")
            kind = "ImageButton" if layout.icons else "Button"
            yield self._node(item.name, item.name, place, kind, text, desc, clickable=True)

    def _body_item(self, item: Item, top: int) -> Iterable[Node]:
        layout, width = self._layout, self._layout.size[0]
        words, bottom = self._words(item.name), top + self._height
        place = Bounds(20, top, width - 20, bottom)
        match item.part:
            case "row":
                yield self._node(item.name, "contact_row", place, "TextView", item.text,
                                 clickable=True)  # fmt: skip
            case "label":
                text = item.text
                if words and not layout.ids:
                    text = f"{words}: {item.text}"
                yield self._node(item.name, item.name, place, "TextView", text)
            case "switch":
                label = Bounds(20, top, width - 260, bottom)
                yield self._node("", "", label, "TextView", words)
                place = Bounds(width - 250, top, width - 20, bottom)
                desc = "" if layout.labels else words
                yield self._node(item.name, item.name, place, "Switch", "", desc,
                                 clickable=True, checked=item.on)  # fmt: skip
            case _:
                if layout.labels:
                    label = Bounds(20, top, width - 20, top + layout.row)
                    yield self._node("", "", label, "TextView", words)
                    place = Bounds(20, top + layout.row, width - 20, bottom)
                shown = "•" * len(item.text) if item.secret else item.text
                hint = "" if layout.labels else words
                yield self._node(item.name, item.name, place, "EditText", shown or hint, hint,
                                 clickable=True, focused=item.on, password=item.secret)  # fmt: skip

    def _node(
        self,
        name: str,
        element: str,
        place: Bounds,
        kind: str,
        text: str = "",
        desc: str = "",
        *,
        clickable: bool = False,
        checked: bool = False,
        focused: bool = False,
        password: bool = False,
    ) -> Node:
        """A node as dumps describe it, hence one argument for each of its attributes."""
        known = load_book().elements.get(element)
        # Android's own dialogs and lock screen have their ids in every layout.
        has_ids = self._layout.ids or self._picture.package.startswith("com.android.")
        return Node(
            place,
            kind,
            self._picture.package,
            known.id if known is not None and has_ids else "",
            text,
            desc,
            clickable,
            checked=checked,
            focused=focused,
            password=password,
            name=name,
        )

    def _words(self, name: str) -> str:
        known = load_book().elements.get(name)
        if known is None or not known.says:
            return ""
        return known.says[min(self._layout.say, len(known.says) - 1)]
