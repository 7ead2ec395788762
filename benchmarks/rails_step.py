"""What a training step of the builder rail costs beside one of LoRA on the same base."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.frame import Context, Measured, row, time_pair
from benchmarks.random_rails import SMALL, batch, lora, random_rail

_EMBEDDED_ROWS, _EMBEDDED_LENGTH = 8, 192  # like the main job's


def _step_of(model: Any, inputs: dict[str, Any]) -> Callable[[], None]:
    import torch

    trained = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=1e-4, fused=True)

    def step() -> None:
        loss = model(**inputs).loss
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()

    return step


def _pair(context: Context, rank: int, layers: list[str] | str) -> tuple[Any, Any]:
    """A rail and a LoRA on equal 8-layer bases of width 384, on one thread."""
    import torch

    torch.set_num_threads(1)
    return random_rail(SMALL, context.seed).train(), lora(SMALL, context.seed, rank, layers).train()


def _steps(context: Context, rank: int, layers: list[str] | str) -> Measured:
    rail, peer = _pair(context, rank, layers)
    inputs = batch()
    repetitions = 31 if context.full else 9
    return time_pair(_step_of(rail, inputs), _step_of(peer, inputs), repetitions=repetitions)


def _saved(context: Context, rank: int, layers: list[str] | str) -> Measured:
    rail, peer = _pair(context, rank, layers)
    inputs = batch()
    return Measured([saved_bytes(rail, inputs)], [saved_bytes(peer, inputs)])


def saved_bytes(model: Any, inputs: dict[str, Any]) -> float:
    """Bytes of distinct storages that autograd holds for the backward pass, weights aside."""
    import torch

    storages: dict[int, Any] = {}

    def pack(tensor: Any) -> Any:
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage
        return tensor

    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        loss = model(**inputs).loss
    assert loss.requires_grad
    return float(sum(s.nbytes() for at, s in storages.items() if at not in weights))


@row("rails.step_lora8", peer_name="peft LoRA r8 on q, v", unit="s", target=1 / 0.57, better="less")
def step_lora8(context: Context) -> Measured:
    """A step on an 8-layer base of width 384, 4 rows of 128 tokens, float32, one thread."""
    return _steps(context, 8, ["q_proj", "v_proj"])


@row(
    "rails.step_lora16", peer_name="peft LoRA r16, all linear", unit="s",
    target=1 / 0.5, better="less",
)  # fmt: skip
def step_lora16(context: Context) -> Measured:
    """The same against adapters on every linear layer."""
    return _steps(context, 16, "all-linear")


@row(
    "rails.saved_lora8", peer_name="peft LoRA r8 on q, v", unit="bytes",
    target=1 / 0.3, better="less",
)  # fmt: skip
def saved_lora8(context: Context) -> Measured:
    """Activations kept for the backward pass of that step."""
    return _saved(context, 8, ["q_proj", "v_proj"])


@row(
    "rails.saved_lora16", peer_name="peft LoRA r16, all linear", unit="bytes",
    target=1 / 0.25, better="less",
)  # fmt: skip
def saved_lora16(context: Context) -> Measured:
    """The same against adapters on every linear layer."""
    return _saved(context, 16, "all-linear")


@row("rails.step", peer_name="peft LoRA, as many parameters", unit="s", target=1.3, better="less")
def training_step(context: Context) -> Measured:
    """One step in float32 on the embedded base, 8 rows of 192 tokens of prompt and plan."""
    import torch

    from bb_nn.base import load_base
    from bb_nn.config import DualRailConfig
    from bb_nn.rail import DualRailForCausalLM
    from bb_train.config import LoraShape
    from bb_train.lora import attach_lora

    torch.manual_seed(context.seed)
    model, tokenizer = load_base()
    rail = DualRailForCausalLM.from_base(model, tokenizer, DualRailConfig(), None).train()
    peer = attach_lora(load_base()[0], LoraShape(parameters=rail.count_trainable())).train()
    inputs = batch(_EMBEDDED_ROWS, _EMBEDDED_LENGTH)
    repetitions = 15 if context.full else 5
    return time_pair(_step_of(rail, inputs), _step_of(peer, inputs), repetitions=repetitions)
