"""Activation checkpointing of the rail: a block's activations are made again, not kept.

Each block keeps its inputs alone; its forward pass runs a second time within the backward pass,
with the same random numbers. The base keeps nothing in any case.

Source: Chen et al.: Training deep nets with sublinear memory cost, 2016.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bb_nn.rail import DualRailForCausalLM


def rematerialise(model: DualRailForCausalLM) -> None:
    """From now on the rail's blocks keep no activations while they train."""
    for block in model.rail.blocks:
        block.forward = partial(_again, block, block.forward)


def _again(block: Any, forward: Any, *inputs: Any) -> Any:
    from torch.utils.checkpoint import checkpoint

    if not block.training:
        return forward(*inputs)
    return checkpoint(forward, *inputs, use_reentrant=False)
