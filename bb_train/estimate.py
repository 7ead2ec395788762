"""What training beside a base will take, from its configuration alone: no weights are needed.

- *Parameters* are counted on models built on the meta device, where tensors have shapes and no
  storage: the base, LoRA on it, and the rail.
- *Saved activations and operations of the base and of LoRA* are counted by running these models
  there: autograd is asked what it keeps, each matrix product what it costs. Attention is a fused
  kernel's (`counted_attention.py`). Experts of a mixture run as one expert on (tokens x experts per
  token) rows, which is what balanced routing computes.
- *Saved activations and operations of the rail* are measured on a real rail of the same shape
  beside a stand-in base: as wide, as many layers as taps, next to nothing in them. Three lengths
  settle a quadratic, which is then read off at the wanted one.
- *Time* is a roofline: operations over the share of a GPU's peak that is assumed to be reached, or
  bytes over its bandwidth, whichever is more (`gpus.py`).

Source of the counting of saved tensors: torch.autograd.graph.saved_tensors_hooks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from bb_train.config import LoraShape
from bb_train.counted_attention import register
from bb_train.lora import attach_lora

_LENGTHS = (32, 64, 96)  # of the rail that is measured
_STANDIN = 8  # heads' width and inner width of the stand-in base
_PROMPT = "### Request\nTrack order 1042. Then refund 7 to ada@example.com.\n### Plan\n"
_STEP = '{"id":"a","tool":"get_order","args":{"number":1042}},'


@dataclass(frozen=True)
class Work:
    """What one training step keeps and computes.

    Attributes:
        saved_bytes: kept for the backward pass, weights aside.
        flops: operations of matrix products, forward and backward.
    """

    saved_bytes: float
    flops: float


class Operations(TorchDispatchMode):
    """Counts the operations of matrix products, by torch's own table of formulas.

    torch's FlopCounterMode also follows modules, which fails inside functions of ours that call
    the LM head without a graph.
    """

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        formula = flop_registry.get(func._overloadpacket)
        if formula is not None:
            self.total += formula(*args, **(kwargs or {}), out_val=out)
        return out


@dataclass(frozen=True)
class Sizes:
    """Parameters.

    Attributes:
        base: all of the base.
        experts: of them in stacks of experts.
        active: of the base that a token meets.
        rail: trained, of the builder rail; its learned lane programs' bits are not counted here.
        lora: trained, of LoRA on every linear layer (stacks of experts are none).
    """

    base: int
    experts: int
    active: int
    rail: int
    lora: int


def meta_base(config: Any, dtype: torch.dtype = torch.bfloat16) -> Any:
    """The base of a configuration on the meta device, in evaluation mode and frozen."""
    from transformers import AutoModelForCausalLM

    from bb_nn.base import freeze

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(
            config, dtype=dtype, attn_implementation=register()
        )
    freeze(model)
    return model


def meta_lora(config: Any, rank: int) -> Any:
    """LoRA on every linear layer of the base, on the meta device, ready to train."""
    with torch.device("meta"):
        return attach_lora(meta_base(config), LoraShape(rank=rank)).train()


def count_sizes(config: Any, rail: Any, rank: int) -> Sizes:
    """Parameters of base, rail and LoRA.

    Args:
        config: of the base.
        rail: of `standin_rail`, which is as large as the one beside the base itself.
        rank: of LoRA.
    """
    base = meta_base(config)
    total = sum(p.numel() for p in base.parameters())
    stacks = [(len(p), p.numel()) for m in _stacks(base) for p in m.parameters()]
    used = _experts_per_token(config) if stacks else 0
    experts = sum(numbers for _, numbers in stacks)
    active = total - experts + sum(numbers * used // count for count, numbers in stacks)
    adapters = meta_lora(config, rank).parameters()
    return Sizes(
        base=total,
        experts=experts,
        active=active,
        rail=sum(p.numel() for p in rail.rail.parameters()),
        lora=sum(p.numel() for p in adapters if p.requires_grad),
    )


def base_work(config: Any, batch: int, length: int) -> Work:
    """A forward pass of the base on (batch, length) tokens up to its last layer; keeps nothing."""
    model = meta_base(config)
    ids = torch.zeros(batch, length, dtype=torch.int64, device="meta")
    with balanced_experts(model), torch.no_grad(), Operations() as counter:
        model.base_model(input_ids=ids, use_cache=False)
    return Work(0.0, float(counter.total))


def lora_work(config: Any, rank: int, batch: int, length: int) -> Work:
    """A forward and backward pass of LoRA, with the loss at every position."""
    model = meta_lora(config, rank)
    ids = torch.zeros(batch, length, dtype=torch.int64, device="meta")

    def step() -> Tensor:
        logits = model(input_ids=ids, use_cache=False).logits[:, :-1].float()
        return nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())

    with balanced_experts(model):
        return measured(step, model)


def measured(step: Callable[[], Tensor], model: nn.Module) -> Work:
    """What a loss keeps for its backward pass, and the operations of both.

    Args:
        step: computes the loss, a scalar.
        model: whose weights are not counted as kept.
    """
    storages: dict[int, Any] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        storages[storage._cdata] = storage
        return tensor

    weights = {p.untyped_storage()._cdata for p in model.parameters()}
    with Operations() as counter:
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            loss = step()
        kept = sum(s.nbytes() for at, s in storages.items() if at not in weights)
        loss.backward()
    for parameter in model.parameters():
        parameter.grad = None
    return Work(float(kept), float(counter.total))


def standin_rail(config: Any, rail_fields: dict[str, Any]) -> Any:
    """A real rail, as it would be beside the base: its own base is as wide, and nearly empty."""
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig

    from bb_nn.base import EMBEDDED
    from bb_nn.config import DualRailConfig
    from bb_nn.rail import DualRailForCausalLM

    text = config.get_text_config(decoder=True)
    taps = DualRailConfig(**rail_fields).tap_indices(text.num_hidden_layers)
    tokenizer = AutoTokenizer.from_pretrained(
        EMBEDDED, local_files_only=True, trust_remote_code=False
    )
    base = AutoModelForCausalLM.from_config(
        LlamaConfig(
            vocab_size=len(tokenizer), hidden_size=text.hidden_size, num_hidden_layers=len(taps),
            intermediate_size=_STANDIN, head_dim=_STANDIN, num_attention_heads=1,
            num_key_value_heads=1, pad_token_id=0, bos_token_id=1, eos_token_id=1,
        )
    )  # fmt: skip
    shape = DualRailConfig(**{**rail_fields, "taps": list(range(len(taps)))})
    return DualRailForCausalLM.from_base(base, tokenizer, shape, _plain_lanes()).train()


def rail_work(rail: Any, vocabulary: int, batch: int, length: int) -> Work:
    """A forward and backward pass of the rail with the base's head, without the base's layers.

    Args:
        rail: of `standin_rail`.
        vocabulary: of the base itself.
        batch: rows.
        length: tokens of each, a loss at every one.
    """
    points = [_rail_at(rail, n) for n in _LENGTHS]
    head = rail.base.get_output_embeddings().weight
    # A token goes through the head once, and its slope comes back through it once.
    extra = 4.0 * head.shape[1] * (vocabulary - head.shape[0]) * (length - 1)
    return Work(
        batch * _parabola(_LENGTHS, [p.saved_bytes for p in points], length),
        batch * (_parabola(_LENGTHS, [p.flops for p in points], length) + extra),
    )


@contextmanager
def balanced_experts(model: nn.Module) -> Iterator[None]:
    """Within the block a stack of experts computes one of them on every chosen (token, expert)."""
    stacks = list(_stacks(model))
    used = _experts_per_token(model.config) if stacks else 0
    for module in stacks:
        module.forward = _one_expert(module, used)
    try:
        yield
    finally:
        for module in stacks:
            del module.forward


def _one_expert(module: Any, used: int) -> Callable[..., Tensor]:
    def forward(hidden: Tensor, *_: Any, **__: Any) -> Tensor:
        rows = hidden.reshape(-1, hidden.shape[-1]).repeat_interleave(used, 0)
        inward, outward = module.gate_up_proj[0], module.down_proj[0]
        inward = inward if inward.shape[0] == rows.shape[-1] else inward.T
        gate, up = (rows @ inward).chunk(2, dim=-1)
        inner = nn.functional.silu(gate) * up
        outward = outward if outward.shape[0] == inner.shape[-1] else outward.T
        return (inner @ outward).unflatten(0, (-1, used)).sum(1).view_as(hidden)

    return forward


def _stacks(model: nn.Module) -> Iterator[Any]:
    """Modules whose parameters are stacks of experts, as transformers lays them out."""
    for module in model.modules():
        own = dict(module.named_parameters(recurse=False))
        if {"gate_up_proj", "down_proj"} <= own.keys() and own["down_proj"].dim() == 3:
            yield module


def _experts_per_token(config: Any) -> int:
    text = config.get_text_config(decoder=True)
    return int(text.num_experts_per_tok)


def _rail_at(rail: Any, length: int) -> Work:
    """The rail on one row; the stand-in's layers do not run."""
    from bb_nn.replay import base_states, replayed

    tokens = rail_text(rail, length)
    states = base_states(rail, input_ids=tokens)
    with replayed(rail, states):
        return measured(lambda: rail(input_ids=tokens, labels=tokens).loss, rail)


