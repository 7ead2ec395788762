"""Learning the lanes' circuits from traces: what ends a sentence, what completes a goal."""

from __future__ import annotations

import random
from types import SimpleNamespace

import pytest

from bb_core.errors import BBError
from bb_core.plan import Plan, Step, plan_text, step_id
from bb_core.prompt import format_prompt
from bb_core.trace import Trace, TraceStep, trace_plan
from bb_train.programs import components, example, learn_lanes

DOMAIN = SimpleNamespace(schema=SimpleNamespace(tools={"login": 0, "find": 0, "open": 0, "pay": 0}))


def make_trace(rng: random.Random, goals: int, end: str) -> Trace:
    """Goals of two or three steps, one sentence each; sentences end in `end` plus a space."""
    steps, sentences = [TraceStep("login", {}, {}, True, 0.0)], []
    for _ in range(goals):
        number, amount = rng.randint(1000, 9999), rng.randint(1, 999)
        source = step_id(len(steps))
        steps.append(TraceStep("find", {"number": number}, {}, True, 0.0))
        if rng.random() < 0.5:
            steps.append(TraceStep("open", {"thing": f"${source}.id"}, {}, True, 0.0))
        steps.append(TraceStep("pay", {"thing": f"${source}.id", "n": amount}, {}, True, 0.0))
        sentences.append(f"Take Mister Number {number}, and pay {amount}{end}")
    return Trace(f"t{rng.random()}", "toy", "s", " ".join(sentences), tuple(steps))


def traces(end: str, count: int = 60, most: int = 2) -> list[Trace]:
    rng = random.Random(3)
    return [make_trace(rng, rng.randint(1, most), end) for _ in range(count)]


def test_goals_are_the_components_of_references():
    plan = Plan(
        (
            Step("a", "login", {}),
            Step("b", "find", {"number": 1}),
            Step("c", "find", {"number": 2}),
            Step("d", "pay", {"thing": "$b.id"}),
            Step("e", "pay", {"thing": "$c.id"}),
        )
    )
    assert components(plan) == [[1, 3], [2, 4]]


def test_places_tie_literals_to_goals():
    trace = make_trace(random.Random(0), 2, ".")
    found = example(trace)
    assert found.n_goals == 2
    assert sorted(found.goals) == list(found.goals)
    numbers = [s.args["number"] for s in trace.steps if "number" in s.args]
    at = format_prompt(trace.request).index(str(numbers[1]))
    assert found.goals[found.places.index(at)] == 1


@pytest.mark.parametrize("end", [".", " ;", "!"])
def test_the_counts_are_right_on_more_goals_than_were_seen(end):
    said: list[str] = []
    lanes = learn_lanes(traces(end), DOMAIN, said.append)
    assert "pay" in said[0].rsplit("goals end with", 1)[1]
    for trace in traces(end, count=20, most=6):
        text = format_prompt(trace.request) + plan_text(trace_plan(trace))
        run = lanes.run([[bytes([b]) for b in text.encode()]])
        found = example(trace)
        assert [run.counts[0, p] for p in found.places] == list(found.goals)
        done = run.features[0, :, 2]
        assert done[-1]
        last_goal = text.rindex('"tool":"find"')
        assert not done[:last_goal].any()


def test_only_the_tools_that_complete_goals_complete_goals():
    lanes = learn_lanes(traces("."), DOMAIN)
    named = {name: bool(lanes.rules.completing[i + 1]) for i, name in enumerate(lanes.tools)}
    assert named == {"login": False, "find": False, "open": False, "pay": True}
    assert 0 < lanes.learned_bits < 200


def test_no_traces_is_an_error():
    with pytest.raises(BBError, match="no traces to learn from"):
        learn_lanes([], DOMAIN)
