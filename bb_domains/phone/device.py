"""What a handset can be asked for, whether it is simulated or hangs on a cable."""

from __future__ import annotations

from typing import Literal, Protocol

from bb_domains.phone.tree import Node, Point

Key = Literal["WAKEUP", "HOME", "BACK", "ENTER", "DEL", "MOVE_END", "MENU"]


class Device(Protocol):
    """A handset."""

    def dump(self) -> Node:
        """What the screen shows now.

        Raises:
            BBError: the handset did not say.
        """
        ...

    def tap(self, point: Point) -> None:
        """Tap a pixel."""
        ...

    def swipe(self, start: Point, end: Point) -> None:
        """Drag a finger from one pixel to another."""
        ...

    def text(self, text: str) -> None:
        """Type printable ASCII into what has the focus.

        Raises:
            BBError: it has other characters.
        """
        ...

    def key(self, key: Key, times: int = 1) -> None:
        """Press a key."""
        ...

    def launch(self, package: str) -> None:
        """Bring an app to the front.

        Raises:
            BBError: there is no such app.
        """
        ...

    def settle(self) -> None:
        """Wait a moment for what was begun."""
        ...
