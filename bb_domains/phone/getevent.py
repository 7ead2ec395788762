"""Touches in what `getevent -lt` says.

    [   12345.678901] /dev/input/event2: EV_ABS       ABS_MT_TRACKING_ID   00000a1b
    [   12345.678901] /dev/input/event2: EV_ABS       ABS_MT_POSITION_X    000001f4
    [   12345.678901] /dev/input/event2: EV_SYN       SYN_REPORT           00000000

Source: the Linux multi-touch protocol B (Documentation/input/multi-touch-protocol).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from bb_core.errors import BBError
from bb_domains.phone.tree import Point

_LINE = re.compile(
    r"\[\s*([0-9]+\.[0-9]+)\]\s+(?:(/dev/input/event[0-9]+):\s+)?(\w+)\s+(\w+)\s+([0-9a-fA-F]+|DOWN|UP)\s*"
)
_AXIS = re.compile(r"ABS_MT_POSITION_([XY])\s*:.*?min (-?[0-9]+), max (-?[0-9]+)")
_LIFTED = 0xFFFFFFFF


@dataclass(frozen=True)
class Axes:
    """The ranges of a touch screen's own coordinates, both ends included."""

    x: tuple[int, int]
    y: tuple[int, int]

    def pixel(self, raw: tuple[int, int], size: tuple[int, int]) -> Point:
        """The pixel of a screen of this size at raw coordinates."""
        return _scaled(raw[0], self.x, size[0]), _scaled(raw[1], self.y, size[1])


@dataclass(frozen=True)
class Touch:
    """One finger, down and up again; times in seconds, places in raw coordinates."""

    start_s: float
    end_s: float
    start: tuple[int, int]
    end: tuple[int, int]


@dataclass
class _Finger:
    """A slot of the touch screen, and the touch in progress, if any."""

    x: int = 0
    y: int = 0
    down_s: float | None = None
    start: tuple[int, int] | None = None
    lifted: bool = False


@dataclass
class _Screen:
    """One input device."""

    slot: int = 0
    fingers: dict[int, _Finger] = field(default_factory=dict)

    def finger(self) -> _Finger:
        return self.fingers.setdefault(self.slot, _Finger())


def parse_axes(text: str) -> Axes:
    """The ranges in what `getevent -lp` says.

    Raises:
        BBError: it names no touch screen.
    """
    found = {name: (int(low), int(high)) for name, low, high in _AXIS.findall(text)}
    if set(found) != {"X", "Y"} or any(high <= low for low, high in found.values()):
        raise BBError("names no touch screen", where="getevent -lp", fix="give all of its output")
    return Axes(found["X"], found["Y"])


def parse_touches(lines: Iterable[str]) -> list[Touch]:
    """The touches in what `getevent -lt` says, in the order in which they ended.

    Lines that say something else are passed over; a finger still down at the end is no touch.
    """
    screens: dict[str, _Screen] = {}
    touches: list[Touch] = []
    for line in lines:
        found = _LINE.fullmatch(line.strip())
        if found is None:
            continue
        time, device, _, code, value = found.groups()
        screen = screens.setdefault(device or "", _Screen())
        if code == "SYN_REPORT":
            touches.extend(_report(screen, float(time)))
        elif value not in ("DOWN", "UP"):
            _set(screen, code, int(value, 16), float(time))
    return touches


def _set(screen: _Screen, code: str, value: int, time_s: float) -> None:
    match code:
        case "ABS_MT_SLOT":
            screen.slot = value
        case "ABS_MT_TRACKING_ID" if value == _LIFTED:
            screen.finger().lifted = True
        case "ABS_MT_TRACKING_ID":
            finger = screen.finger()
            finger.down_s, finger.start = time_s, None
        case "ABS_MT_POSITION_X":
            screen.finger().x = value
        case "ABS_MT_POSITION_Y":
            screen.finger().y = value
        case _:
            pass


def _report(screen: _Screen, time_s: float) -> Iterable[Touch]:
    """What a finished report means: where touches began, and which ended."""
    for finger in screen.fingers.values():
        if finger.down_s is not None and finger.start is None:
            finger.start = (finger.x, finger.y)
        if finger.lifted and finger.down_s is not None and finger.start is not None:
            yield Touch(finger.down_s, time_s, finger.start, (finger.x, finger.y))
        if finger.lifted:
            finger.down_s, finger.start, finger.lifted = None, None, False


def _scaled(raw: int, ends: tuple[int, int], size: int) -> int:
    low, high = ends
    return min(max((raw - low) * size // (high - low + 1), 0), size - 1)
