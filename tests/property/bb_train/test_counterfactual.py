"""Counterfactual execution: what a graph earns, and what trying plans leaves behind."""

import random
from dataclasses import replace

import networkx as nx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bb_core.plan import Plan, Step, rename_steps
from bb_domains.domain import load_domain
from bb_domains.kit import make_requests, make_simulator
from bb_runtime.check import Certificate
from bb_runtime.errors import ExecutionRefused
from bb_train.contradictions import contradictions, graph_rules
from bb_train.counterfactual import Arena, CounterfactualError, Prices, decision_loss
from bb_train.objectives.errors import ShapeError
from bb_train.objectives.graphs import skeleton

SEEDS = st.integers(0, 2**31)


@pytest.fixture(scope="module")
def domain():
    return load_domain("api_json")


@pytest.fixture(scope="module")
def request_(domain):
    """One with two goals on two objects."""
    made = make_requests(domain, "train", 40, 0)
    return next(
        r for r in made if {"set_priority", "cancel_order"} <= {s.tool for s in r.plan.steps}
    )


@pytest.fixture(scope="module")
def arena(domain, request_):
    return Arena(domain, request_, make_simulator(domain, request_))


@pytest.fixture(scope="module")
def others(domain, request_):
    return contradictions(domain, request_.plan, skeleton(request_.plan))


def random_graph(seed, tools):
    rng = random.Random(seed)
    graph = nx.DiGraph()
    for i in range(rng.randint(0, 6)):
        graph.add_node("abcdef"[i], tool=rng.choice(tools), args={})
        for j in range(i):
            if rng.random() < 0.3:
                graph.add_edge("abcdef"[j], "abcdef"[i], kind="edge", uses=())
    return graph


@settings(max_examples=30)
@given(SEEDS)
def test_a_fake_graph_never_earns_more_than_an_honest_one(domain, arena, request_, others, seed):
    chosen = random.Random(seed).choice([*others, request_.plan])
    honest = arena.judge(chosen, skeleton(Plan(arena.run(chosen).made)), others)
    fake = arena.judge(chosen, random_graph(seed, tuple(domain.schema.tools)), others)
    assert honest.mismatch == 0 and 0 <= fake.mismatch <= 1
    assert fake.reward <= honest.reward
    assert (fake.reward < honest.reward) == (fake.mismatch > 0)


@settings(max_examples=15)
@given(SEEDS)
def test_the_order_of_alternatives_does_not_matter(arena, request_, others, seed):
    shuffled = list(others)
    random.Random(seed).shuffle(shuffled)
    graph = skeleton(request_.plan)
    first, second = (arena.judge(request_.plan, graph, some) for some in (others, shuffled))
    assert (first.reward, first.margin) == (second.reward, second.margin)


def test_a_plan_that_an_alternative_equals_earns_nothing(arena, request_, others):
    graph = skeleton(request_.plan)
    assert arena.judge(request_.plan, graph, [*others, request_.plan]).reward == 0


def test_a_graph_that_says_what_the_plan_is_good_for_earns(arena, request_, others):
    found = arena.judge(request_.plan, skeleton(request_.plan), others)
    assert found.chosen.goals == 1 and found.reward > 0.2
    assert {run.refused for run in found.alternatives} > {""}
    ran = [run for run in found.alternatives if not run.refused]
    assert all(run.goals < 1 for run in ran)


def test_a_goal_left_out_and_a_change_nobody_asked_for_cost(domain, arena, request_):
    order = next(s for s in request_.plan.steps if s.tool == "get_order")
    level = next(s for s in request_.plan.steps if s.tool == "set_priority")
    wrong = "express" if level.args["level"] != "express" else "overnight"
    steps = (Step("a", "login", {}), replace(order, id="b"),
             Step("c", "set_priority", {"order": "$b.id", "level": wrong}))  # fmt: skip
    run = arena.run(rename_steps(Plan(steps)))
    assert run.refused == "" and run.goals < 1 and run.incidents > 0
    assert run.score < arena.run(request_.plan).score - arena.prices.incident
    assert run.cost == sum(domain.schema.tools[s.tool].cost for s in steps)


def test_the_world_is_as_it_was_and_a_refused_plan_runs_nowhere(domain, request_, others):
    calls = []

    class Spied:
        """The world, with its copies' calls noted down."""

        def __init__(self, world):
            self.world = world

        def call(self, tool, args, idempotency_key=None):
            calls.append(tool)
            return self.world.call(tool, args, idempotency_key)

        def state(self):
            return self.world.state()

        def incidents(self):
            return self.world.incidents()

        def copy(self):
            return Spied(self.world.copy())

    world = make_simulator(domain, request_)
    before = world.state(), world.incidents()
    arena = Arena(domain, request_, Spied(world))
    calls.clear()
    refused = [plan for plan in others if arena.run(plan).refused]
    calls.clear()
    for plan in refused:
        run = arena.run(Plan(tuple(plan.steps)))
        assert run.made == () and run.score < 0
    assert refused and not calls
    arena.judge(request_.plan, skeleton(request_.plan), others)
    assert (world.state(), world.incidents()) == before


def test_a_simulator_whose_copies_share_is_found_out(domain, request_):
    class Shared:
        def __init__(self, world):
            self.world = world
            self.call, self.state, self.incidents = world.call, world.state, world.incidents

        def copy(self):
            return self.world.copy() if not hasattr(self, "asked") else self

    world = Shared(make_simulator(domain, request_))
    arena = Arena(domain, request_, world)
    world.asked = True
    with pytest.raises(CounterfactualError, match="domain api_json: a run in a copy changed the"):
        arena.run(request_.plan)


