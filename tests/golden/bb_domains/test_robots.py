"""The robots domain: grammar, graph, plans with what becomes of them, refusals, one building.

Made again by `python tests/golden/bb_domains/test_robots.py`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bb_core.canonical import fingerprint
from bb_core.plan import Plan, Step, parse_plan, plan_text, rename_steps
from bb_domains import robots
from bb_domains.domain import make_domain
from bb_domains.errors import Inadmissible
from bb_domains.golden import check_golden
from bb_domains.graph import domain_graph, dot_text
from bb_domains.robots.drawing import svg_text
from bb_domains.robots.world import make_world
from bb_domains.simulation import SPLITS, try_plan

HERE = Path(__file__).parent / "robots"
DOMAIN = make_domain(robots.plan_schema())


def grammar() -> str:
    return DOMAIN.grammar


def graph() -> str:
    return dot_text(domain_graph(DOMAIN.machine))


def building() -> str:
    return svg_text(make_world(7, "rooms", "standard"))


def plans() -> str:
    """Two requests of each split, and the world after their plans."""
    rows = []
    for split in SPLITS:
        for request in robots.requests(split, 2, 11):
            simulator = robots.simulator(request)
            outcome = try_plan(simulator, request.plan)
            rows.append(
                {
                    "id": request.id,
                    "text": request.text,
                    "world": [request.seed, request.layout, request.policy],
                    "plan": json.loads(plan_text(request.plan)),
                    "done": outcome.done,
                    "robot": simulator.state()["robot"],
                    "after": fingerprint(simulator.state()),
                }
            )
    return _lines(rows)


def refusals() -> str:
    """One plan with each of its steps left out, and with neighbours swapped: what is said."""
    request = next(r for r in robots.requests("train", 40, 11) if len(r.plan.steps) >= 13)
    steps = request.plan.steps
    spoilt: list[tuple[str, tuple[Step, ...]]] = []
    for i in range(len(steps)):
        spoilt.append((f"without step {steps[i].id}", (*steps[:i], *steps[i + 1 :])))
    for i in range(len(steps) - 1):
        swapped = (*steps[:i], steps[i + 1], steps[i], *steps[i + 2 :])
        spoilt.append((f"{steps[i + 1].id} before {steps[i].id}", swapped))
    return _lines([{"plan": name, **_verdict(rename_steps(Plan(s)))} for name, s in spoilt])


def _verdict(plan: Plan) -> dict[str, Any]:
    state = DOMAIN.machine.initial()
    for step in plan.steps:
        try:
            state = DOMAIN.machine.apply(state, step)
        except Inadmissible as error:
            return {"step": error.step_id, "rule": error.rule, "repair": error.repair}
    return {"ends": DOMAIN.machine.can_end(state)}


def _lines(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


FILES: dict[str, Callable[[], str]] = {
    "grammar.lark": grammar,
    "graph.dot": graph,
    "building.svg": building,
    "plans.jsonl": plans,
    "refusals.jsonl": refusals,
}


@pytest.mark.parametrize("name", FILES)
def test_nothing_has_changed_its_meaning(name: str) -> None:
    assert FILES[name]() == (HERE / name).read_text()


def test_the_golden_plans_are_done() -> None:
    rows = [json.loads(line) for line in (HERE / "plans.jsonl").read_text().splitlines()]
    assert len(rows) == 2 * len(SPLITS)
    for row in rows:
        assert row["done"]
        assert _verdict(parse_plan(json.dumps(row["plan"]))) == {"ends": True}


def test_the_domain_means_what_its_golden_files_say() -> None:
    assert check_golden(DOMAIN, robots.SCHEMA.parent / "golden") == []


if __name__ == "__main__":
    for file, make in FILES.items():
        (HERE / file).write_text(make())
