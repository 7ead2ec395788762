"""What carries tool calls out, and how a call fails."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from bb_core.errors import BBError


class Adapters(Protocol):
    """What carries tool calls out; arguments come resolved."""

    def call(
        self, tool: str, args: Mapping[str, Any], idempotency_key: str | None = None
    ) -> dict[str, Any]:
        """The tool's result.

        Raises:
            ToolFailed: the tool refused, or gave no answer.
            BBError: the call could not be made.
        """
        ...


class ToolFailed(BBError):  # noqa: N818 - what happened, not a malfunction
    """The service refused a call, or could not be reached.

    Attributes:
        tool: name of the tool.
        status: HTTP status or its like, 0 if there was no answer.
        reason: what the service said.
        sent: whether the call may have left; False if it surely did not.
    """

    def __init__(self, tool: str, status: int, reason: str, *, sent: bool = True) -> None:
        said = f"answered {status}: {reason}" if status else reason
        super().__init__(said, where=f"tool {tool}")
        self.tool = tool
        self.status = status
        self.reason = reason
        self.sent = sent
