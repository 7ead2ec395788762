"""A Chromium that is told what to do over a pipe (the DevTools protocol), without a driver."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import shutil
import signal
import threading
import time
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome", "headless_shell")
# No sandbox: tests may run as root. Nothing but the page is to be asked for over the network.
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-quic", "--remote-debugging-pipe",
)  # fmt: skip
WAIT_S = 60


def find_chromium() -> str | None:
    """The program named by BB_CHROMIUM, or the first of its usual names."""
    named = os.environ.get("BB_CHROMIUM")
    return named or next((found for name in NAMES if (found := shutil.which(name))), None)


class Page:
    """One page of a headless browser.

    Args:
        program: the browser.
        profile: an empty folder.
        dark: whether its user prefers dark colours.
    """

    def __init__(self, program: str, profile: Path, *, dark: bool = False) -> None:
        to_browser, self._to = _high_pipe()
        self._from, from_browser = _high_pipe()
        files = [
            (os.POSIX_SPAWN_DUP2, to_browser, 3),  # where the browser reads
            (os.POSIX_SPAWN_DUP2, from_browser, 4),  # and writes
            (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
        ]
        scheme = ["--force-dark-mode", "--blink-settings=preferredColorScheme=0"] if dark else []
        arguments = [program, *FLAGS, *scheme, f"--user-data-dir={profile}", "about:blank"]
        self._pid = os.posix_spawn(program, arguments, os.environ, file_actions=files)
        os.close(to_browser)
        os.close(from_browser)
        self._held, self._number, self._session = b"", 0, None
        self.events: list[dict] = []
        try:
            target = self.call("Target.createTarget", url="about:blank")["targetId"]
            attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
            self._session = attached["sessionId"]
            for domain in ("Page", "Runtime", "Log", "Network"):
                self.call(f"{domain}.enable")
        except BaseException:
            self.close()
            raise

    def call(self, method: str, **params):
        """Ask the browser something; what it tells meanwhile is kept in `events`."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            data, ended, rest = self._held.partition(b"\0")
            if not ended:
                more = os.read(self._from, 1 << 16)
                assert more, "the browser has ended"
                self._held += more
                continue
            self._held = rest
            found = json.loads(data)
            if found.get("id") == self._number:
                assert "error" not in found, found
                return found["result"]
            self.events.append(found)

    def go(self, url: str) -> None:
        """Open an address."""
        self.call("Page.navigate", url=url)

    def tell(self, expression: str):
        """The value of a JavaScript expression."""
        found = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def until(self, expression: str):
        """Wait until an expression is true, and return its value."""
        until_s = time.monotonic() + WAIT_S
        while not (found := self.tell(expression)):
            assert time.monotonic() < until_s, expression
            threading.Event().wait(0.05)
        return found

    def press(self, key: str) -> None:
        """Press a key, as a person would."""
        codes = {"Tab": 9, "Enter": 13, "End": 35, "Home": 36, "ArrowLeft": 37, "ArrowRight": 39}
        extra = {"text": "\r"} if key == "Enter" else {}
        common = {"key": key, "code": key, "windowsVirtualKeyCode": codes[key]}
        self.call("Input.dispatchKeyEvent", type="keyDown", **common, **extra)
        self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    def size(self, width: int, height: int, *, mobile: bool = False) -> None:
        """Resize the page, in CSS pixels."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=mobile,
        )  # fmt: skip

    def picture(self, file: Path) -> None:
        """Write the whole page as PNG."""
        found = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        file.write_bytes(base64.b64decode(found["data"]))

    def complaints(self) -> list[str]:
        """Errors that the page or its policy caused: exceptions, refused resources."""
        self.tell("0")
        found = [
            event["params"]["exceptionDetails"]["exception"].get("description", "")
            for event in self.events
            if event["method"] == "Runtime.exceptionThrown"
        ]
        logged = [event["params"]["entry"] for event in self.events
                  if event["method"] == "Log.entryAdded"]  # fmt: skip
        # An answer of 4xx is logged by the browser too; the page says it in words.
        return found + [
            e["text"] for e in logged if e["level"] == "error" and e["source"] != "network"
        ]

    def close(self) -> None:
        """End the browser."""
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        os.close(self._from)
        os.close(self._to)


def _high_pipe() -> tuple[int, int]:
    """A pipe whose ends are not 3 or 4, which the browser's ends become."""
    ends = os.pipe()
    high = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in ends]
    for end in ends:
        os.close(end)
    return high[0], high[1]
