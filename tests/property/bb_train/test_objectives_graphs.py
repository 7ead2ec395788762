"""g2g_loss: expected edits under a matching, between exact distances and a log-likelihood."""

import itertools
import random

import networkx as nx
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bb_core.plan import Plan, Step, step_id
from bb_train.objectives.assignment import hungarian, match
from bb_train.objectives.errors import ObjectiveError, ShapeError
from bb_train.objectives.graphs import (
    GraphTargets,
    LatentGraphs,
    edit_distances,
    g2g_loss,
    graph_targets,
    likeliest_graph,
    skeleton,
)

TOOLS = ("find", "track", "cancel")


def plan_of(rng, steps, tools=TOOLS):
    made = []
    for i in range(steps):
        earlier = [step_id(j) for j in range(i) if rng.random() < 0.4]
        args = {f"x{k}": f"${name}.id" for k, name in enumerate(earlier)}
        made.append(Step(step_id(i), rng.choice(tools), args))
    return Plan(tuple(made))


def certain(targets, sure=40.0):
    """A latent graph that is sure of exactly these graphs."""
    labels = torch.nn.functional.one_hot(targets.labels, len(TOOLS) + 1) * sure
    return LatentGraphs(labels.double(), (targets.edges.double() * 2 - 1) * sure)


def permuted(targets, order):
    return GraphTargets(targets.labels[:, order], targets.edges[:, order][:, :, order])


@given(st.integers(0, 2**32 - 1), st.integers(1, 6))
def test_hungarian_finds_the_least_of_all_permutations(seed, size):
    cost = np.random.default_rng(seed).integers(-9, 10, (size, size)).astype(float)
    found = hungarian(cost)
    assert sorted(found) == list(range(size))
    least = min(
        sum(cost[i, p[i]] for i in range(size)) for p in itertools.permutations(range(size))
    )
    assert cost[np.arange(size), found].sum() == pytest.approx(least)


def test_hungarian_of_the_largest_plan_meets_its_dual_bound():
    """Costs u_i + v_j plus a nil on a hidden permutation and more elsewhere."""
    rng = np.random.default_rng(1)
    hidden = rng.permutation(26)
    extra = rng.random((26, 26)) + 0.01
    extra[np.arange(26), hidden] = 0
    cost = rng.normal(size=(26, 1)) + rng.normal(size=(1, 26)) + extra
    assert np.array_equal(hungarian(cost), hidden)


@given(st.integers(0, 2**32 - 1), st.integers(0, 5))
def test_a_certain_graph_costs_nothing_whatever_its_slots_order(seed, steps):
    rng = random.Random(seed)
    targets = graph_targets([plan_of(rng, steps)], TOOLS, 5)
    order = list(range(5))
    rng.shuffle(order)
    term = g2g_loss(certain(permuted(targets, order)), targets)
    assert float(term.value) == pytest.approx(0, abs=1e-6)
    assert float(term.surrogate) == pytest.approx(0, abs=1e-6)


def edits_between(mine, wanted, slots):
    """The value for two certain graphs, in edits."""
    targets = graph_targets([wanted], TOOLS, slots)
    size = int((targets.labels > 0).sum() + targets.edges.sum())
    term = g2g_loss(certain(graph_targets([mine], TOOLS, slots)), targets)
    return float(term.value) * size, edit_distances([skeleton(mine)], [skeleton(wanted)])[0]


@given(st.integers(0, 2**32 - 1))
def test_of_certain_graphs_the_value_is_their_edit_distance(seed):
    rng = random.Random(seed)
    edits, exact = edits_between(
        plan_of(rng, rng.randint(0, 4)), plan_of(rng, rng.randint(1, 4)), 5
    )
    assert exact.exact and edits == pytest.approx(exact.cost, abs=1e-4)


def test_of_larger_graphs_it_is_an_edit_path_not_much_longer():
    rng = random.Random(5)
    found = [edits_between(plan_of(rng, 6), plan_of(rng, 6), 9) for _ in range(20)]
    assert all(edits >= exact.cost - 1e-4 for edits, exact in found)
    assert sum(edits for edits, _ in found) <= 1.15 * sum(exact.cost for _, exact in found)


def test_larger_graphs_in_nearly_their_own_order_are_matched():
    rng = random.Random(6)
    for _ in range(10):
        targets = graph_targets([plan_of(rng, 8)], TOOLS, 10)
        order = list(range(10))
        i = rng.randrange(9)
        order[i], order[i + 1] = order[i + 1], order[i]
        assert float(g2g_loss(certain(permuted(targets, order)), targets).value) < 1e-6


def test_the_value_bounds_the_expected_distance_from_above():
    """Graphs drawn from the latent distribution, their exact distances averaged."""
    rng = random.Random(2)
    generator = torch.Generator().manual_seed(2)
    targets = graph_targets([plan_of(rng, 3)], TOOLS, 4)
    latent = LatentGraphs(
        torch.randn(1, 4, 4, generator=generator, dtype=torch.float64),
        torch.randn(1, 4, 4, generator=generator, dtype=torch.float64),
    )
    term = g2g_loss(latent, targets)
    size = int((targets.labels > 0).sum() + targets.edges.sum())
    wanted = skeleton(plan_of(random.Random(2), 3))
    distances = []
    for _ in range(150):
        labels = torch.multinomial(latent.labels[0].softmax(-1), 1, generator=generator)[:, 0]
        drawn = (
            torch.rand(4, 4, generator=generator, dtype=torch.float64) < latent.edges[0].sigmoid()
        )
        picked = LatentGraphs(
            torch.nn.functional.one_hot(labels, 4)[None] * 9.0, (drawn * 2.0 - 1)[None]
        )
        distances.append(edit_distances([likeliest_graph(picked, 0, TOOLS)], [wanted])[0].cost)
    margin = 3 * np.std(distances) / len(distances) ** 0.5
    assert float(term.value) * size >= np.mean(distances) - margin
    assert term.surrogate >= term.value


