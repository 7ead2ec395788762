"""The social domain's grammar, argument schemas and verdicts, and its detector on texts by hand.

Made again by `python tests/golden/bb_domains/test_social.py`; plans and texts are written by hand.
"""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from bb_core.plan import Plan, Step, plan_text, step_id
from bb_domains import social
from bb_domains.domain import ARGUMENTS_FILE, GRAMMAR_FILE, Domain, make_domain
from bb_domains.errors import Inadmissible
from bb_domains.grammar import parse_with_lark
from bb_domains.social.pii.find import find_pii
from bb_domains.social.pii.people import Person
from bb_domains.social.pii.span import KINDS, Span

HERE = Path(__file__).parent / "social"
PLANS = yaml.safe_load((HERE / "plans.yaml").read_text())
TEXTS = yaml.safe_load((HERE / "pii.yaml").read_text())
PEOPLE = tuple(Person(**one) for one in TEXTS["people"])
# Kinds of pieces in the "hard" part at the end, which rules like these do not see.
MISSED = ["street", "phone", "name", "iban"]


@cache
def domain() -> Domain:
    return make_domain(social.plan_schema())


def arguments() -> dict[str, Any]:
    return {name: tool.plan_args() for name, tool in domain().schema.tools.items()}


def marked(line: str) -> tuple[str, set[Span]]:
    """A text and its personal data from a line in which it is marked."""
    text, spans, position = "", set(), 0
    for piece in re.finditer(r"<<(\w+)\|(.*?)>>", line):
        text += line[position : piece.start()]
        spans.add(Span(piece[1], len(text), len(text) + len(piece[2])))
        text, position = text + piece[2], piece.end()
    return text + line[position:], spans


def test_the_grammar_is_the_golden_one() -> None:
    assert domain().grammar == (HERE / GRAMMAR_FILE).read_text()


def test_the_argument_schemas_are_the_golden_ones() -> None:
    assert arguments() == json.loads((HERE / ARGUMENTS_FILE).read_text())


@pytest.mark.parametrize("case", PLANS, ids=[case["name"] for case in PLANS])
def test_plans_get_their_verdict(case: dict[str, Any]) -> None:
    machine = domain().machine
    calls = [next(iter(step.items())) for step in case["steps"]]
    steps = [Step(step_id(i), tool, args) for i, (tool, args) in enumerate(calls)]
    parse_with_lark(domain().grammar, plan_text(Plan(tuple(steps))))
    state = machine.initial()
    if "refused" not in case:
        for step in steps:
            state = machine.apply(state, step)
        assert machine.can_end(state)
        return
    where, rule = case["refused"]
    for step in steps[:-1]:
        state = machine.apply(state, step)
    with pytest.raises(Inadmissible, match=rule) as refused:
        machine.apply(state, steps[-1])
    assert refused.value.step_id == where


def test_the_detector_finds_what_is_marked_and_nothing_else() -> None:
    missed: list[str] = []
    for line in TEXTS["texts"]:
        text, expected = marked(line)
        found = set(find_pii(text, PEOPLE))
        assert found <= expected, line
        missed += [span.kind for span in expected - found]
    assert missed == MISSED


def test_every_kind_is_in_the_set_often() -> None:
    kinds = [span.kind for line in TEXTS["texts"] for span in marked(line)[1]]
    assert {kind for kind in KINDS if kinds.count(kind) >= 3} == set(KINDS)


if __name__ == "__main__":
    (HERE / GRAMMAR_FILE).write_text(domain().grammar)
    (HERE / ARGUMENTS_FILE).write_text(json.dumps(arguments(), indent=2) + "\n")
