"""Gradients of several losses over the trained parameters: measured, combined, written back.

On one process a row is one loss's gradient, flattened. Among several processes each computes rows
of its own share of the batch, weighed so that they sum to the whole's, and the rows are summed
*before* the Gram matrix is taken: inner products of sums are not sums of inner products. From
equal rows every process derives equal weights, so all take the same step. The forward pass must
then run under DDP's `no_sync`, since `torch.autograd.grad` does not go through DDP's own hooks.
Where parameters are sharded (FSDP) each process holds columns instead of shares: there the rows
stay local and the Gram matrix is what is summed (`sum_gram`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bb_train.objectives.errors import GradientError, ShapeError

Reduce = Callable[[Tensor], Tensor]
"""Sums a tensor over all processes; the identity on one."""


@dataclass(frozen=True)
class Rows:
    """Gradients of K losses over P parameters.

    Attributes:
        names: of the losses, in the order of the rows.
        matrix: (K, P), in the parameters' widest dtype.
    """

    names: tuple[str, ...]
    matrix: Tensor


def local(tensor: Tensor) -> Tensor:
    """The sum over one process: `Reduce` where there is nobody else."""
    return tensor


def trained_parameters(module: nn.Module) -> list[nn.Parameter]:
    """The parameters that require a gradient, in the module's order.

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
    sizes = [p.numel() for p in parameters]
    matrix = parameters[0].new_zeros(len(losses), sum(sizes), dtype=_widest(parameters))
    live = [name for name, loss in losses.items() if loss.requires_grad]
    for row, (name, loss) in zip(matrix, losses.items(), strict=True):
        if name not in live:
            continue
        found = torch.autograd.grad(
            loss, parameters, retain_graph=name != live[-1], allow_unused=True
        )
        for part, gradient in zip(row.split(sizes), found, strict=True):
            if gradient is not None:
                part.copy_(gradient.detach().flatten())
    return Rows(tuple(losses), matrix)


def gram_matrix(rows: Rows, sum_gram: Reduce = local) -> NDArray[np.float64]:
    """(K, K) float64 inner products of the rows.

    Args:
        rows: whole rows, equal on every process; or local columns of them, with `sum_gram`.
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
    sizes = [p.numel() for p in parameters]
    if rows.matrix.shape != (len(weights), sum(sizes)):
        raise ShapeError(
            f"{len(weights)} weights and {sum(sizes)} parameters for rows of shape "
            f"{tuple(rows.matrix.shape)}",
            where="gradients", fix="use the parameters that the rows were measured on",
        )  # fmt: skip
    factors = torch.from_numpy(weights).to(rows.matrix)
    for parameter, part in zip(parameters, (factors @ rows.matrix).split(sizes), strict=True):
        parameter.grad = part.view_as(parameter).to(parameter.dtype)


def _widest(parameters: Sequence[nn.Parameter]) -> torch.dtype:
    widest = torch.float32
    for parameter in parameters:
        widest = torch.promote_types(widest, parameter.dtype)
    return widest
