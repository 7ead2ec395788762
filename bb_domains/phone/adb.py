"""A phone on a cable, or in an emulator, through the `adb` executable.

Commands for the phone's shell are written to adb's standard input, never into its arguments: what
is typed, PINs included, does not appear in the list of this machine's processes. (It does, for the
length of a call, in the phone's own.) Every word is quoted for the phone's shell.

Source: `adb shell input`, `uiautomator dump`, `monkey` and `wm` of the Android platform.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import time
from collections.abc import Iterator, Sequence

from bb_core.errors import BBError
from bb_domains.phone.device import Key
from bb_domains.phone.tree import MOST_CHARACTERS, Node, Point, parse_dump

TIMEOUT_S = 20.0
MOST_DUMPS = 4
"""How often a dump is asked for: it fails while something moves on the screen."""

SETTLE_S = 0.4
SWIPE_MS = 300
MOST_TEXT = 256

_KEYS: dict[Key, str] = {
    "WAKEUP": "KEYCODE_WAKEUP",
    "HOME": "KEYCODE_HOME",
    "BACK": "KEYCODE_BACK",
    "ENTER": "KEYCODE_ENTER",
    "DEL": "KEYCODE_DEL",
    "MOVE_END": "KEYCODE_MOVE_END",
    "MENU": "KEYCODE_MENU",
}
_PACKAGE = re.compile(r"[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z][A-Za-z0-9_]*)+")
_SERIAL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:\[\]-]*")
_END = "</hierarchy>"


class AdbDevice:
    """One phone that adb knows; `device.Device`.

    Args:
        adb: path of the executable.
        serial: which phone; "" if adb knows only one.
        settle_s: how long things on the screen take, in seconds; `SETTLE_S` if not said.
        timeout_s: how long one command may take, in seconds.

    Raises:
        BBError: that is no serial number.
    """

    def __init__(
        self,
        adb: str,
        serial: str = "",
        settle_s: float | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        if serial and not _SERIAL.fullmatch(serial):
            raise BBError(f"{serial!r} is no serial number", where="adb", fix="see adb devices")
        self._command = [adb, *(["-s", serial] if serial else [])]
        self._settle_s = SETTLE_S if settle_s is None else settle_s
        self._timeout_s = timeout_s

    def command(self, *args: str) -> list[str]:
        """The command line for something that goes on until it is stopped."""
        return [*self._command, *args]

    def check(self) -> None:
        """Make sure that the phone answers.

        Raises:
            BBError: it does not, or adb cannot be run.
        """
        state = self._run(["get-state"]).strip()
        if state != "device":
            raise BBError(f"the phone is {state!r}", where="adb", fix="allow USB debugging on it")

    def dump(self) -> Node:
        """What the screen shows.

        Raises:
            BBError: the phone did not say, several times.
        """
        said = ""
        for attempt in range(MOST_DUMPS):
            if attempt:
                self.settle()
            said = self.shell(["uiautomator", "dump", "/dev/tty"])
            start, end = said.find("<?xml"), said.rfind(_END)
            if start >= 0 and end >= 0:
                return parse_dump(said[start : end + len(_END)])
        first = (said.strip().splitlines() or ["nothing"])[0]
        raise BBError(f"the phone said {first[:120]!r}", where="uiautomator dump", fix="try again")

    def tap(self, point: Point) -> None:
        """Tap a pixel."""
        self.shell(["input", "tap", str(point[0]), str(point[1])])

    def swipe(self, start: Point, end: Point) -> None:
        """Drag a finger from one pixel to another."""
        numbers = (*start, *end, SWIPE_MS)
        self.shell(["input", "swipe", *(str(number) for number in numbers)])

    def text(self, text: str) -> None:
        """Type printable ASCII into what has the focus.

        Raises:
            BBError: it has other characters, or too many.
        """
        if len(text) > MOST_TEXT or not all(" " <= char <= "~" for char in text):
            raise BBError(
                "adb types printable ASCII only",
                where="input text",
                fix=f"write at most {MOST_TEXT} such characters",
            )
        for part in _typable(text):
            self.shell(["input", "text", part])

    def key(self, key: Key, times: int = 1) -> None:
        """Press a key."""
        if times > 0:
            self.shell(["input", "keyevent", *[_KEYS[key]] * times])

    def launch(self, package: str) -> None:
        """Bring an app to the front.

        Raises:
            BBError: there is no such app.
        """
        if not _PACKAGE.fullmatch(package):
            raise BBError(f"{package!r} is no package", where="adb", fix="see pm list packages")
        launcher = "android.intent.category.LAUNCHER"
        said = self.shell(["monkey", "-p", package, "-c", launcher, "1"])
        if "Events injected: 1" not in said:
            raise BBError(f"no app {package!r}", where="adb", fix="see pm list packages")
        self.settle()

    def settle(self) -> None:
        """Wait a moment for what was begun."""
        time.sleep(self._settle_s)

    def shell(self, words: Sequence[str]) -> str:
        """What a command of the phone's shell said.

        Raises:
            BBError: adb failed, or took too long.
        """
        return self._run(["shell"], " ".join(shlex.quote(word) for word in words) + "\n")

    def _run(self, args: Sequence[str], written: str = "") -> str:
        where = f"adb {args[0]}"
        try:
            done = subprocess.run(
                self.command(*args),
                input=written.encode(),
                capture_output=True,
                timeout=self._timeout_s,
                check=False,
            )
        except OSError as error:
            raise BBError(
                f"cannot be run: {error.strerror}", where=self._command[0], fix="set BB_PHONE_ADB"
            ) from None
        except subprocess.TimeoutExpired:
            what = f"took longer than {self._timeout_s:g} s"
            raise BBError(what, where=where, fix="look at the phone") from None
        if done.returncode != 0:
            said = done.stderr.decode(errors="replace").strip() or f"exit code {done.returncode}"
            raise BBError(said.splitlines()[0][:200], where=where, fix="see adb devices -l")
        return done.stdout[: 4 * MOST_CHARACTERS].decode(errors="replace")


def _typable(text: str) -> Iterator[str]:
    """Texts for `input text` that together type a text.

    It types a space for each `%s` and knows no way to type these two characters at once; so they
    come in two parts.
    """
    for i, part in enumerate(re.split(r"(?<=%)(?=s)", text)):
        assert i == 0 or part
        if part:
            yield part.replace(" ", "%s")
