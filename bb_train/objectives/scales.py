"""Scales that make the gradients of different losses comparable, frozen after a warm-up.

The statistic is the winsorised mean of an objective's gradient norm over the warm-up: norms are
ranked, the lowest and the highest tenth are replaced by the nearest kept one, and the mean is
taken. An objective's scale is the task's statistic over its own, so that after scaling a typical
gradient is as long as the task's. Single wild steps have no say.

Scales touch gradients only. The dual goes on comparing raw units with its limit, and settles at
the multiplier divided by the scale. They are frozen because a scale that follows the norms would
move the point at which duals and gradients balance.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bb_train.objectives.errors import ObjectiveError, StateError

TASK = "task"
_TAIL = 0.1  # of the ranks, at each end
_LARGEST = 100.0  # a gradient all but absent in the warm-up is not blown up without limit


@dataclass(frozen=True)
class Scales:
    """Gradient norms seen in the warm-up.

    Attributes:
        warmup: steps whose norms count.
        norms: objective -> norms of those steps; fewer where it was not measured each time.
        steps: steps observed, at most `warmup`.
    """

    warmup: int
    norms: tuple[tuple[str, tuple[float, ...]], ...] = ()
    steps: int = 0

    def __post_init__(self) -> None:
        if self.warmup < 0:
            raise ObjectiveError(
                f"a warm-up of {self.warmup} steps", where="scales", fix="use 0 or more"
            )

    @property
    def is_frozen(self) -> bool:
        """Whether the warm-up is over."""
        return self.steps >= self.warmup

    def factor(self, name: str) -> float:
        """What the gradient of an objective is multiplied by; 1 for what was never measured."""
        norms = dict(self.norms)
        mine, task = winsorised_mean(norms.get(name, ())), winsorised_mean(norms.get(TASK, ()))
        if name == TASK or mine == 0 or task == 0:
            return 1.0
        return min(_LARGEST, max(1 / _LARGEST, task / mine))


def observe_norms(scales: Scales, norms: Mapping[str, float]) -> Scales:
    """Take one step's gradient norms into account; after the warm-up nothing changes.

    Args:
        scales: before.
        norms: objective -> Euclidean norm of its gradient; the task's is called "task". Zero
            (a constraint not yet touched) tells nothing of a scale and is left out.
    """
    if scales.is_frozen:
        return scales
    for name, norm in norms.items():
        if not 0 <= norm < math.inf:
            raise ObjectiveError(
                f"a gradient norm of {norm}", where=f"scale of {name}", fix="find what made it so"
            )
    seen = dict(scales.norms)
    grown = {name: (*seen.get(name, ()), norm) for name, norm in norms.items() if norm > 0}
    return replace(scales, norms=tuple({**seen, **grown}.items()), steps=scales.steps + 1)


def winsorised_mean(values: Sequence[float]) -> float:
    """Mean after the lowest and the highest tenth, by rank, took the nearest kept value.

    Zero for no values.
    """
    ranked = sorted(values)
    cut = int(_TAIL * len(ranked))
    if cut:
        ranked[:cut] = [ranked[cut]] * cut
        ranked[-cut:] = [ranked[-cut - 1]] * cut
    return math.fsum(ranked) / max(1, len(ranked))


def scales_to_json(scales: Scales) -> dict[str, Any]:
    """Plain data from which `scales_from_json` makes the same bits."""
    norms = [[name, list(values)] for name, values in scales.norms]
    return {"warmup": scales.warmup, "steps": scales.steps, "norms": norms}


def scales_from_json(data: Mapping[str, Any]) -> Scales:
    """Inverse of `scales_to_json`.

    Raises:
        StateError: the data is damaged.
    """
    try:
        norms = tuple((str(name), tuple(map(float, seen))) for name, seen in data["norms"])
        return Scales(int(data["warmup"]), norms, int(data["steps"]))
    except (ObjectiveError, KeyError, TypeError, ValueError) as error:
        raise StateError(
            f"no state of scales ({error})", where="scales", fix="start the run again"
        ) from error
