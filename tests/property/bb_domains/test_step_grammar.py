"""Step grammars are exact: what they allow is what the machine accepts and can still complete."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bb_core.plan import Step, parse_plan, plan_text, step_id
from bb_domains.calls import PLAN_CLOSE, step_open
from bb_domains.compiler import PlanState
from bb_domains.domain import Domain
from bb_domains.errors import DomainError, Inadmissible, PlanGrammarError
from bb_domains.grammar import parse_with_lark, step_grammar
from bb_domains.validate import is_valid

seeds = st.integers(0, 2**32)
thorough = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


@thorough
@given(seeds, st.integers(0, 400))
def test_decoded_plans_are_legal_and_within_budget(
    walker: Any, shop: Domain, seed: int, extra: int
) -> None:
    machine, rng = shop.machine, random.Random(seed)
    least = machine.completion(machine.initial())
    assert least is not None
    text = walker.plan(machine, least[1] + extra, rng)
    assert len(text) <= least[1] + extra
    parse_with_lark(shop.grammar, text)
    plan = parse_plan(text)
    assert plan_text(plan) == text
    state = machine.initial()
    for step in plan.steps:
        assert is_valid(dict(step.args), shop.schema.tools[step.tool].plan_args())
        state = machine.apply(state, step)
    assert machine.can_end(state)


def random_call(shop: Domain, state: PlanState, rng: random.Random) -> tuple[str, dict[str, Any]]:
    """Any tool with well-formed arguments, admissible or not, near what is bound."""
    tool = rng.choice(list(shop.schema.tools))
    bound = [json.loads(h.key) for h in state.handles]
    steps = [step_id(i) for i in range(max(1, state.n_steps))]
    args: dict[str, Any] = {}
    for arg in shop.schema.tools[tool].properties:
        if arg in shop.schema.tools[tool].handles:
            path = shop.schema.tools[tool].handles[arg].path
            args[arg] = f"${rng.choice(steps)}.{path}"
        elif arg == "number":
            keys = [k for k in bound if isinstance(k, int)]
            args[arg] = rng.choice([*keys, 1000, 9999, 1042])
        elif arg == "email":
            keys = [k for k in bound if isinstance(k, str)]
            args[arg] = rng.choice([*keys, "a@b.cd", "ana.ruiz@mail.ab"])
        elif arg == "amount":
            args[arg] = rng.choice([0.01, 40, 25.5, 25.05, 500])
        elif arg == "reason":
            args[arg] = rng.choice(["damaged", "late"])
        elif rng.random() < 0.5:
            args[arg] = rng.choice(["", "x", 'say "hi" \\ 2', "y" * 24])
    return tool, args


def continuations(shop: Domain, state: PlanState, call: str, step: Step, left: int) -> list[str]:
    """Tails that may follow a call: asked of the machine, not of the grammar."""
    machine = shop.machine
    try:
        after = machine.apply(state, step)
    except Inadmissible:
        return []
    for level in machine.texts[step.tool].levels:
        rest = left - level.most
        onward = machine.continuation(after)
        tails = [PLAN_CLOSE] if machine.can_end(after) and rest >= len(PLAN_CLOSE) else []
        if onward is not None and onward[1] <= rest:
            tails.append(step_open(after.n_steps))
        if tails:
            # the loosest level that leaves room decides; a longer text of another does not fit
            return tails if len(call) <= level.most else []
    return []


@thorough
@given(seeds, st.integers(0, 400))
def test_a_step_is_allowed_exactly_if_it_can_be_completed(
    walker: Any, shop: Domain, random_state: Any, seed: int, budget: int
) -> None:
    rng = random.Random(seed)
    machine, state = shop.machine, random_state(rng)
    opening = step_open(state.n_steps)
    try:
        grammar = step_grammar(machine, state, budget)
    except DomainError:
        least = machine.completion(state)
        assert least is None or least[1] > budget
        return
    ending = PLAN_CLOSE if state.n_steps else '{"plan":[]}'
    ends = machine.can_end(state) and budget >= len(ending)
    assert walker.accepts(grammar, ending) == ends
    if state.n_steps >= shop.schema.limits.max_steps:
        return
    for _ in range(6):
        tool, args = random_call(shop, state, rng)
        step = Step(step_id(state.n_steps), tool, args)
        written = json.dumps(args, separators=(",", ":"))
        call = f'{tool}","args":{written}}}'
        tails = continuations(shop, state, call, step, budget - len(opening))
        for tail in (PLAN_CLOSE, step_open(state.n_steps + 1), "", "}", PLAN_CLOSE + "]"):
            text = opening + call + tail
            allowed = walker.accepts(grammar, text)
            if tail not in tails:
                assert not allowed, (text, tails)
            elif _fits_level(shop, tool, args, budget, len(opening), state, step):
                assert allowed, (text, grammar)


def _fits_level(
    shop: Domain,
    tool: str,
    args: dict[str, Any],
    budget: int,
    opened: int,
    state: PlanState,
    step: Step,
) -> bool:
    """Whether the loosest level that leaves room is the full one; tighter ones shorten strings."""
    machine = shop.machine
    after = machine.apply(state, step)
    left = budget - opened - machine.max_bytes(tool)
    onward = machine.continuation(after)
    ends = machine.can_end(after) and left >= len(PLAN_CLOSE)
    return ends or (onward is not None and onward[1] <= left)


@thorough
@given(seeds, st.integers(0, 600), st.integers(0, 60))
def test_after_emitted_bytes_the_rest_is_the_same(
    walker: Any, shop: Domain, random_state: Any, seed: int, budget: int, cut: int
) -> None:
    rng = random.Random(seed)
    machine, state = shop.machine, random_state(rng)
    try:
        whole = step_grammar(machine, state, budget)
    except DomainError:
        return
    text = walker.sample(whole, rng)
    fixed = next(t for t in (step_open(state.n_steps), PLAN_CLOSE) if text.startswith(t))
    emitted = fixed[: min(cut, len(fixed))]
    rest = step_grammar(machine, state, budget - len(emitted), emitted.encode())
    if emitted == PLAN_CLOSE:
        return
    assert walker.accepts(rest, text[len(emitted) :])


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(seeds)
def test_lark_and_llguidance_read_the_static_grammar_alike(
    walker: Any, shop: Domain, seed: int
) -> None:
    rng = random.Random(seed)
    text = walker.plan(shop.machine, 700, rng)
    for _ in range(4):
        at = rng.randrange(len(text))
        junk = rng.choice('0159-.,:"\\{}[]$ abz@é')
        other = rng.choice([text[:at] + junk + text[at:], text[:at] + text[at + 1 :], text])
        try:
            parse_with_lark(shop.grammar, other)
            accepted = True
        except PlanGrammarError:
            accepted = False
        assert walker.accepts(shop.grammar, other) == accepted, other


def test_llguidance_reports_bad_grammars_only_when_asked(walker: Any) -> None:
    with pytest.raises(AssertionError, match="nowhere"):
        walker.matcher("start: nowhere\n")
