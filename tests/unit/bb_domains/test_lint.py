"""What looks like a mistake."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bb_domains.domain import load_domain, make_domain
from bb_domains.lint import lint
from bb_domains.schema import PlanSchema, parse_schema, schema_data


def findings(schema: PlanSchema) -> str:
    return "\n".join(f"{f.where}: {f.what}" for f in lint(make_domain(schema)))


def test_a_sound_domain_has_few_findings(shop: PlanSchema) -> None:
    assert "never" not in findings(shop)
    assert "fluents" not in findings(shop)


@pytest.mark.parametrize(
    ("section", "value", "message"),
    [
        ("fluents", {"f": []}, "fluents.f: no tool sets it"),
        ("objects", {"thing": {"slots": 1}}, "objects.thing: no tool binds it"),
        ("tools", {"never": {"pre": "false"}}, "tools.never.pre: it is never admissible"),
        ("tools", {"hello": {"effect": "write"}}, "hello: writes without an idempotency key"),
        ("tools", {"hello": {}}, "hello: no operation"),
    ],
)
def test_findings(shop: PlanSchema, section: str, value: Any, message: str) -> None:
    data = schema_data(shop)
    data[section] = {**data[section], **value}
    place, what = message.split(": ")
    lines = findings(parse_schema(data)).splitlines()
    assert any(place in line and what in line for line in lines)


def test_a_fluent_nobody_reads_is_found(shop: PlanSchema) -> None:
    data = schema_data(shop)
    data["fluents"]["said"] = []
    data["tools"]["login"]["effects"].append("said")
    assert "fluents.said: no precondition or invariant asks for it" in findings(parse_schema(data))


def test_an_object_nobody_takes_is_found(shop: PlanSchema) -> None:
    data = schema_data(shop)
    data["objects"]["page"] = {"slots": 1}
    data["tools"]["open"] = {"binds": {"object": "page"}}
    assert "objects.page: no tool takes a handle of it, and graph" in findings(parse_schema(data))


def test_a_domain_without_plans_is_found() -> None:
    schema = parse_schema({"domain": "d", "tools": {"t": {"pre": "false"}}})
    assert "graph: no plan can be completed" in findings(schema)


def test_a_tool_dearer_than_any_plan_is_found_where_it_is_written(tmp_path: Path) -> None:
    schema = tmp_path / "plan_schema.yaml"
    text = "domain: d\nlimits: {max_cost: 8}\ntools:\n  a: {cost: 8}\n  b:\n    cost: 9\n"
    schema.write_text(text)
    found = [f for f in lint(load_domain(tmp_path)) if "max_cost" in f.what]
    assert [(f.where, f.what) for f in found] == [
        (
            f"{schema}:6:5: tools.b.cost",
            "9 is above limits.max_cost, 8, so it can never be called",
        )
    ]
    schema.write_text(text.replace("max_cost: 8", "max_steps: 8"))
    assert not any("max_cost" in f.what for f in lint(load_domain(tmp_path)))
