"""Formal languages: does a rail say the right thing 64 times beyond the lengths it was trained on?

Row `rails.language_<task>` is judged: the rail with a program learned from the training strings has
every verdict right. Beside it, by the same strings and steps on the same frozen base, LoRA
(`…_lora`) and the rail without the program (`…_plain`); half right is what always saying the same
gets. `…_learning` is the time until the program is learned, nobody being asked.

By default the base is a small random Llama and the training strings have up to 16 characters. With
--full it is the embedded base and 32, so that the test strings just fill its context of 2,048;
three seeds, and LoRA has the best of three learning rates by the test itself.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from benchmarks.frame import Context, Measured, row

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from bb_train.languages.study import LanguageScores, Score, Sizes

TASKS = ("parity", "dyck-final", "majority", "key-value", "mod-3", "mod-5")
LEARNING_SECONDS = 30.0


@cache
def scores(name: str, seed: int, full: bool) -> LanguageScores:
    """All methods on a task."""
    import torch

    from bb_nn.config import DualRailConfig
    from bb_train.languages.study import language_scores
    from benchmarks.random_rails import tokenizer

    torch.set_num_threads(1)
    found = language_scores(
        name, _sizes(seed, full), _base(seed, full), tokenizer(),
        lambda: DualRailConfig(width=64 if full else 32, alpha_start=0.25, alpha_budget=0.5),
    )  # fmt: skip
    if found.sure == "unknown":
        raise AssertionError(f"{name}: the program is not the language's")
    return found


def _sizes(seed: int, full: bool) -> Sizes:
    from bb_train.languages.study import Sizes
    from bb_train.languages.trial import Training

    if full:
        training = Training(steps=200, rows=16, rate=3e-3, seed=seed)
        return Sizes(longest=32, training=training, lora_rates=(1e-3, 3e-3, 1e-2))
    return Sizes(training=Training(steps=120, rate=3e-3, seed=seed), lora_rates=(3e-3, 1e-2))


def _base(seed: int, full: bool) -> Callable[[], Any]:
    """Makes the frozen base, the same at every call."""
    from bb_nn.base import load_base

    return lambda: load_base()[0] if full else random_base(seed)


def random_base(seed: int, layers: int = 2, width: int = 128) -> Any:
    """A random Llama whose head can be sure of an answer: rows of length 1, states of √width.

    Hugging Face's initial weights are so small that no state gives a token a chance worth the name.
    """
    import torch
    from transformers import AutoModelForCausalLM, LlamaConfig

    from benchmarks.random_rails import tokenizer

    torch.manual_seed(seed)
    config = LlamaConfig(
        num_hidden_layers=layers, hidden_size=width, intermediate_size=2 * width,
        num_attention_heads=4, num_key_value_heads=4, vocab_size=len(tokenizer()),
        max_position_embeddings=2048, initializer_range=width**-0.5,
        pad_token_id=0, bos_token_id=1, eos_token_id=1,
    )  # fmt: skip
    return AutoModelForCausalLM.from_config(config).eval()


def _all(context: Context, name: str) -> list[LanguageScores]:
    seeds = range(context.seed, context.seed + (3 if context.full else 1))
    return [scores(name, seed, context.full) for seed in seeds]


def _declare(name: str) -> None:
    slug = "rails.language_" + name.replace("-", "_")
    unit = "share right at 64 times the training length"

    @row(slug, peer_name="every verdict right", unit=unit, target=1.0)
    def right(context: Context) -> Measured:
        found = _all(context, name)
        return Measured([s.programs.long for s in found], [1.0] * len(found))

    @row(f"{slug}_learning", peer_name="limit", unit="s", target=1.0, better="less")
    def learning(context: Context) -> Measured:
        found = _all(context, name)
        return Measured([s.program.time_s for s in found], [LEARNING_SECONDS] * len(found))

    def beside(suffix: str, peer_name: str, peer: Callable[[LanguageScores], Score]) -> None:
        @row(f"{slug}_{suffix}", peer_name=peer_name, unit=unit, target=1.0)
        def against(context: Context) -> Measured:
            found = _all(context, name)
            return Measured([s.programs.long for s in found], [peer(s).long for s in found])

    beside("lora", "LoRA on the same base, equal parameters", lambda s: s.lora)
    beside("plain", "the same rail without the program", lambda s: s.plain)


for _name in TASKS:
    _declare(_name)
