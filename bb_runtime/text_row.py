"""One text being decoded: what it has, what the model has yet to read of it, and how it ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

import numpy as np
from transformers import PreTrainedTokenizerBase

from bb_runtime.choose import TokenLogprob, forced_logprob
from bb_runtime.generation import Energy, Part, Reason
from bb_runtime.job import Forcing, Job, Soft
from bb_runtime.rows import RowState
from bb_runtime.stream_text import StreamText


@dataclass
class TextRow:
    """One choice of one job.

    Attributes:
        job: what was asked.
        choice: number of the choice.
        text: what was handed out.
        random: the choice's own stream of numbers.
        state: of its constraint, or None.
        forcing: the same, where it knows forced tokens.
        soft: the same, where it forbids nothing.
        waiting: tokens the model has yet to read.
        used: tokens generated.
        is_over: whether its last part was made.
        words: the mask of its next token, once filled.
        error: what went wrong while it was filled.
        followers: the job's other choices, until the prompt that they share is read.
    """

    job: Job
    choice: int
    text: StreamText
    random: Random
    state: RowState | None
    forcing: Forcing | None
    soft: Soft | None
    waiting: list[int]
    used: int = 0
    is_over: bool = False
    words: np.ndarray | None = None
    error: BaseException | None = None
    followers: list[TextRow] = field(default_factory=list)

    @property
    def energy(self) -> Energy | None:
        """Of the text so far under its soft grammar; None without one."""
        return None if self.soft is None else self.soft.energy()


def open_row(job: Job, choice: int, tokenizer: PreTrainedTokenizerBase) -> TextRow:
    """A row that has generated nothing yet.

    Raises:
        MaskError: the job's constraint allows nothing.
    """
    state = job.constraint() if job.constraint is not None else None
    return TextRow(
        job=job,
        choice=choice,
        text=StreamText(tokenizer, job.sampling.stop),
        random=Random(f"{job.sampling.seed}/{choice}"),
        state=state,
        forcing=state if isinstance(state, Forcing) else None,
        soft=state if isinstance(state, Soft) else None,
        waiting=list(job.prompt),
    )


def advance(
    row: TextRow, chosen: list[int], told: Sequence[TokenLogprob], eos_ids: frozenset[int]
) -> tuple[Part | None, int]:
    """Append tokens that were chosen and consumed, and those that are forced after them.

    Args:
        row: changed in place.
        chosen: one token, or none at the start.
        told: log-probabilities of the chosen, if asked for.
        eos_ids: tokens that end a text without constraint.

    Returns:
        What to hand out, or None; and the number of forced tokens.
    """
    sampling = row.job.sampling
    tokens, is_ended = _with_forced(row, chosen, eos_ids)
    room = sampling.max_new_tokens - row.used
    if len(tokens) > room:
        tokens, is_ended = tokens[:room], False
    row.used += len(tokens)
    row.waiting += tokens
    is_full = row.used >= sampling.max_new_tokens
    text = row.text.add(tokens, is_last=is_ended or is_full)
    reason: Reason | None = None
    if is_ended or row.text.is_stopped:
        reason = "stop"
    elif is_full:
        reason = "length"
    n_forced = max(0, len(tokens) - len(chosen))
    logprobs: tuple[TokenLogprob, ...] = ()
    if sampling.logprobs is not None:
        forced = tokens[len(tokens) - n_forced :]
        logprobs = (*told, *(forced_logprob(token, sampling.logprobs) for token in forced))
    row.is_over = reason is not None
    if not tokens and reason is None:
        return None, 0
    energy = None if reason is None else row.energy
    return Part(row.choice, text, tuple(tokens), logprobs, reason, energy), n_forced


def _with_forced(
    row: TextRow, chosen: list[int], eos_ids: frozenset[int]
) -> tuple[list[int], bool]:
    """The tokens and those forced after them; whether the text has ended."""
    if row.state is None:
        return chosen, bool(chosen) and chosen[-1] in eos_ids
    if row.state.finished or row.forcing is None:
        return chosen, row.state.finished
    return [*chosen, *row.forcing.take_forced()], row.state.finished