def test_nothing_runs_without_the_checkers_certificate(domain, arena, request_):
    world = make_simulator(domain, request_)
    before = world.state()
    forged = Certificate("0" * 64, domain.fingerprint, (), "0" * 64, "0" * 64)
    with pytest.raises(ExecutionRefused, match="not made by the checker of this process"):
        arena._carried(world, request_.plan, forged)
    assert world.state() == before


def test_two_arenas_agree_to_the_bit(domain, request_, others, arena):
    again = Arena(domain, request_, make_simulator(domain, request_))
    graph = skeleton(request_.plan)
    assert again.judge(request_.plan, graph, others) == arena.judge(request_.plan, graph, others)


def test_contradictions_contradict(domain, request_, others):
    honest = skeleton(request_.plan)
    for plan in others:
        graph = skeleton(plan)
        assert dict(graph.nodes(data="tool")) != dict(honest.nodes(data="tool")) or set(
            graph.edges
        ) != set(honest.edges)
    assert len(others) > 4
    assert contradictions(domain, request_.plan, nx.DiGraph()) == ()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["robots", "phone", "social"])
def test_every_domain_says_what_its_plans_are_good_for(name):
    """Of contradictions that run, most do worse than the request's own plan; worlds stay."""
    other = load_domain(name)
    worse = ran = 0
    for request in make_requests(other, "train", 4, 2):
        world = make_simulator(other, request)
        before = world.state(), world.incidents()
        made = Arena(other, request, world)
        own = made.run(request.plan)
        runs = [made.run(p) for p in contradictions(other, request.plan, skeleton(request.plan))]
        ran += sum(not run.refused for run in runs)
        worse += sum(run.score < own.score for run in runs if not run.refused)
        assert own.goals == 1 and own.unasked == own.incidents == 0
        assert (world.state(), world.incidents()) == before
    assert ran > 3 and worse > 0.6 * ran


def test_rules_of_a_domains_graphs(domain):
    rules = graph_rules(domain.schema)
    assert rules.slots == 14 and rules.arity[rules.tools.index("cancel_order")] == 1
    order = next(limit for limit in rules.at_most if rules.tools.index("get_order") in limit.tools)
    assert order.steps == 6 and order.tools == {rules.tools.index("get_order")}


def test_what_cannot_be_compared_is_refused(domain, arena, request_):
    with pytest.raises(CounterfactualError, match="no alternative; give the base rail's plan"):
        arena.judge(request_.plan, nx.DiGraph(), [])
    with pytest.raises(CounterfactualError, match="prices: .*use 0 or more"):
        Prices(incident=-1)
    bad = replace(request_, plan=Plan(request_.plan.steps[:2]))
    with pytest.raises(CounterfactualError, match=f"request {bad.id}: its own plan does not run"):
        Arena(domain, bad, make_simulator(domain, request_))


# -- decision_loss -----------------------------------------------------------------------------


def slope(chances, scores, temperature):
    chances = chances.clone().requires_grad_()
    term = decision_loss(chances, scores, temperature)
    term.surrogate.backward()
    return term, chances.grad


def test_where_all_plans_do_equally_well_nothing_moves():
    term, grad = slope(torch.tensor([[0.0, -3.0, 2.0]]), torch.full((1, 3), 0.7), 0.05)
    assert float(term.value) == pytest.approx(0, abs=1e-6) and grad.abs().max() < 1e-6


@given(SEEDS)
def test_hot_it_is_the_score_function_summed_over_the_plans_tried(seed):
    generator = torch.Generator().manual_seed(seed)
    chances, scores = (torch.randn(2, 4, generator=generator, dtype=torch.float64) for _ in "ab")
    _, grad = slope(chances, scores, 1e4)
    q = chances.softmax(-1)
    rewards = scores - scores.max(-1, keepdim=True).values  # any baseline
    by_hand = -(q * (rewards - (q * rewards).sum(-1, keepdim=True))) / len(q)
    assert torch.allclose(grad, by_hand, atol=1e-3)


def test_a_model_that_is_sure_of_a_bad_plan_is_moved():
    chances, scores = torch.tensor([[0.0, -12.0]]), torch.tensor([[0.0, 1.0]])
    _, cold = slope(chances, scores, 0.05)
    _, hot = slope(chances, scores, 1e4)
    assert cold[0, 0] > 0.04 and hot[0, 0] < 1e-4


def test_descending_it_finds_the_best_plan_and_regret_vanishes():
    chances = torch.zeros(1, 3, requires_grad=True)
    scores = torch.tensor([[0.2, 0.9, -0.5]])
    for _ in range(60):
        (grad,) = torch.autograd.grad(decision_loss(chances, scores).surrogate, chances)
        with torch.no_grad():
            chances -= 50 * grad
    assert float(decision_loss(chances, scores).value) < 0.01


def test_plans_that_are_none_do_not_count():
    chances = torch.tensor([[0.3, -0.2, -torch.inf]])
    scores = torch.tensor([[0.1, 0.4, 9.0]])
    term, grad = slope(chances, scores, 0.05)
    alone, own = slope(chances[:, :2], scores[:, :2], 0.05)
    assert torch.equal(term.value, alone.value) and torch.allclose(grad[:, :2], own)
    assert grad[0, 2] == 0


def test_losses_that_cannot_be_are_refused():
    with pytest.raises(ShapeError, match="decision_loss: log-chances"):
        decision_loss(torch.zeros(2, 3), torch.zeros(2, 2))
    with pytest.raises(CounterfactualError, match="decision_loss: temperature 0, 0 requests"):
        decision_loss(torch.zeros(2, 3), torch.zeros(2, 3), 0)
    with pytest.raises(CounterfactualError, match="1 requests without a plan"):
        decision_loss(torch.tensor([[0.0], [-torch.inf]]), torch.zeros(2, 1))
