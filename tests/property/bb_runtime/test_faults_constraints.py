"""Hostile grammars, schemas, patterns: each is decided in time, and others are served on."""

from __future__ import annotations

from random import Random

import psutil
import pytest
from fastapi.testclient import TestClient

from bb_core.errors import BBError
from bb_runtime.constraints import keep_to_choice, keep_to_lark, keep_to_regex, keep_to_schema
from bb_runtime.engine import Engine
from bb_runtime.http.app import create_app
from bb_runtime.http.limits import ServerLimits
from benchmarks.hostile import Hostile, hostile
from benchmarks.plans_faults import DEADLINE_S, is_decided

LIMITS = ServerLimits(hosts=("testserver",))
LATEST_S = LIMITS.compile_timeout_s + DEADLINE_S
MOST_GROWTH_BYTES = 2 << 30


@pytest.fixture
def client(model, tokenizer):
    with TestClient(create_app(Engine(model, tokenizer, "tiny"), LIMITS)) as client:
        yield client


def serves(client):
    answer = client.post("/v1/completions", json={"prompt": "hi", "max_tokens": 3})
    return answer.json()["usage"]["completion_tokens"] == 3


@pytest.mark.parametrize(
    "n",
    [100, pytest.param(10_000, marks=[pytest.mark.slow, pytest.mark.timeout(7200)])],
)
def test_the_server_decides_and_serves_on(client, n):
    is_decided(client, hostile(Random(-1)), LATEST_S)
    before_bytes = psutil.Process().memory_info().rss
    for seed in range(n):
        one = hostile(Random(seed))
        assert is_decided(client, one, LATEST_S), (seed, one.kind, one.family)
    assert serves(client)
    assert psutil.Process().memory_info().rss - before_bytes < MOST_GROWTH_BYTES


def test_all_families_are_made():
    texts = [hostile(Random(seed)) for seed in range(300)]
    assert {one.kind for one in texts} == {"json", "regex", "grammar", "choice", "tools"}
    assert len({one.family for one in texts}) > 20


def compiled(tokenizer, one: Hostile):
    match one.kind:
        case "regex":
            return keep_to_regex(tokenizer, one.value)
        case "grammar":
            return keep_to_lark(tokenizer, one.value)
        case "choice":
            return keep_to_choice(tokenizer, one.value)
        case _:
            return keep_to_schema(tokenizer, one.value, 64)


@pytest.mark.parametrize("n", [60, pytest.param(3000, marks=pytest.mark.slow)])
def test_the_library_accepts_or_refuses(tokenizer, n):
    found = set()
    for seed in range(n):
        try:
            compiled(tokenizer, hostile(Random(seed)))()
            found.add("accepted")
        except BBError:
            found.add("refused")
    assert found == {"accepted", "refused"}


@pytest.mark.parametrize(
    "schema",
    [{"const": "a" * 40 + "!", "not": {"pattern": "^(a|a)*$"}}, {"const": "\ud800"}],
)
def test_one_request_stops_no_other(client, schema):
    """The first would have held the process for ever, the second was a fault of ours."""
    assert is_decided(client, Hostile("json", "", schema), LATEST_S)
    assert serves(client)


@pytest.mark.parametrize("seed", [715, 716, 717])
def test_the_neighbours_of_a_text_that_was_not_decided(client, seed):
    assert is_decided(client, hostile(Random(seed)), LATEST_S)
    assert serves(client)
