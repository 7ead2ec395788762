"""Macros: what a plan did on a phone is read back from the screens and the touches alone."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from bb_core.errors import BBError
from bb_core.plan import Plan, Step, step_id
from bb_domains.phone import plan_schema, requests
from bb_domains.phone.device import Key
from bb_domains.phone.driver import Driver
from bb_domains.phone.elements import load_book
from bb_domains.phone.getevent import Axes, parse_axes, parse_touches
from bb_domains.phone.handset import Handset, make_handset
from bb_domains.phone.layouts import LAYOUTS
from bb_domains.phone.macros import Frame, Macro, Tapped, macro, macro_trace
from bb_domains.phone.policies import POLICIES
from bb_domains.phone.simulated import SECRETS
from bb_domains.phone.tree import Node, Point, parse_dump, write_dump
from bb_domains.simulation import SPLITS, Request, try_plan

AXES = """add device 2: /dev/input/event2
  name:     "touchscreen"
  events:
    ABS (0003): ABS_MT_SLOT           : value 0, min 0, max 9, fuzz 0, flat 0, resolution 0
                ABS_MT_POSITION_X     : value 0, min 0, max 4095, fuzz 0, flat 0, resolution 0
                ABS_MT_POSITION_Y     : value 0, min 0, max 4095, fuzz 0, flat 0, resolution 0
