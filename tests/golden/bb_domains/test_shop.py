"""The small domain's grammar, step grammars and drawing, and the JSON Schema of plan schemas.

Made again by `python tests/golden/bb_domains/test_shop.py`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import bb_domains
from bb_core.plan import Step, step_id
from bb_domains.compiler import PlanMachine
from bb_domains.domain import ARGUMENTS_FILE, GRAMMAR_FILE, load_domain, make_domain, save_domain
from bb_domains.grammar import step_grammar
from bb_domains.graph import domain_graph, dot_text
from bb_domains.openapi import import_openapi
from bb_domains.schema import json_schema, load_schema, schema_yaml

HERE = Path(__file__).parent
SHOP = HERE / "shop"
LIBRARY = HERE / "library"
PLAN_SCHEMA = Path(bb_domains.__file__).parent / "plan_schema.schema.json"

STEPS: list[tuple[str, dict[str, Any]]] = [
    ("login", {}),
    ("get_order", {"number": 1042}),
    ("find_customer", {"email": "ana@example.com"}),
    ("confirm", {"customer": "$c.id", "order": "$b.data.id"}),
]
BUDGETS = (600, 140)


def step_grammars() -> dict[str, str]:
    """By file name, the grammars after 0 to 4 steps with room and with little room."""
    machine = PlanMachine(load_schema(SHOP / "plan_schema.yaml"))
    states = [machine.initial()]
    for i, (tool, args) in enumerate(STEPS):
        states.append(machine.apply(states[-1], Step(step_id(i), tool, args)))
    return {
        f"step_{i}_{budget}.lark": step_grammar(machine, state, budget)
        for i, state in enumerate(states)
        for budget in BUDGETS
    }


def drawing() -> str:
    return dot_text(domain_graph(PlanMachine(load_schema(SHOP / "plan_schema.yaml"))))


def imported() -> str:
    return schema_yaml(import_openapi(LIBRARY / "openapi.yaml", LIBRARY / "overlay.yaml"))


def test_the_grammar_is_the_golden_one() -> None:
    # load_domain itself compares grammar.lark with what the schema gives today
    domain = load_domain(SHOP)
    assert domain.grammar == (SHOP / GRAMMAR_FILE).read_text()


def test_the_argument_schemas_are_the_golden_ones() -> None:
    schema = load_schema(SHOP / "plan_schema.yaml")
    golden = json.loads((SHOP / ARGUMENTS_FILE).read_text())
    assert {name: tool.plan_args() for name, tool in schema.tools.items()} == golden


@pytest.mark.parametrize(
    "name", [f"step_{i}_{budget}.lark" for i in range(5) for budget in BUDGETS]
)
def test_step_grammars_are_the_golden_ones(name: str) -> None:
    assert step_grammars()[name] == (SHOP / name).read_text()


def test_the_drawing_is_the_golden_one() -> None:
    assert drawing() == (SHOP / "graph.dot").read_text()


def test_an_import_with_overlay_is_the_golden_one() -> None:
    assert imported() == (LIBRARY / "plan_schema.yaml").read_text()


def test_editors_get_the_schema_of_today() -> None:
    assert json.loads(PLAN_SCHEMA.read_text()) == json_schema()


if __name__ == "__main__":
    PLAN_SCHEMA.write_text(json.dumps(json_schema(), indent=1) + "\n")
    save_domain(make_domain(load_schema(SHOP / "plan_schema.yaml")), SHOP)
    for name, text in step_grammars().items():
        (SHOP / name).write_text(text)
    (SHOP / "graph.dot").write_text(drawing())
    (LIBRARY / "plan_schema.yaml").write_text(imported())
