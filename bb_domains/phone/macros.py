"""Macros: what somebody did on a phone, as the tool calls that would do it again.

A recording is what the screen showed from time to time and where it was touched. The element under
a touch is looked up in the screen shown just before; what stands in a field when its screen is left
was typed there. What hides what it shows is never read: PINs do not get into a trace. Touches that
mean nothing to the domain are named, not guessed at.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bb_core.plan import MAX_STEPS, step_id
from bb_core.trace import Trace, TraceStep
from bb_domains.phone.actions import TAPS, TYPINGS
from bb_domains.phone.elements import Book
from bb_domains.phone.tree import Node, Point, hit
from bb_domains.schema import PlanSchema

SLOP = 40
"""A touch that moves farther than this many pixels is a drag; drags only scroll."""

_TAPS = {(tap.screen, tap.element): tool for tool, tap in TAPS.items()}
_FIELDS = {(typing.screen, typing.element): (tool, typing.arg) for tool, typing in TYPINGS.items()}
_OTHER_FIELDS = {("composer", "recipient_field"), ("event_form", "time_field")}
_SILENT = frozenset({"search_contacts", "pin_entry", "bank_pin", "bank_enter"})
"""What is seen by the screen that follows."""

_TIME = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])")


@dataclass(frozen=True)
class Frame:
    """What the screen showed at a time, in seconds."""

    time_s: float
    tree: Node


@dataclass(frozen=True)
class Tapped:
    """A touch in pixels; times in seconds."""

    start_s: float
    start: Point
    end: Point

    @property
    def is_drag(self) -> bool:
        """Whether the finger moved."""
        return max(abs(self.start[i] - self.end[i]) for i in (0, 1)) > SLOP


@dataclass(frozen=True)
class Macro:
    """Tool calls, and the touches that mean none.

    Attributes:
        steps: the calls, arguments as a plan writes them.
        strange: by time, what was touched that no tool stands for.
    """

    steps: tuple[TraceStep, ...]
    strange: tuple[str, ...] = ()


@dataclass
class _Listener:
    """Follows a recording and writes down the calls."""

    schema: PlanSchema
    book: Book
    steps: list[TraceStep] = field(default_factory=list)
    strange: list[str] = field(default_factory=list)
    front: str = ""
    app: str = ""
    last_s: float = 0.0
    typed: dict[str, str] = field(default_factory=dict)
    handles: dict[str, str] = field(default_factory=dict)
    held_back: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def see(self, frame: Frame) -> None:
        """What is shown has changed, or may have."""
        front = self.book.front(frame.tree)
        if not self.steps:
            self.last_s = frame.time_s
            self.add(frame.time_s, "wake", {})
        if front != self.front:
            self._moved(frame.time_s, front)
        for name, text in self._field_texts(frame.tree, front):
            self.typed[name] = text

    def touch(self, touch: Tapped, shown: Frame) -> None:
        """Something was touched while this was shown."""
        node = None if touch.is_drag else hit(shown.tree, touch.start)
        if node is None:
            return
        screen, name = self.book.front(shown.tree), self.book.name_of(shown.tree, node)
        element, _, row = name.partition(":")
        if (screen, element) in _FIELDS or (screen, element) in _OTHER_FIELDS:
            return
        if element in _SILENT:
            return
        self._flush_typing(touch.start_s, screen, shown.tree)
        if element in ("permission_allow", "permission_deny"):
            self._answer(touch.start_s, element, shown.tree)
            return
        call = self._call(screen, element, row, node, shown.tree)
        if call is None:
            said = name or node.text or node.desc or "something"
            self.strange.append(f"{touch.start_s:.3f} s: {said!r} on {screen or 'a screen'}")
            return
        self.add(touch.start_s, *call)

    def add(
        self, time_s: float, tool: str, args: Mapping[str, Any], result: Mapping[str, Any] = {}
    ) -> None:
        """Write a call down."""
        declared = self.schema.tools[tool]
        full = dict(args)
        for arg, handle in declared.handles.items():
            full[arg] = f"${self.handles.get(handle.object, 'a')}.{handle.path}"
        ordered = {arg: full[arg] for arg in declared.properties if arg in full}
        if declared.binds and len(self.steps) < MAX_STEPS:
            self.handles[declared.binds.object] = step_id(len(self.steps))
        t_s = round(max(0.0, time_s - self.last_s), 3)
        self.steps.append(TraceStep(tool, ordered, dict(result), True, t_s))
        self.last_s = time_s

    def _moved(self, time_s: float, front: str) -> None:
        """Another screen came to the front."""
        app = self.book.screens[front].app if front else ""
        if self.front == "lock" and front == "home":
            self.add(time_s, "unlock", {})
        elif self.front == "bank_lock" and front == "bank":
            self.add(time_s, "log_in", {})
        elif front == "home" and self.app not in ("", "launcher", "lock"):
            self.add(time_s, "press_home", {})
        elif app not in ("", "permission", "lock", self.app) and f"open_{app}" in self.schema.tools:
            self.add(time_s, f"open_{app}", {"screen": front})
            for call in self.held_back:
                self.add(time_s, *call)
            self.held_back.clear()
        if front:
            self.typed.clear()
            self.front = front
            self.app = self.app if app == "permission" else app

    def _field_texts(self, tree: Node, screen: str) -> Iterable[tuple[str, str]]:
        """What stands in the fields of a screen, those that hide it apart."""
        names = [e for s, e in (*_FIELDS, *_OTHER_FIELDS) if s == screen]
        for name in names:
            node = self.book.find(tree, screen, name)
            if node is None or node.password or node.text in ("", *self.book.elements[name].says):
                continue
            yield name, node.text

    def _flush_typing(self, time_s: float, screen: str, tree: Node) -> None:
        """Write down what was typed on a screen, in the order in which it was begun."""
        for name, text in self.typed.items():
            if (screen, name) in _FIELDS:
                tool, arg = _FIELDS[screen, name]
                self.add(time_s, tool, {arg: _value(self.schema, tool, arg, text)})
            elif name == "recipient_field":
                number = self.book.shown(tree, screen, "recipient_number")
                self.add(time_s, "type_recipient", {"to": text}, {"to": text, "number": number})
            elif name == "time_field":
                found = _TIME.fullmatch(text)
                if found is None:
                    self.strange.append(f"{time_s:.3f} s: the time {text!r}")
                else:
                    at = {"hour": int(found[1]), "minute": int(found[2])}
                    self.add(time_s, "type_time", at)
        self.typed.clear()

    def _call(
        self, screen: str, element: str, row: str, node: Node, tree: Node
    ) -> tuple[str, dict[str, Any], dict[str, Any]] | None:
        """The call that a touched button, row or switch stands for."""
        if (screen, element) in _TAPS:
            tool = _TAPS[screen, element]
            named = {"name": self._last("open_contact", "name")} if tool == "confirm_delete" else {}
            return tool, named, {}
        match element:
            case "contact_row":
                return "open_contact", {"name": row}, {"name": row}
            case "review_button":
                return "review_payment", {}, {}
            case "pay_button":
                shown = self.book.shown(tree, screen, "review_amount")
                amount = _number(re.sub(r"[^0-9.]", "", shown))
                payee = self.book.shown(tree, screen, "review_payee")
                return "confirm_payment", {"payee": payee, "amount": amount}, {}
            case _ if element.startswith("switch_"):
                state = "off" if node.checked else "on"
                return "set_switch", {"switch": element.removeprefix("switch_"), "state": state}, {}
            case _:
                return None

    def _answer(self, time_s: float, element: str, tree: Node) -> None:
        """A dialog was answered; an app that asks as it opens is known only afterwards."""
        tool = f"{element.removeprefix('permission_')}_permission"
        args = {"permission": self.book.permission(tree)}
        if self.app in ("", "launcher", "lock"):
            self.held_back.append((tool, args))
        else:
            self.add(time_s, tool, args)

    def _last(self, tool: str, arg: str) -> Any:
        found = [step.args[arg] for step in self.steps if step.tool == tool]
        return found[-1] if found else ""


def macro(
    frames: Sequence[Frame], touches: Sequence[Tapped], schema: PlanSchema, book: Book
) -> Macro:
    """The tool calls that a recording shows.

    Args:
        frames: what was shown, in order of time.
        touches: what was touched, in order of time.
        schema: the domain's.
        book: how elements are recognised.
    """
    listener = _Listener(schema, book)
    pending = sorted(touches, key=lambda touch: touch.start_s)
    shown: Frame | None = None
    for frame in frames:
        while pending and pending[0].start_s < frame.time_s and shown is not None:
            listener.touch(pending.pop(0), shown)
        listener.see(frame)
        shown = frame
    for touch in pending:
        if shown is not None:
            listener.touch(touch, shown)
    return Macro(tuple(listener.steps), tuple(listener.strange))


def macro_trace(found: Macro, name: str, request: str) -> Trace:
    """A macro as a trace of the domain; `request` is what the user says it does."""
    return Trace(
        name, "phone", "recorded", request, found.steps, label={"strange": list(found.strange)}
    )


def _value(schema: PlanSchema, tool: str, arg: str, text: str) -> Any:
    """What was typed, as a number where the tool takes one."""
    if schema.tools[tool].properties[arg].get("type") == "number":
        return _number(text)
    return text


def _number(text: str) -> int | float | str:
    try:
        value = float(text)
    except ValueError:
        return text
    return int(value) if value.is_integer() else value
