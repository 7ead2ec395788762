"""Continuous batching of transformers reads each request as if it were alone."""

from __future__ import annotations

import pytest
import torch
from transformers import GenerationConfig
from transformers.generation.configuration_utils import ContinuousBatchingConfig

from bb_nn.errors import CacheError
from bb_nn.paged import PagedRail

LIBRARY = {"skills": 4, "rank": 2}
SMALL = {"page_size": 16, "num_blocks": 128, "allow_block_sharing": True}


def _batch(dual, prompts, new, **small):
    config = ContinuousBatchingConfig(**(SMALL | {"max_batch_tokens": 64} | small))
    how = GenerationConfig(max_new_tokens=new, do_sample=False, eos_token_id=-1, pad_token_id=256)
    found = PagedRail(dual).generate_batch(prompts, how, continuous_batching_config=config)
    return [output.generated_tokens for output in found.values()]


OTHERS = [
    pytest.param(name, mixer, marks=pytest.mark.slow)
    for name in ("qwen3", "mistral", "gemma2", "gemma3", "gpt2", "gpt_neox", "gpt_oss")
    for mixer in ("attention", "linear", "gru")
]


@pytest.mark.parametrize(
    ("name", "mixer"), [("llama", "attention"), ("llama", "linear"), ("llama", "gru"), *OTHERS]
)
def test_requests_together_equal_each_alone(name, mixer, make_dual, tokenizer, text):
    dual = make_dual(name, mixer=mixer, library=LIBRARY)
    prompts = [tokenizer(part)["input_ids"] for part in (text, text[:57], text[:30], text[:90])]
    together = _batch(dual, prompts, 6)
    for prompt, found in zip(prompts, together, strict=True):
        ids = torch.tensor([prompt])
        alone = dual.generate(ids, max_new_tokens=6, do_sample=False, eos_token_id=None)
        assert found == alone[0, len(prompt) :].tolist()


def test_what_cannot_be_had_is_refused(make_dual):
    with pytest.raises(CacheError, match="use_cuda_graph cannot be had"):
        _batch(make_dual(), [[1, 2]], 1, use_cuda_graph=True)
