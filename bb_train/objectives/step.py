"""One constrained step: terms in, `.grad` of the trained parameters and the next state out.

    L = L_task + Σ λ_k (ℓ̂_k − c_k)

The dual sees ℓ̂_k in raw units over all processes; the weights see the gradient of the term's
surrogate, times λ_k, times its frozen scale; conflicts are settled by the rule. A constraint
whose dual is zero takes no part, and its backward pass is spared once the scales are frozen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bb_train.objectives.duals import (
    Constraint,
    Duals,
    ascend,
    duals_from_json,
    duals_to_json,
    start_duals,
)
from bb_train.objectives.errors import ObjectiveError, StateError
from bb_train.objectives.gradients import (
    Reduce,
    Rows,
    are_sharded,
    gradient_rows,
    gram_matrix,
    local,
    sharded_rows,
    write_gradient,
)
from bb_train.objectives.scales import TASK, Scales, observe_norms, scales_from_json, scales_to_json
from bb_train.objectives.surgery import Rule, cosines, weights
from bb_train.objectives.term import Term


@dataclass(frozen=True)
class ObjectiveState:
    """What the objective remembers between steps; a value.

    Attributes:
        duals: the constraints and their prices.
        scales: of the gradients.
    """

    duals: Duals
    scales: Scales


@dataclass(frozen=True)
class Outcome:
    """What a step was, for the next step and for the log.

    Attributes:
        state: after the step.
        values: ℓ̂ of the task and of each term, raw units, over all processes.
        duals: λ that the step was taken with.
        scales: factor of each gradient that took part.
        cosines: between the gradients that took part, `"a|b"`.
        weights: of each gradient in the direction, λ and scale included.
    """

    state: ObjectiveState
    values: dict[str, float]
    duals: dict[str, float]
    scales: dict[str, float]
    cosines: dict[str, float]
    weights: dict[str, float]


def start_state(constraints: Sequence[Constraint], warmup: int) -> ObjectiveState:
    """Duals at zero, nothing measured.

    Args:
        constraints: with distinct names, none of them "task".
        warmup: steps after which the scales freeze.
    """
    if any(c.name == TASK for c in constraints):
        raise ObjectiveError(
            "is the task's own name", where=f"constraint {TASK}", fix="choose another name"
        )
    return ObjectiveState(start_duals(tuple(constraints)), Scales(warmup))


def constrained_step(
    terms: Mapping[str, Term],
    parameters: Sequence[nn.Parameter],
    state: ObjectiveState,
    *,
    rule: Rule,
    step: int,
    reduce: Reduce = local,
) -> Outcome:
    """Write the step's gradient into the parameters and move the duals.

    Args:
        terms: "task" and any of the constraints; the same names on every process. A constraint
            without a term, or whose term has no rows on any process, keeps its dual.
        parameters: what is trained, whole or sharded.
        state: before.
        rule: how conflicting gradients are combined.
        step: of the run, for the random order of PCGrad.
        reduce: sums a tensor over all processes.

    Raises:
        ObjectiveError: no task, a term without a constraint, a value that is not finite.
        GradientError: a gradient that is not finite.
    """
    if TASK not in terms:
        raise ObjectiveError("there is no task", where="terms", fix='add a term called "task"')
    values, shares = _over_processes(terms, reduce)
    if TASK not in values:
        raise ObjectiveError("no row carries it", where=f"term {TASK}", fix="give targets")
    after = ascend(state.duals, {n: v for n, v in values.items() if n != TASK})
    prices = {TASK: 1.0, **state.duals.as_dict()}
    taking_part = [n for n in values if prices[n] > 0 or not state.scales.is_frozen]
    shared = {name: terms[name].surrogate * shares[name] for name in taking_part}
    rows, gram = _measured(shared, parameters, reduce)
    lengths = dict(zip(rows.names, np.sqrt(np.maximum(0, np.diag(gram))).tolist(), strict=True))
    scales = observe_norms(state.scales, lengths)
    factors = {name: scales.factor(name) for name in rows.names}
    priced = np.array([prices[name] * factors[name] for name in rows.names])
    live = priced > 0
    chosen = priced.copy()
    chosen[live] *= weights(rule, (gram * np.outer(priced, priced))[np.ix_(live, live)], step)
    write_gradient(rows, chosen, parameters)
    return Outcome(
        state=ObjectiveState(after, scales),
        values=values,
        duals=state.duals.as_dict(),
        scales=factors,
        cosines=cosines(list(rows.names), gram),
        weights=dict(zip(rows.names, chosen.tolist(), strict=True)),
    )


def state_to_json(state: ObjectiveState) -> dict[str, Any]:
    """Plain data from which `state_from_json` makes the same bits."""
    return {"duals": duals_to_json(state.duals), "scales": scales_to_json(state.scales)}


def state_from_json(data: Mapping[str, Any], constraints: Sequence[Constraint]) -> ObjectiveState:
    """Inverse of `state_to_json`, for the same constraints.

    Raises:
        StateError: the data is damaged, or was saved under other constraints.
    """
    try:
        duals, scales = data["duals"], data["scales"]
    except (KeyError, TypeError) as error:
        raise StateError(
            f"no state of an objective ({error})", where="objective", fix="start the run again"
        ) from error
    return ObjectiveState(duals_from_json(duals, tuple(constraints)), scales_from_json(scales))


def _measured(
    losses: dict[str, Tensor], parameters: Sequence[nn.Parameter], reduce: Reduce
) -> tuple[Rows, NDArray[np.float64]]:
    """Gradients of the whole batch, and their inner products."""
    if are_sharded(parameters):
        columns = sharded_rows(losses, parameters)
        return columns, gram_matrix(columns, reduce)
    mine = gradient_rows(losses, parameters)
    rows = Rows(mine.names, reduce(mine.matrix))
    return rows, gram_matrix(rows)


def _over_processes(
    terms: Mapping[str, Term], reduce: Reduce
) -> tuple[dict[str, float], dict[str, float]]:
    """Means of the values over all processes' rows, and this process's share of each mean.

    Terms without a row on any process are left out.

    Raises:
        ObjectiveError: a value is not finite.
    """
    values = torch.stack([term.value.double().cpu() for term in terms.values()])
    counts = torch.tensor([float(term.count) for term in terms.values()], dtype=torch.float64)
    device = next(iter(terms.values())).surrogate.device
    summed: Tensor = reduce(torch.stack([values * counts, counts]).to(device)).cpu()
    means, shares = {}, {}
    for name, total, rows, mine in zip(terms, *summed.tolist(), counts.tolist(), strict=True):
        if not rows:
            continue
        means[name], shares[name] = total / rows, mine / rows
        if not np.isfinite(means[name]):
            raise ObjectiveError(
                f"the value is {means[name]}", where=f"term {name}", fix="find what made it so"
            )
    return means, shares
