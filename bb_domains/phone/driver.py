"""Tool calls as taps and keys: find the element in what the screen shows, tap it, look again.

Before every tap the screen is asked anew, and must be the one the tool belongs to; an element that
is not there, or that could be two, is refused and nothing is tapped. `blind` is for simulators only
(see `simulated`): there a tap goes where the element would be.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bb_core.errors import BBError
from bb_domains.phone.actions import OPENS, TAPS, TYPINGS, Tap
from bb_domains.phone.device import Device
from bb_domains.phone.elements import Book
from bb_domains.phone.policies import ALLOWED
from bb_domains.phone.tree import Node, Point
from bb_domains.tools import ToolFailed

MOST_LOOKS = 6
"""How often the screen is asked until it is the one that a tap leads to."""

MOST_SCROLLS = 12

NOT_FOUND, CONFLICT, BAD_VALUE = 404, 409, 422

Blind = Callable[[str, str, str], Point | None]
"""Where an element of a screen would be: element, screen, text of the row."""


@dataclass(frozen=True)
class Aimed:
    """A tap and what it was meant for: the element (a row with its text) of a screen."""

    name: str
    screen: str
    point: Point


class Driver:
    """Carries tool calls out on one handset; `bb_domains.tools.Adapters`.

    Args:
        device: the handset.
        book: how its elements are recognised.
        secrets: the PINs, by the names that the schema gives their variables.
        blind: for simulators.

    Attributes:
        aimed: every tap so far.
    """

    def __init__(
        self,
        device: Device,
        book: Book,
        secrets: Mapping[str, str],
        blind: Blind | None = None,
    ) -> None:
        self._device, self._book, self._secrets = device, book, secrets
        self._blind = blind
        self._n_bound = 0
        self.aimed: list[Aimed] = []

    def call(
        self, tool: str, args: Mapping[str, Any], idempotency_key: str | None = None
    ) -> dict[str, Any]:
        """Carry a tool call out. Keys are not honoured: a tap is a tap.

        Raises:
            BBError: there is no such tool, or a PIN is not known.
            ToolFailed: the screen is another, or the handset did not do it.
        """
        try:
            if tool in TAPS:
                return self._tap_tool(tool, TAPS[tool], args)
            if tool in TYPINGS:
                typing = TYPINGS[tool]
                self._type(
                    tool, typing.screen, typing.element, _typed(_arg(tool, args, typing.arg))
                )
                return {}
            if tool in OPENS:
                return self._open(tool, OPENS[tool])
            act = _TOOLS.get(tool)
            if act is not None:
                return act(self, tool, args)
        except ToolFailed:
            raise
        except BBError as error:
            raise ToolFailed(tool, 0, str(error)) from error
        raise BBError("no such tool", where=f"tool {tool}", fix="see plan_schema.yaml")

    def continue_from(self, other: Driver) -> None:
        """Go on as the other would: handles are numbered from there."""
        self._n_bound, self.aimed = other._n_bound, list(other.aimed)

    def _tap_tool(self, tool: str, tap: Tap, args: Mapping[str, Any]) -> dict[str, Any]:
        if tool == "confirm_delete":
            _arg(tool, args, "name")
        self._tap(tool, tap.screen, tap.element)
        self._arrive(tool, tap.leads_to)
        return {"screen": tap.leads_to}

    def _wake(self, tool: str, args: Mapping[str, Any]) -> dict[str, Any]:
        self._device.key("WAKEUP")
        self._device.settle()
        front = self._book.front(self._device.dump())
        if front != "lock":
            self._device.key("HOME")
            self._device.settle()
            front = self._book.front(self._device.dump())
        if front not in ("home", "lock"):
            self._device.key("MENU")  # the lock screen asks for the PIN only then
            front = self._arrive(tool, "home", "lock")
        return {"locked": front == "lock"}

    def _look(self, tool: str, args: Mapping[str, Any]) -> dict[str, Any]:
        tree = self._device.dump()
        return {"screen": self._book.front(tree), "asks": self._book.permission(tree)}

    def _unlock(self, tool: str, args: Mapping[str, Any]) -> dict[str, Any]:
        self._type(tool, "lock", "pin_entry", self._secret(tool, "BB_PHONE_PIN"), check=False)
        self._device.key("ENTER")
        self._arrive_elsewhere(tool, "lock")
        self._device.key("HOME")
        self._arrive(tool, "home")
        return {"screen": "home"}

    def _press_home(self, tool: str, args: Mapping[str, Any]) -> dict[str, Any]:
        self._device.key("HOME")
        self._arrive(tool, "home")
        return {"screen": "home"}

    def _open(self, tool: str, app: str) -> dict[str, Any]:
        self._need(tool, "home")
        self._device.launch(self._book.apps[app])
        screens = [name for name, screen in self._book.screens.items() if screen.app == app]
        if self._blind is None:
            self._arrive(tool, *screens, "permission")
        front = self._book.front(self._device.dump())
        return {"screen": front, "asks": self._book.permission(self._device.dump())}

    def _allow(self, tool: str, args: Mapping[str, Any]) -> dict[str, Any]:
        permission = _arg(tool, args, "permission")
        if permission not in ALLOWED:
            raise ToolFailed(tool, 403, f"plans never grant {permission}")
        return self._answer(tool, permission, "permission_allow")

    def _deny(self, tool: str, args: Mapping[str, Any]) -> dict[str, Any]:
        return self._answer(tool, _arg(tool, args, "permission"), "permission_deny")

    def _answer(self, tool: str, permission: str, element: str) -> dict[str, Any]:
        self._need(tool, "permission")
        asked = self._book.permission(self._device.dump())
        if self._blind is None and asked != permission:
            raise ToolFailed(tool, CONFLICT, f"the dialog asks for {asked or 'something else'}")
        self._tap(tool, "permission", element)
        return {"screen": self._arrive_elsewhere(tool, "permission")}

    def _open_contact(self, tool: str, args: Mapping[str, Any]) -> dict[str, Any]:
        name = _arg(tool, args, "name")
        self._type(tool, "contacts", "search_contacts", name)
        self._tap(tool, "contacts", "contact_row", name)
        self._arrive(tool, "contact")
        shown = {
            "name": self._shown(tool, "contact", "contact_title"),
            "number": self._shown(tool, "contact", "contact_number"),
        }
        if shown["name"] != name:
            raise ToolFailed(tool, CONFLICT, "the screen shows another contact")
        return {"id": self._bound("contact"), **shown}

    def _type_recipient(self, tool: str, args: Mapping[str, Any]) -> dict[str, Any]:
        to = _arg(tool, args, "to")
        self._type(tool, "composer", "recipient_field", to)
        number = self._shown(tool, "composer", "recipient_number")
        return {"id": self._bound("draft"), "to": to, "number": number}

    def _type_time(self, tool: str, args: Mapping[str, Any]) -> dict[str, Any]:
        hour, minute = _arg(tool, args, "hour"), _arg(tool, args, "minute")
        self._type(tool, "event_form", "time_field", f"{hour:02d}:{minute:02d}")
        return {}

    def _set_switch(self, tool: str, args: Mapping[str, Any]) -> dict[str, Any]:
        element, wanted = f"switch_{_arg(tool, args, 'switch')}", _arg(tool, args, "state") == "on"
        if element not in self._book.elements:
            raise ToolFailed(tool, NOT_FOUND, f"there is no {element}")
        node = self._sought(tool, "settings", element)
        changed = node is None or node.checked != wanted
        if changed:
            self._tap(tool, "settings", element)
            node = self._book.find(self._device.dump(), "settings", element)
            if node is None or node.checked != wanted:
                raise ToolFailed(tool, CONFLICT, "the switch did not move")
        return {"state": "on" if wanted else "off", "changed": changed}

    def _log_in(self, tool: str, args: Mapping[str, Any]) -> dict[str, Any]:
        pin = self._secret(tool, "BB_PHONE_BANK_PIN")
        self._type(tool, "bank_lock", "bank_pin", pin, check=False)
        self._tap(tool, "bank_lock", "bank_enter")
        self._arrive(tool, "bank")
        return {"screen": "bank"}

    def _review(self, tool: str, args: Mapping[str, Any]) -> dict[str, Any]:
        self._tap(tool, "payment_form", "review_button")
        self._arrive(tool, "review")
        return {"id": self._bound("payment"), **self._reviewed(tool)}

    def _confirm(self, tool: str, args: Mapping[str, Any]) -> dict[str, Any]:
        payee, amount = _arg(tool, args, "payee"), _arg(tool, args, "amount")
        self._need(tool, "review")
        if self._blind is None and self._reviewed(tool) != {"payee": payee, "amount": amount}:
            raise ToolFailed(tool, CONFLICT, "the screen asks about another payment")
        self._tap(tool, "review", "pay_button")
        self._arrive(tool, "bank")
        return {"payee": payee, "amount": amount}

    def _reviewed(self, tool: str) -> dict[str, Any]:
        """What the review screen says."""
        amount = re.search(r"[0-9]+(?:\.[0-9]{1,2})?", self._shown(tool, "review", "review_amount"))
        payee = self._shown(tool, "review", "review_payee")
        if not payee or amount is None:
            raise ToolFailed(tool, CONFLICT, "the review screen does not say what is paid")
        return {"payee": payee, "amount": float(amount[0])}

    def _shown(self, tool: str, screen: str, element: str) -> str:
        """What a label shows; "" if it is not on the screen."""
        node = self._sought(tool, screen, element)
        return self._book.value(node, element) if node is not None else ""

    def _bound(self, kind: str) -> str:
        self._n_bound += 1
        return f"{kind}-{self._n_bound}"

    def _secret(self, tool: str, name: str) -> str:
        if not self._secrets.get(name):
            raise BBError(f"needs {name}", where=f"tool {tool}", fix="set it in the environment")
        return self._secrets[name]

    def _need(self, tool: str, screen: str) -> None:
        """Refuse if another screen is in front."""
        if self._blind is None:
            front = self._book.front(self._device.dump())
            if front != screen:
                raise ToolFailed(tool, CONFLICT, f"{_name(front)} is in front, not {screen}")

    def _arrive(self, tool: str, *screens: str) -> str:
        """The screen in front, once it is one of these."""
        front = ""
        for look in range(MOST_LOOKS):
            if look:
                self._device.settle()
            front = self._book.front(self._device.dump())
            if front in screens:
                return front
        wanted = " or ".join(screens[:3])
        raise ToolFailed(tool, CONFLICT, f"{_name(front)} came to the front, not {wanted}")

    def _arrive_elsewhere(self, tool: str, screen: str) -> str:
        others = [name for name in self._book.screens if name != screen]
        return self._arrive(tool, *others)

    def _sought(self, tool: str, screen: str, element: str, row: str = "") -> Node | None:
        """An element of the screen in front, scrolled to where it must be; None if not found."""
        tree = self._device.dump()
        front = self._book.front(tree)
        if front != screen:
            if self._blind is None:
                raise ToolFailed(tool, CONFLICT, f"{_name(front)} is in front, not {screen}")
            return None
        for direction in (1, -1):
            for _ in range(MOST_SCROLLS):
                found = self._book.find(tree, screen, element, row)
                if found is not None:
                    return found
                before = tree
                self._scroll(tree, direction)
                tree = self._device.dump()
                if tree == before:
                    break
        return None

    def _scroll(self, tree: Node, direction: int) -> None:
        """Drag over a third of the screen, above any keyboard; upwards for what lies below."""
        bounds = tree.bounds
        height = bounds.bottom - bounds.top
        x, middle = bounds.center[0], bounds.top + height * 2 // 5
        by = height // 6 * direction
        self._device.swipe((x, middle + by), (x, middle - by))

    def _tap(self, tool: str, screen: str, element: str, row: str = "") -> None:
        node = self._sought(tool, screen, element, row)
        point = node.bounds.center if node is not None and node.enabled else None
        if point is None and self._blind is not None:
            point = self._blind(element, screen, row)
        if point is None:
            what = "is disabled" if node is not None else "is not shown"
            raise ToolFailed(tool, NOT_FOUND, f"{element} {what}")
        self.aimed.append(Aimed(f"{element}:{row}" if row else element, screen, point))
        self._device.tap(point)
        self._device.settle()

    def _type(self, tool: str, screen: str, element: str, text: str, *, check: bool = True) -> None:
        """Type a text into a field, in place of what is there.

        What the field shows afterwards must be the text: `check` is False where it shows dots.
        """
        self._tap(tool, screen, element)
        node = self._book.find(self._device.dump(), screen, element) if not self._blind else None
        says = self._book.elements[element].says
        if node is not None and node.text and node.text not in says:
            self._device.key("MOVE_END")
            self._device.key("DEL", len(node.text))
        self._device.text(text)
        self._device.settle()
        if check and not self._blind:
            node = self._book.find(self._device.dump(), screen, element)
            if node is None or node.text != text:
                raise ToolFailed(tool, CONFLICT, f"{element} does not show what was typed")


def _arg(tool: str, args: Mapping[str, Any], name: str) -> Any:
    if name not in args:
        raise ToolFailed(tool, BAD_VALUE, f"argument {name!r} is missing")
    return args[name]


def _typed(value: Any) -> str:
    """A value as it is typed: 25, 25.5, or the text itself."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def _name(screen: str) -> str:
    return screen or "an unknown screen"


_TOOLS: Mapping[str, Callable[[Driver, str, Mapping[str, Any]], dict[str, Any]]] = {
    "wake": Driver._wake,
    "unlock": Driver._unlock,
    "look": Driver._look,
    "press_home": Driver._press_home,
    "allow_permission": Driver._allow,
    "deny_permission": Driver._deny,
    "open_contact": Driver._open_contact,
    "type_recipient": Driver._type_recipient,
    "type_time": Driver._type_time,
    "set_switch": Driver._set_switch,
    "log_in": Driver._log_in,
    "review_payment": Driver._review,
    "confirm_payment": Driver._confirm,
}

TOOLS: tuple[str, ...] = (*_TOOLS, *OPENS, *TAPS, *TYPINGS)
"""Every tool there is."""