def test_the_expected_edits_of_one_node_by_hand():
    """p(right label) and, with one slot more that holds a step with chance q, one deletion."""
    targets = graph_targets([Plan((Step("a", "track", {}),))], TOOLS, 2)
    labels = torch.tensor([[[0.1, 0.2, 0.6, 0.1], [0.7, 0.1, 0.1, 0.1]]], dtype=torch.float64).log()
    edges = torch.full((1, 2, 2), 0.25, dtype=torch.float64).logit()
    term = g2g_loss(LatentGraphs(labels, edges), targets)
    both = 0.9 * 0.3 * 0.25  # both are steps and an edge is drawn, in either direction
    assert float(term.value) == pytest.approx(0.4 + 0.3 + 2 * both)
    surrogate = -np.log(0.6) - np.log(0.7) - 2 * np.log(1 - both)
    assert float(term.surrogate) == pytest.approx(surrogate)


def test_derivatives_are_the_finite_differences():
    torch.manual_seed(3)
    targets = graph_targets([plan_of(random.Random(i), 3) for i in range(2)], TOOLS, 4)
    labels = torch.randn(2, 4, 4, dtype=torch.float64, requires_grad=True)
    edges = torch.randn(2, 4, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda a, b: g2g_loss(LatentGraphs(a, b), targets).surrogate, [labels, edges]
    )


def test_descending_the_surrogate_learns_the_graph():
    torch.manual_seed(4)
    last = Step("c", "cancel", {"x": "$a.id", "y": "$b.id"})
    plan = Plan((Step("a", "find", {}), Step("b", "find", {}), last))
    targets = graph_targets([plan], TOOLS, 5)
    labels, edges = (
        torch.randn(1, 5, 4, requires_grad=True),
        torch.randn(1, 5, 5, requires_grad=True),
    )
    optimiser = torch.optim.Adam([labels, edges], lr=0.2)
    for _ in range(60):
        optimiser.zero_grad()
        g2g_loss(LatentGraphs(labels, edges), targets).surrogate.backward()
        optimiser.step()
    found = likeliest_graph(LatentGraphs(labels, edges), 0, TOOLS)
    assert edit_distances([found], [skeleton(plan)])[0].cost == 0


def test_a_head_that_is_confidently_wrong_has_a_gradient():
    targets = graph_targets([Plan((Step("a", "find", {}),))], TOOLS, 2)
    wrong = certain(graph_targets([Plan((Step("a", "cancel", {}),))], TOOLS, 2), 30.0)
    labels = wrong.labels.requires_grad_()
    g2g_loss(LatentGraphs(labels, wrong.edges), targets).surrogate.backward()
    assert labels.grad.abs().max() == pytest.approx(1.0, abs=1e-3)


def test_exact_distances_are_networkxs():
    rng = random.Random(8)
    for _ in range(8):
        a, b = skeleton(plan_of(rng, rng.randint(0, 3))), skeleton(plan_of(rng, rng.randint(1, 3)))
        theirs = nx.graph_edit_distance(a, b, node_match=lambda x, y: x["tool"] == y["tool"])
        assert edit_distances([a], [b])[0].cost == theirs


def test_a_full_sized_match_ends_within_its_bound():
    rng = np.random.default_rng(0)
    costs = [rng.random((26, 26)) for _ in range(3)]
    found = match(*costs, rng.random((26, 26)) < 0.3, 26)
    assert sorted(found) == list(range(26))


def test_graphs_that_do_not_fit_are_refused():
    plan = Plan((Step("a", "find", {}), Step("b", "fly", {})))
    with pytest.raises(ObjectiveError, match="g2g_loss: plan 0 calls fly"):
        graph_targets([plan], TOOLS, 2)
    with pytest.raises(ObjectiveError, match="plan 0 has 2 steps; use at least that many slots"):
        graph_targets([plan], TOOLS, 1)
    targets = graph_targets([Plan((Step("a", "cancel", {}),))], TOOLS, 2)
    with pytest.raises(ShapeError, match="g2g_loss: latent graphs of shapes"):
        g2g_loss(LatentGraphs(torch.zeros(1, 3, 4), torch.zeros(1, 3, 3)), targets)
    with pytest.raises(ShapeError, match="label 3 of 3; give the head one label"):
        g2g_loss(LatentGraphs(torch.zeros(1, 2, 3), torch.zeros(1, 2, 2)), targets)
    with pytest.raises(ShapeError, match="assignment: costs of shapes"):
        match(np.ones((2, 2)), np.ones((2, 2)), np.full((2, 2), np.nan), np.ones((2, 2), bool), 2)
