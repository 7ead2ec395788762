"""`calibration_loss`: prequential ECE, the gap between confidence and being right.

Each prediction is judged before the weights have learned from it, and goes into one of M bins of
equal width by its confidence (the likeliest token's probability). With forgetting by a factor a
step, the expected calibration error is

    ECE = Σ_m |Σ_{i in bin m} (confidence_i − right_i)| / Σ_i 1

The value is this number, exact. As a function of the confidences it is differentiable but for
jumps where one crosses into another bin; the surrogate removes those by sharing each prediction
between its two nearest bin centres (weights that sum to one, linear in the confidence). Signs
come from the whole prequential record over all processes, so a small batch's noise does not turn
them; magnitudes from the batch at hand.

Sources: builderbrain 2; Dawid 1984 (prequential); Naeini, Cooper, Hauskrecht 2015 (ECE); the soft
bins follow Karandikar et al. 2021 in spirit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bb_train.objectives.errors import ObjectiveError, ShapeError, StateError
from bb_train.objectives.gradients import Reduce, local
from bb_train.objectives.term import Term


@dataclass(frozen=True)
class Calibration:
    """The prequential record; a value.

    Attributes:
        counts: predictions in each bin, discounted.
        gaps: Σ (confidence − right) in each bin.
        soft_gaps: the same with shared bins.
        keep: factor by which a step discounts what came before, in [0, 1].
    """

    counts: tuple[float, ...]
    gaps: tuple[float, ...]
    soft_gaps: tuple[float, ...]
    keep: float

    @property
    def error(self) -> float:
        """The exact ECE of the record, 0 to 1; 0 of nothing."""
        total = sum(self.counts)
        return sum(map(abs, self.gaps)) / total if total else 0.0


def start_calibration(bins: int = 15, keep: float = 0.98) -> Calibration:
    """An empty record.

    Args:
        bins: M, at least 2.
        keep: discount a step; 0.98 looks back over about 50 steps.
    """
    if bins < 2 or not 0 <= keep <= 1:
        raise ObjectiveError(
            f"{bins} bins, keep {keep}", where="calibration", fix="use 2 bins or more, keep 0 to 1"
        )
    nothing = (0.0,) * bins
    return Calibration(nothing, nothing, nothing, keep)


def calibration_loss(
    confidence: Tensor, right: Tensor, record: Calibration, reduce: Reduce = local
) -> tuple[Term, Calibration]:
    """Judge a batch's predictions and enter them into the record.

    Args:
        confidence: (N,) probability of each likeliest token, differentiable.
        right: (N,) bool, whether it is the token that came.
        record: before.
        reduce: sums a tensor over all processes; every process gets the same record.

    Returns:
        The term (value: ECE of the record with this batch) and the record.
    """
    if confidence.dim() != 1 or confidence.shape != right.shape:
        raise ShapeError(
            f"confidence {tuple(confidence.shape)}, right {tuple(right.shape)}",
            where="calibration", fix="give one of each for every prediction",
        )  # fmt: skip
    bins = len(record.counts)
    # float64, and confidences of which rounding made a hair more than 1 stay in the last bin.
    sure = confidence.double().clamp(0, 1)
    gap = sure - right.double()
    soft = _shared(sure, bins).T @ gap
    hard = (sure.detach() * bins).long().clamp(max=bins - 1)
    each = torch.stack([torch.ones_like(gap), gap.detach()])
    sums = sure.new_zeros(2, bins).index_add_(1, hard, each.detach())
    now = reduce(torch.cat([sums, soft.detach()[None]]))
    past = now.new_tensor([record.counts, record.gaps, record.soft_gaps])
    counts, gaps, soft_gaps = (record.keep * past + now).tolist()
    after = Calibration(tuple(counts), tuple(gaps), tuple(soft_gaps), record.keep)
    signs = torch.sign(now.new_tensor(soft_gaps))
    surrogate = (signs * soft).sum() / max(1, len(right))
    return Term(surrogate.new_tensor(after.error), surrogate, len(right)), after


def _shared(sure: Tensor, bins: int) -> Tensor:
    """(N, M) weights of each prediction in the bins, linear between neighbouring centres."""
    place = (sure * bins - 0.5).clamp(0, bins - 1)
    centres = torch.arange(bins, device=sure.device, dtype=sure.dtype)
    return (1 - (place[:, None] - centres).abs()).clamp(min=0)


def calibration_to_json(record: Calibration) -> dict[str, Any]:
    """Plain data from which `calibration_from_json` makes the same bits."""
    names = ("counts", "gaps", "soft_gaps")
    return {"keep": record.keep, **{name: list(getattr(record, name)) for name in names}}


def calibration_from_json(data: Mapping[str, Any]) -> Calibration:
    """Inverse of `calibration_to_json`.

    Raises:
        StateError: the data is damaged.
    """
    try:
        parts = [tuple(map(float, data[name])) for name in ("counts", "gaps", "soft_gaps")]
        start = start_calibration(len(parts[0]), float(data["keep"]))
    except (ObjectiveError, KeyError, TypeError, ValueError) as error:
        raise StateError(
            f"no calibration record ({error})", where="calibration", fix="start the run again"
        ) from error
    if len({len(part) for part in parts}) != 1 or min(parts[0]) < 0:
        raise StateError(
            "bins that do not belong together", where="calibration", fix="start the run again"
        )
    return Calibration(*parts, start.keep)
