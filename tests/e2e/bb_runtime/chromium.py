"""A Chromium that is told what to do over a pipe (the DevTools protocol), without a driver."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
import time
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome", "headless_shell")
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
    """

    def __init__(self, program: str, profile: Path) -> None:
        to_browser, self._to = os.pipe()
        self._from, from_browser = os.pipe()
        # The browser reads from descriptor 3 and writes to 4. No sandbox: tests may run as root.
        flags = "--headless --no-sandbox --disable-gpu --no-first-run --remote-debugging-pipe"
        script = (
            f'exec "$0" {flags} "--user-data-dir=$1" about:blank 3<&{to_browser} 4>&{from_browser}'
        )
        self.process = subprocess.Popen(
            ["/bin/sh", "-c", script, program, str(profile)],
            pass_fds=(to_browser, from_browser), stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(to_browser)
        os.close(from_browser)
        self._reader = os.fdopen(self._from, "rb")
        self._number, self._session = 0, None
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)[
            "sessionId"
        ]

    def _call(self, method, **params):
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            data = b""
            while not data.endswith(b"\0"):
                byte = self._reader.read(1)
                assert byte, "the browser has ended"
                data += byte
            found = json.loads(data[:-1])
            if found.get("id") == self._number:
                assert "error" not in found, found
                return found["result"]

    def go(self, url: str) -> None:
        """Open an address."""
        self._call("Page.navigate", url=url)

    def tell(self, expression: str):
        """The value of a JavaScript expression."""
        found = self._call(
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

    def close(self) -> None:
        """End the browser."""
        self.process.kill()
        self.process.wait()
        self._reader.close()
        os.close(self._to)
