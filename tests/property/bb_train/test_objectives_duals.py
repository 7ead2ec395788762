"""Dual ascent finds known multipliers; scales touch gradients alone; states keep their bits."""

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bb_train.objectives.duals import (
    Constraint,
    Duals,
    ascend,
    duals_from_json,
    duals_to_json,
    start_duals,
)
from bb_train.objectives.errors import GradientError, ObjectiveError, StateError
from bb_train.objectives.gradients import gradient_rows, trained_parameters
from bb_train.objectives.scales import (
    Scales,
    observe_norms,
    scales_from_json,
    scales_to_json,
    winsorised_mean,
)
from bb_train.objectives.step import constrained_step, start_state, state_from_json, state_to_json
from bb_train.objectives.surgery import Rule
from bb_train.objectives.term import Term, mean_term

SUM = Rule("sum")


def term(loss, count=1.0):
    return Term(loss.detach(), loss, count)


def solve(aim, bound, *, factor=1.0, warmup=0, steps=400, rule=SUM):
    """Least ½|x − aim|² where factor·x_i ≤ factor·bound_i: x = min(aim, bound) is known."""
    x = torch.nn.Parameter(torch.zeros(len(aim), dtype=torch.float64))
    target = torch.tensor(aim, dtype=torch.float64)
    limits = [Constraint(f"x{i}", factor * b, rate=0.15 / factor) for i, b in enumerate(bound)]
    state = start_state(limits, warmup)
    for step in range(steps):
        terms = {"task": term(0.5 * (x - target).square().sum())}
        terms |= {f"x{i}": term(factor * x[i]) for i in range(len(aim))}
        outcome = constrained_step(terms, [x], state, rule=rule, step=step)
        state = outcome.state
        with torch.no_grad():
            x -= 0.3 * x.grad
    return x.detach().numpy(), outcome


@pytest.mark.parametrize("aim", [[2.0, -1.0, 0.5], [3.0, 0.2, 1.0]])
def test_duals_converge_to_the_multipliers(aim):
    bound = [1.0, 0.0, 1.0]
    x, outcome = solve(aim, bound)
    assert x == pytest.approx(np.minimum(aim, bound), abs=1e-3)
    known = np.maximum(0, np.array(aim) - bound)
    assert list(outcome.duals.values()) == pytest.approx(known, abs=1e-3)


def test_a_joint_constraint_has_the_multiplier_of_its_closed_form():
    """½|x − a|² with x₁ + x₂ ≤ 1: λ = (a₁ + a₂ − 1) / 2, x = a − λ."""
    x = torch.nn.Parameter(torch.zeros(2, dtype=torch.float64))
    aim = torch.tensor([2.0, 1.5], dtype=torch.float64)
    state = start_state([Constraint("sum", 1.0, rate=0.15)], 0)
    for step in range(400):
        terms = {"task": term(0.5 * (x - aim).square().sum()), "sum": term(x.sum())}
        state = constrained_step(terms, [x], state, rule=SUM, step=step).state
        with torch.no_grad():
            x -= 0.3 * x.grad
    assert state.duals["sum"] == pytest.approx(1.25, abs=1e-3)
    assert x.tolist() == pytest.approx([0.75, 0.25], abs=1e-3)


def test_scales_move_the_gradient_and_not_what_the_dual_sees():
    """In units twenty times larger: the same x, and a dual that is the multiplier's share."""
    plain, first = solve([2.0], [1.0], warmup=0)
    x, outcome = solve([2.0], [1.0], factor=20.0, warmup=10)
    assert x == pytest.approx(plain, abs=1e-2)
    assert outcome.values["x0"] == pytest.approx(20.0, abs=0.2)
    scale = outcome.scales["x0"]
    norms = dict(outcome.state.scales.norms)
    assert len(norms["x0"]) == 10 and set(norms["x0"]) == {20.0}
    assert scale == winsorised_mean(norms["task"]) / 20 != 1
    assert outcome.duals["x0"] * scale == pytest.approx(first.duals["x0"] / 20, abs=1e-3)


def test_one_step_of_the_dual_is_in_raw_units_whatever_the_scale():
    x = torch.nn.Parameter(torch.ones(1, dtype=torch.float64))
    limit = Constraint("big", 10.0, rate=0.5)
    state = start_state([limit], 5)
    outcome = constrained_step(
        {"task": term(x.sum()), "big": term(1000 * x.sum())}, [x], state, rule=SUM, step=0
    )
    assert outcome.state.scales.factor("big") == pytest.approx(1e-2)
    assert outcome.state.duals["big"] == 100.0  # 0.5 · (1000 − 10) = 495, capped
    assert outcome.state.duals.at_cap() == ("big",)
    small = constrained_step(
        {"task": term(x.sum()), "big": term(30 * x.sum())}, [x], state, rule=SUM, step=0
    )
    assert small.state.duals["big"] == 10.0


