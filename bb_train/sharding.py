"""FSDP2: every process holds a part of each trained parameter, and of the frozen base's layers.

`fully_shard` is called here, not left to accelerate, which ignores it on processes without GPUs.
A checkpoint and a finished model hold whole tensors, so that a run may go on with another number
of processes.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import TYPE_CHECKING

from bb_core.errors import BBError

if TYPE_CHECKING:
    import torch


def trained_root(model: torch.nn.Module) -> torch.nn.Module:
    """The module under which everything trained lies: the builder rail, or the whole model."""
    from bb_nn.rail import DualRailForCausalLM

    return model.rail if isinstance(model, DualRailForCausalLM) else model


def empty_twin(module: torch.nn.Module) -> torch.nn.Module:
    """A copy without storage, made before sharding, to put whole tensors into afterwards."""
    return copy.deepcopy(module).to("meta")


def shard(model: torch.nn.Module, world: int, device: torch.device) -> None:
    """Shard the trained module, and a dual rail's base layer by layer.

    Args:
        model: a dual rail, or any model that is trained whole or by adapters.
        world: processes.
        device: of this process.

    Raises:
        BBError: a trained parameter was not sharded.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard
    from torch.distributed.tensor import DTensor

    from bb_nn.base import decoder_layers
    from bb_nn.rail import DualRailForCausalLM

    mesh = init_device_mesh(device.type, (world,))
    root = trained_root(model)
    if isinstance(model, DualRailForCausalLM):
        for block in root.blocks:
            fully_shard(block, mesh=mesh)
        for layer in decoder_layers(model.base):
            fully_shard(layer, mesh=mesh, reshard_after_forward=True)
    fully_shard(root, mesh=mesh)
    whole = [
        n for n, p in model.named_parameters() if p.requires_grad and not isinstance(p, DTensor)
    ]
    if whole:
        raise BBError(
            f"{whole[0]} and {len(whole) - 1} more parameters are not sharded",
            where="parallel: fully_shard", fix="use parallel: ddp for this method",
        )  # fmt: skip


def whole_tensor(tensor: torch.Tensor) -> torch.Tensor:
    """The whole of a tensor that may be sharded; every process must ask for it."""
    from torch.distributed.tensor import DTensor

    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def like_parameter(tensor: torch.Tensor, parameter: torch.Tensor) -> torch.Tensor:
    """A whole tensor laid out as a parameter is, if it has the parameter's shape."""
    from torch.distributed.tensor import DTensor, distribute_tensor

    if not isinstance(parameter, DTensor) or tensor.shape != parameter.shape:
        return tensor
    return distribute_tensor(tensor, parameter.device_mesh, parameter.placements)


def filled(twin: torch.nn.Module, state: dict[str, torch.Tensor]) -> torch.nn.Module:
    """The twin with whole tensors in it: name -> tensor of its state dict."""
    twin.load_state_dict(state, assign=True)
    return twin


def whole_state(modules: Iterable[tuple[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """Name -> whole tensor on the CPU; every process must ask for it."""
    return {name: whole_tensor(tensor.detach()).cpu() for name, tensor in modules}