def rail_text(rail: Any, length: int) -> Tensor:
    """(1, length) tokens of a request and its plan."""
    found = [t for t, piece in enumerate(rail.table) if len(piece) == 1]
    single = {rail.table[token]: token for token in found}
    text = (_PROMPT + '{"plan":[' + _STEP * length).encode()
    ids = [single[bytes([byte])] for byte in text if bytes([byte]) in single]
    return torch.tensor([ids[:length]])


def _plain_lanes() -> Any:
    """A lane program with two tools: what the lanes compute costs no memory of the step."""
    from bb_nn.lanes import LaneProgram
    from bem_kernel.circuits.expression import compile_expression

    pair = [f"p{i}" for i in range(8)] + [f"c{i}" for i in range(8)]
    return LaneProgram(
        sentence_end=compile_expression("p1 & c5", pair),
        goal_mark=compile_expression("c4", pair[8:]),
        completes=compile_expression("t1", ["t0", "t1"]),
        tools=("get_order", "track_order"),
        learned_bits=0,
    )


def _parabola(at: tuple[int, int, int], values: list[float], wanted: int) -> float:
    """The quadratic through three points, at another one (Lagrange)."""
    total = 0.0
    for i, x in enumerate(at):
        part = values[i]
        for j, other in enumerate(at):
            if i != j:
                part *= (wanted - other) / (x - other)
        total += part
    return total
