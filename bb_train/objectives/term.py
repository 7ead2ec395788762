"""A term of the objective: what the dual compares, and what the weights are moved by.

The two differ where the quantity that is promised has no useful gradient: an exact calibration
error is piecewise constant, and a probability mass near 1 hardly moves. The dual still sees the
promised quantity; the weights follow a differentiable surrogate that bounds it from above or
shares its descent directions.

Source: Cotter, Jiang, Sridharan: Two-player games for efficient non-convex constrained
optimization, 2019 (the proxy-Lagrangian).
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from bb_train.objectives.errors import ShapeError


@dataclass(frozen=True)
class Term:
    """One loss on this process's share of a batch.

    Attributes:
        value: scalar in raw units, detached; what is logged and compared with the limit.
        surrogate: scalar that is differentiated, at the scale of `value` to first order.
        count: rows that both are means over; a process's weight among several.
    """

    value: Tensor
    surrogate: Tensor
    count: float

    def __post_init__(self) -> None:
        for name, part in (("value", self.value), ("surrogate", self.surrogate)):
            if part.dim() != 0:
                raise ShapeError(
                    f"{name} has shape {tuple(part.shape)}", where="term", fix="take the mean"
                )
        if not self.count >= 0:
            raise ShapeError(f"count is {self.count}", where="term", fix="count the rows")


def mean_term(values: Tensor, surrogates: Tensor | None = None) -> Term:
    """The term of per-row values; of no rows, zero with count 0.

    Args:
        values: (N,) in raw units.
        surrogates: (N,) what is differentiated; `values` themselves if None.
    """
    surrogates = values if surrogates is None else surrogates
    if values.dim() != 1 or values.shape != surrogates.shape:
        raise ShapeError(
            f"values {tuple(values.shape)}, surrogates {tuple(surrogates.shape)}",
            where="term", fix="give one of each for every row",
        )  # fmt: skip
    rows = max(1, len(values))
    return Term(values.detach().sum() / rows, surrogates.sum() / rows, len(values))
