"""Dual variables: the price of each constraint, raised while it is broken.

    λ_k ← min(cap_k, [λ_k + η_k (ℓ̂_k − c_k)]₊)

on raw units. At a saddle point λ_k is the constraint's multiplier: zero where the constraint is
slack, and what the task would gain per unit of slack where it binds. The cap keeps an infeasible
constraint from drowning the task; a dual at its cap is a constraint that cannot be met.

A state is a value of plain floats. JSON writes a float so that the same bits are read back.

Source: builderbrain 2; Arrow, Hurwicz, Uzawa 1958.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from bb_train.objectives.errors import ObjectiveError, StateError


@dataclass(frozen=True)
class Constraint:
    """`ℓ ≤ limit`, and how its dual moves.

    Attributes:
        name: name of the term.
        limit: c, in the term's raw units.
        rate: η, dual units per raw unit and step.
        cap: largest dual.
    """

    name: str
    limit: float
    rate: float = 0.1
    cap: float = 100.0

    def __post_init__(self) -> None:
        if not math.isfinite(self.limit) or not 0 < self.rate < math.inf:
            raise ObjectiveError(
                f"limit {self.limit} with rate {self.rate}",
                where=f"constraint {self.name}", fix="use a finite limit and a rate above 0",
            )  # fmt: skip
        if not 0 < self.cap < math.inf:
            raise ObjectiveError(
                f"cap {self.cap}", where=f"constraint {self.name}", fix="use a finite cap above 0"
            )


@dataclass(frozen=True)
class Duals:
    """The constraints and their dual variables.

    Attributes:
        constraints: with distinct names.
        values: λ of each, in the same order.
    """

    constraints: tuple[Constraint, ...]
    values: tuple[float, ...]

    def __getitem__(self, name: str) -> float:
        return self.as_dict()[name]

    def as_dict(self) -> dict[str, float]:
        """Name -> λ."""
        return dict(zip((c.name for c in self.constraints), self.values, strict=True))

    def at_cap(self) -> tuple[str, ...]:
        """Names of the constraints whose dual can rise no further."""
        pairs = zip(self.constraints, self.values, strict=True)
        return tuple(c.name for c, value in pairs if value >= c.cap)


def start_duals(constraints: tuple[Constraint, ...]) -> Duals:
    """All duals at zero.

    Raises:
        ObjectiveError: a name is used twice.
    """
    names = [c.name for c in constraints]
    for name in names:
        if names.count(name) > 1:
            raise ObjectiveError(
                "is declared twice", where=f"constraint {name}", fix="keep one of them"
            )
    return Duals(constraints, (0.0,) * len(constraints))


def ascend(duals: Duals, losses: Mapping[str, float]) -> Duals:
    """One step of every dual whose loss was measured; the others stay.

    Args:
        duals: before.
        losses: name -> ℓ̂ in raw units.

    Raises:
        ObjectiveError: a loss without a constraint, or one that is not finite.
    """
    known = duals.as_dict()
    for name, loss in losses.items():
        if name not in known:
            raise ObjectiveError(
                f"{name} has no constraint", where="duals", fix=f"use {', '.join(known) or 'none'}"
            )
        if not math.isfinite(loss):
            raise ObjectiveError(
                f"the loss is {loss}", where=f"constraint {name}", fix="find what made it so"
            )
    values = tuple(
        min(c.cap, max(0.0, value + c.rate * (losses[c.name] - c.limit)))
        if c.name in losses
        else value
        for c, value in zip(duals.constraints, duals.values, strict=True)
    )
    return replace(duals, values=values)


def duals_to_json(duals: Duals) -> dict[str, Any]:
    """Plain data from which `duals_from_json` makes the same bits."""
    return {"constraints": [asdict(c) for c in duals.constraints], "values": list(duals.values)}


def duals_from_json(data: Mapping[str, Any], constraints: tuple[Constraint, ...]) -> Duals:
    """Inverse of `duals_to_json`, for the same constraints.

    Args:
        data: what was saved.
        constraints: those of the run that goes on.

    Raises:
        StateError: the data is damaged, or was saved under other constraints.
    """
    try:
        saved = tuple(Constraint(**entry) for entry in data["constraints"])
        values = tuple(float(value) for value in data["values"])
    except (ObjectiveError, KeyError, TypeError, ValueError) as error:
        raise StateError(
            f"no state of duals ({error})", where="duals", fix="start the run again"
        ) from error
    if saved != constraints:
        odd = sorted({c.name for c in set(saved) ^ set(constraints)}) or ["their order"]
        raise StateError(
            f"saved under other constraints: {odd[0]} differs",
            where="duals", fix="resume with the configuration that saved them",
        )  # fmt: skip
    good = len(values) == len(saved) and all(
        0 <= value <= c.cap for value, c in zip(values, saved, strict=True)
    )
    if not good:
        raise StateError(
            f"{list(values)} are no duals of these constraints", where="duals",
            fix="start the run again",
        )  # fmt: skip
    return Duals(saved, values)
