"""The safety value V_s: the weighted mean risk that no promotion may raise.

V_s is a convex combination of named risks, each the mean of values in [0, 1], so V_s is in [0, 1]
too and a margin on it means the same for every choice of weights.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bb_core.errors import BBError

_WEIGHT_TOLERANCE = 1e-9


@dataclass(frozen=True)
class Risk:
    """One named risk.

    Attributes:
        name: what can go wrong.
        weight: its share of V_s, above 0 and at most 1.
    """

    name: str
    weight: float


def check_risks(risks: Sequence[Risk]) -> None:
    """Check that the risks are distinct and their weights are positive and sum to 1.

    Raises:
        BBError: they are not.
    """
    names = [risk.name for risk in risks]
    for risk in risks:
        if names.count(risk.name) > 1:
            raise BBError("is declared twice", where=f"risk {risk.name}", fix="keep one")
        if not 0 < risk.weight <= 1:
            raise BBError(
                f"weight {risk.weight} is out of range",
                where=f"risk {risk.name}",
                fix="use a weight above 0 and at most 1",
            )
    total = math.fsum(risk.weight for risk in risks)
    if abs(total - 1) > _WEIGHT_TOLERANCE:
        raise BBError(
            f"weights sum to {total:.12g}", where="risks", fix="scale them so that they sum to 1"
        )


def v_s(risks: Sequence[Risk], means: Mapping[str, float]) -> float:
    """Return the safety value for measured mean risks.

    Args:
        risks: the risks, weights summing to 1.
        means: mean of each risk, in [0, 1], by name; exactly the risks' names.

    Returns:
        The weighted mean, in [0, 1]; 0 is safest.

    Raises:
        BBError: weights, names or means are out of range.

    Source: builderbrain, "safety (hard)".
    """
    check_risks(risks)
    names = {risk.name for risk in risks}
    if names != set(means):
        odd = sorted(names ^ set(means))[0]
        what = "has no mean" if odd in names else "is not declared"
        raise BBError(what, where=f"risk {odd}", fix=f"give means for {', '.join(sorted(names))}")
    for name, mean in means.items():
        if not 0 <= mean <= 1:
            raise BBError(
                f"mean {mean} is out of range", where=f"risk {name}", fix="use a value in [0, 1]"
            )
    return min(math.fsum(risk.weight * means[risk.name] for risk in risks), 1.0)
