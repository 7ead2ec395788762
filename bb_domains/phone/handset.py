"""A handset in memory: its apps, what its screen shows, and what taps and keys do to it.

It does whatever it is tapped; that a tap was meant for something else, it cannot know.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import lru_cache

from bb_core.errors import BBError
from bb_domains.phone.device import Key
from bb_domains.phone.elements import load_book
from bb_domains.phone.layouts import Item, Layout, Picture, body_rows, draw, extras
from bb_domains.phone.people import make_name, make_number
from bb_domains.phone.policies import Policy
from bb_domains.phone.tree import Node, Point, hit

PIN, BANK_PIN = "47110815", "25803694"
SWITCHES: tuple[str, ...] = ("wifi", "bluetooth", "airplane_mode", "do_not_disturb", "dark_theme",
                             "location", "hotspot", "battery_saver")  # fmt: skip
N_CONTACTS = 14

_FIRST_SCREENS = {
    "contacts": "contacts",
    "messages": "threads",
    "calendar": "calendar",
    "settings": "settings",
    "bank": "bank_lock",
}
_FORMS = {
    "contact_form": ("name_field", "phone_field"),
    "composer": ("recipient_field", "message_field"),
    "event_form": ("title_field", "date_field", "time_field"),
    "payment_form": ("payee_field", "amount_field"),
    "contacts": ("search_contacts",),
    "bank_lock": ("bank_pin",),
    "lock": ("pin_entry",),
}
_BUTTONS = {
    "contacts": ("new_contact",),
    "contact": ("call_button", "delete_button", "close_contact_button"),
    "deleting": ("keep_button", "confirm_delete_button"),
    "contact_form": ("save_contact_button",),
    "call": ("hang_up",),
    "threads": ("new_message",),
    "composer": ("send_button", "discard_button"),
    "calendar": ("new_event",),
    "event_form": ("save_event_button",),
    "bank_lock": ("bank_enter",),
    "bank": ("new_payment",),
    "payment_form": ("review_button",),
    "review": ("cancel_payment_button", "pay_button"),
    "permission": ("permission_allow", "permission_deny"),
}
_BACK = {
    "contact": "contacts",
    "deleting": "contact",
    "contact_form": "contacts",
    "composer": "threads",
    "event_form": "calendar",
    "payment_form": "bank",
    "review": "bank",
    "call": "contact",
}

Change = tuple[str | int | float | bool, ...]


@dataclass
class Handset:
    """A phone; `device.Device`.

    Attributes:
        layout, policy: how it looks, and what it asks for.
        contacts: numbers by name.
        switches: what is on.
        events, sent, payments: what is kept, oldest first.
        locked, awake: as it stands.
        pin_shown: whether the lock screen asks for the PIN already.
        screen: what is in front, dialogs apart.
        asking: what the app in front asks for; "" if it does not.
        answered: the apps that have had an answer.
        refused: what apps were refused: app, permission.
        logged_in: whether the bank has had its PIN.
        person: the contact that was opened last.
        fields: what was typed, by element.
        focus: the field that has the focus; "" if none has.
        scroll: rows of the body that are scrolled away.
        hits: names of what taps and drags hit, "" where nothing was, with the screen hit.
        changes: what was changed, oldest first: kind and values.
    """

    layout: Layout
    policy: Policy
    seed: int
    contacts: dict[str, str] = field(default_factory=dict)
    switches: dict[str, bool] = field(default_factory=dict)
    events: list[tuple[str, str, str]] = field(default_factory=list)
    sent: list[tuple[str, str]] = field(default_factory=list)
    payments: list[tuple[str, float]] = field(default_factory=list)
    locked: bool = False
    awake: bool = False
    pin_shown: bool = False
    screen: str = "home"
    asking: str = ""
    answered: set[str] = field(default_factory=set)
    refused: set[tuple[str, str]] = field(default_factory=set)
    logged_in: bool = False
    person: str = ""
    fields: dict[str, str] = field(default_factory=dict)
    focus: str = ""
    scroll: int = 0
    hits: list[tuple[str, str]] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)

    def copy(self) -> Handset:
        """An independent handset in the same state."""
        return replace(
            self,
            contacts=dict(self.contacts),
            switches=dict(self.switches),
            events=list(self.events),
            sent=list(self.sent),
            payments=list(self.payments),
            answered=set(self.answered),
            refused=set(self.refused),
            fields=dict(self.fields),
            hits=list(self.hits),
            changes=list(self.changes),
        )

    @property
    def front(self) -> str:
        """The screen that is shown, dialogs and lock screen included."""
        if self.locked:
            return "lock" if self.pin_shown else "keyguard"
        return "permission" if self.asking else self.screen

    def dump(self) -> Node:
        """What the screen shows.

        Raises:
            BBError: the phone sleeps.
        """
        if not self.awake:
            raise BBError("shows nothing", where="phone", fix="wake it")
        return self.picture_of(self.front)

    def picture_of(self, screen: str, scroll: int | None = None) -> Node:
        """What the screen would show if this were in front."""
        return draw(self.layout, self._picture(screen, self.scroll if scroll is None else scroll))

    def tap(self, point: Point) -> None:
        """Tap a pixel."""
        front = self.front
        found = hit(self.dump(), point) if self.awake else None
        name = found.name if found is not None else ""
        self.hits.append((name, front))
        self._hit(name)

    def swipe(self, start: Point, end: Point) -> None:
        """Scroll, by half of what the body shows."""
        picture = self._picture(self.front, self.scroll)
        room = body_rows(self.layout, picture)
        rows = sum(item.part not in ("button", "extra") for item in picture.items)
        by = max(1, room // 2) if end[1] < start[1] else -max(1, room // 2)
        self.scroll = min(max(0, self.scroll + by), max(0, rows - room))

    def text(self, text: str) -> None:
        """Type into the field that has the focus."""
        if self.focus:
            self.fields[self.focus] = self.fields.get(self.focus, "") + text

    def key(self, key: Key, times: int = 1) -> None:
        """Press a key."""
        match key:
            case "WAKEUP":
                self.awake = True
            case "HOME":
                self._go("home")
                self.logged_in = False
                self.asking = ""
            case "MENU":
                self.pin_shown = True
            case "BACK" if self.focus:
                self.focus = ""
            case "BACK":
                self._go(_BACK.get(self.screen, "home"))
            case "DEL" if self.focus:
                typed = self.fields.get(self.focus, "")
                self.fields[self.focus] = typed[: max(0, len(typed) - times)]
            case "ENTER":
                self._enter()
            case _:
                pass

    def launch(self, package: str) -> None:
        """Bring an app to the front; it may ask for something first.

        Raises:
            BBError: there is no such app.
        """
        found = [app for app, name in load_book().apps.items() if name == package]
        if not found or found[0] not in _FIRST_SCREENS:
            raise BBError(f"no app {package!r}", where="phone", fix="install it")
        app = found[0]
        self._go("bank" if app == "bank" and self.logged_in else _FIRST_SCREENS[app])
        asked = self.policy.asks.get(app)
        self.asking = asked.permission if asked and app not in self.answered else ""

    def settle(self) -> None:
        """Nothing takes time here."""

    def _picture(self, screen: str, scroll: int) -> Picture:
        book = load_book()
        package = book.apps["lock" if screen == "keyguard" else book.screens[screen].app]
        shown = tuple(self._items(screen))
        buttons = _buttons(self.layout, screen, self.seed)
        title = "settings_title" if screen == "settings" else screen.replace("_", " ").title()
        return Picture(package, title, (*shown, *buttons), scroll, bool(self.focus))

    def _items(self, screen: str) -> Iterable[Item]:
        """What the body of a screen shows."""
        for name in _FORMS.get(screen, ()):
            secret = name in ("pin_entry", "bank_pin")
            yield Item(name, "field", self.fields.get(name, ""), self.focus == name, secret)
        match screen:
            case "contacts":
                wanted = self.fields.get("search_contacts", "").casefold()
                for name in sorted(self.contacts):
                    if name.casefold().startswith(wanted):
                        yield Item(f"contact_row:{name}", "row", name)
            case "contact":
                yield Item("contact_title", "label", self.person)
                yield Item("contact_number", "label", self.contacts.get(self.person, ""))
            case "composer":
                to = self.fields.get("recipient_field", "")
                yield Item("recipient_number", "label", self._number(to))
            case "settings":
                for name in SWITCHES:
                    yield Item(f"switch_{name}", "switch", on=self.switches[name])
            case "review":
                yield Item("review_payee", "label", self.fields.get("payee_field", ""))
                amount = _amount(self.fields.get("amount_field", ""))
                yield Item("review_amount", "label", f"{amount:.2f}")
            case "permission":
                phrase = load_book().permissions[self.asking or "contacts"][0]
                yield Item("permission_message", "label", f"Allow this app to {phrase}?")
            case _:
                pass

    def _number(self, to: str) -> str:
        """The number that a message to somebody goes to; "" if it is not known.

        Names are known to messages unless it was refused the contacts.
        """
        if re.fullmatch(r"\+?[0-9]{3,15}", to):
            return to
        return "" if ("messages", "contacts") in self.refused else self.contacts.get(to, "")

    def _go(self, screen: str) -> None:
        for name in _FORMS.get(screen, ()):
            self.fields.pop(name, None)
        self.screen, self.focus, self.scroll = screen, "", 0

    def _enter(self) -> None:
        if self.front == "lock":
            self.locked = self.fields.pop("pin_entry", "") != PIN
            self.focus = ""
        elif self.screen == "bank_lock":
            self._hit("bank_enter")

    def _hit(self, name: str) -> None:
        kind, _, rest = name.partition(":")
        if kind in _FORMS.get(self.front, ()):
            self._focus(kind)
        elif kind == "contact_row":
            self.person = rest
            self._go("contact")
        elif kind.startswith("switch_"):
            which = kind.removeprefix("switch_")
            self.switches[which] = not self.switches[which]
            self.changes.append(("switch", which, self.switches[which]))
        elif kind in _DO:
            _DO[kind](self)

    def _focus(self, name: str) -> None:
        """Give a field the focus, and scroll it into what the keyboard leaves of the body."""
        self.focus = name
        picture = self._picture(self.front, 0)
        body = [item.name for item in picture.items if item.part not in ("button", "extra")]
        at, room = body.index(name), body_rows(self.layout, picture)
        self.scroll = min(max(self.scroll, at - room + 1), at)

    def _answer(self, allowed: bool) -> None:
        asked = next(app for app, first in _FIRST_SCREENS.items() if first == self.screen)
        self.answered.add(asked)
        if allowed:
            self.changes.append(("grant", self.asking))
        else:
            self.refused.add((asked, self.asking))
        self.asking = ""

    def _call(self) -> None:
        self.changes.append(("call", self.person))
        self._go("call")

    def _delete(self) -> None:
        self.contacts.pop(self.person, None)
        self.changes.append(("delete", self.person))
        self._go("contacts")

    def _save_contact(self) -> None:
        name, number = self.fields.get("name_field", ""), self.fields.get("phone_field", "")
        if not name or not re.fullmatch(r"\+?[0-9]{3,15}", number):
            return  # the form stays, as apps do
        self.contacts[name] = number
        self.changes.append(("contact", name, number))
        self._go("contacts")

    def _send(self) -> None:
        to, text = self.fields.get("recipient_field", ""), self.fields.get("message_field", "")
        if not text or not self._number(to):
            return
        self.sent.append((to, text))
        self.changes.append(("message", to, text))
        self._go("threads")

    def _save_event(self) -> None:
        values = [self.fields.get(name, "") for name in _FORMS["event_form"]]
        if not all(values):
            return
        self.events.append((values[0], values[1], values[2]))
        self.changes.append(("event", *values))
        self._go("calendar")

    def _log_in(self) -> None:
        if self.fields.pop("bank_pin", "") == BANK_PIN:
            self.logged_in = True
            self._go("bank")

    def _review(self) -> None:
        if self.fields.get("payee_field") and _amount(self.fields.get("amount_field", "")) > 0:
            self.screen, self.focus, self.scroll = "review", "", 0

    def _pay(self) -> None:
        payee, amount = self.fields["payee_field"], _amount(self.fields["amount_field"])
        self.payments.append((payee, amount))
        self.changes.append(("pay", payee, amount))
        self._go("bank")


@lru_cache(maxsize=256)
def _buttons(layout: Layout, screen: str, seed: int) -> tuple[Item, ...]:
    """The buttons of a screen, those that nobody asked for among them, as a seed mixes them."""
    more = extras(layout, screen, random.Random(f"{seed}/{screen}"))
    mixed = [*(Item(name, "button") for name in _BUTTONS.get(screen, ())), *more]
    random.Random(f"{seed}/{screen}/order").shuffle(mixed)
    return tuple(mixed)


def make_handset(layout: Layout, policy: Policy, seed: int) -> Handset:
    """A phone of its own, asleep; the same for the same seed."""
    rng = random.Random(f"{seed}/{layout.name}/{policy.name}")
    contacts: dict[str, str] = {}
    while len(contacts) < N_CONTACTS:
        contacts[make_name(rng)] = make_number(rng)
    switches = {name: rng.random() < 0.5 for name in SWITCHES}
    return Handset(layout, policy, seed, contacts, switches, locked=policy.locked)


def _amount(text: str) -> float:
    try:
        return round(float(text), 2)
    except ValueError:
        return 0.0


_DO: dict[str, Callable[[Handset], None]] = {
    "permission_allow": lambda phone: phone._answer(True),
    "permission_deny": lambda phone: phone._answer(False),
    "new_contact": lambda phone: phone._go("contact_form"),
    "call_button": Handset._call,
    "delete_button": lambda phone: phone._go("deleting"),
    "close_contact_button": lambda phone: phone._go("contacts"),
    "confirm_delete_button": Handset._delete,
    "keep_button": lambda phone: phone._go("contact"),
    "save_contact_button": Handset._save_contact,
    "hang_up": lambda phone: phone._go("contact"),
    "new_message": lambda phone: phone._go("composer"),
    "send_button": Handset._send,
    "discard_button": lambda phone: phone._go("threads"),
    "new_event": lambda phone: phone._go("event_form"),
    "save_event_button": Handset._save_event,
    "bank_enter": Handset._log_in,
    "new_payment": lambda phone: phone._go("payment_form"),
    "review_button": Handset._review,
    "pay_button": Handset._pay,
    "cancel_payment_button": lambda phone: phone._go("bank"),
}
"""What buttons do."""
