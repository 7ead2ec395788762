"""A Llama of random weights with a byte-level BPE tokenizer trained here; no download."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

CORPUS = """
The harbour of Brennick was dredged in the spring so that larger ships could enter at low water.
Fishermen who had moored along the eastern quay moved their boats to the new basin before autumn.
A keeper lit the lamp of the lighthouse every evening until the council bought an electric motor.
Passage: Write statements that follow from the passage, each on its own numbered line.
Statements that follow from the passage: Conclude, combine and rephrase; do not copy sentences.
""".strip()

PASSAGES = CORPUS.split("\n")[:3]

CHAT_TEMPLATE = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
NO_SYSTEM_TEMPLATE = (
    "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    + CHAT_TEMPLATE
)


def make_tokenizer(chat_template: str | None = None) -> PreTrainedTokenizerFast:
    """Byte-level BPE of 500 tokens; it names an end token and no padding token."""
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=500,
        special_tokens=["</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    raw.train_from_iterator([CORPUS] * 4, trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="</s>")
    tokenizer.chat_template = chat_template
    return tokenizer


def make_model(
    tokenizer: PreTrainedTokenizerFast, speaks: bool = True, context: int = 640
) -> LlamaForCausalLM:
    """Random weights; one that `speaks` prefers whole words and line ends, else any byte goes."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=context,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
        pad_token_id=None,
        tie_word_embeddings=False,
    )
    model = LlamaForCausalLM(config).eval()
    if speaks:
        _prefer_words(model, tokenizer)
    return model


def save_model(folder: Path, speaks: bool = True, chat_template: str | None = None) -> Path:
    """Write model and tokenizer as `from_pretrained` reads them."""
    tokenizer = make_tokenizer(chat_template)
    make_model(tokenizer, speaks).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@torch.no_grad()
def _prefer_words(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast) -> None:
    """Make hidden unit 0 a constant and let the head read a unigram distribution from it."""
    width = model.config.hidden_size
    model.get_input_embeddings().weight[:, 0] = 20.0
    head = model.get_output_embeddings().weight
    head[:, 0] = -12.0 / math.sqrt(width)
    for token, index in tokenizer.get_vocab().items():
        if token.startswith("Ġ") and len(token) > 4 and token[1:].isalpha():
            head[index, 0] = 0.0
        elif token in ("Ċ", "</s>"):
            head[index, 0] = math.log(8.0 if token == "Ċ" else 0.5) / math.sqrt(width)
