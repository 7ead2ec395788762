"""Batched sampling from a Hugging Face causal LM, each row from its own stream of random numbers.

`generate(do_sample=True)` draws all rows from one global generator, so that what a passage gets
depends on its neighbours and on everything sampled before. Here the warped distribution is turned
into a choice by a number that belongs to the row (inverse transform), and `generate` runs greedily
on that choice. A row can then be made again alone, and a resumed run continues as if never stopped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    TemperatureLogitsWarper,
    TopPLogitsWarper,
)

from seal.errors import ModelError, PromptError
from seal.prompts import Prompt
from seal.settings import GenerationSettings

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

# A configuration without a context length (state-space models) gets this one, in tokens.
FALLBACK_CONTEXT = 4096


@dataclass(frozen=True)
class Completion:
    """One sampled answer.

    Attributes:
        text: the decoded answer without special tokens.
        tokens: number of tokens generated, the end token included.
        finished: whether the model ended it, rather than the token limit.
        prompt: what it answers.
    """

    text: str
    tokens: int
    finished: bool
    prompt: Prompt


class SeededDraw(LogitsProcessor):
    """Leaves one token per row possible: the one the row's own random number points at."""

    def __init__(self, seeds: Sequence[int], steps: int, prompt_length: int) -> None:
        draws = [np.random.default_rng(seed).integers(2**32, size=steps) for seed in seeds]
        # (rows, steps) float64 in [0, 1); 32 bits leave room below 1 after scaling by the total.
        self.uniforms = torch.from_numpy(np.stack(draws) / 2.0**32)
        self.prompt_length = prompt_length

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Choose one token per row.

        Args:
            input_ids: (rows, position) int64, prompt and what was generated so far.
            scores: (rows, vocabulary) warped logits.

        Returns:
            (rows, vocabulary), 0 at the chosen token and minus infinity elsewhere.
        """
        step = input_ids.shape[1] - self.prompt_length
        # On the CPU in float64: a float32 running sum over 1e5 tokens loses the unlikely ones, and
        # some accelerators have no float64.
        cumulative = scores.detach().cpu().double().softmax(dim=-1).cumsum(dim=-1)
        target = self.uniforms[:, step : step + 1] * cumulative[:, -1:]
        chosen = torch.searchsorted(cumulative, target, right=True).to(scores.device)
        return torch.full_like(scores, -torch.inf).scatter(1, chosen, 0.0)


@dataclass(frozen=True)
class Sampler:
    """A model with its tokenizer and the settings it samples under."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    settings: GenerationSettings

    @property
    def prompt_budget(self) -> int:
        """Tokens of context left for the prompt beside the longest answer allowed."""
        config = self.model.config.get_text_config()
        context = getattr(config, "max_position_embeddings", None) or FALLBACK_CONTEXT
        return int(context) - self.settings.max_new_tokens

    def sample(self, prompts: Sequence[Prompt], seeds: Sequence[int]) -> list[Completion]:
        """Sample one answer per prompt, longest prompts first, `batch_size` at a time.

        Args:
            prompts: at most `prompt_budget` tokens each.
            seeds: one per prompt.

        Returns:
            One completion per prompt, in the order of the prompts.

        Raises:
            ModelError: logits that are not finite, a tokenizer of another model, no memory left.
            PromptError: a prompt without a single token.
        """
        # Longest first: if the memory does not suffice, that shows at once. Ties keep their order.
        order = sorted(range(len(prompts)), key=lambda i: -len(prompts[i].token_ids))
        size = self.settings.batch_size
        completions: dict[int, Completion] = {}
        for start in range(0, len(order), size):
            rows = order[start : start + size]
            batch = self._sample_batch([prompts[i] for i in rows], [seeds[i] for i in rows])
            completions.update(zip(rows, batch, strict=True))
        return [completions[i] for i in range(len(prompts))]

    @torch.no_grad()
    def _sample_batch(self, prompts: Sequence[Prompt], seeds: Sequence[int]) -> list[Completion]:
        ends = self._end_ids()
        pad = self._pad_id(ends)
        ids, mask = _left_padded([p.token_ids for p in prompts], pad)
        self._check_ids(ids, prompts)
        steps = self.settings.max_new_tokens
        processors = LogitsProcessorList([_RefuseNotFinite()])
        if self.settings.temperature != 1.0:
            processors.append(TemperatureLogitsWarper(self.settings.temperature))
        if self.settings.top_p < 1.0:
            processors.append(TopPLogitsWarper(self.settings.top_p))
        processors.append(SeededDraw(seeds, steps, ids.shape[1]))
        try:
            output = self.model.generate(
                input_ids=ids.to(self.model.device),
                attention_mask=mask.to(self.model.device),
                generation_config=_plain_config(steps, sorted(ends), pad),
                logits_processor=processors,
            )
        except torch.OutOfMemoryError as error:
            raise ModelError(
                f"out of memory at {len(prompts)} rows of {ids.shape[1]} + {steps} tokens",
                where=str(self.model.device),
                fix="lower --batch-size or --max-new-tokens; the run resumes",
            ) from error
        answers = output[:, ids.shape[1] :].tolist()
        return [self._completion(*pair, ends) for pair in zip(prompts, answers, strict=True)]

    def _completion(self, prompt: Prompt, answer: list[int], ends: frozenset[int]) -> Completion:
        end = next((i for i, token in enumerate(answer) if token in ends), None)
        kept = answer if end is None else answer[: end + 1]
        text = self.tokenizer.decode(kept, skip_special_tokens=True)
        return Completion(str(text), len(kept), end is not None, prompt)

    def _end_ids(self) -> frozenset[int]:
        configured = self.model.generation_config.eos_token_id
        known = configured if isinstance(configured, list) else [configured]
        return frozenset(i for i in [*known, self.tokenizer.eos_token_id] if i is not None)

    def _pad_id(self, ends: frozenset[int]) -> int:
        # Padding is masked out, so that any token serves where the tokenizer names none.
        pad = self.tokenizer.pad_token_id
        return int(pad) if pad is not None else min(ends, default=0)

    def _check_ids(self, ids: torch.Tensor, prompts: Sequence[Prompt]) -> None:
        if any(not prompt.token_ids for prompt in prompts):
            raise PromptError(
                "a prompt has no token", where="tokenizer", fix="use the tokenizer of the model"
            )
        vocabulary = self.model.get_input_embeddings().weight.shape[0]
        if int(ids.max()) >= vocabulary:
            raise ModelError(
                f"the tokenizer makes token {int(ids.max())}, the model knows {vocabulary} tokens",
                where="tokenizer",
                fix="use the tokenizer the model was trained with",
            )


