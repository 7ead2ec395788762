"""The call-graph head learns the graphs of api_json's plans from the states of a tiny base."""

import re
from zlib import crc32

import pytest
import torch

from bb_domains.domain import load_domain
from bb_domains.kit import make_requests
from bb_nn.call_graph import CallGraphHead, likeliest
from bb_train.contradictions import graph_rules
from bb_train.objectives.graphs import (
    GraphTargets,
    LatentGraphs,
    edit_distances,
    g2g_loss,
    graph_targets,
    skeleton,
)

SLOTS, HELD_OUT, WORDS = 6, 40, 1024


@pytest.fixture(scope="module")
def domain():
    return load_domain("api_json")


@pytest.fixture(scope="module")
def rules(domain):
    return graph_rules(domain.schema, SLOTS)


@pytest.fixture(scope="module")
def data(domain, rules):
    """States of a random base of width 48 after the requests' words, and the plans."""
    from transformers import LlamaConfig, LlamaModel

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=WORDS, hidden_size=48, intermediate_size=64, num_hidden_layers=1,
        num_attention_heads=2, num_key_value_heads=2,
    )  # fmt: skip
    base = LlamaModel(config)
    made = [r for r in make_requests(domain, "train", 700, 3) if len(r.plan.steps) <= SLOTS]
    texts = [[crc32(w.encode()) % WORDS for w in re.findall(r"[a-z]+|@", r.text)] for r in made]
    longest = max(map(len, texts))
    ids, present = torch.zeros(len(made), longest).long(), torch.zeros(len(made), longest).bool()
    for row, text in enumerate(texts):
        ids[row, : len(text)], present[row, : len(text)] = torch.tensor(text), True
    with torch.no_grad():
        states = base(ids, attention_mask=present.long()).last_hidden_state
    plans = [r.plan for r in made]
    return states, present, plans, graph_targets(plans, rules.tools, SLOTS)


class Rail(torch.nn.Module):
    """A recurrent layer over the base's states, with the head on top."""

    def __init__(self, rules):
        super().__init__()
        self.mix = torch.nn.GRU(48, 48, batch_first=True)
        self.head = CallGraphHead(48, rules, rank=24)

    def forward(self, states, present, columns):
        return self.head(self.mix(states)[0], present, columns)


def part(targets, rows):
    return GraphTargets(targets.labels[rows], targets.edges[rows])


def graphs(rail, data, rows, back=1):
    states, present = data[0][rows], data[1][rows]
    latent = rail(states, present, present.sum(1, keepdim=True) - back).at(slice(None), 0)
    return latent, LatentGraphs(latent.labels, latent.edges)


def frequencies(targets, rules):
    """The best that can be said of a graph without looking: how often each slot holds what."""
    kinds = torch.nn.functional.one_hot(targets.labels, len(rules.tools) + 1).float().mean(0)
    edges = targets.edges.float().mean(0).clamp(1e-3, 1 - 1e-3)
    return LatentGraphs((kinds + 1e-3).log()[None], edges.logit()[None])


def test_the_gradient_reaches_the_rail(data, rules):
    rail = Rail(rules)
    rows = torch.arange(8)
    g2g_loss(graphs(rail, data, rows)[1], part(data[3], rows)).surrogate.backward()
    for name, parameter in rail.named_parameters():
        assert bool(torch.isfinite(parameter.grad).all()), name
        assert bool(parameter.grad.any()) or name.startswith("head.query"), name


@pytest.mark.slow
def test_it_learns_the_graphs_of_plans(data, rules):
    torch.manual_seed(1)
    rail = Rail(rules)
    optimiser = torch.optim.Adam(rail.parameters(), lr=5e-3)
    order = torch.Generator().manual_seed(1)
    n = len(data[2]) - HELD_OUT
    for _ in range(250):
        rows = torch.randperm(n, generator=order)[:24]
        optimiser.zero_grad()
        g2g_loss(graphs(rail, data, rows)[1], part(data[3], rows)).surrogate.backward()
        optimiser.step()
    rows = torch.arange(n, len(data[2]))
    with torch.no_grad():
        latent, found = graphs(rail, data, rows)
        learned = float(g2g_loss(found, part(data[3], rows)).value)
    guess = frequencies(part(data[3], slice(0, n)), rules)
    spread = LatentGraphs(*(t.expand(HELD_OUT, *t.shape[1:]) for t in (guess.labels, guess.edges)))
    assert learned < 0.6 * float(g2g_loss(spread, part(data[3], rows)).value)
    wanted = [skeleton(plan) for plan in data[2][n:]]
    decoded = [likeliest(latent.at(row), rules) for row in range(HELD_OUT)]
    first = [decoded[0]] * HELD_OUT
    cost = [sum(d.cost for d in edit_distances(some, wanted)) for some in (decoded, first)]
    assert cost[0] < 0.6 * cost[1]
