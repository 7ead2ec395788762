"""The elements that plans speak of, and how they are found in a dump.

An element is found by its resource id; where an app shows none, by what it says. Two that fit
equally well are refused: a tap on the wrong one cannot be taken back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache, cached_property
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bb_core.errors import BBError
from bb_core.files import read_yaml
from bb_domains.phone.tree import Node

ELEMENTS = Path(__file__).parent / "elements.yaml"

Role = Literal["field", "button", "label", "switch", "row"]

_FIELD_KINDS = frozenset({"EditText", "AutoCompleteTextView", "MultiAutoCompleteTextView"})
_SWITCH_KINDS = frozenset({"Switch", "CheckBox", "ToggleButton"})


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Element(_Strict):
    """How one element is recognised: by resource id, else by one of the texts it may show."""

    role: Role
    id: str
    says: tuple[str, ...]


class Screen(_Strict):
    """Which app a screen belongs to, and the elements by which it is known."""

    app: str
    marks: tuple[str, ...]


class Book(_Strict):
    """Everything known about the apps of a phone.

    Attributes:
        apps: package of each app.
        screens: by name; where several fit, the one with the most marks.
        apps_elements: by app and name; no two apps have elements of one name.
        permissions: what the system's dialog says, by permission.
    """

    apps: Mapping[str, str]
    screens: Mapping[str, Screen]
    apps_elements: Mapping[str, Mapping[str, Element]] = Field(alias="elements")
    permissions: Mapping[str, tuple[str, ...]]

    @cached_property
    def elements(self) -> Mapping[str, Element]:
        """Every element by its name."""
        return {name: one for many in self.apps_elements.values() for name, one in many.items()}

    def front(self, tree: Node) -> str:
        """The name of the screen that is shown; "" if it is not known."""
        packages = {node.package for node in tree.walk()}
        fits = [
            name
            for name, screen in self.screens.items()
            if self.apps[screen.app] in packages
            and all(self._is_shown(tree, mark, self.apps[screen.app]) for mark in screen.marks)
        ]
        return max(fits, key=lambda name: self._rank(tree, name), default="")

    def find(self, tree: Node, screen: str, element: str, row: str = "") -> Node | None:
        """An element of a screen; None if it is not shown.

        Args:
            tree: what is shown.
            screen: the screen it belongs to.
            element: its name.
            row: the text of the row that is meant, for elements of role `row`.

        Raises:
            BBError: several fit equally well.
        """
        package = self.apps[self.screens[screen].app]
        found = self._candidates(tree, element, package)
        if self.elements[element].role == "row":
            found = [node for node in found if row in (node.text, node.desc)]
        if len(found) > 1:
            raise BBError(
                f"{len(found)} elements could be {element}",
                where=f"screen {screen}",
                fix="give its resource id in elements.yaml",
            )
        return found[0] if found else None

    def shown(self, tree: Node, screen: str, element: str) -> str:
        """What a label of a screen shows, without the words that introduce it; "" if nothing."""
        node = self.find(tree, screen, element)
        return self.value(node, element) if node is not None else ""

    def value(self, node: Node, element: str) -> str:
        """What a label shows, without the words that introduce it."""
        for say in self.elements[element].says:
            if node.text.casefold().startswith(f"{say}:".casefold()):
                return node.text[len(say) + 1 :].strip()
        return node.text.strip()

    def permission(self, tree: Node) -> str:
        """The permission that the system's dialog asks for; "" if it asks for none or another."""
        if self.front(tree) != "permission":
            return ""
        said = self.shown(tree, "permission", "permission_message").casefold()
        phrases = ((n, phrase) for n, many in self.permissions.items() for phrase in many)
        return next((name for name, phrase in phrases if phrase in said), "")

    def name_of(self, tree: Node, node: Node) -> str:
        """The element of the screen in front that a node is, a row with its text; "" if none.

        A node that is none itself but holds exactly one, as the row of a switch does, counts as
        that: a tap on either does the same.
        """
        screen = self.front(tree)
        if not screen:
            return ""
        app = self.screens[screen].app
        within = set()
        for name, element in self.apps_elements.get(app, {}).items():
            found = self._candidates(tree, name, self.apps[app])
            if element.role != "row" and len(found) != 1:
                continue
            if any(one.bounds == node.bounds for one in found):
                return f"{name}:{node.text or node.desc}" if element.role == "row" else name
            if element.role in ("switch", "field") and any(one in node.walk() for one in found):
                within.add(name)
        return within.pop() if len(within) == 1 else ""

    def _rank(self, tree: Node, name: str) -> tuple[int, int]:
        """A window that lies above others comes first, then the screen with the most marks."""
        package = self.apps[self.screens[name].app]
        above = max(i for i, node in enumerate(tree.walk()) if node.package == package)
        return above, len(self.screens[name].marks)

    def _is_shown(self, tree: Node, element: str, package: str) -> bool:
        return bool(self._candidates(tree, element, package))

    def _candidates(self, tree: Node, name: str, package: str) -> list[Node]:
        element = self.elements[name]
        nodes = [n for n in tree.walk() if n.package == package and not n.bounds.is_empty]
        by_id = [n for n in nodes if n.id == element.id and _suits(n, element.role)]
        if by_id:
            return by_id
        if element.role == "row":
            return [n for n in nodes if _suits(n, "row") and not n.id]
        says = {say.casefold() for say in element.says}
        found = [
            n
            for n in nodes
            if not n.id and _suits(n, element.role) and _says(n, says, element.role)
        ]
        if not found and element.role in ("field", "switch"):
            return list(_beside(nodes, says, element.role))
        return [n for n in found if ":" in n.text] or found  # what has a value says more


