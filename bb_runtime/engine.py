"""One loaded model that answers one request at a time."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from bb_core.errors import BBError


@dataclass(frozen=True)
class Sampling:
    """How to choose tokens.

    Attributes:
        max_new_tokens: budget, end-of-sequence included.
        temperature: 0 for greedy decoding.
        top_p: nucleus, after the temperature; 1 keeps all.
        seed: seed of the sampling.
    """

    max_new_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0


@dataclass(frozen=True)
class Completion:
    """A generated text.

    Attributes:
        text: what was generated, without special tokens.
        finished: whether the model ended by itself within the budget.
        prompt_tokens: tokens read.
        completion_tokens: tokens generated, end-of-sequence included.
    """

    text: str
    finished: bool
    prompt_tokens: int
    completion_tokens: int


class Engine:
    """A model and its tokenizer behind a lock: requests are answered one after another."""

    def __init__(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, name: str
    ) -> None:
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.name = name
        self.lock = threading.Lock()

    @torch.no_grad()
    def complete(
        self,
        prompt: str,
        sampling: Sampling,
        masks: Sequence[LogitsProcessor] = (),
        *,
        is_templated: bool = False,
    ) -> Completion:
        """Continue a prompt.

        Args:
            prompt: the text to continue.
            sampling: how.
            masks: logits processors, applied in this order before temperature and top-p.
            is_templated: whether a chat template has put the special tokens into the prompt.

        Raises:
            BBError: the prompt is empty or leaves no room for the budget.
            MaskError: a mask leaves nothing to choose.
        """
        encoded = self.tokenizer(prompt, return_tensors="pt", add_special_tokens=not is_templated)
        ids = encoded["input_ids"].to(self.model.device)
        n_prompt = ids.shape[1]
        check_room(self.model, n_prompt, sampling.max_new_tokens)
        if n_prompt == 0:
            raise BBError("the prompt is empty", where="prompt", fix="write at least one character")
        with self.lock:
            torch.manual_seed(sampling.seed)
            output = self.model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                generation_config=generation_config(self.tokenizer, sampling),
                logits_processor=LogitsProcessorList(masks),
            )
        tokens = output[0, n_prompt:].tolist()
        finished = self.tokenizer.eos_token_id in tokens
        text = self.tokenizer.decode(
            tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return Completion(text, finished, n_prompt, len(tokens))


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
