from __future__ import annotations

from itertools import permutations, product

import networkx as nx
from hypothesis import given
from hypothesis import strategies as st

from bb_core.ged import graph_edit_distance
from bb_core.plan import Plan, Step, plan_graph, rename_steps, step_id, substitute


@st.composite
def graphs(draw: st.DrawFn, max_steps: int = 4) -> nx.DiGraph:
    """Graphs of small plans, with few labels so that many nodes look alike."""
    steps = []
    for i in range(draw(st.integers(0, max_steps))):
        args = {"n": draw(st.integers(0, 1))}
        after = []
        for j in range(i):
            choice = draw(st.integers(0, 5))
            if choice == 0:
                args[f"r{len(args)}"] = f"${step_id(j)}.id"
            elif choice == 1:
                after.append(step_id(j))
        steps.append(Step(step_id(i), draw(st.sampled_from("pq")), args, tuple(after)))
    return plan_graph(Plan(tuple(steps)))


def label(graph: nx.DiGraph, node: str) -> tuple[str, str]:
    """Tool and arguments with the steps of references blanked."""
    data = graph.nodes[node]
    return data["tool"], str(sorted(substitute(data["args"], dict.fromkeys(graph, "_")).items()))


def brute_force(g1: nx.DiGraph, g2: nx.DiGraph) -> int:
    """The least cost over every injective partial mapping of g1's nodes into g2's."""
    ours, theirs = list(g1), list(g2)
    best = g1.size() + g2.size() + len(ours) + len(theirs)
    for kept in product([False, True], repeat=len(ours)):
        sources = [node for node, keep in zip(ours, kept, strict=True) if keep]
        for targets in permutations(theirs, len(sources)):
            image = dict(zip(sources, targets, strict=True))
            cost = len(ours) + len(theirs) - 2 * len(sources)
            cost += sum(label(g1, node) != label(g2, image[node]) for node in sources)
            matched = 0
            for (u, v), data in g1.edges.items():
                if u in image and v in image and g2.has_edge(image[u], image[v]):
                    matched += 1
                    cost += data != g2.edges[image[u], image[v]]
            best = min(best, cost + g1.size() + g2.size() - 2 * matched)
    return best


@given(graphs(), graphs())
def test_equals_the_least_cost_over_all_mappings(g1: nx.DiGraph, g2: nx.DiGraph) -> None:
    assert graph_edit_distance(g1, g2) == brute_force(g1, g2)


@given(graphs(6), graphs(6))
def test_zero_means_isomorphic(g1: nx.DiGraph, g2: nx.DiGraph) -> None:
    for graph in (g1, g2):
        for node in graph:
            graph.nodes[node]["label"] = label(graph, node)
    same = nx.is_isomorphic(
        g1, g2, node_match=lambda a, b: a["label"] == b["label"], edge_match=dict.__eq__
    )
    assert (graph_edit_distance(g1, g2) == 0) == same


@given(graphs(), graphs(), graphs())
def test_is_a_metric(g1: nx.DiGraph, g2: nx.DiGraph, g3: nx.DiGraph) -> None:
    assert graph_edit_distance(g1, g1) == 0
    assert graph_edit_distance(g1, g2) == graph_edit_distance(g2, g1)
    assert graph_edit_distance(g1, g3) <= graph_edit_distance(g1, g2) + graph_edit_distance(g2, g3)


def test_renamed_plans_are_at_distance_zero() -> None:
    plan = Plan((Step("first", "p", {"n": 1}), Step("then", "q", {"x": "$first.id"}, ("first",))))
    assert graph_edit_distance(plan_graph(plan), plan_graph(rename_steps(plan))) == 0
