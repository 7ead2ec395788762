"""One loaded model that answers many requests at the same time.

    engine = Engine(model, tokenizer, "name")
    generation = engine.submit("Once", Sampling(max_new_tokens=64), deadline_s=20)
    for part in generation:            # or: async for part in generation
        print(part.text, end="")
    (completion,) = generation.result()     # or: await generation

`submit` never waits: it refuses (`Busy`, with `retry_after_s`) or returns a `Generation`. Requests
join and leave the running batch between two tokens (continuous batching), each with its own budget,
temperature, seed, stop strings, deadline and constraint (`bb_runtime.constraints`); `cancel` ends
one at its next token. The greedy text of a request, and the draw of a sampled one, do not depend on
what else is in the batch, up to the rounding of the model's own sums.

    engine       checks requests          worker       the thread that decodes, row by row
    job          what is asked            text_row     one text on its way
    generation   the caller's side        batching     what rows of one call share
    choose       tokens from logits       stream_text  text that is certain
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Sequence
from typing import Any

from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

from bb_core.errors import BBError
from bb_runtime.choose import TokenLogprob
from bb_runtime.generation import Busy, Completion, Energy, Generation, Part, Reason
from bb_runtime.job import Constraint, EngineLimits, EngineStats, Job, Sampling
from bb_runtime.worker import Worker

__all__ = [
    "Busy", "Completion", "Constraint", "Energy", "Engine", "EngineLimits", "EngineStats",
    "Generation", "Part", "Reason", "Sampling", "TokenLogprob", "check_room", "generation_config",
]  # fmt: skip

MAX_LOGPROBS = 20


class Engine:
    """A model and its tokenizer. Every method may be called from any thread.

    A thread decodes while there is something to do, and ends by itself; `close` is for a graceful
    end of the process.

    Args:
        model: any Hugging Face causal LM, or the dual rail; it is put into evaluation mode.
        tokenizer: the model's own fast tokenizer.
        name: what the model is called.
        limits: what to take on.
        lock: that of another engine with the same weights, which then take steps in turn.

    Attributes:
        lock: hold it to call `model` directly; decoding pauses meanwhile.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        name: str,
        limits: EngineLimits | None = None,
        lock: threading.Lock | None = None,
    ) -> None:
        self.model: Any = model
        self.model.eval()
        self.tokenizer: Any = tokenizer
        self.name = name
        self.limits = limits or EngineLimits()
        self.lock = lock or threading.Lock()
        self._worker = Worker(model, tokenizer, self.limits, self.lock)

    def submit(
        self,
        prompt: str | Sequence[int],
        sampling: Sampling,
        constraint: Constraint | None = None,
        *,
        deadline_s: float | None = None,
        is_templated: bool = False,
    ) -> Generation:
        """Continue a prompt, together with whatever else is running.

        Args:
            prompt: the text to continue, or its tokens.
            sampling: how.
            constraint: what each choice must keep to, from `bb_runtime.constraints`.
            deadline_s: seconds from now after which the text ends where it is, with reason
                `deadline`, whether it has begun or not; None for never.
            is_templated: whether a chat template has put the special tokens into the prompt.

        Raises:
            BBError: the prompt is empty or leaves no room for the budget, or an option is out of
                range.
            Busy: too many requests wait.
        """
        check_sampling(sampling, self.limits)
        if isinstance(prompt, str):
            encoded = self.tokenizer(prompt, add_special_tokens=not is_templated)
            prompt = list(encoded["input_ids"])
        if not prompt:
            raise BBError("the prompt is empty", where="prompt", fix="write at least one character")
        check_room(self.model, len(prompt), sampling.max_new_tokens)
        if len(prompt) + sampling.max_new_tokens > self.limits.max_length:
            raise BBError(
                f"a prompt of {len(prompt)} tokens and a budget of {sampling.max_new_tokens} are "
                f"more than the {self.limits.max_length} served here",
                where="prompt", fix="shorten the request or lower the budget",
            )  # fmt: skip
        until_s = None if deadline_s is None else time.monotonic() + deadline_s
        generation = Generation(sampling.n, len(prompt), until_s)
        self._worker.submit(Job(prompt, sampling, constraint, generation))
        return generation

    def complete(
        self,
        prompt: str | Sequence[int],
        sampling: Sampling,
        constraint: Constraint | None = None,
        *,
        deadline_s: float | None = None,
        is_templated: bool = False,
    ) -> tuple[Completion, ...]:
        """`submit`, and wait for all choices: one `Completion` each."""
        return self.submit(
            prompt, sampling, constraint, deadline_s=deadline_s, is_templated=is_templated
        ).result()

    @property
    def end_ids(self) -> frozenset[int]:
        """Tokens that end the model's texts: the tokenizer's, and further ones of the model."""
        return self._worker.end_ids

    def stats(self) -> EngineStats:
        """What goes on, and counts since the start."""
        return self._worker.stats()

    def close(self, timeout_s: float = 30.0) -> bool:
        """Take no more requests; wait for those there are, and cancel what is left then.

        Returns:
            Whether all ended by themselves.
        """
        return self._worker.close(timeout_s)


def check_sampling(sampling: Sampling, limits: EngineLimits) -> None:
    """Check that every option is one that can be honoured.

    Raises:
        BBError: one is out of range, by name.
    """
    ranges = {
        "max_new_tokens": (sampling.max_new_tokens, 1, limits.max_length),
        "temperature": (sampling.temperature, 0, math.inf),
        "top_p": (sampling.top_p, 0, 1),
        "n": (sampling.n, 1, limits.max_rows),
        "logprobs": (sampling.logprobs or 0, 0, MAX_LOGPROBS),
    }
    for name, (value, low, high) in ranges.items():
        if not low <= value <= high or not math.isfinite(value):
            raise BBError(f"{name} is {value}", where="sampling", fix=f"use {low} to {high}")
    if not all(sampling.stop):
        raise BBError("a stop string is empty", where="sampling", fix="leave it out")


def generation_config(tokenizer: PreTrainedTokenizerBase, sampling: Sampling) -> GenerationConfig:
    """The Hugging Face form of `Sampling`: greedy, or plain sampling without top-k."""
    is_sampled = sampling.temperature > 0
    eos_id, pad_id = tokenizer.eos_token_id, tokenizer.pad_token_id
    return GenerationConfig(
        max_new_tokens=sampling.max_new_tokens,
        do_sample=is_sampled,
        temperature=sampling.temperature if is_sampled else None,
        top_p=sampling.top_p if is_sampled else None,
        top_k=0 if is_sampled else None,
        eos_token_id=eos_id,
        pad_token_id=eos_id if pad_id is None else pad_id,
    )


def check_room(model: PreTrainedModel, n_prompt: int, max_new_tokens: int) -> None:
    """Check that a prompt and its budget fit in the model's context.

    Raises:
        BBError: they do not.
    """
    limit = getattr(model.config.get_text_config(decoder=True), "max_position_embeddings", None)
    if isinstance(limit, int) and n_prompt + max_new_tokens > limit:
        raise BBError(
            f"a prompt of {n_prompt} tokens and a budget of {max_new_tokens} do not fit "
            f"in the model's {limit} positions",
            where="decode",
            fix="shorten the request or lower the budget",
        )