class _RefuseNotFinite(LogitsProcessor):
    """Broken weights show as NaN logits; sampling from them would be garbage without a word."""

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        if bool(scores.isnan().any()) or bool((scores == torch.inf).any()):
            raise ModelError(
                "the model's logits are not finite",
                where=f"token {input_ids.shape[1]}",
                fix="check the weights, or load them with --dtype float32",
            )
        return scores


def _left_padded(rows: Sequence[Sequence[int]], pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Stack rows of different length: (rows, longest) int64 ids and the attention mask."""
    longest = max(len(row) for row in rows)
    ids = torch.full((len(rows), longest), pad, dtype=torch.int64)
    mask = torch.zeros((len(rows), longest), dtype=torch.int64)
    for index, row in enumerate(rows):
        ids[index, longest - len(row) :] = torch.tensor(row, dtype=torch.int64)
        mask[index, longest - len(row) :] = 1
    return ids, mask


def _plain_config(steps: int, ends: list[int], pad: int) -> GenerationConfig:
    """Greedy choice and nothing else: whatever a model's own settings add is set back."""
    return GenerationConfig(
        max_new_tokens=steps,
        min_new_tokens=0,
        do_sample=False,
        num_beams=1,
        num_return_sequences=1,
        temperature=1.0,
        top_p=1.0,
        top_k=50,
        repetition_penalty=1.0,
        no_repeat_ngram_size=0,
        eos_token_id=ends or None,
        pad_token_id=pad,
    )
