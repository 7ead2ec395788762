"""PCGrad and CAGrad on Gram matrices against the papers' own loops over whole gradients."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bb_train.objectives.errors import ObjectiveError, ShapeError
from bb_train.objectives.surgery import (
    Rule,
    cagrad_weights,
    cosines,
    pcgrad_orders,
    pcgrad_weights,
    simplex_minimum,
    weights,
)

GRADIENTS = st.tuples(st.integers(1, 6), st.integers(1, 9)).flatmap(
    lambda shape: arrays(np.float64, shape, elements=st.floats(-4, 4, width=16))
)


def pcgrad_by_the_paper(gradients, orders):
    """Algorithm 1 of Yu et al. 2020, on the gradients themselves."""
    projected = gradients.copy()
    for i, order in enumerate(orders):
        for j in order:
            along = projected[i] @ gradients[j]
            if along < 0:
                projected[i] -= along / (gradients[j] @ gradients[j]) * gradients[j]
    return projected.sum(axis=0)


@given(GRADIENTS, st.integers(0, 5))
def test_pcgrad_is_the_papers(gradients, step):
    orders = pcgrad_orders(len(gradients), 3, step)
    ours = pcgrad_weights(gradients @ gradients.T, orders) @ gradients
    theirs = pcgrad_by_the_paper(gradients, orders)
    assert np.allclose(ours, theirs, atol=1e-6 * (1 + np.abs(theirs).max()))


@given(arrays(np.float64, (4, 6), elements=st.floats(0, 3)))
def test_gradients_that_agree_are_summed(gradients):
    gram = gradients @ gradients.T
    assert np.array_equal(weights(Rule("pcgrad"), gram, 0), np.ones(4))


def test_of_two_that_conflict_each_keeps_what_does_not_hurt_the_other():
    gradients = np.array([[1.0, 0.0], [-1.0, 1.0]])
    direction = weights(Rule("pcgrad"), gradients @ gradients.T, 0) @ gradients
    assert direction == pytest.approx([0.5, 1.5])


def test_orders_are_those_of_seed_and_step_and_cover_all_others():
    assert pcgrad_orders(5, 1, 2) == pcgrad_orders(5, 1, 2)
    assert pcgrad_orders(5, 1, 2) != pcgrad_orders(5, 1, 3)
    assert pcgrad_orders(5, 1, 2) != pcgrad_orders(5, 2, 2)
    for i, order in enumerate(pcgrad_orders(5, 1, 2)):
        assert sorted(order) == [j for j in range(5) if j != i]


@given(GRADIENTS, st.floats(0.05, 0.95))
def test_cagrad_stays_in_its_ball_and_helps_the_worst(gradients, radius):
    direction = cagrad_weights(gradients @ gradients.T, radius) @ gradients
    total = gradients.sum(0)
    length = np.linalg.norm(total)
    assert np.linalg.norm(direction - total) <= radius * length * (1 + 1e-6) + 1e-9
    before, after = (gradients @ total).min(), (gradients @ direction).min()
    assert after >= before - 1e-6 * (1 + abs(before))


@given(arrays(np.float64, (3, 4), elements=st.floats(-2, 2, width=16)), st.floats(0.1, 0.9))
def test_cagrad_solves_its_dual(gradients, radius):
    gram = gradients @ gradients.T
    linear = gram.sum(1)
    pull = radius * np.sqrt(max(0.0, gram.sum()))

    def objective(w):
        return w @ linear + pull * np.sqrt(np.maximum(0, np.einsum("...i,ij,...j", w, gram, w)))

    found = simplex_minimum(gram, linear, pull)
    assert found.min() >= 0 and found.sum() == pytest.approx(1)
    ticks = np.linspace(0, 1, 41)
    grid = np.array([[a, b, 1 - a - b] for a in ticks for b in ticks if a + b <= 1 + 1e-12])
    assert objective(found) <= objective(grid).min() + 1e-6 * (1 + abs(linear).max())


def test_cagrad_of_two_by_hand():
    """For equal lengths the worst is helped most by leaning on the bisector: both the same."""
    gradients = np.array([[1.0, 0.2], [-0.6, 0.8]])
    gradients /= np.linalg.norm(gradients, axis=1, keepdims=True)
    found = cagrad_weights(gradients @ gradients.T, 0.5)
    assert found[0] == pytest.approx(found[1])
    assert found[0] == pytest.approx(1.5)  # 1 + c |g0| / |g_w| / 2, and g_w = g0 / 2


def test_cagrad_without_radius_or_hope_is_the_sum():
    gradients = np.array([[1.0, 0.0], [-1.0, 0.0]])
    assert np.array_equal(cagrad_weights(gradients @ gradients.T, 0.5), [1, 1])
    more = np.array([[1.0, 0.5], [-1.0, 0.5]])
    assert np.array_equal(cagrad_weights(more @ more.T, 0.0), [1, 1])


@given(st.integers(0, 2**32 - 1))
def test_torchjd_agrees_where_it_is_installed(seed):
    """Of two gradients PCGrad has one order; torchjd's CAGrad starts from the mean."""
    torchjd = pytest.importorskip("torchjd.aggregation")
    gradients = np.random.default_rng(seed).normal(size=(2, 6))
    gram, matrix = gradients @ gradients.T, torch.from_numpy(gradients)
    ours = weights(Rule("pcgrad"), gram, 0) @ gradients
    assert ours == pytest.approx(torchjd.PCGrad()(matrix).numpy(), abs=1e-6)
    pytest.importorskip("cvxpy")
    ours = cagrad_weights(gram, 0.5) @ gradients / 2
    assert ours == pytest.approx(torchjd.CAGrad(c=0.5, norm_eps=0.0)(matrix).numpy(), abs=1e-4)


@given(GRADIENTS)
def test_every_rule_is_equivariant_to_rotation(gradients):
    """Only inner products matter: a rotated set of gradients gets the same weights."""
    rng = np.random.default_rng(0)
    turn = np.linalg.qr(rng.normal(size=(gradients.shape[1],) * 2))[0]
    turned = gradients @ turn
    for rule in (Rule("sum"), Rule("pcgrad")):
        first = weights(rule, gradients @ gradients.T, 1) @ gradients @ turn
        second = weights(rule, turned @ turned.T, 1) @ turned
        assert np.allclose(first, second, atol=1e-5 * (1 + np.abs(first).max()))


def test_cosines_are_named_and_leave_out_what_has_no_direction():
    gradients = np.array([[3.0, 0.0], [0.0, 0.0], [-1.0, 1.0]])
    found = cosines(["task", "kl", "cfs"], gradients @ gradients.T)
    assert found == {"task|cfs": pytest.approx(-(0.5**0.5))}


def test_a_rule_or_matrix_that_cannot_be_meant_is_refused():
    with pytest.raises(ObjectiveError, match="gradient surgery: pcgrd with radius 0.5; use sum"):
        Rule("pcgrd")
    with pytest.raises(ObjectiveError, match="radius from 0 to below 1"):
        Rule("cagrad", radius=1.0)
    for bad in (np.ones((2, 3)), np.array([[np.nan]]), np.array([[1.0, 0.5], [-0.5, 1.0]])):
        with pytest.raises(ShapeError, match="is no Gram matrix"):
            weights(Rule(), bad, 0)