def _says(node: Node, says: set[str], role: Role) -> bool:
    texts = {_plain(node.text), _plain(node.desc)}
    if role == "label":
        texts |= {text.partition(":")[0] for text in texts}
    return not says.isdisjoint(texts)


def _plain(text: str) -> str:
    return " ".join(text.split()).casefold()


def _suits(node: Node, role: Role) -> bool:
    """Whether an element of this kind can play a role."""
    match role:
        case "field":
            return node.kind in _FIELD_KINDS
        case "switch":
            return node.kind in _SWITCH_KINDS
        case "button":
            return node.clickable and node.kind not in _FIELD_KINDS | _SWITCH_KINDS
        case "row":
            return node.clickable and node.kind in ("TextView", "LinearLayout")
        case "label":
            return node.kind not in _FIELD_KINDS | _SWITCH_KINDS and not node.clickable


def _beside(nodes: list[Node], says: set[str], role: Role) -> Iterator[Node]:
    """Fields or switches without words of their own, next to or below a label that names them."""
    labels = [n for n in nodes if _suits(n, "label") and _plain(n.text) in says]
    if len(labels) != 1:
        return
    at = labels[0].bounds
    below = [n for n in nodes if _suits(n, role) and not n.id and n.bounds.bottom > at.top]
    if below:
        yield min(below, key=lambda n: (max(0, n.bounds.top - at.top), n.bounds.left))


@cache
def load_book(path: Path = ELEMENTS) -> Book:
    """Read what is known about the apps of a phone.

    Raises:
        BBError: the file is broken, or names what it does not declare.
    """
    try:
        book = Book.model_validate(read_yaml(path))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise BBError(
            f"{place}: {first['msg']}", where=str(path), fix="see Book in phone/elements.py"
        ) from None
    for where, what in _faults(book):
        raise BBError(what, where=f"{path}: {where}", fix="declare it, once")
    return book


def _faults(book: Book) -> Iterator[tuple[str, str]]:
    """What is used and not declared, or declared twice: place, what."""
    for name, screen in book.screens.items():
        if screen.app not in book.apps:
            yield f"screens.{name}", f"no app {screen.app!r}"
        for mark in screen.marks:
            if mark not in book.apps_elements.get(screen.app, {}):
                yield f"screens.{name}", f"no element {mark!r} in {screen.app}"
    seen: set[str] = set()
    for app, elements in book.apps_elements.items():
        if app not in book.apps:
            yield f"elements.{app}", f"no app {app!r}"
        for name in elements:
            if name in seen:
                yield f"elements.{app}", f"a second element {name!r}"
            seen.add(name)
