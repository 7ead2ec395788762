from __future__ import annotations

import pytest

from bb_core.ged import EXACT_NODES, graph_edit_distance, search_edit_distance
from bb_core.plan import Plan, Step, plan_graph, step_id

LOGIN, LOOK_UP = Step("a", "login"), Step("b", "get_order", {"number": 1042})
REFUND = Step("c", "refund_order", {"order": "$b.id", "amount": 25.5})


def distance(first: list[Step], second: list[Step]) -> float:
    return graph_edit_distance(plan_graph(Plan(tuple(first))), plan_graph(Plan(tuple(second))))


@pytest.mark.parametrize(
    ("other", "cost"),
    [
        ([LOGIN, LOOK_UP, REFUND], 0),
        ([Step("x", "login"), Step("y", "get_order", {"number": 1042}),
          Step("z", "refund_order", {"amount": 25.5, "order": "$y.id"})], 0),  # only renamed
        ([LOOK_UP, LOGIN, REFUND], 0),  # written in another order
        ([LOGIN, LOOK_UP, Step("c", "refund_order", {"order": "$b.id", "amount": 26})], 1),
        ([LOGIN, LOOK_UP, Step("c", "cancel_order", {"order": "$b.id", "amount": 25.5})], 1),
        ([LOGIN, LOOK_UP], 2),  # a node and its edge
        ([LOGIN, LOOK_UP, Step("c", REFUND.tool, REFUND.args, ("a",))], 1),  # an edge
        ([LOGIN, LOOK_UP, Step("c", "refund_order", {"order": "$a.id", "amount": 25.5})], 2),
        ([LOGIN, LOOK_UP, Step("c", "refund_order", {"order": "$b.key", "amount": 25.5})], 2),
        ([], 4),
    ],
)  # fmt: skip
def test_known_distances(other: list[Step], cost: float) -> None:
    assert distance([LOGIN, LOOK_UP, REFUND], other) == cost
    assert distance(other, [LOGIN, LOOK_UP, REFUND]) == cost


def test_swapped_references_are_an_edit() -> None:
    sources = [Step("a", "find", {"n": 1}), Step("b", "find", {"n": 2})]
    merge = Step("c", "merge", {"into": "$a.id", "from": "$b.id"})
    swapped = Step("c", "merge", {"into": "$b.id", "from": "$a.id"})
    assert distance([*sources, merge], [*sources, swapped]) == 2


def chain(n_steps: int, tools: str) -> Plan:
    """A chain of steps whose tools repeat."""
    return Plan(
        tuple(
            Step(step_id(i), tools[i % len(tools)], {"x": f"${step_id(i - 1)}.id"} if i else {})
            for i in range(n_steps)
        )
    )


def test_small_graphs_are_always_searched_to_the_end() -> None:
    first = plan_graph(chain(EXACT_NODES, "pq"))
    second = plan_graph(Plan(tuple(Step(step_id(i), "qrp"[i % 3]) for i in range(EXACT_NODES))))
    assert search_edit_distance(first, second, max_expansions=1).exact


def test_large_graphs_stop_at_the_limit_with_an_upper_bound() -> None:
    first, second = plan_graph(chain(12, "pqr")), plan_graph(chain(12, "rqppq"))
    limited = search_edit_distance(first, second, max_expansions=20)
    longer = search_edit_distance(first, second, max_expansions=400)
    assert (limited.exact, limited.expansions) == (False, 20)
    assert limited.cost >= longer.cost
    assert limited == search_edit_distance(first, second, max_expansions=20)


def test_large_plans_that_resemble_each_other_are_exact() -> None:
    first, second = chain(20, "pqrs"), list(chain(20, "pqrs").steps)
    second[7] = Step(second[7].id, "other", second[7].args)
    result = search_edit_distance(plan_graph(first), plan_graph(Plan(tuple(second))))
    assert (result.cost, result.exact) == (1, True)
