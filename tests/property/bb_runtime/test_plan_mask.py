"""Laws of the plan mask: it lets through what is admissible, and nothing else."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bb_core.plan import STEP_IDS, Plan, Step, parse_plan, plan_text, rename_steps
from bb_domains.errors import Inadmissible
from bb_runtime.check import check_plan
from bb_runtime.decode import decode_plans
from bb_runtime.errors import PlanRefused
from bb_runtime.plan_mask import PlanLanguage

SEEDS = st.integers(0, 2**32 - 1)


def allowed_tokens(language, row):
    words = np.zeros(language.n_words, dtype=np.int32)
    row.fill(words)
    return np.flatnonzero(np.unpackbits(words.view(np.uint8), bitorder="little"))


def random_walk(language, seed: int) -> tuple[str, int]:
    """A text written by taking allowed tokens at random, and the number of tokens with the end."""
    rng, row, text, n_tokens = random.Random(seed), language.start(), b"", 0
    while not row.finished:
        token = int(rng.choice(allowed_tokens(language, row)))
        assert row.consume(token)
        n_tokens += 1
        text += b"" if row.finished else language.token_bytes[token]
    return text.decode("ascii"), n_tokens


@settings(max_examples=25)
@given(seed=SEEDS, budget=st.integers(47, 400))
def test_whatever_is_chosen_the_plan_ends_in_its_budget_and_passes(tokenizer, shop, seed, budget):
    text, n_tokens = random_walk(PlanLanguage(tokenizer, shop, budget), seed)
    assert n_tokens <= budget
    check_plan(shop, text)
    assert plan_text(parse_plan(text)) == text, "the text is canonical"


@settings(max_examples=6)
@given(seed=SEEDS, temperature=st.sampled_from([0.0, 0.7, 1.0, 100.0]), budget=st.integers(47, 300))
def test_an_untrained_model_writes_admissible_plans(
    model, tokenizer, shop, seed, temperature, budget
):
    requests = ["refund 1042", "x", "something much longer than that"]
    decoded = decode_plans(
        model, tokenizer, requests, shop,
        max_new_tokens=budget, temperature=temperature, seed=seed, batch_size=2,
    )  # fmt: skip
    for answer in decoded:
        assert answer.finished and answer.tokens <= budget
        check_plan(shop, answer.text)


def random_plan(shop, seed: int) -> Plan:
    """Steps drawn from the admissible calls, with random arguments, until the plan may end."""
    rng, machine = random.Random(seed), shop.machine
    state, steps = machine.initial(), []
    while len(steps) < shop.schema.limits.max_steps:
        calls = [c for c in machine.admissible(state) if c.tool != "find_customer" or not steps[2:]]
        if not calls:
            break
        step = random_step(rng, rng.choice(calls), STEP_IDS[len(steps)])
        try:
            state = machine.apply(state, step)
        except Inadmissible:  # the same key twice
            continue
        steps.append(step)
        if machine.can_end(state) and rng.random() < 0.3:
            break
    return Plan(tuple(steps))


def random_step(rng, call, name: str) -> Step:
    values = {
        "number": rng.randint(1000, 9999),
        "email": rng.choice(["ana@example.com", "b.c@d.org"]),
        "amount": rng.choice([0.07, 12, 12.5, 499.99]),
        "reason": rng.choice(["damaged", "late"]),
        "city": rng.choice(["Bonn", "St. Ives"]),
        "tag": rng.choice(["vip", "fraud_watch"]),
    }
    args = {
        "login": (),
        "get_order": ("number",),
        "confirm_owner": ("order", "email"),
        "refund_order": ("order", "amount", "reason"),
        "change_city": ("order", "city"),
        "find_customer": ("email",),
        "add_note": ("customer", "tag"),
    }[call.tool]
    refs = {arg: f"${step}.id" for arg, step in call.handles.items()}
    return Step(name, call.tool, {arg: refs.get(arg, values.get(arg)) for arg in args})


@settings(max_examples=40)
@given(seed=SEEDS)
def test_mask_and_checker_agree_on_plans_written_out(tokenizer, shop, seed):
    """With room to spare, the mask lets a plan through byte by byte exactly if it is admissible."""
    plan = random_plan(shop, seed)
    if seed % 3 == 0:  # leave one step out: mostly inadmissible then
        left_out = seed % len(plan.steps)
        plan = rename_steps(Plan(plan.steps[:left_out] + plan.steps[left_out + 1 :]))
    text = plan_text(plan)
    language = PlanLanguage(tokenizer, shop, 4000)
    row = language.start()
    passes = all(row.consume(language.token_bytes.index(bytes([b]))) for b in text.encode())
    passes = passes and row.consume(tokenizer.eos_token_id)
    try:
        check_plan(shop, plan)
    except PlanRefused:
        assert not passes
    else:
        assert passes


@settings(max_examples=15)
@given(seed=SEEDS, data=st.data())
def test_any_tokenization_of_an_admissible_plan_passes(tokenizer, shop, seed, data):
    """Tokens may cross every boundary, those between steps included."""
    text, _ = random_walk(PlanLanguage(tokenizer, shop, 300), seed)
    language = PlanLanguage(tokenizer, shop, 4000)
    rest, row = text.encode(), language.start()
    while rest:
        fitting = [
            t for t, piece in enumerate(language.token_bytes) if t and rest.startswith(piece)
        ]
        token = data.draw(st.sampled_from(fitting))
        if token not in allowed_tokens(language, row):
            # The mask offers one spelling only of a text that is forced; it must offer some.
            token = next(t for t in fitting if t in allowed_tokens(language, row))
        assert row.consume(token)
        rest = rest[len(language.token_bytes[token]) :]
    assert row.consume(tokenizer.eos_token_id) and row.finished


@settings(max_examples=20)
@given(seed=SEEDS)
def test_a_fork_is_independent(tokenizer, shop, seed):
    language, rng = PlanLanguage(tokenizer, shop, 200), random.Random(seed)
    row = language.start()
    for _ in range(rng.randint(1, 40)):
        row.consume(int(rng.choice(allowed_tokens(language, row))))
        if row.finished:
            return
    before = allowed_tokens(language, row).tolist()
    twin = row.fork()
    for _ in range(10):
        if not twin.finished:
            twin.consume(int(rng.choice(allowed_tokens(language, twin))))
    assert allowed_tokens(language, row).tolist() == before


@pytest.mark.parametrize("budget", range(47, 60))
def test_the_smallest_budgets(tokenizer, shop, budget):
    text, n_tokens = random_walk(PlanLanguage(tokenizer, shop, budget), budget)
    assert n_tokens <= budget
    check_plan(shop, text)