@given(st.lists(st.floats(0, 10), min_size=1, max_size=40))
def test_winsorised_mean_lies_between_the_kept_ranks(values):
    ranked = sorted(values)
    cut = len(values) // 10
    mean = winsorised_mean(values)
    assert ranked[cut] - 1e-9 <= mean <= ranked[len(values) - 1 - cut] + 1e-9


def test_winsorised_mean_by_hand_and_deaf_to_wild_steps():
    assert winsorised_mean([5, 1, 2, 3, 4, 6, 7, 8, 9, 1e9]) == pytest.approx(
        (2 + 2 + 3 + 4 + 5 + 6 + 7 + 8 + 9 + 9) / 10
    )
    assert winsorised_mean([]) == 0


def test_scales_freeze():
    scales = Scales(2)
    for norms in ({"task": 4.0, "kl": 1.0}, {"task": 4.0, "kl": 3.0}):
        assert not scales.is_frozen
        scales = observe_norms(scales, norms)
    assert scales.is_frozen and scales.factor("kl") == 2.0
    assert observe_norms(scales, {"task": 1e6, "kl": 1e6}) is scales
    assert scales.factor("never measured") == scales.factor("task") == 1.0
    absent = observe_norms(Scales(1), {"task": 1.0, "kl": 1e-30})
    assert absent.factor("kl") == 100  # not without limit


CONSTRAINTS = (Constraint("a", 0.1), Constraint("b", 2.0, rate=0.3, cap=7.0))


@given(st.lists(st.tuples(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3)), max_size=20))
def test_duals_stay_in_their_range_and_resume_with_the_same_bits(losses):
    duals = start_duals(CONSTRAINTS)
    for first, second in losses:
        duals = ascend(duals, {"a": first, "b": second})
        back = duals_from_json(json.loads(json.dumps(duals_to_json(duals))), CONSTRAINTS)
        assert back == duals
        assert [v.hex() for v in back.values] == [v.hex() for v in duals.values]
        assert 0 <= duals["a"] <= 100 and 0 <= duals["b"] <= 7


def test_a_resumed_objective_goes_on_with_the_same_bits():
    def steps(state, x, numbers):
        for step in numbers:
            terms = {"task": term((x - 3).square().sum()), "a": term(x.sum() * math.pi)}
            state = constrained_step(terms, [x], state, rule=Rule("pcgrad"), step=step).state
            with torch.no_grad():
                x -= 0.07 * x.grad
        return state

    def start():
        return torch.nn.Parameter(torch.tensor([0.1, -0.3]))

    limits = [Constraint("a", 0.25)]
    x, y = start(), start()
    whole = steps(start_state(limits, 6), x, range(20))
    half = json.dumps(state_to_json(steps(start_state(limits, 6), y, range(9))))
    resumed = steps(state_from_json(json.loads(half), limits), y, range(9, 20))
    assert resumed == whole and torch.equal(x, y)


def test_a_constraint_that_was_not_measured_keeps_its_dual():
    duals = ascend(start_duals(CONSTRAINTS), {"a": 5.0, "b": 5.0})
    later = ascend(duals, {"a": 0.0})
    assert later["b"] == duals["b"] and later["a"] < duals["a"]


def test_states_of_other_constraints_or_none_are_refused():
    saved = duals_to_json(start_duals(CONSTRAINTS))
    with pytest.raises(StateError, match="saved under other constraints: b differs; resume with"):
        duals_from_json(saved, (CONSTRAINTS[0], Constraint("b", 2.5)))
    with pytest.raises(StateError, match="saved under other constraints: their order differs"):
        duals_from_json(saved, CONSTRAINTS[::-1])
    with pytest.raises(StateError, match="no state of duals"):
        duals_from_json({"values": []}, CONSTRAINTS)
    with pytest.raises(StateError, match="are no duals of these constraints"):
        duals_from_json({**saved, "values": [0.0, 8.0]}, CONSTRAINTS)
    with pytest.raises(StateError, match="are no duals of these constraints"):
        duals_from_json({**saved, "values": [math.nan, 0.0]}, CONSTRAINTS)
    with pytest.raises(StateError, match="no state of scales"):
        scales_from_json({**scales_to_json(Scales(2)), "norms": [["kl", ["x"]]]})
    with pytest.raises(StateError, match="no state of an objective"):
        state_from_json([], CONSTRAINTS)


