"""What is asked of the engine: how to choose, what to keep to, and what the engine takes on."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import torch

from bb_runtime.generation import Energy, Generation
from bb_runtime.rows import RowState

Constraint = Callable[[], RowState]
"""Makes the constraint state of a text that is still empty; see `bb_runtime.constraints`."""


@runtime_checkable
class Forcing(Protocol):
    """A constraint state that knows tokens that need not be asked for."""

    def take_forced(self) -> list[int]:
        """Take all tokens that are forced from here on."""
        ...


@runtime_checkable
class Budgeted(Protocol):
    """A constraint state that keeps its text within a budget of tokens."""

    def within_budget(self, masked: torch.Tensor) -> torch.Tensor:
        """(vocabulary,) masked logits with only tokens after which the text can still end."""
        ...


@runtime_checkable
class Soft(Protocol):
    """A constraint state that forbids nothing: what its mask leaves out costs `weight` nats.

    The price is taken from the logits before temperature and top-p, so it is an energy like they
    are: at temperature 0 a token outside is chosen if it is that much likelier than all inside.
    """

    @property
    def weight(self) -> float:
        """Nats, above 0."""
        ...

    def judge(self, nats: float) -> None:
        """Hear, before the next token is taken, -log(probability of what the mask allows)."""
        ...

    def energy(self) -> Energy:
        """Of the text so far."""
        ...


@dataclass(frozen=True)
class Sampling:
    """How to choose tokens.

    Attributes:
        max_new_tokens: budget of each choice, end-of-sequence included.
        temperature: 0 for greedy decoding.
        top_p: nucleus, after the temperature; 1 keeps all.
        seed: of the random numbers; each choice has its own stream of them.
        n: choices, that is, texts after the same prompt.
        stop: strings that end a text, and are not part of it.
        logprobs: None for none; else the number of likeliest tokens told beside each token.
    """

    max_new_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    n: int = 1
    stop: tuple[str, ...] = ()
    logprobs: int | None = None


@dataclass(frozen=True)
class EngineLimits:
    """What an engine takes on.

    Attributes:
        max_rows: texts decoded together.
        max_waiting: requests that may wait for a row; one more is told so (`Busy`).
        max_length: most tokens of a prompt and its answer together.
        max_call_tokens: about how many tokens one call of the model may read; a longer prompt is
            read in parts, so that it does not hold up the others.
        packed: whether a model of attention alone may be packed (`batching_slots`).
    """

    max_rows: int = 64
    max_waiting: int = 256
    max_length: int = 8192
    max_call_tokens: int = 512
    packed: bool = True


@dataclass(frozen=True)
class EngineStats:
    """Counts since the start, and what goes on now.

    Attributes:
        running: texts being decoded.
        waiting: requests that wait for a row.
        ended: choices by reason, with `error` for failed requests.
        prompt_tokens: tokens read from prompts.
        completion_tokens: tokens generated.
        forced_tokens: of these, taken without asking the model.
        calls: calls of the model.
    """

    running: int
    waiting: int
    ended: dict[str, int]
    prompt_tokens: int
    completion_tokens: int
    forced_tokens: int
    calls: int


@dataclass(frozen=True)
class Job:
    """A request that was accepted.

    Attributes:
        prompt: its tokens.
        sampling: how to continue it.
        constraint: what the text must keep to, or None.
        generation: who reads it.
        submitted_s: when, on the clock of `time.monotonic`.
    """

    prompt: Sequence[int]
    sampling: Sampling
    constraint: Constraint | None
    generation: Generation
    submitted_s: float = field(default_factory=time.monotonic)
