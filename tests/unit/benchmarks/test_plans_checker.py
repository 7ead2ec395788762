"""Decoded plans: an empty one is drawn again; candidates of the small schemas."""

from __future__ import annotations

from bb_core.plan import Plan, parse_plan, plan_text
from bb_core.progress import Progress
from bb_domains.domain import make_domain
from bb_domains.schema import parse_schema
from bb_runtime.decode import decode_plans
from benchmarks.plans_checker import DECODED, _base, _draw, passes
from benchmarks.plans_language import _boxes, _candidates

EMPTY = plan_text(Plan(()))


def test_an_empty_plan_is_drawn_again():
    schema = _boxes(2)
    schema["graph"]["min_steps"] = 0
    domain, (model, tokenizer) = make_domain(parse_schema(schema)), _base()
    asks = [f"request {i}" for i in range(24)]
    first = decode_plans(
        model, tokenizer, asks, domain, max_new_tokens=DECODED, temperature=1.0, seed=3
    )
    assert EMPTY in [answer.text for answer in first], "else this shows nothing"
    found = _draw(model, domain, asks, 1.0, 3, Progress(24, "plans"))
    assert len(found) == 24 and EMPTY not in found
    assert all(passes(domain, text) for text in found)


def test_candidates_are_admissible_and_not():
    domain = make_domain(parse_schema(_boxes(2)))
    found = list(_candidates(domain))
    assert len(found) == len(set(found)) == 1 + 3 + 3 * 5
    passing = [text for text in found if passes(domain, text)]
    assert 1 < len(passing) < len(found)
    assert EMPTY in found and EMPTY not in passing
    assert all(plan_text(parse_plan(text)) == text for text in found)
    assert not passes(domain, passing[0][:-1])
