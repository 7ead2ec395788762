"""One call of a tool: in a thread of its own, under a deadline, and what its failure means.

    failure                              had its effect?   worth another try?
    refused (4xx)                        no                408, 425, 429
    503                                  no                yes
    501, 505                             no                no
    never sent (no connection)           no                yes
    no answer, other 5xx                 nobody knows      yes, if repeating is safe
    2xx that cannot be read, 300 to 303  nobody knows      no
    cannot be made (a secret is missing) no                no

Repeating is safe for what only reads, and with an idempotency key.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bb_core.errors import BBError
from bb_domains.schema import Tool
from bb_domains.tools import Adapters, ToolFailed

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 5.0
_NOT_NOW = frozenset({408, 425, 429, 503})
_NOT_DONE = frozenset({501, 503, 505})
_DONE_ELSEWHERE = 303  # "see other" is how many services answer a POST that succeeded


@dataclass(frozen=True)
class Answer:
    """What a call came to.

    Attributes:
        result: what the tool answered; empty if it failed.
        reason: why it failed; empty if it did not.
        unknown: whether a failed call may have had its effect.
        passing: whether the failure may pass.
    """

    result: Mapping[str, Any] = field(default_factory=dict)
    reason: str = ""
    unknown: bool = False
    passing: bool = False


class Attempt:
    """A call under way; it runs in a thread, so that nobody waits longer than its deadline.

    An adapter that never comes back keeps its thread until the process ends.

    Args:
        adapters: carry the call out.
        name: of the tool.
        args: resolved arguments.
        key: the idempotency key, None where the tool takes none.
        timeout_s: how long its answer is waited for, from now on.
    """

    def __init__(
        self,
        adapters: Adapters,
        name: str,
        args: Mapping[str, Any],
        key: str | None,
        timeout_s: float,
    ) -> None:
        self.started_s = time.perf_counter()
        self._name, self._timeout_s = name, timeout_s
        self._found: Answer | BaseException | None = None
        self._ended = threading.Event()
        self._seconds = 0.0
        thread = threading.Thread(
            target=self._run, args=(adapters, args, key), name=f"call {name}", daemon=True
        )
        thread.start()

    def _run(self, adapters: Adapters, args: Mapping[str, Any], key: str | None) -> None:
        try:
            self._found = Answer(adapters.call(self._name, args, key))
        except ToolFailed as error:
            self._found = failure(error)
        except BBError as error:
            self._found = Answer(reason=str(error))
        except BaseException as error:  # raised again where it is awaited
            self._found = error
        self._seconds = time.perf_counter() - self.started_s
        self._ended.set()

    def answer(self) -> Answer:
        """Wait for the answer.

        Raises:
            BaseException: whatever the adapter raised besides its own kinds of failure.
        """
        left_s = self._timeout_s - (time.perf_counter() - self.started_s)
        if not self._ended.wait(max(0.0, left_s)):
            self._seconds = time.perf_counter() - self.started_s
            return failure(ToolFailed(self._name, 0, f"no answer within {self._timeout_s:g} s"))
        found = self._found
        if isinstance(found, BaseException):
            raise found
        assert found is not None
        return found

    @property
    def seconds(self) -> float:
        """Duration of the call, once it is answered."""
        return self._seconds


def failure(error: ToolFailed) -> Answer:
    """What a tool's failure means."""
    status = error.status
    silent = status == 0 and error.sent
    server = status >= 500 and status not in _NOT_DONE
    return Answer(
        reason=error.reason,
        unknown=silent or server or 200 <= status <= _DONE_ELSEWHERE,
        passing=status in _NOT_NOW or status == 0 or server,
    )


def may_repeat(tool: Tool, answer: Answer) -> bool:
    """Whether a failed call may be made once more, with nobody asked."""
    safe = tool.effect != "write" or tool.idempotent
    return answer.passing and (safe or not answer.unknown)


def pause_s(attempt: int) -> float:
    """How long to wait after the `attempt`-th try, counted from 1: twice as long each time."""
    return min(_FIRST_PAUSE_S * 2.0 ** (attempt - 1), _LONGEST_PAUSE_S)
