"""Real OpenAPI files: each imports, and whatever a mask lets through is valid for its operation.

The decoder here has no model at all: each byte is drawn uniformly from what the mask allows.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from bb_domains.domain import Domain, load_domain, make_domain, save_domain
from bb_domains.grammar import parse_with_lark
from bb_domains.openapi import import_openapi
from bb_domains.validate import is_valid

TOOLS = {
    "api-with-examples": 2,
    "link-example": 6,
    "petstore-expanded": 4,
    "petstore": 3,
    "swagger-petstore": 19,
    "uspto": 3,
}


@pytest.mark.parametrize("name", TOOLS)
def test_a_real_file_imports(data_dir: Path, tmp_path: Path, name: str) -> None:
    domain = make_domain(import_openapi(data_dir / "openapi" / f"{name}.yaml"))
    assert len(domain.schema.tools) == TOOLS[name]
    admissible = domain.machine.admissible(domain.machine.initial())
    assert [call.tool for call in admissible] == list(domain.schema.tools)
    save_domain(domain, tmp_path / name)
    assert load_domain(tmp_path / name).fingerprint == domain.fingerprint


@pytest.mark.parametrize("name", TOOLS)
def test_random_plans_are_valid(walker: Any, data_dir: Path, name: str) -> None:
    domain = make_domain(import_openapi(data_dir / "openapi" / f"{name}.yaml"))
    check_decodes(walker, domain, random.Random(name), [0, 3, 40, 200], n=50)


@pytest.mark.parametrize("name", TOOLS)
def test_random_calls_of_each_operation_are_valid(walker: Any, data_dir: Path, name: str) -> None:
    schema = import_openapi(data_dir / "openapi" / f"{name}.yaml")
    for tool, declared in schema.tools.items():
        alone = make_domain(schema.model_copy(update={"tools": {tool: declared}}))
        check_decodes(walker, alone, random.Random(tool), [0, 30, 1500], n=6)


@pytest.mark.slow
@pytest.mark.parametrize("name", TOOLS)
def test_two_hundred_calls_of_each_operation_are_valid(
    walker: Any, data_dir: Path, name: str
) -> None:
    schema = import_openapi(data_dir / "openapi" / f"{name}.yaml")
    for tool, declared in schema.tools.items():
        alone = make_domain(schema.model_copy(update={"tools": {tool: declared}}))
        check_decodes(walker, alone, random.Random(tool), [0, 30, 300, 3000], n=200)


def check_decodes(
    walker: Any, domain: Domain, rng: random.Random, extra: list[int], n: int
) -> None:
    """Plans with at most so many more bytes than the shortest are sentences, and valid."""
    least = domain.machine.completion(domain.machine.initial())
    assert least is not None
    for i in range(n):
        budget = least[1] + extra[i % len(extra)]
        text = walker.plan(domain.machine, budget, rng)
        assert len(text) <= budget
        parse_with_lark(domain.grammar, text)
        for step in json.loads(text)["plan"]:
            assert is_valid(step["args"], domain.schema.tools[step["tool"]].plan_args())
