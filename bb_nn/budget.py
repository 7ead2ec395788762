"""When ᾱ may grow and when it must shrink: a state machine over evaluations.

         composition better by the margin: raise                 a raise that is to reach
        ┌─────────────┐                                          production: `promoted`, by
        ▼             │   risk or base loss above its limit:     the gate, outside
    WATCHING ─────────┘   lower at once, production too
        ▲   │
        │   └──────────────────────────────► COOLING ─┐ risk or base loss above its limit:
        └──── after `cool_down` good readings ────────┘ lower again, begin again

A reading that is not a number counts as harm, never as good news.

Source: builderbrain 1 (ᾱ grows only when metrics improve), 5 (stage 1), 6 (takeover sanity), 8.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from enum import Enum
from typing import Any

from bb_nn.errors import BudgetError


class Phase(Enum):
    """What the controller waits for."""

    WATCHING = "watching"
    COOLING = "cooling"


@dataclass(frozen=True)
class Reading:
    """One evaluation of the rail at the budget of the moment.

    Attributes:
        composition: share of unseen compositions that are right, 0 to 1.
        risk: of harm, as the gate measures it (V_s); lower is safer.
        base_loss: on general text, in nats a token.
    """

    composition: float
    risk: float
    base_loss: float


@dataclass(frozen=True)
class BudgetRule:
    """How fast ᾱ moves, and on what grounds.

    Attributes:
        ceiling: ᾱ is never more.
        raise_by: factor of a raise.
        lower_by: factor of a lowering.
        composition_margin: by which composition must beat what it was at the last raise.
        risk_margin: by which risk may exceed the base's.
        loss_margin: share by which the loss on general text may exceed the base's.
        cool_down: readings in a row without harm before a raise is thought of again.
    """

    ceiling: float = 0.5
    raise_by: float = 1.25
    lower_by: float = 0.5
    composition_margin: float = 0.01
    risk_margin: float = 0.0
    loss_margin: float = 0.005
    cool_down: int = 3

    def __post_init__(self) -> None:
        fits = 0 < self.ceiling <= 1 and self.raise_by > 1 and 0 <= self.lower_by < 1
        margins = (self.composition_margin, self.risk_margin, self.loss_margin, self.cool_down)
        if not fits or not all(m >= 0 for m in margins):
            raise BudgetError(
                f"{self}", where="alpha budget: rule",
                fix="use ceiling in (0, 1], raise_by > 1, lower_by in [0, 1), margins from 0",
            )  # fmt: skip


@dataclass(frozen=True)
class BudgetState:
    """Where the controller stands; a value.

    Attributes:
        budget: ᾱ of the rail in training.
        promoted: ᾱ of the rail in production; only `promoted_to` makes it more.
        phase: what is waited for.
        reached: composition at the last raise, or when cooling ended.
        waits: readings left to cool.
        reference: the base alone.
    """

    budget: float
    promoted: float
    phase: Phase
    reached: float
    waits: int
    reference: Reading


def start_budget(reference: Reading, budget: float = 0.05) -> BudgetState:
    """Begin to watch.

    Args:
        reference: a reading of the base alone (ᾱ = 0); its risk and loss are the limits' basis.
        budget: ᾱ to start from, in [0, 1]; nothing is promoted yet.
    """
    if not 0 <= budget <= 1:
        raise BudgetError(f"ᾱ is {budget}", where="alpha budget", fix="use 0 to 1")
    return BudgetState(budget, 0.0, Phase.WATCHING, reference.composition, 0, reference)


def observe(state: BudgetState, rule: BudgetRule, reading: Reading) -> BudgetState:
    """The state after one more evaluation, made at `state.budget`."""
    if not _is_harmless(state.reference, rule, reading):
        lower = state.budget * rule.lower_by
        return replace(
            state, budget=lower, promoted=min(state.promoted, lower), phase=Phase.COOLING,
            waits=rule.cool_down,
        )  # fmt: skip
    if state.phase is Phase.COOLING:
        waits = state.waits - 1
        if waits > 0:
            return replace(state, waits=waits)
        return replace(state, phase=Phase.WATCHING, waits=0, reached=reading.composition)
    if reading.composition > state.reached + rule.composition_margin:
        raised = max(state.budget, min(rule.ceiling, state.budget * rule.raise_by))
        return replace(state, budget=raised, reached=reading.composition)
    return state


def promoted_to(state: BudgetState, budget: float) -> BudgetState:
    """What the gate calls once a rail with this ᾱ has been promoted.

    Raises:
        BudgetError: ᾱ is more than the rail was trained with, or harm was seen and the controller
            is still cooling.
    """
    if not 0 <= budget <= state.budget:
        raise BudgetError(
            f"ᾱ {budget} was never trained with; the rail's is {state.budget}",
            where="alpha budget: promotion", fix="promote at most the rail's own",
        )  # fmt: skip
    if state.phase is Phase.COOLING and budget > state.promoted:
        raise BudgetError(
            "harm was seen lately", where="alpha budget: promotion",
            fix=f"wait for {state.waits} more good readings",
        )  # fmt: skip
    return replace(state, promoted=budget)


def _is_harmless(reference: Reading, rule: BudgetRule, reading: Reading) -> bool:
    """Whether risk and base loss are within their limits; what is no number is not."""
    quiet = reading.risk <= reference.risk + rule.risk_margin
    return quiet and reading.base_loss <= reference.base_loss * (1 + rule.loss_margin)


def budget_to_json(state: BudgetState) -> dict[str, Any]:
    """Plain data from which `budget_from_json` makes the same state."""
    return {**asdict(state), "phase": state.phase.value}


def budget_from_json(data: Mapping[str, Any]) -> BudgetState:
    """Inverse of `budget_to_json`.

    Raises:
        BudgetError: the data is damaged.
    """
    try:
        numbers = {k: float(data[k]) for k in ("budget", "promoted", "reached")}
        reference = Reading(**{k: float(v) for k, v in data["reference"].items()})
        phase, waits = Phase(data["phase"]), int(data["waits"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BudgetError(
            f"no state of a controller ({error})", where="alpha budget", fix="start the run again"
        ) from error
    return BudgetState(**numbers, phase=phase, waits=waits, reference=reference)
