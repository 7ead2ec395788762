"""The recipe of the embedded base rail: a small Llama trained from nothing, seeded.

It needs only what a machine has: the standard library's sources and text made by the recipe
itself. The result is a folder that `transformers` loads: weights in bfloat16, tokenizer,
configuration and a model card. Warm-up, constant rate, linear decay over the last fifth, so that
an interrupted run is a usable model and resumes from its last checkpoint.
"""

from __future__ import annotations

import hashlib
import json
import math
import platform
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from bb_core.files import write_atomic
from bb_core.progress import Progress
from bb_train.base_recipe_corpus import corpus, corpus_hash

PAD, EOS = "<|pad|>", "<|endoftext|>"
# Words with their leading space, single digits, runs of punctuation, runs of white space.
_PIECES = r" ?[A-Za-z\p{L}]+|[0-9]| ?[^\s\p{L}0-9]+|\s+(?!\S)|\s+"


@dataclass(frozen=True)
class BaseRecipe:
    """Everything that decides the base rail's weights besides the Python version."""

    seed: int = 0
    vocab_size: int = 4096
    hidden_size: int = 256
    layers: int = 6
    heads: int = 8
    intermediate_size: int = 640
    context: int = 512
    batch: int = 8
    steps: int = 2000
    warmup: int = 100
    decay_share: float = 0.2
    learning_rate: float = 2e-3
    made_share: float = 0.4
    bf16: bool = True
    compile: bool = False