"""


@dataclass
class Recorded:
    """A handset with a camera: dumps, and what `getevent -lt` would say."""

    phone: Handset
    time_s: float = 100.0
    dumps: list[tuple[float, str]] = field(default_factory=list)
    events: list[str] = field(default_factory=list)

    def look(self) -> None:
        self.time_s += 0.25
        if self.phone.awake:
            self.dumps.append((self.time_s, write_dump(self.phone.dump())))

    def dump(self) -> Node:
        return self.phone.dump()

    def tap(self, point: Point) -> None:
        self._touch(point, point)
        self.phone.tap(point)
        self.look()

    def swipe(self, start: Point, end: Point) -> None:
        self._touch(start, end)
        self.phone.swipe(start, end)
        self.look()

    def text(self, text: str) -> None:
        self.phone.text(text)
        self.look()

    def key(self, key: Key, times: int = 1) -> None:
        self.phone.key(key, times)
        self.look()

    def launch(self, package: str) -> None:
        self.phone.launch(package)
        self.look()

    def settle(self) -> None:
        self.time_s += 0.1

    def _touch(self, start: Point, end: Point) -> None:
        width, height = self.phone.layout.size
        axes = parse_axes(AXES)
        for i, point in enumerate((start, end)):
            raw = [point[0] * 4096 // width + 1, point[1] * 4096 // height + 1]
            assert axes.pixel((raw[0], raw[1]), (width, height)) in around(point)
            self.time_s += 0.05
            if i == 0:
                self._event("EV_ABS", "ABS_MT_TRACKING_ID", "0000001a")
            self._event("EV_ABS", "ABS_MT_POSITION_X", f"{raw[0]:08x}")
            self._event("EV_ABS", "ABS_MT_POSITION_Y", f"{raw[1]:08x}")
            if i == 1:
                self._event("EV_ABS", "ABS_MT_TRACKING_ID", "ffffffff")
                self._event("EV_KEY", "BTN_TOUCH", "UP")
            self._event("EV_SYN", "SYN_REPORT", "00000000")

    def _event(self, kind: str, code: str, value: str) -> None:
        line = f"[{self.time_s:15.6f}] /dev/input/event2: {kind:12} {code:20} {value}"
        self.events.append(line)

    def macro(self) -> Macro:
        size = self.phone.layout.size
        axes = parse_axes(AXES)
        frames = [Frame(time_s, parse_dump(text)) for time_s, text in self.dumps]
        touches = [
            Tapped(t.start_s, axes.pixel(t.start, size), axes.pixel(t.end, size))
            for t in parse_touches(self.events)
        ]
        return macro(frames, touches, plan_schema(), load_book())


def around(point: Point) -> set[Point]:
    return {(point[0] + i, point[1] + j) for i in (-1, 0, 1) for j in (-1, 0, 1)}


def recorded(request: Request) -> Recorded:
    phone = make_handset(LAYOUTS[request.layout], POLICIES[request.policy], request.seed)
    camera = Recorded(phone)
    driver = Driver(camera, load_book(), SECRETS)

    class Watched:
        def call(self, tool: str, args: dict, idempotency_key: str | None = None) -> dict:
            answer = driver.call(tool, args)
            camera.look()
            return answer

        def incidents(self) -> dict[str, int]:
            return {}

    assert try_plan(Watched(), request.plan).done
    return camera


@pytest.mark.parametrize("split", SPLITS)
def test_a_recorded_plan_is_read_back(split: str) -> None:
    for request in requests(split, 4, 8):
        found = recorded(request).macro()
        assert found.strange == ()
        calls = [(step.tool, step.args) for step in found.steps]
        assert calls == [(step.tool, step.args) for step in request.plan.steps]


def test_pins_do_not_get_into_a_trace() -> None:
    request = next(r for r in requests("train", 120, 0) if r.policy == "bank_asks")
    trace = macro_trace(recorded(request).macro(), "m1", "what I did")
    assert trace.domain == "phone" and trace.skin == "recorded"
    assert {"unlock", "log_in"} <= {step.tool for step in trace.steps}
    assert not any(pin in repr(trace) for pin in SECRETS.values())


def test_what_no_tool_stands_for_is_named() -> None:
    phone = make_handset(LAYOUTS["plain"], POLICIES["open"], 3)
    camera = Recorded(phone)
    driver = Driver(camera, load_book(), SECRETS)
    driver.call("wake", {})
    driver.call("open_calendar", {})
    camera.look()
    extra = next(n for n in phone.dump().walk() if n.name.startswith("extra:"))
    camera.tap(extra.bounds.center)
    camera.swipe((500, 900), (500, 300))  # drags only scroll
    found = camera.macro()
    assert [step.tool for step in found.steps] == ["wake", "open_calendar"]
    assert len(found.strange) == 1
    assert repr(extra.text) in found.strange[0] and "on calendar" in found.strange[0]


def test_two_fingers_are_two_touches() -> None:
    def line(t: float, code: str, value: str) -> str:
        kind = "EV_SYN" if code.startswith("SYN") else "EV_ABS"
        return f"[ {t:.6f}] /dev/input/event1: {kind} {code} {value}"

    lines = [
        line(1.0, "ABS_MT_TRACKING_ID", "00000001"),
        line(1.0, "ABS_MT_POSITION_X", "00000010"),
        line(1.0, "ABS_MT_POSITION_Y", "00000020"),
        line(1.0, "SYN_REPORT", "00000000"),
        line(1.1, "ABS_MT_SLOT", "00000001"),
        line(1.1, "ABS_MT_TRACKING_ID", "00000002"),
        line(1.1, "ABS_MT_POSITION_X", "00000030"),
        line(1.1, "ABS_MT_POSITION_Y", "00000040"),
        line(1.1, "SYN_REPORT", "00000000"),
        "something that getevent never says",
        line(1.2, "ABS_MT_TRACKING_ID", "ffffffff"),
        line(1.2, "ABS_MT_SLOT", "00000000"),
        line(1.2, "ABS_MT_POSITION_X", "00000050"),
        line(1.2, "SYN_REPORT", "00000000"),
        line(1.3, "ABS_MT_TRACKING_ID", "ffffffff"),
        line(1.3, "SYN_REPORT", "00000000"),
    ]
    first, second = parse_touches(lines)
    assert (first.start_s, first.end_s, first.start, first.end) == (1.1, 1.2, (48, 64), (48, 64))
    assert (second.start_s, second.start, second.end) == (1.0, (16, 32), (80, 32))
    assert parse_touches(lines[:9]) == []  # nobody lifted a finger


def test_raw_coordinates_stay_on_the_screen() -> None:
    axes = Axes((0, 4095), (0, 8191))
    assert axes.pixel((0, 0), (1080, 2280)) == (0, 0)
    assert axes.pixel((4095, 8191), (1080, 2280)) == (1079, 2279)
    assert axes.pixel((9999, -5), (1080, 2280)) == (1079, 0)
    with pytest.raises(BBError, match="names no touch screen"):
        parse_axes("add device 1: /dev/input/event0\n name: keys")


def test_a_macro_is_a_plan_that_runs_again() -> None:
    request = next(r for r in requests("train", 200, 4) if len(r.plan.steps) > 12)
    found = recorded(request).macro()
    plan = Plan(tuple(Step(step_id(i), s.tool, s.args) for i, s in enumerate(found.steps)))
    assert plan == request.plan
