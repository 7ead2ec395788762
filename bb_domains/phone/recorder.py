"""Recordings of somebody using a phone, kept in a folder.

    axes.txt           what `getevent -lp` says
    size.txt           width and height of the screen in pixels
    events.txt         what `getevent -lt` says
    frames/<ms>.xml    what the screen showed, that many milliseconds after the phone's clock was 0

Touches carry the phone's time; dumps are stamped here and moved to the phone's clock by the event
that arrived quickest. What was touched while a field hid what was typed into it is not kept: where
a finger went on a keypad is as good as the PIN.
"""

from __future__ import annotations

import bisect
import re
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from bb_core.errors import BBError
from bb_core.files import directory_atomic, read_text, write_atomic
from bb_domains.phone.adb import AdbDevice
from bb_domains.phone.elements import Book
from bb_domains.phone.getevent import parse_axes, parse_touches
from bb_domains.phone.macros import Frame, Macro, Tapped, macro
from bb_domains.phone.tree import parse_dump, write_dump
from bb_domains.schema import PlanSchema

MOST_LINES = 200_000

_HIDDEN = 'password="true"'
_STAMP = re.compile(r"\[\s*([0-9]+\.[0-9]+)\]")
_SIZE = re.compile(r"(?:Override|Physical) size: ([0-9]+)x([0-9]+)")


@dataclass
class _Events:
    """What getevent has said so far; `ahead_s` is how far this machine's clock is ahead."""

    lines: list[str] = field(default_factory=list)
    ahead_s: float = float("inf")

    def follow(self, stream: IO[bytes]) -> None:
        """Read to the end of the stream."""
        for raw in stream:
            now, line = time.monotonic(), raw.decode(errors="replace").rstrip()
            found = _STAMP.match(line)
            if found is not None and len(self.lines) < MOST_LINES:
                self.lines.append(line)
                self.ahead_s = min(self.ahead_s, now - float(found[1]))


def record(device: AdbDevice, seconds: float, folder: Path) -> int:
    """Record what happens on a phone; returns how often its screen was seen.

    Raises:
        BBError: the phone does not answer, nothing was touched, or the folder exists.
    """
    axes, size = device.shell(["getevent", "-lp"]), _size(device.shell(["wm", "size"]))
    parse_axes(axes)
    seen, events = _watch(device, seconds)
    if not events.lines:
        raise BBError("nothing was touched", where="recording", fix="use the phone meanwhile")
    with directory_atomic(folder) as building:
        (building / "frames").mkdir()
        write_atomic(building / "axes.txt", axes)
        write_atomic(building / "size.txt", f"{size[0]} {size[1]}\n")
        write_atomic(building / "events.txt", "\n".join(_open_lines(seen, events)) + "\n")
        for time_s, text in seen:
            ms = round((time_s - events.ahead_s) * 1000)
            write_atomic(building / "frames" / f"{max(0, ms):012d}.xml", text)
    return len(seen)


def load_macro(folder: Path, schema: PlanSchema, book: Book) -> Macro:
    """The tool calls that a recording shows.

    Raises:
        BBError: the folder is no recording.
    """
    axes = parse_axes(read_text(folder / "axes.txt"))
    numbers = read_text(folder / "size.txt").split()
    if len(numbers) != 2 or not all(number.isdecimal() for number in numbers):
        raise BBError("is no size", where=str(folder / "size.txt"), fix="write width and height")
    size = (int(numbers[0]), int(numbers[1]))
    touches = [
        Tapped(touch.start_s, axes.pixel(touch.start, size), axes.pixel(touch.end, size))
        for touch in parse_touches(read_text(folder / "events.txt").splitlines())
    ]
    return macro(_frames(folder / "frames"), touches, schema, book)


def _watch(device: AdbDevice, seconds: float) -> tuple[list[tuple[float, str]], _Events]:
    """Dumps with this machine's time just before each was asked for, and what was touched."""
    events, seen = _Events(), list[tuple[float, str]]()
    process = subprocess.Popen(
        device.command("exec-out", "getevent", "-lt"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    reader = threading.Thread(target=events.follow, args=(process.stdout,), daemon=True)
    reader.start()
    try:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            at = time.monotonic()
            text = write_dump(device.dump())
            if not seen or seen[-1][1] != text:
                seen.append((at, text))
    finally:
        process.kill()
        process.wait()
        reader.join()
        process.stdout.close()
    return seen, events


def _open_lines(seen: Sequence[tuple[float, str]], events: _Events) -> list[str]:
    """The events that happened while nothing was hidden, as far as the dumps can tell.

    A dump says what was shown at some moment since the one before, so both sides of an event count.
    """
    hides = [False, *(_HIDDEN in text for _, text in seen), False]
    times = [at for at, _ in seen]
    kept = []
    for line in events.lines:
        found = _STAMP.match(line)
        assert found is not None
        i = bisect.bisect_right(times, float(found[1]) + events.ahead_s)
        if not (hides[i] or hides[i + 1]):
            kept.append(line)
    return kept


def _frames(folder: Path) -> Sequence[Frame]:
    found = []
    for path in sorted(folder.glob("*.xml")):
        if not path.stem.isdecimal():
            raise BBError("is no frame", where=str(path), fix="name it by its milliseconds")
        found.append(Frame(int(path.stem) / 1000, parse_dump(read_text(path))))
    if not found:
        raise BBError("holds no frames", where=str(folder), fix="record again")
    return found


def _size(text: str) -> tuple[int, int]:
    found = _SIZE.findall(text)
    if not found:
        raise BBError("does not say its size", where="wm size", fix="look at the phone")
    width, height = found[-1]  # an override comes after the physical size
    return int(width), int(height)