def train_tokenizer(recipe: BaseRecipe) -> PreTrainedTokenizerFast:
    """Byte-level BPE over the corpus; every byte is representable, digits stay single."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PIECES), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=recipe.vocab_size,
        special_tokens=[PAD, EOS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = corpus(recipe.seed, recipe.made_share)
    tokenizer.train_from_iterator((next(texts) for _ in range(6000)), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=EOS, bos_token=EOS, pad_token=PAD,
        model_max_length=4 * recipe.context, padding_side="left",
    )  # fmt: skip


def _batches(recipe: BaseRecipe, tokenizer: PreTrainedTokenizerFast, skip: int) -> Iterator[Any]:
    """(batch, context + 1) int64 token ids, documents packed end to end, EOS between them."""
    texts, need = corpus(recipe.seed, recipe.made_share), recipe.batch * (recipe.context + 1)
    buffer: list[int] = []
    eos = tokenizer.eos_token_id
    while True:
        while len(buffer) < need:
            group = [next(texts) for _ in range(64)]
            for ids in tokenizer(group, add_special_tokens=False)["input_ids"]:
                buffer.extend([*ids, eos])
        block, buffer = buffer[:need], buffer[need:]
        if skip > 0:
            skip -= 1
            continue
        yield torch.tensor(np.array(block).reshape(recipe.batch, -1))


def _rate(recipe: BaseRecipe, step: int) -> float:
    decay_from = recipe.steps * (1 - recipe.decay_share)
    if step < recipe.warmup:
        return (step + 1) / recipe.warmup
    if step < decay_from:
        return 1.0
    return max(0.02, (recipe.steps - step) / (recipe.steps - decay_from))


def _new_model(recipe: BaseRecipe, tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    torch.manual_seed(recipe.seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=recipe.vocab_size,
            hidden_size=recipe.hidden_size,
            num_hidden_layers=recipe.layers,
            num_attention_heads=recipe.heads,
            num_key_value_heads=recipe.heads,
            intermediate_size=recipe.intermediate_size,
            max_position_embeddings=4 * recipe.context,
            tie_word_embeddings=True,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def _save_state(folder: Path, model: LlamaForCausalLM, optimizer: Any, step: int) -> None:
    state = {f"model.{k}": v for k, v in model.state_dict().items() if k != "lm_head.weight"}
    for index, slots in optimizer.state_dict()["state"].items():
        state.update({f"opt.{index}.{k}": torch.as_tensor(v) for k, v in slots.items()})
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / "state.partial"
    save_file({k: v.contiguous() for k, v in state.items()}, partial, metadata={"step": str(step)})
    partial.replace(folder / "state.safetensors")
    write_atomic(folder / "step.json", json.dumps({"step": step}))


def _load_state(folder: Path, model: LlamaForCausalLM, optimizer: Any) -> int:
    """Continue from the last checkpoint; returns the number of steps done, 0 without one."""
    if not (folder / "step.json").exists():
        return 0
    state = load_file(folder / "state.safetensors")
    weights = {k[6:]: v for k, v in state.items() if k.startswith("model.")}
    model.load_state_dict(weights, strict=False)
    slots: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in state.items():
        if key.startswith("opt."):
            _, index, name = key.split(".", 2)
            slots.setdefault(int(index), {})[name] = value
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": slots, "param_groups": groups})
    return int(json.loads((folder / "step.json").read_text())["step"])


def train_base(recipe: BaseRecipe, out: Path, checkpoint_every: int = 250) -> dict[str, Any]:
    """Train the base rail and write it to `out`; an unfinished run there is continued.

    Args:
        recipe: the recipe; equal recipes on equal Python versions give equal data.
        out: folder for the model; `out/.state` holds the checkpoint until the run is done.
        checkpoint_every: steps between checkpoints.

    Returns:
        The figures that go on the model card.
    """
    tokenizer = train_tokenizer(recipe)
    model = _new_model(recipe, tokenizer)
    optimizer = _optimizer(recipe, model)
    done = _load_state(out / ".state", model, optimizer)
    forward = torch.compile(model) if recipe.compile else model
    losses: list[float] = []
    with Progress(recipe.steps, "base rail") as progress:
        for step, block in enumerate(_batches(recipe, tokenizer, done), start=done):
            if step >= recipe.steps:
                break
            for group in optimizer.param_groups:
                group["lr"] = recipe.learning_rate * _rate(recipe, step)
            losses.append(_train_step(recipe, forward, optimizer, block))
            progress.update(step + 1, note=f"loss {np.mean(losses[-50:]):.3f}")
            if (step + 1) % checkpoint_every == 0:
                _save_state(out / ".state", model, optimizer, step + 1)
    card = _card_figures(recipe, model, losses)
    _export(model, tokenizer, out, card)
    shutil.rmtree(out / ".state", ignore_errors=True)
    return card


def _optimizer(recipe: BaseRecipe, model: LlamaForCausalLM) -> torch.optim.AdamW:
    decayed = [p for p in model.parameters() if p.dim() > 1]
    plain = [p for p in model.parameters() if p.dim() <= 1]
    return torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.1}, {"params": plain, "weight_decay": 0.0}],
        lr=recipe.learning_rate, betas=(0.9, 0.95),
    )  # fmt: skip


def _train_step(recipe: BaseRecipe, forward: Any, optimizer: Any, block: torch.Tensor) -> float:
    """One step on (batch, context + 1) token ids; returns the loss in nats per token."""
    with torch.autocast("cpu", torch.bfloat16, enabled=recipe.bf16):
        logits = forward(input_ids=block[:, :-1]).logits
        loss = torch.nn.functional.cross_entropy(
            logits.float().flatten(0, 1), block[:, 1:].flatten()
        )
    loss.backward()
    every = [p for group in optimizer.param_groups for p in group["params"]]
    torch.nn.utils.clip_grad_norm_(every, 1.0)
    optimizer.step()
    optimizer.zero_grad()
    return float(loss.item())


def _card_figures(recipe: BaseRecipe, model: Any, losses: list[float]) -> dict[str, Any]:
    tail = float(np.mean(losses[-100:])) if losses else math.nan
    return {
        "recipe": asdict(recipe),
        "parameters": sum(p.numel() for p in model.parameters()),
        "tokens": recipe.steps * recipe.batch * recipe.context,
        "training_loss_last_100_steps_nats": round(tail, 4),
        "corpus_sha256": corpus_hash(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def _export(model: Any, tokenizer: Any, out: Path, card: dict[str, Any]) -> None:
    """Write `out` as a Hugging Face model folder with bfloat16 weights and a model card."""
    weights = hashlib.sha256()
    model.to(torch.bfloat16).save_pretrained(out)
    tokenizer.save_pretrained(out)
    weights.update((out / "model.safetensors").read_bytes())
    card["weights_sha256"] = weights.hexdigest()
    write_atomic(out / "recipe.json", json.dumps(card, indent=2, sort_keys=True) + "\n")
    write_atomic(out / "README.md", _CARD.format(**card, **card["recipe"]))


_CARD = """# The embedded base rail

A small causal language model of the Llama architecture, trained from nothing by
`bb base train`. It exists so that builderbrain works and is tested without downloading a model.

| | |
|---|---|
| parameters | {parameters:,} |
| shape | {layers} layers, width {hidden_size}, {heads} heads, tied embeddings |
| vocabulary | {vocab_size}, byte-level BPE, digits single |
| context in training | {context} tokens |
| data, library | sources and docstrings of Python {python}'s standard library |
| data, made | {made_share:.0%} of the characters: invented records in prose and as data |
| SHA-256 of the library files | `{corpus_sha256}` |
| recipe | {steps} steps of {batch} × {context} tokens ({tokens:,} in all), in `recipe.json` |
| optimiser | AdamW, peak rate {learning_rate}, bfloat16 autocast, seed {seed} |
| training loss, last 100 steps | {training_loss_last_100_steps_nats} nats per token |
| weights | bfloat16, SHA-256 `{weights_sha256}` |

**Limits.** It has read about as much text as fits a few novels. It knows some English, Python and
JSON, and it can continue what it has seen before; it knows no facts, follows no instructions and
was never shown a plan, a request or anything of the evaluation splits. Equal recipes give equal
data on equal Python versions; weights agree to rounding across processors, not bit for bit.
"""
