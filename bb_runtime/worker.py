"""The thread that decodes: rows are admitted, read, masked, chosen and ended, step by step.

A step is one call of the model for all rows. The masks of the next tokens depend on the tokens
already taken, not on the logits, so they are filled by a second thread while the model runs. Tokens
that a mask forces are not asked for: they are appended and read together with the next one.

A fault of one request ends that request; a fault of the model ends all that are running, with its
error, and the worker goes on with the next.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from random import Random
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from bb_core.errors import BBError
from bb_runtime.batching import Batch, open_batch
from bb_runtime.choose import (
    Draw,
    TokenLogprob,
    choose_tokens,
    forced_logprob,
    token_logprobs,
)
from bb_runtime.errors import MaskError
from bb_runtime.generation import Busy, Generation, Part, Reason, notify
from bb_runtime.masks import n_mask_words, unpack_on_device, wrap_tokenizer
from bb_runtime.rows import RowState
from bb_runtime.stream_text import StreamText

logger = logging.getLogger(__name__)

Constraint = Callable[[], RowState]
"""Makes the constraint state of a text that is still empty; see `bb_runtime.constraints`."""

_IDLE_S = 5.0
_LONGEST_RETRY_S = 60


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


@dataclass
class _Row:
    """One text being decoded."""

    job: Job
    choice: int
    text: StreamText
    random: Random
    state: RowState | None
    waiting: list[int]
    forcing: Forcing | None
    used: int = 0
    words: np.ndarray | None = None
    error: BaseException | None = None
    followers: list[_Row] = field(default_factory=list)


class Worker:
    """Decodes jobs in one thread, which ends when there is nothing to do for a while.

    Args:
        model: in evaluation mode.
        tokenizer: the model's own.
        limits: what to take on.
        lock: held during each step, so that others may call the model in between.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: PreTrainedTokenizerBase,
        limits: EngineLimits,
        lock: threading.Lock,
    ) -> None:
        self._model, self._tokenizer, self._limits, self._lock = model, tokenizer, limits, lock
        self._condition = threading.Condition()
        self._thread: threading.Thread | None = None
        self._jobs: deque[Job] = deque()
        self._rows: list[_Row] = []
        self._touched: dict[int, Generation] = {}
        self._ended: Counter[str] = Counter()
        self._counts: Counter[str] = Counter()
        self._mean_s = 0.0
        self._is_closing = False
        self._eos_ids = _end_ids(model, tokenizer)
        self._batch = self._open_batch()

    # -- what other threads call -------------------------------------------------------------

    def submit(self, job: Job) -> None:
        """Let a job wait for its rows.

        Raises:
            Busy: too many wait already, or the worker is closing.
        """
        with self._condition:
            if self._is_closing:
                raise Busy("the server is closing", _LONGEST_RETRY_S)
            if len(self._jobs) >= self._limits.max_waiting:
                raise Busy("too many requests wait", self._retry_after_s())
            self._jobs.append(job)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="bb-decode", daemon=True)
                self._thread.start()
            self._condition.notify_all()

    def close(self, timeout_s: float) -> bool:
        """Take no more jobs; wait for those there are, and cancel what is left then.

        Returns:
            Whether all ended by themselves.
        """
        with self._condition:
            self._is_closing = True
            self._condition.notify_all()
            is_done = self._condition.wait_for(self._is_idle, timeout_s)
            for generation in [job.generation for job in self._jobs]:
                generation.cancel()
            for row in self._rows:
                row.job.generation.cancel()
            return is_done

    def stats(self) -> EngineStats:
        """What it does and did."""
        with self._condition:
            return EngineStats(
                running=len(self._rows), waiting=len(self._jobs), ended=dict(self._ended),
                prompt_tokens=self._counts["prompt"], completion_tokens=self._counts["completion"],
                forced_tokens=self._counts["forced"], calls=self._counts["calls"],
            )  # fmt: skip

    def _is_idle(self) -> bool:
        return not self._jobs and not self._rows

    def _retry_after_s(self) -> int:
        rounds = math.ceil((len(self._jobs) + 1) / self._limits.max_rows)
        return max(1, min(_LONGEST_RETRY_S, math.ceil(self._mean_s * rounds)))

    # -- the thread --------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            with ThreadPoolExecutor(1, "bb-masks") as masking:
                while self._has_work():
                    self._turn(masking)
        except BaseException as error:  # nobody may wait for a thread that is gone
            logger.exception("the decoder ended")
            with self._condition:
                self._thread = None
                jobs = [*self._jobs, *(row.job for row in self._rows)]
                self._jobs.clear()
                self._rows.clear()
            for job in jobs:
                self._fail(job, _failure(error))
            notify(self._touched.values())
            self._touched.clear()
            if not isinstance(error, Exception):
                raise

    def _has_work(self) -> bool:
        """Wait for a job; where none comes, the thread is given up."""
        with self._condition:
            if self._is_idle():
                self._condition.notify_all()
            idle_s = 0.0 if self._is_closing else _IDLE_S
            if self._condition.wait_for(lambda: not self._is_idle(), idle_s):
                return True
            self._thread = None
            return False

    def _turn(self, masking: ThreadPoolExecutor) -> None:
        """One step, and word to its readers."""
        try:
            with self._lock, torch.no_grad():
                self._step(masking)
        except Exception as error:
            logger.exception("a step of the decoder failed")
            for row in self._rows:
                self._fail(row.job, _failure(error))
            with self._condition:
                self._rows.clear()
            self._batch = self._open_batch()
        notify(self._touched.values())
        self._touched.clear()

    def _open_batch(self) -> Batch:
        limits = self._limits
        return open_batch(
            self._model, limits.max_rows, limits.max_length, limits.max_call_tokens, limits.packed
        )

    def _fail(self, job: Job, error: BaseException) -> None:
        if not job.generation.done:
            self._ended["error"] += 1
        job.generation.fail(error)
        self._touch(job.generation)

    def _touch(self, generation: Generation) -> None:
        self._touched[id(generation)] = generation

    def _step(self, masking: ThreadPoolExecutor) -> None:
        self._sweep()
        self._admit()
        if not self._rows:
            return
        pending = [row for row in self._rows if row.state is not None and row.words is None]
        filling = masking.submit(self._fill, pending) if pending else None
        fed = self._batch.feed([row.waiting for row in self._rows])
        self._counts["calls"] += 1
        for row, take in zip(self._rows, fed.taken, strict=True):
            row.waiting = row.waiting[take:]
        if filling is not None:
            filling.result()
        numbers = [i for i, row in enumerate(self._rows) if not row.waiting]
        sources = list(numbers)
        for number in numbers:
            row = self._rows[number]
            for follower in row.followers:
                self._batch.fork(number)
                follower.words, follower.error, follower.waiting = row.words, row.error, []
                sources.append(number)
                self._rows.append(follower)
            row.followers = []
        ready = [self._rows[i] for i in numbers] + self._rows[len(fed.taken) :]
        if ready:
            self._choose(ready, fed.logits[sources])
        self._close_ended()

    # -- joining and leaving -----------------------------------------------------------------

    def _sweep(self) -> None:
        """End what was cancelled or is too late, waiting or running."""
        now_s = time.monotonic()
        with self._condition:
            late = [(job, reason) for job in self._jobs if (reason := _overdue(job, now_s))]
            for job, _ in late:
                self._jobs.remove(job)
        for job, reason in late:
            for choice in range(job.sampling.n):
                self._end(job, Part(choice, "", (), (), reason))
        for row in self._rows:
            if reason := _overdue(row.job, now_s):
                for one in (row, *row.followers):
                    rest = one.text.add((), is_last=True)
                    self._end(one.job, Part(one.choice, rest, (), (), reason))
                    one.used = -1
        self._close_ended()

    def _end(self, job: Job, part: Part) -> None:
        """Put the last part of a choice."""
        assert part.reason is not None
        job.generation.put(part)
        self._ended[part.reason] += 1
        took_s = time.monotonic() - job.submitted_s
        self._mean_s += 0.1 * (took_s - self._mean_s)
        self._touch(job.generation)

    def _close_ended(self) -> None:
        for number in reversed(range(len(self._rows))):
            row = self._rows[number]
            if row.used < 0 or row.job.generation.done:
                self._batch.close(number)
                with self._condition:
                    self._rows[number] = self._rows[-1]
                    self._rows.pop()

    def _admit(self) -> None:
        """Give rows to the jobs that waited longest, while there are rows for all choices."""
        while True:
            taken = sum(1 + len(row.followers) for row in self._rows)
            with self._condition:
                if not self._jobs or taken + self._jobs[0].sampling.n > self._limits.max_rows:
                    return
                job = self._jobs.popleft()
            try:
                rows = [self._new_row(job, choice) for choice in range(job.sampling.n)]
            except MaskError as error:
                self._fail(job, error)
                continue
            except Exception as error:
                logger.exception("a constraint failed")
                self._fail(job, error)
                continue
            self._counts["prompt"] += len(job.prompt)
            if rows[0].used < 0:  # all that it may say was forced
                continue
            rows[0].followers = rows[1:]
            with self._condition:
                self._rows.append(rows[0])
            self._batch.open()

    def _new_row(self, job: Job, choice: int) -> _Row:
        state = job.constraint() if job.constraint is not None else None
        row = _Row(
            job=job, choice=choice, text=StreamText(self._tokenizer, job.sampling.stop),
            random=Random(f"{job.sampling.seed}/{choice}"),
            state=state,
            waiting=list(job.prompt),
            forcing=state if isinstance(state, Forcing) else None,
        )  # fmt: skip
        self._advance(row, [])
        return row

    # -- choosing ----------------------------------------------------------------------------

    def _fill(self, rows: list[_Row]) -> None:
        """Fill the masks of rows; an error is kept for its row."""
        n_words = n_mask_words(wrap_tokenizer(self._tokenizer))
        for row in rows:
            words = np.zeros(n_words, dtype=np.int32)
            try:
                assert row.state is not None
                row.state.fill(words)
            except Exception as error:
                row.error = error
            row.words = words

    def _choose(self, ready: list[_Row], logits: torch.Tensor) -> None:
        """Choose one token of each row whose tokens are all read; (rows, vocabulary) logits."""
        logits = self._masked(ready, logits)
        is_dead = (logits.amax(-1) == -torch.inf).tolist()
        draws = []
        for row, dead in zip(ready, is_dead, strict=True):
            if dead and row.error is None:
                row.error = MaskError(
                    "no token is left to choose", where="masks",
                    fix="check that model and tokenizer belong together",
                )  # fmt: skip
            sampling = row.job.sampling
            temperature = 0.0 if dead else sampling.temperature
            draws.append(Draw(temperature, sampling.top_p, row.random.random))
        tokens = choose_tokens(logits, draws)
        for i, (row, token) in enumerate(zip(ready, tokens, strict=True)):
            try:
                self._take(row, token, logits[i])
            except Exception as error:
                if not isinstance(error, BBError):
                    logger.exception("a row of the decoder failed")
                self._fail(row.job, error)

    def _masked(self, ready: list[_Row], logits: torch.Tensor) -> torch.Tensor:
        bound = [i for i, row in enumerate(ready) if row.words is not None]
        if not bound:
            return logits
        words = np.stack([w for row in ready if (w := row.words) is not None])
        octets = torch.from_numpy(words.view(np.uint8)).to(logits.device)
        allowed = unpack_on_device(octets)[:, : logits.shape[1]]
        if allowed.shape[1] < logits.shape[1]:
            allowed = torch.nn.functional.pad(allowed, (0, logits.shape[1] - allowed.shape[1]))
        index = torch.tensor(bound, device=logits.device)
        logits[index] = logits[index].masked_fill(~allowed, -torch.inf)
        for i in bound:
            row = ready[i]
            if isinstance(row.state, Budgeted) and row.error is None:
                try:
                    logits[i] = row.state.within_budget(logits[i])
                except Exception as error:
                    row.error = error
        return logits

    def _take(self, row: _Row, token: int, logits: torch.Tensor) -> None:
        """Take a chosen token, and what it forces."""
        if row.error is not None:
            raise row.error
        if row.state is not None and not row.state.consume(token):
            raise MaskError(f"token {token} was not allowed", where="masks", fix="report this")
        wanted = row.job.sampling.logprobs
        told = [] if wanted is None else [token_logprobs(logits, token, wanted)]
        row.words = None
        self._advance(row, [token], told)

    def _advance(self, row: _Row, chosen: list[int], told: Sequence[TokenLogprob] = ()) -> None:
        """Append chosen tokens and those that are forced after them; put a part; end if at an end.

        A row that ended is marked by `used` below 0.
        """
        sampling = row.job.sampling
        is_over = (
            row.state.finished
            if row.state is not None
            else bool(chosen and chosen[-1] in self._eos_ids)
        )
        forced: list[int] = []
        if not is_over and row.forcing is not None:
            forced = row.forcing.take_forced()
            is_over = row.state is not None and row.state.finished
        tokens = [*chosen, *forced]
        room = sampling.max_new_tokens - row.used
        if len(tokens) > room:
            tokens, is_over = tokens[:room], False
        row.used += len(tokens)
        row.waiting += tokens
        self._counts["completion"] += len(tokens)
        self._counts["forced"] += max(0, len(tokens) - len(chosen))
        is_full = row.used >= sampling.max_new_tokens
        text = row.text.add(tokens, is_last=is_over or is_full)
        reason: Reason | None = None
        if is_over or row.text.is_stopped:
            reason = "stop"
        elif is_full:
            reason = "length"
        logprobs: tuple[TokenLogprob, ...] = ()
        if sampling.logprobs is not None:
            rest = tokens[len(chosen) :]
            logprobs = (*told, *(forced_logprob(token, sampling.logprobs) for token in rest))
        if not tokens and reason is None:
            return
        part = Part(row.choice, text, tuple(tokens), logprobs, reason)
        if reason is not None:
            self._end(row.job, part)
            row.used = -1
        else:
            row.job.generation.put(part)
            self._touch(row.job.generation)


def _failure(error: BaseException) -> BBError:
    return BBError(
        f"decoding failed ({type(error).__name__}: {error})",
        where="engine",
        fix="see the server's log",
    )


def _overdue(job: Job, now_s: float) -> Reason | None:
    """Why a job must end now, if it must."""
    if job.generation.is_cancelled:
        return "cancelled"
    deadline_s = job.generation.deadline_s
    return "deadline" if deadline_s is not None and now_s >= deadline_s else None


def _end_ids(model: Any, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """The tokens that end an unconstrained text: the tokenizer's, and those of the model."""
    told = getattr(model.generation_config, "eos_token_id", None)
    found = {tokenizer.eos_token_id, *(told if isinstance(told, list) else [told])}
    return frozenset(token for token in found if isinstance(token, int))