def test_what_cannot_be_meant_is_refused():
    with pytest.raises(
        ObjectiveError, match="constraint kl: limit nan with rate 0.1; use a finite"
    ):
        Constraint("kl", math.nan)
    with pytest.raises(ObjectiveError, match="constraint kl: cap inf; use a finite cap"):
        Constraint("kl", 0.1, cap=math.inf)
    with pytest.raises(ObjectiveError, match="constraint a: is declared twice"):
        start_duals((Constraint("a", 1.0), Constraint("a", 2.0)))
    with pytest.raises(ObjectiveError, match="task: is the task's own name"):
        start_state([Constraint("task", 1.0)], 0)
    with pytest.raises(ObjectiveError, match="kl has no constraint; use a, b"):
        ascend(start_duals(CONSTRAINTS), {"kl": 0.0})
    with pytest.raises(ObjectiveError, match="constraint a: the loss is nan"):
        ascend(start_duals(CONSTRAINTS), {"a": math.nan})
    with pytest.raises(ObjectiveError, match="a warm-up of -1 steps"):
        Scales(-1)
    with pytest.raises(ObjectiveError, match="scale of kl: a gradient norm of inf"):
        observe_norms(Scales(1), {"kl": math.inf})


def test_bad_terms_and_gradients_are_named():
    x = torch.nn.Parameter(torch.ones(2))
    state = start_state([Constraint("kl", 0.1)], 1)
    with pytest.raises(ObjectiveError, match="there is no task"):
        constrained_step({"kl": term(x.sum())}, [x], state, rule=SUM, step=0)
    with pytest.raises(ObjectiveError, match="term kl: the value is inf"):
        terms = {"task": term(x.sum()), "kl": term(x.sum() / 0)}
        constrained_step(terms, [x], state, rule=SUM, step=0)
    with pytest.raises(GradientError, match="loss kl: the gradient is not finite"):
        terms = {"task": term(x.sum()), "kl": term((x - 1).abs().pow(0.5).sum())}
        constrained_step(terms, [x], state, rule=SUM, step=0)
    with pytest.raises(GradientError, match="Linear: nothing is trained"):
        trained_parameters(torch.nn.Linear(2, 2).requires_grad_(False))


def test_a_price_of_zero_spares_the_backward_pass_after_the_warm_up():
    x = torch.nn.Parameter(torch.ones(2))
    passes = []

    def counted():
        loss = x.square().sum()
        loss.register_hook(lambda gradient: passes.append(1))
        return term(loss)

    state = start_state([Constraint("slack", 1e6)], 1)
    for step in range(3):
        terms = {"task": term(x.sum()), "slack": counted()}
        outcome = constrained_step(terms, [x], state, rule=SUM, step=step)
        state = outcome.state
        assert ("task|slack" in outcome.cosines) == (step == 0)
        assert torch.equal(x.grad, torch.ones(2))
    assert len(passes) == 1


def test_a_term_without_rows_is_not_a_measurement_of_zero():
    """A batch without pairs of wordings must not lower the price of invariance."""
    x = torch.nn.Parameter(torch.ones(2))
    state = start_state([Constraint("pairs", 1.0, rate=1.0)], 3)
    priced = constrained_step(
        {"task": term(x.sum()), "pairs": term(5 * x.sum())}, [x], state, rule=SUM, step=0
    ).state
    assert priced.duals["pairs"] == 9.0
    nothing = {"task": term(x.sum()), "pairs": mean_term(x[:0])}
    outcome = constrained_step(nothing, [x], priced, rule=SUM, step=1)
    assert outcome.state.duals == priced.duals and "pairs" not in outcome.values
    assert dict(outcome.state.scales.norms)["pairs"] == dict(priced.scales.norms)["pairs"]
    with pytest.raises(ObjectiveError, match="term task: no row carries it"):
        constrained_step({"task": mean_term(x[:0])}, [x], state, rule=SUM, step=0)


def test_a_gradient_that_is_not_there_yet_tells_nothing_of_a_scale():
    scales = observe_norms(
        observe_norms(Scales(2), {"task": 2.0, "kl": 0.0}), {"task": 2.0, "kl": 4.0}
    )
    assert scales.is_frozen and scales.factor("kl") == 0.5


def test_rows_reach_only_what_they_depend_on_and_shares_add_up():
    """Two processes' weighed rows sum to the row of the whole batch."""
    a, b = (torch.nn.Parameter(torch.randn(3, dtype=torch.float64)) for _ in range(2))
    data = torch.randn(10, 3, dtype=torch.float64)

    def losses(rows, share):
        return {
            "one": (data[rows] @ a).square().mean() * share,
            "none": torch.zeros(()),
            "both": (data[rows] @ (a * b)).sin().mean() * share,
        }

    whole = gradient_rows(losses(slice(0, 10), 1.0), [a, b])
    parts = [
        gradient_rows(losses(slice(0, 3), 0.3), [a, b]),
        gradient_rows(losses(slice(3, 10), 0.7), [a, b]),
    ]
    assert torch.allclose(whole.matrix, parts[0].matrix + parts[1].matrix)
    assert not whole.matrix[0, 3:].any() and not whole.matrix[1].any() and whole.matrix[2].all()


def test_duals_of_equal_state_are_equal_values():
    assert Duals(CONSTRAINTS, (0.0, 0.0)) == start_duals(CONSTRAINTS)
