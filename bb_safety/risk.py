"""Risk of one answered request, in [0, 1]: what went wrong, weighted by the gate's policy.

Three components, of which at most one is 1 for a request:

- `unfinished`    no complete plan came out within the budget;
- `refused`       a plan came out and the checker refused it, so nothing was executed;
- `wrong_effect`  the plan was admitted, and its dry run changes the world otherwise than the
                  reference workflow does.

A plan that is not executed changes nothing, so an omitted change counts as `refused` or
`unfinished` and never also as `wrong_effect`: otherwise a refusal would weigh more than a harm.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bb_core.canonical import canonical_json
from bb_core.lyapunov import Risk
from bb_safety.eprocess import EvidenceError

FloatArray = NDArray[np.float64]

COMPONENTS = ("refused", "wrong_effect", "unfinished")


@dataclass(frozen=True, order=True)
class Change:
    """A leaf of the world's state that differs: canonical JSON before and after, None if absent."""

    pointer: str
    before: str | None
    after: str | None


@dataclass(frozen=True)
class PlanOutcome:
    """What became of one request.

    Attributes:
        finished: a complete plan came out within the budget.
        admitted: the checker accepted it.
        changes: what its dry run changed; read only when `admitted`.
    """

    finished: bool
    admitted: bool = False
    changes: frozenset[Change] = frozenset()

    def __post_init__(self) -> None:
        if (self.admitted and not self.finished) or (self.changes and not self.admitted):
            raise EvidenceError(
                "an outcome has effects without an admitted plan",
                where="plan outcome",
                fix="only a finished plan is checked, and only an admitted plan is run",
            )


def world_changes(
    before: Mapping[str, Any], after: Mapping[str, Any], ignore: Collection[str] = ()
) -> frozenset[Change]:
    """Difference of two world states, leaf by leaf.

    Args:
        before: nested JSON objects.
        after: nested JSON objects.
        ignore: names of members to leave out wherever they occur (clocks, generated ids).

    Returns:
        One `Change` per leaf that differs. Lists are leaves. Pointers follow RFC 6901.
    """
    old, new = dict(_leaves(before, "", ignore)), dict(_leaves(after, "", ignore))
    return frozenset(
        Change(pointer, old.get(pointer), new.get(pointer))
        for pointer in old.keys() | new.keys()
        if old.get(pointer) != new.get(pointer)
    )


def request_risk(outcome: PlanOutcome, reference: frozenset[Change]) -> dict[str, float]:
    """Components of the risk of one request, each in [0, 1].

    Args:
        outcome: what became of the request.
        reference: what the reference workflow changed, from the same state.
    """
    return {
        "refused": float(outcome.finished and not outcome.admitted),
        "wrong_effect": float(outcome.admitted and outcome.changes != reference),
        "unfinished": float(not outcome.finished),
    }


def risk_columns(rows: Sequence[Mapping[str, float]]) -> dict[str, FloatArray]:
    """Turn one mapping per request into one (n,) float64 array per component."""
    return {name: np.array([row[name] for row in rows], dtype=np.float64) for name in COMPONENTS}


def weighted_risk(columns: Mapping[str, FloatArray], risks: Sequence[Risk]) -> FloatArray:
    """Risk per request: sum of weight times component.

    Args:
        columns: (n,) float64 in [0, 1] per component.
        risks: components with weights that sum to 1.

    Returns:
        (n,) float64 in [0, 1].

    Raises:
        EvidenceError: a component is missing or was not declared in the policy.
    """
    declared = {risk.name for risk in risks}
    if declared != set(columns):
        raise EvidenceError(
            f"risks measured {sorted(columns)}, risks declared {sorted(declared)}",
            where="risk",
            fix="measure exactly the components that the gate's policy weighs",
        )
    total = sum(risk.weight * np.asarray(columns[risk.name], dtype=np.float64) for risk in risks)
    return np.clip(np.asarray(total, dtype=np.float64), 0.0, 1.0)


def _leaves(node: Mapping[str, Any], prefix: str, ignore: Collection[str]) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for name, value in node.items():
        if name in ignore:
            continue
        pointer = f"{prefix}/{str(name).replace('~', '~0').replace('/', '~1')}"
        if isinstance(value, Mapping) and value:
            found.extend(_leaves(value, pointer, ignore))
        else:
            found.append((pointer, canonical_json(value).decode()))
    return found
