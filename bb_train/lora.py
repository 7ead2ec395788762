"""The LoRA baseline (peft) with a given number of trainable parameters.

One rank for all linear layers rarely meets the count, so some layers get one rank more; alpha
follows each layer's rank, which keeps the scale alpha / rank equal everywhere.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bb_core.errors import BBError
from bb_train.config import LoraShape

if TYPE_CHECKING:
    from peft import PeftModel


def linear_layers(model) -> dict[str, tuple[int, int]]:
    """Name -> (inputs, outputs) of every linear layer but the LM head."""
    import torch
    from transformers.pytorch_utils import Conv1D

    head = model.get_output_embeddings()
    layers = {}
    for name, module in model.named_modules():
        if module is head:
            continue
        if isinstance(module, torch.nn.Linear):
            layers[name] = (module.in_features, module.out_features)
        elif isinstance(module, Conv1D):
            layers[name] = (module.weight.shape[0], module.weight.shape[1])
    return layers


def solve_ranks(layers: Mapping[str, tuple[int, int]], parameters: int) -> dict[str, int]:
    """Ranks whose adapters hold at least `parameters` weights, by less than one smallest row.

    A layer of n inputs and m outputs pays n + m weights per rank. All layers get the same rank,
    then layers in order get one more while that fits, and the cheapest layer closes the gap; so
    a baseline is never smaller than what it is compared with.

    Args:
        layers: name -> (inputs, outputs).
        parameters: the count to meet.

    Raises:
        BBError: the count is below rank one, or above full rank, in all layers.
    """
    if not layers:
        raise BBError("the base has no linear layers", where="lora", fix="choose another base")
    price = {name: n + m for name, (n, m) in layers.items()}
    full = {name: min(n, m) for name, (n, m) in layers.items()}
    rank, rest = divmod(parameters, sum(price.values()))
    if rank < 1 or rank + 1 > min(full.values()):
        low, high = sum(price.values()), (min(full.values()) - 1) * sum(price.values())
        raise BBError(
            f"no LoRA of this base has {parameters} parameters",
            where="lora.parameters",
            fix=f"ask for {low} to {high}",
        )
    ranks = dict.fromkeys(layers, rank)
    for name in layers:
        if price[name] <= rest:
            ranks[name] += 1
            rest -= price[name]
    if rest:
        below = [name for name in layers if ranks[name] == rank]
        ranks[min(below, key=lambda name: price[name])] += 1
    return ranks


def attach_lora(model, shape: LoraShape) -> PeftModel:
    """Put LoRA adapters on every linear layer of `model`; everything else is frozen.

    Args:
        model: any HF causal LM.
        shape: a rank for all layers, or a parameter count for `solve_ranks`.
    """
    from peft import LoraConfig, TaskType, get_peft_model

    layers = linear_layers(model)
    if shape.rank is not None:
        ranks = dict.fromkeys(layers, shape.rank)
    elif shape.parameters is not None:
        ranks = solve_ranks(layers, shape.parameters)
    else:
        raise BBError("no size given", where="lora", fix="set lora.parameters or lora.rank")
    rank = min(ranks.values())
    patterns = {f"^{re.escape(name)}$": r for name, r in ranks.items() if r != rank}
    config = LoraConfig(
        task_type=TaskType.CAUSAL_LM,
        r=rank,
        lora_alpha=shape.alpha_over_rank * rank,
        lora_dropout=shape.dropout,
        target_modules=list(ranks),
        rank_pattern=patterns,
        alpha_pattern={name: shape.alpha_over_rank * r for name, r in patterns.items()},
        fan_in_fan_out=_has_conv1d(model),
    )
    with quiet_peft():
        return get_peft_model(model, config)


@contextmanager
def quiet_peft() -> Iterator[None]:
    """Silence peft's use of an attribute that transformers 5 has renamed."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
        yield


def _has_conv1d(model) -> bool:
    from transformers.pytorch_utils import Conv1D

    return any(isinstance(module, Conv1D) for module in model.modules())
