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
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from bb_core.errors import BBError
from bb_runtime.batching import Batch, open_batch
from bb_runtime.choose import Draw, TokenLogprob, choose_tokens, token_logprobs
from bb_runtime.constrain_logits import constrain_logits
from bb_runtime.errors import MaskError
from bb_runtime.generation import Busy, Generation, Part, Reason, notify
from bb_runtime.job import EngineLimits, EngineStats, Job
from bb_runtime.masks import n_mask_words, wrap_tokenizer
from bb_runtime.text_row import TextRow, advance, open_row

logger = logging.getLogger(__name__)

_IDLE_S = 5.0
_LONGEST_RETRY_S = 60


class Worker:
    """Decodes jobs in one thread, which ends when there is nothing to do for a while.

    Args:
        model: in evaluation mode.
        tokenizer: the model's own.
        limits: what to take on.
        lock: held during each step, so that others may call the model in between.

    Attributes:
        end_ids: tokens that end a text.
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
        self._rows: list[TextRow] = []
        self._touched: dict[int, Generation] = {}
        self._ended: Counter[str] = Counter()
        self._counts: Counter[str] = Counter()
        self._mean_s = 0.0
        self._is_closing = False
        self.end_ids = _end_ids(model, tokenizer)
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
                    self._end(one.job, Part(one.choice, rest, (), (), reason, one.energy))
                    one.is_over = True
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
            if row.is_over or row.job.generation.done:
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
            if rows[0].is_over:  # all that it may say was forced
                continue
            rows[0].followers = rows[1:]
            with self._condition:
                self._rows.append(rows[0])
            self._batch.open()

    def _new_row(self, job: Job, choice: int) -> TextRow:
        row = open_row(job, choice, self._tokenizer)
        self._advance(row, [])
        return row

    # -- choosing ----------------------------------------------------------------------------

    def _fill(self, rows: list[TextRow]) -> None:
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

    def _choose(self, ready: list[TextRow], logits: torch.Tensor) -> None:
        """Choose one token of each row whose tokens are all read; (rows, vocabulary) logits."""
        logits = constrain_logits(ready, logits)
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

    def _take(self, row: TextRow, token: int, logits: torch.Tensor) -> None:
        """Take a chosen token, and what it forces."""
        if row.error is not None:
            raise row.error
        if row.state is not None and not row.state.consume(token):
            raise MaskError(f"token {token} was not allowed", where="masks", fix="report this")
        wanted = row.job.sampling.logprobs
        told = [] if wanted is None else [token_logprobs(logits, token, wanted)]
        row.words = None
        self._advance(row, [token], told)

    def _advance(self, row: TextRow, chosen: list[int], told: Sequence[TokenLogprob] = ()) -> None:
        """Append tokens to a row and put what can be handed out."""
        part, n_forced = advance(row, chosen, told, self.end_ids)
        if part is None:
            return
        self._counts["completion"] += len(part.tokens)
        self._counts["forced"] += n_forced
        if part.reason is not None:
            self._end(row.job, part)
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
