"""A running generation, as its caller sees it: from a thread or from asyncio.

    for part in generation: ...            async for part in generation: ...
    completions = generation.result()      completions = await generation
    generation.cancel()

The worker that decodes appends parts and never waits for a reader. What a slow reader has not
taken yet is merged when it comes back, and memory is bounded by the budget.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from bb_core.errors import BBError
from bb_runtime.choose import TokenLogprob

Reason = Literal["stop", "length", "cancelled", "deadline"]
"""Why a text ended: by itself or by a stop string; at its budget; by its caller; by the clock."""


@dataclass(frozen=True)
class Energy:
    """How far a text is from a soft grammar; see `bb_runtime.soft`.

    Attributes:
        nats: sum over the tokens of -log(the model's probability of what the grammar allowed).
        distance: tokens that the grammar did not allow.
        tokens: tokens that were judged, an end of sequence among them.
        in_grammar: whether the text as it stands, a stop string included, is one of the grammar.
    """

    nats: float
    distance: int
    tokens: int
    in_grammar: bool


@dataclass(frozen=True)
class Part:
    """What was generated since the part before.

    Attributes:
        choice: number of the choice, from 0.
        text: certain text; may be empty while a character or a stop string is incomplete.
        tokens: ids generated, end-of-sequence included.
        logprobs: one per token, if asked for.
        reason: why the choice ended; None while it goes on. The last part of a choice has one.
        energy: of the whole text under its soft grammar, with the last part.
    """

    choice: int
    text: str
    tokens: tuple[int, ...]
    logprobs: tuple[TokenLogprob, ...] = ()
    reason: Reason | None = None
    energy: Energy | None = None


@dataclass(frozen=True)
class Completion:
    """A generated text.

    Attributes:
        text: what was generated, without special tokens and without a stop string.
        reason: why it ended.
        prompt_tokens: tokens read.
        tokens: ids generated, end-of-sequence included.
        logprobs: one per token, if asked for.
        energy: under its soft grammar; None without one.
    """

    text: str
    reason: Reason
    prompt_tokens: int
    tokens: tuple[int, ...]
    logprobs: tuple[TokenLogprob, ...] = ()
    energy: Energy | None = None

    @property
    def finished(self) -> bool:
        """Whether the text ended by itself, or by a stop string, within the budget."""
        return self.reason == "stop"

    @property
    def completion_tokens(self) -> int:
        """Tokens generated, end-of-sequence included."""
        return len(self.tokens)


class Generation:
    """Parts as they come, and the finished completions. Read it from one place only.

    As a context manager, `with` or `async with`, it cancels what is still running at the end.

    Attributes:
        n: number of choices.
        prompt_tokens: tokens of the prompt.
        deadline_s: on the clock of `time.monotonic`; None for none.
    """

    def __init__(self, n: int, prompt_tokens: int, deadline_s: float | None) -> None:
        self.n, self.prompt_tokens, self.deadline_s = n, prompt_tokens, deadline_s
        self._condition = threading.Condition()
        self._parts: list[Part] = []
        self._taken: list[Part] = []
        self._open = n
        self._error: BaseException | None = None
        self._is_cancelled = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._event: asyncio.Event | None = None

    # -- the caller's side -------------------------------------------------------------------

    @property
    def done(self) -> bool:
        """Whether no part is to come any more."""
        return self._open == 0 or self._error is not None

    @property
    def is_cancelled(self) -> bool:
        """Whether `cancel` was called."""
        return self._is_cancelled

    def cancel(self) -> None:
        """End the generation at its next token; its choices end with reason `cancelled`."""
        self._is_cancelled = True

    def __iter__(self) -> Iterator[Part]:
        while True:
            with self._condition:
                while not self._parts and not self.done:
                    self._condition.wait()
            parts = self._take()
            if not parts:
                return
            yield from parts

    async def __aiter__(self) -> AsyncIterator[Part]:
        self._event = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        while True:
            self._event.clear()
            parts = self._take()
            for part in parts:
                yield part
            if not parts:
                if self.done and not self._parts:
                    return
                await self._event.wait()

    def result(self, timeout_s: float | None = None) -> tuple[Completion, ...]:
        """Wait for all choices.

        Args:
            timeout_s: give up after so long and cancel the generation; None for never.

        Raises:
            TimeoutError: it took longer.
            BBError: the generation failed.
        """
        until_s = None if timeout_s is None else time.monotonic() + timeout_s
        with self._condition:
            while not self.done:
                left_s = None if until_s is None else until_s - time.monotonic()
                if left_s is not None and left_s <= 0:
                    self.cancel()
                    raise TimeoutError(f"no answer within {timeout_s} s")
                self._condition.wait(left_s)
        self._take()
        return self._completions()

    def __await__(self) -> Generator[None, None, tuple[Completion, ...]]:
        return self._finish().__await__()

    async def _finish(self) -> tuple[Completion, ...]:
        async for _ in self:
            pass
        return self._completions()

    def __enter__(self) -> Generation:
        return self

    def __exit__(self, *_: object) -> None:
        self.cancel()

    async def __aenter__(self) -> Generation:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.cancel()

    def _take(self) -> list[Part]:
        """New parts, merged by choice; raises what made the generation fail."""
        with self._condition:
            parts, self._parts = self._parts, []
            error = self._error
        if not parts and error is not None:
            raise error
        merged = merge_parts(parts)
        self._taken += merged
        return merged

    def _completions(self) -> tuple[Completion, ...]:
        if self._error is not None:
            raise self._error
        found = {part.choice: part for part in merge_parts(self._taken)}
        made = []
        for choice in range(self.n):
            part = found[choice]
            assert part.reason is not None
            made.append(
                Completion(
                    part.text,
                    part.reason,
                    self.prompt_tokens,
                    part.tokens,
                    part.logprobs,
                    part.energy,
                )
            )
        return tuple(made)

    # -- the worker's side -------------------------------------------------------------------

    def put(self, part: Part) -> None:
        """Append a part; `notify` tells the reader."""
        with self._condition:
            self._parts.append(part)
            if part.reason is not None:
                self._open -= 1

    def fail(self, error: BaseException) -> None:
        """End it with an error; parts put before are still handed out."""
        with self._condition:
            if not self.done:
                self._error = error

    def wake(self) -> None:
        """Tell a reader within a thread; one within asyncio is told by `notify`."""
        with self._condition:
            self._condition.notify_all()


def notify(generations: Iterable[Generation]) -> None:
    """Tell the readers of generations that have new parts: one call a loop, however many."""
    by_loop: dict[asyncio.AbstractEventLoop, list[asyncio.Event]] = {}
    for generation in generations:
        generation.wake()
        loop, event = generation._loop, generation._event
        if loop is not None and event is not None:
            by_loop.setdefault(loop, []).append(event)
    for loop, events in by_loop.items():
        try:
            loop.call_soon_threadsafe(_set_all, events)
        except RuntimeError:  # the loop was closed: nobody reads any more
            for generation in generations:
                if generation._loop is loop:
                    generation.cancel()


def _set_all(events: list[asyncio.Event]) -> None:
    for event in events:
        event.set()


def merge_parts(parts: Iterable[Part]) -> list[Part]:
    """One part per choice, in order of appearance."""
    by_choice: dict[int, list[Part]] = {}
    for part in parts:
        by_choice.setdefault(part.choice, []).append(part)
    return [same[0] if len(same) == 1 else _merged(same) for same in by_choice.values()]


def _merged(parts: list[Part]) -> Part:
    return Part(
        choice=parts[0].choice,
        text="".join(part.text for part in parts),
        tokens=tuple(token for part in parts for token in part.tokens),
        logprobs=tuple(entry for part in parts for entry in part.logprobs),
        reason=parts[-1].reason,
        energy=parts[-1].energy,
    )


class Busy(BBError):  # noqa: N818 - a state, not a malfunction
    """Too many requests wait, or the engine is closing.

    Attributes:
        retry_after_s: when to try again, a whole number of seconds from 1.
    """

    def __init__(self, what: str, retry_after_s: int) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(what, where="server", fix=f"try again in {retry_after_s} s")
