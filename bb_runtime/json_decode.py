"""Decode JSON under a schema with as few calls of the model as possible, within a budget.

Tokens that the grammar forces are not asked for: they are appended and read together with the next
one. A token is taken only if the text can still be completed within the budget after it, so every
answer ends, validates, and is validated again before it is handed on.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from bb_runtime.engine import check_room
from bb_runtime.masks import n_mask_words, schema_rows, wrap_tokenizer
from bb_runtime.schema_row import SchemaRow

_TRIED = 8


@dataclass(frozen=True)
class JsonAnswer:
    """A finished and validated text.

    Attributes:
        text: compact JSON.
        value: what it says.
        tokens: its tokens, without the end of sequence.
        forward_calls: calls of the model.
        seconds: wall time.
    """

    text: str
    value: Any
    tokens: int
    forward_calls: int
    seconds: float


@torch.no_grad()
def decode_json(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompt: str,
    schema: Any,
    *,
    max_new_tokens: int = 256,
    temperature: float = 0.0,
    seed: int = 0,
) -> JsonAnswer:
    """Write one JSON text after a prompt.

    Args:
        model: any causal LM of transformers.
        tokenizer: the model's own fast tokenizer.
        prompt: what to continue.
        schema: the JSON Schema.
        max_new_tokens: budget, end of sequence included.
        temperature: 0 for greedy decoding, else of plain sampling.
        seed: of the sampling.

    Raises:
        MaskError: something in the schema cannot be kept, or no text fits the budget.
        BBError: prompt and budget do not fit into the model's context.
    """
    started_s = time.perf_counter()
    row = schema_rows(tokenizer, schema, max_new_tokens)()
    wrapped = wrap_tokenizer(tokenizer)
    generator = torch.Generator(device=model.device).manual_seed(seed)
    prompt_ids = list(tokenizer(prompt)["input_ids"])
    check_room(model, len(prompt_ids), max_new_tokens)
    waiting, written, calls, cache = prompt_ids, list[int](), 0, None
    while not row.finished:
        forced = row.take_forced()
        written += forced
        waiting = [*waiting, *forced]
        if row.finished:
            break
        output = model(
            input_ids=torch.tensor([waiting], device=model.device),
            past_key_values=cache,
            use_cache=True,
        )
        cache, calls = output.past_key_values, calls + 1
        scores = row.allowed_scores(output.logits[0, -1].float(), n_mask_words(wrapped))
        token = _choose_fitting(row, scores, temperature, generator)
        was_taken = row.consume(token)
        assert was_taken, "the mask allowed it"
        if not row.finished:
            written.append(token)
            waiting = [token]
    text = row.text.decode("utf-8")
    value = row.check()
    return JsonAnswer(text, value, len(written), calls, time.perf_counter() - started_s)


def _choose_fitting(
    row: SchemaRow, scores: torch.Tensor, temperature: float, generator: torch.Generator
) -> int:
    """Choose among the tokens after which the text can end in time; then the way out."""
    for _ in range(_TRIED):
        token = _choose(scores, temperature, generator)
        if row.fits(token):
            return token
        scores[token] = -torch.inf
        if not bool((scores > -torch.inf).any()):
            break
    return _choose(row.only_way(torch.zeros_like(scores)), 0.0, generator)


def _choose(scores: torch.Tensor, temperature: float, generator: torch.Generator) -> int:
    if temperature <= 0:
        return int(scores.argmax())
    chances = torch.softmax(scores / temperature, dim=-1)
    return int(torch.multinomial(chances, 1, generator=generator))
