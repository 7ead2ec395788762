"""Real OpenAPI files: whatever the untuned base rail writes under the masks is a valid plan.

Validation is by jsonschema alone, so that it shares nothing with the masks or the checker.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bb_domains.domain import Domain, make_domain
from bb_domains.openapi import import_openapi
from bb_domains.validate import is_valid
from bb_nn.base import EMBEDDED, load_base
from bb_runtime.check import check_plan
from bb_runtime.decode import decode_plans

FILES = (
    "api-with-examples.yaml",
    "link-example.yaml",
    "petstore-expanded.yaml",
    "petstore.yaml",
    "swagger-petstore.yaml",
    "uspto.yaml",
)
WISHES = ("show me the first ones", "add a new one called Rex", "what is number 12", "delete it")


@pytest.fixture(scope="module")
def base():
    if not (EMBEDDED / "model.safetensors").exists():
        pytest.skip("no embedded base rail")
    return load_base()


@pytest.fixture(params=FILES)
def domain(request, data_dir: Path) -> Domain:
    return make_domain(import_openapi(data_dir / "openapi" / request.param))


def decode_and_validate(base, domain: Domain, n: int) -> None:
    model, tokenizer = base
    requests = [f"Please {WISHES[i % len(WISHES)]}, case {i}." for i in range(n)]
    answers = decode_plans(
        model, tokenizer, requests, domain, max_new_tokens=400, temperature=1.0, seed=n
    )
    for answer in answers:
        assert answer.finished
        steps = json.loads(answer.text)["plan"]
        assert steps
        for step in steps:
            assert is_valid(step["args"], domain.schema.tools[step["tool"]].plan_args())
        check_plan(domain, answer.text)


def test_a_few_decodes_are_valid(base, domain):
    decode_and_validate(base, domain, 2)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_two_hundred_decodes_are_valid(base, domain):
    decode_and_validate(base, domain, 200)
