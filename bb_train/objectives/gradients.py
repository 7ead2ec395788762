"""Gradients of several losses over the trained parameters: measured, combined, written back.

On one process a row is one loss's gradient, flattened. Among several processes each computes rows
of its own share of the batch, weighed so that they sum to the whole's, and the rows are summed
*before* the Gram matrix is taken: inner products of sums are not sums of inner products. From
equal rows every process derives equal weights, so all take the same step. The forward pass must
then run under DDP's `no_sync`, since `torch.autograd.grad` does not go through DDP's own hooks.

Where parameters are sharded (`fully_shard`) a gradient of the whole batch exists only in parts, and
only FSDP's own backward pass makes it: there each loss is sent backward by itself, a process's rows
are its columns of the gradients, and the Gram matrix is summed over the columns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from bb_train.objectives.errors import GradientError, ShapeError

Reduce = Callable[[Tensor], Tensor]
"""Sums a tensor over all processes; the identity on one."""


@dataclass(frozen=True)
class Rows:
    """Gradients of K losses over P parameters.

    Attributes:
        names: of the losses, in the order of the rows.
        matrix: (K, P), in the parameters' widest dtype; of sharded parameters this process's P.
    """

    names: tuple[str, ...]
    matrix: Tensor


def local(tensor: Tensor) -> Tensor:
    """The sum over one process: `Reduce` where there is nobody else."""
    return tensor


def trained_parameters(module: nn.Module) -> list[nn.Parameter]:
    """The parameters that require a gradient, in the module's order.

    To be asked after sharding and before any forward pass, in which FSDP shows others.

    Raises:
        GradientError: there are none.
    """
    found = [p for p in module.parameters() if p.requires_grad]
    if not found:
        raise GradientError("nothing is trained", where=type(module).__name__, fix="thaw the rail")
    return found


def gradient_rows(losses: dict[str, Tensor], parameters: Sequence[nn.Parameter]) -> Rows:
    """One backward pass for each loss; the graph is freed with the last.

    Args:
        losses: name -> scalar. One that needs no gradient gets a row of zeros.
        parameters: what is trained; one that a loss does not reach gets zeros.
    """

    def pull(loss: Tensor, retain: bool) -> Sequence[Tensor | None]:
        return torch.autograd.grad(loss, parameters, retain_graph=retain, allow_unused=True)

    return _rows(losses, [_part(p).numel() for p in parameters], _widest(parameters), pull)


def sharded_rows(losses: dict[str, Tensor], parameters: Sequence[nn.Parameter]) -> Rows:
    """This process's columns of every loss's gradient, summed over processes.

    Args:
        losses: name -> this process's share of a scalar; the same names on every process.
        parameters: what is trained, all of them `DTensor`. Their `.grad` is used up.
    """
    # FSDP takes the mean over processes; shares are to be summed.
    world = parameters[0].device_mesh.size()

    def pull(loss: Tensor, retain: bool) -> Sequence[Tensor | None]:
        for parameter in parameters:
            parameter.grad = None
        (loss * world).backward(retain_graph=retain)
        return [None if p.grad is None else _part(p.grad) for p in parameters]

    return _rows(losses, [_part(p).numel() for p in parameters], _widest(parameters), pull)


def are_sharded(parameters: Sequence[nn.Parameter]) -> bool:
    """Whether the parameters are shards.

    Raises:
        GradientError: some are and some are not.
    """
    shards = [isinstance(parameter, DTensor) for parameter in parameters]
    if any(shards) and not all(shards):
        raise GradientError(
            f"{sum(shards)} of {len(shards)} parameters are sharded", where="gradients",
            fix="call fully_shard on the trained module as a whole, too",
        )  # fmt: skip
    return all(shards)


def _rows(
    losses: dict[str, Tensor],
    sizes: list[int],
    dtype: torch.dtype,
    pull: Callable[[Tensor, bool], Sequence[Tensor | None]],
) -> Rows:
    device = next(iter(losses.values())).device
    matrix = torch.zeros(len(losses), sum(sizes), dtype=dtype, device=device)
    live = [name for name, loss in losses.items() if loss.requires_grad]
    for row, (name, loss) in zip(matrix, losses.items(), strict=True):
        if name not in live:
            continue
        for part, gradient in zip(row.split(sizes), pull(loss, name != live[-1]), strict=True):
            if gradient is not None:
                part.copy_(gradient.detach().flatten())
    return Rows(tuple(losses), matrix)


def gram_matrix(rows: Rows, sum_gram: Reduce = local) -> NDArray[np.float64]:
    """(K, K) float64 inner products of the rows.

    Args:
        rows: whole rows, equal on every process; or columns of them, with `sum_gram`.
        sum_gram: sums the matrix over processes that hold different columns.

    Raises:
        GradientError: a gradient is not finite, by name.
    """
    product = sum_gram((rows.matrix @ rows.matrix.T).double())
    gram: NDArray[np.float64] = product.cpu().numpy()
    for name, square in zip(rows.names, np.diag(gram), strict=True):
        if not np.isfinite(square):
            raise GradientError(
                "the gradient is not finite", where=f"loss {name}",
                fix="lower the learning rate, or find the operation that overflows",
            )  # fmt: skip
    return gram


def write_gradient(
    rows: Rows, weights: NDArray[np.float64], parameters: Sequence[nn.Parameter]
) -> None:
    """Set every parameter's `.grad` to its part of the weighted sum of the rows.

    Raises:
        ShapeError: weights, rows and parameters do not fit together.
    """
    sizes = [_part(p).numel() for p in parameters]
    if rows.matrix.shape != (len(weights), sum(sizes)):
        raise ShapeError(
            f"{len(weights)} weights and {sum(sizes)} parameters for rows of shape "
            f"{tuple(rows.matrix.shape)}",
            where="gradients", fix="use the parameters that the rows were measured on",
        )  # fmt: skip
    factors = torch.from_numpy(weights).to(rows.matrix)
    for parameter, part in zip(parameters, (factors @ rows.matrix).split(sizes), strict=True):
        shaped = part.view_as(_part(parameter)).to(parameter.dtype)
        parameter.grad = _whole(shaped, parameter) if isinstance(parameter, DTensor) else shaped


def _part(tensor: Tensor) -> Tensor:
    """What this process holds of a tensor."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def _whole(part: Tensor, like: DTensor) -> DTensor:
    """The sharded tensor of which every process holds such a part."""
    return DTensor.from_local(
        part, like.device_mesh, like.placements, shape=like.shape, stride=like.stride()
    )


def _widest(parameters: Sequence[nn.Parameter]) -> torch.dtype:
    widest = torch.float32
    for parameter in parameters:
        widest = torch.promote_types(widest, parameter.dtype)
    return widest
