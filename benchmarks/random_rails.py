"""Random bases of a given size, and rails and LoRA beside them: what the rows of the rails time.

Weights are random since only their shapes cost time; the tokenizer is the embedded base's.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

ROWS, LENGTH = 4, 128  # of a training batch


@dataclass(frozen=True)
class Shape:
    """Size of a random Llama."""

    layers: int
    width: int
    heads: int
    inner: int


SMALL = Shape(layers=8, width=384, heads=6, inner=1024)
WIDE = Shape(layers=12, width=768, heads=12, inner=2048)


def tokenizer() -> Any:
    """The embedded base's tokenizer."""
    from transformers import AutoTokenizer

    from bb_nn.base import EMBEDDED

    return AutoTokenizer.from_pretrained(EMBEDDED, local_files_only=True)


def random_base(shape: Shape, seed: int) -> Any:
    """A Llama of that shape in float32, over the embedded base's vocabulary."""
    import torch
    from transformers import AutoModelForCausalLM, LlamaConfig

    torch.manual_seed(seed)
    config = LlamaConfig(
        num_hidden_layers=shape.layers, hidden_size=shape.width, intermediate_size=shape.inner,
        num_attention_heads=shape.heads, num_key_value_heads=shape.heads,
        vocab_size=len(tokenizer()), max_position_embeddings=2048,
        pad_token_id=0, bos_token_id=1, eos_token_id=1,
    )  # fmt: skip
    return AutoModelForCausalLM.from_config(config).eval()


def some_lanes() -> Any:
    """A lane program as training learns it: full stops, digits, two tools."""
    from bb_nn.lanes import LaneProgram
    from bem_kernel.circuits.expression import compile_expression

    names = [f"p{i}" for i in range(8)] + [f"c{i}" for i in range(8)]
    stop, space = _equals("p", ord(".")), _equals("c", ord(" "))
    digits = " | ".join(f"({_equals('c', digit)})" for digit in b"0123456789")
    return LaneProgram(
        sentence_end=compile_expression(f"{stop} & {space}", names),
        goal_mark=compile_expression(digits, names[8:]),
        completes=compile_expression("t1 & !t0", ["t0", "t1"]),
        tools=("get_order", "track_order"),
        learned_bits=0,
    )


def _equals(prefix: str, value: int) -> str:
    return "&".join(f"{'' if value >> i & 1 else '!'}{prefix}{i}" for i in range(8))


def random_rail(shape: Shape, seed: int) -> Any:
    """A rail of a sixth of the base's width, with lanes and a library of 32 skills."""
    from bb_nn.config import DualRailConfig
    from bb_nn.rail import DualRailForCausalLM

    config = DualRailConfig(width=1 / 6, library={})
    return DualRailForCausalLM.from_base(
        random_base(shape, seed), tokenizer(), config, some_lanes()
    )


def lora(shape: Shape, seed: int, rank: int, layers: list[str] | str) -> Any:
    """LoRA (peft) of a rank on some linear layers of a random base."""
    from peft import LoraConfig, TaskType, get_peft_model

    from bb_train.lora import quiet_peft

    config = LoraConfig(task_type=TaskType.CAUSAL_LM, r=rank, target_modules=layers)
    with quiet_peft(), warnings.catch_warnings():
        return get_peft_model(random_base(shape, seed), config)


def batch(rows: int = ROWS, length: int = LENGTH) -> dict[str, Any]:
    """A prompt and a plan of `length` tokens in each row; a loss at every position."""
    import torch

    from bb_core.prompt import format_prompt

    step = '{"id":"a","tool":"get_order","args":{"number":1042}},'
    text = format_prompt("Track order 1042. Then refund 7 to ada@example.com.") + '{"plan":['
    found = tokenizer()(text + step * (length // 8))["input_ids"][:length]
    ids = torch.tensor([found] * rows)
    mask = torch.ones_like(ids)
    return {"input_ids": ids, "attention_mask": mask, "labels": ids, "use_cache": False}
