"""The call-graph head: a distribution over acyclic graphs, and exactly its likeliest one."""

import itertools
import math

import networkx as nx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bb_core.plan import STEP_IDS
from bb_nn.call_graph import (
    NEVER,
    AtMost,
    CallGraphError,
    CallGraphHead,
    GraphRules,
    LatentDag,
    likeliest,
)

RULES = GraphRules(("find", "link", "stop"), (0, 2, 1), 3)
SEEDS = st.integers(0, 2**31)


def latent_of(seed, rules=RULES, sharp=3.0):
    """A random head, made sharper, on random states: one graph."""
    torch.manual_seed(seed)
    head = CallGraphHead(6, rules, rank=4).double()
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.mul_(sharp)
    head.float()
    states = torch.randn(1, 5, 6)
    with torch.no_grad():
        found = head(states, torch.ones(1, 5, dtype=torch.bool), torch.tensor([[4]]))
    return found.at(0, 0)


def every_graph(latent, rules):
    """(log-chance, tools, references) of every value of all variables."""
    for n in range(rules.slots + 1):
        for tools in itertools.product(range(len(rules.tools)), repeat=n):
            free = [
                range(slot + 1) for slot, tool in enumerate(tools) for _ in range(rules.arity[tool])
            ]
            for meant in itertools.product(*free):
                score, at = float(latent.count[n]), 0
                refs = []
                for slot, tool in enumerate(tools):
                    score += float(latent.tools[slot, tool])
                    own = meant[at : at + rules.arity[tool]]
                    at += len(own)
                    score += sum(float(latent.references[slot, a, r]) for a, r in enumerate(own))
                    refs.append(own)
                yield score, tools, refs


def as_graph(tools, refs, rules):
    graph = nx.DiGraph()
    for slot, tool in enumerate(tools):
        graph.add_node(STEP_IDS[slot], tool=rules.tools[tool])
        for target in refs[slot]:
            if target:
                graph.add_edge(STEP_IDS[target - 1], STEP_IDS[slot])
    return graph


def same(first, second):
    return dict(first.nodes(data="tool")) == dict(second.nodes(data="tool")) and set(
        first.edges
    ) == set(second.edges)


@settings(max_examples=20)
@given(SEEDS)
def test_chances_of_all_graphs_sum_to_one_and_marginals_are_theirs(seed):
    rules = GraphRules(RULES.tools, RULES.arity, 2)
    latent = latent_of(seed, rules)
    total, labels, edge, both = 0.0, torch.zeros(2, 4), 0.0, 0.0
    for score, tools, refs in every_graph(latent, rules):
        p = math.exp(score)
        total += p
        for slot in range(2):
            labels[slot, tools[slot] + 1 if slot < len(tools) else 0] += p
        if len(tools) == 2:
            both += p
            edge += p * (1 in refs[1])
    assert total == pytest.approx(1, abs=1e-4)
    assert torch.allclose(latent.labels.exp(), labels, atol=1e-4)
    assert float(latent.edges[0, 1].sigmoid()) * both == pytest.approx(edge, abs=1e-4)


@settings(max_examples=20)
@given(SEEDS, st.integers(0, 2), st.integers(0, 3))
def test_the_likeliest_graph_is_the_best_of_all_that_the_limits_allow(seed, few, many):
    limits = (AtMost(frozenset({0}), few), AtMost(frozenset({0, 1}), many))
    rules = GraphRules(RULES.tools, RULES.arity, 3, limits)
    latent = latent_of(seed, rules)
    allowed = [
        found
        for found in every_graph(latent, rules)
        if all(sum(t in limit.tools for t in found[1]) <= limit.steps for limit in limits)
    ]
    _, tools, refs = max(allowed, key=lambda found: found[0])
    assert same(likeliest(latent, rules), as_graph(tools, refs, rules))


@settings(max_examples=20)
@given(SEEDS)
def test_graphs_are_acyclic_whatever_the_weights(seed):
    latent = latent_of(seed, sharp=10.0)
    assert nx.is_directed_acyclic_graph(likeliest(latent, RULES))
    backwards = torch.ones(3, 3, dtype=torch.bool).tril()
    assert bool((latent.edges[backwards] == NEVER).all())
    assert bool(torch.isfinite(latent.edges).all() and torch.isfinite(latent.labels).all())


@settings(max_examples=20)
@given(SEEDS, st.permutations(range(2)))
def test_what_unused_slots_hold_does_not_matter(seed, order):
    """A plan of one step; what slots 1 and 2 would have held is exchanged."""
    latent = latent_of(seed)
    count = torch.tensor([-50.0, 0.0, -50.0, -50.0])
    swap = [0, *(1 + k for k in order)]
    other = LatentDag(count, latent.tools[swap], latent.references, latent.labels, latent.edges)
    mine = LatentDag(count, latent.tools, latent.references, latent.labels, latent.edges)
    assert same(likeliest(mine, RULES), likeliest(other, RULES))
    assert len(likeliest(mine, RULES)) == 1


def test_a_position_sees_what_is_before_it_and_no_padding():
    torch.manual_seed(0)
    head = CallGraphHead(6, RULES, rank=4)
    states = torch.randn(2, 7, 6)
    present = torch.ones(2, 7, dtype=torch.bool)
    present[1, :2] = False
    columns = torch.tensor([[3, 6], [4, 6]])
    first = head(states, present, columns)
    changed = states.clone()
    changed[:, 5:] += torch.randn(2, 2, 6)
    changed[1, :2] += torch.randn(2, 6)
    second = head(changed, present, columns)
    assert torch.equal(first.labels[:, 0], second.labels[:, 0])
    assert not torch.allclose(first.labels[:, 1], second.labels[:, 1])


def test_in_bfloat16_chances_are_float32_and_nearly_the_same():
    torch.manual_seed(0)
    head = CallGraphHead(6, RULES, rank=8)
    given = torch.randn(1, 5, 6), torch.ones(1, 5, dtype=torch.bool), torch.tensor([[2, 4]])
    wide = head(*given)
    narrow = head.to(torch.bfloat16)(given[0].to(torch.bfloat16), *given[1:])
    assert narrow.labels.dtype == torch.float32
    assert torch.allclose(narrow.labels, wide.labels, atol=0.1)
    narrow.edges.sum().backward()


def test_a_longer_plan_costs_no_parameters():
    sizes = [
        sum(
            p.numel()
            for p in CallGraphHead(96, GraphRules(RULES.tools, RULES.arity, k)).parameters()
        )
        for k in (2, 26)
    ]
    assert sizes[0] == sizes[1] < 25_000


def test_heads_that_cannot_be_are_refused():
    with pytest.raises(CallGraphError, match="call graph: 2 tools, arities"):
        GraphRules(("a", "b"), (1,))
    with pytest.raises(CallGraphError, match="27 slots; give an arity .* 1 to 26 slots"):
        GraphRules(("a",), (1,), 27)
    with pytest.raises(CallGraphError, match=r"at most 1 of tools \[1\]; use .* from 0 to 0"):
        GraphRules(("a",), (1,), 2, (AtMost(frozenset({1}), 1),))
    head = CallGraphHead(4, RULES)
    with pytest.raises(CallGraphError, match="call graph: states .* give .B, T, D."):
        head(torch.zeros(1, 2, 4), torch.ones(1, 3, dtype=torch.bool), torch.zeros(1, 1).long())
