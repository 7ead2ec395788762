"""Steps under heads and tools' own grammars say what step grammars say."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bb_core.plan import Plan, Step, parse_plan, plan_text, step_id
from bb_domains.domain import make_domain
from bb_domains.heads import choice_of
from bb_domains.rules import Alt, Lit, Rx
from bb_domains.schema import parse_schema
from bb_domains.verdicts import judge
from bb_runtime.check import check_plan
from bb_runtime.errors import PlanRefused
from bb_runtime.plan_mask import PlanLanguage
from bb_runtime.spent_keys import spent_beginnings

SEEDS = st.integers(0, 2**32 - 1)


class StepLanguage(PlanLanguage):
    """The same, with step grammars at every step."""

    def begun(self, state):
        return None


def allowed(language, row) -> set[int]:
    words = np.zeros(language.n_words, dtype=np.int32)
    row.fill(words)
    return set(np.flatnonzero(np.unpackbits(words.view(np.uint8), bitorder="little")).tolist())


def spelled(row, language, text: bytes) -> bool:
    """Whether a row takes a text byte by byte."""
    return all(row.consume(language.token_bytes.index(bytes([byte]))) for byte in text)


@pytest.fixture(scope="module")
def languages(tokenizer, shop):
    return PlanLanguage(tokenizer, shop, 2000), StepLanguage(tokenizer, shop, 2000)


@settings(max_examples=60, deadline=None)
@given(seed=SEEDS)
def test_what_one_lets_through_the_other_does(languages, seed):
    """A walk under either is a walk under the other, and ends at the same time."""
    rng = random.Random(seed)
    ours, theirs = languages if seed % 2 else languages[::-1]
    row, other, text = ours.start(), theirs.start(), b""
    while not row.finished:
        token = rng.choice(sorted(allowed(ours, row)))
        assert row.consume(token)
        if row.finished:
            assert allowed(theirs, other) == allowed(ours, row) or other.consume(token)
            break
        text += ours.token_bytes[token]
        assert spelled(other, theirs, ours.token_bytes[token]), text
    check_plan(ours.domain, text.decode())


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS)
def test_a_token_that_is_not_allowed_is_not_taken(languages, seed):
    """Of tokens that the mask forbids none is taken, but for other spellings of an allowed text."""
    rng, language = random.Random(seed), languages[0]
    row = language.start()
    for _ in range(rng.randrange(60)):
        row.consume(rng.choice(sorted(allowed(language, row))))
        if row.finished:
            return
    good = allowed(language, row)
    texts = [language.token_bytes[token] for token in good]
    for token in rng.sample(range(len(language.token_bytes)), 40):
        text = language.token_bytes[token]
        if token not in good and not any(t.startswith(text) or text.startswith(t) for t in texts):
            assert not row.fork().consume(token), text


def test_a_fork_goes_its_own_way(languages):
    language = languages[0]
    row = language.start()
    assert spelled(row, language, b'{"plan":[{"id":"a","tool":"lo')
    twin = row.fork()
    assert spelled(row, language, b'gin","args":{}},{"id":"b"')
    assert spelled(twin, language, b'gin","args":{}}]}')
    assert allowed(language, twin) == set(language.eos_ids)
    assert not set(language.eos_ids) & allowed(language, row)


def test_forced_tokens_are_those_that_must_come(languages):
    language = languages[0]
    row = language.start()
    forced = row.forced()
    text = b"".join(language.token_bytes[token] for token in forced)
    assert b'{"plan":[{"id":"a","tool":"login","args":{}}'.startswith(text)
    assert len(text) > 20
    assert all(row.consume(token) for token in forced)


def test_a_key_is_spent_as_soon_as_no_other_can_follow():
    number = Rx("INT", "[1-9][0-9]{3}", 4, 4)
    assert spent_beginnings(number, frozenset({"1042"})) == (b"1042",)
    tens = frozenset(f"104{i}" for i in range(10))
    assert spent_beginnings(number, tens) == (b"104",)
    longer = Rx("INT", "[1-9][0-9]{0,3}", 1, 4)
    assert spent_beginnings(longer, frozenset({"104"})) == (b"104,", b"104}")
    size = Alt((Lit('"big"'), Lit('"small"'), Lit('"bigger"')))
    assert spent_beginnings(size, frozenset({'"small"'})) == (b'"s',)
    assert spent_beginnings(size, frozenset({'"big"'})) == (b'"big"',)
    text = Rx("TEXT", '"[a-z]{1,3}"', 3, 5)
    assert spent_beginnings(text, frozenset({'"ab"', '"abc"'})) == (b'"ab"', b'"abc')


def late_handle():
    """A tool whose handle stands behind a value, one with a step inside a value."""
    found = {"type": "object", "properties": {"n": {"enum": [1, 2]}}, "required": ["n"]}
    inside = {
        "type": "object",
        "properties": {"id": {"enum": ["x", "y"]}, "a": {"type": "object", "properties": {}}},
        "required": ["id", "a"],
    }
    items = {"type": "array", "items": inside, "minItems": 1, "maxItems": 3}
    return make_domain(
        parse_schema(
            {
                "domain": "late",
                "limits": {"max_steps": 4},
                "objects": {"box": {"slots": 2}},
                "fluents": {"done": ["box"], "packed": []},
                "tools": {
                    "find": {"args": found, "binds": {"object": "box", "key": "n"}},
                    "pack": {
                        "args": {
                            "type": "object", "properties": {"items": items}, "required": ["items"]
                        },
                        "pre": "!packed",
                        "effects": ["packed"],
                    },
                    "mark": {
                        "args": {
                            "type": "object",
                            "properties": {"word": {"enum": ["u", "v"]}, "box": {}},
                            "required": ["word", "box"],
                        },
                        "handles": {"box": {"object": "box"}},
                        "pre": "!done(box)",
                        "effects": ["done(box)"],
                    },
                },
            }
        )
    )  # fmt: skip


def boxes(max_cost: int | None):
    """A domain so small that all of its plans can be written down."""
    box = {"args": {"type": "object", "properties": {"box": {}}, "required": ["box"]}}
    on_box = {**box, "handles": {"box": {"object": "box"}}}
    number = {"type": "integer", "minimum": 1, "maximum": 2}
    find = {"type": "object", "properties": {"n": number}, "required": ["n"]}
    return make_domain(
        parse_schema(
            {
                "domain": "boxes",
                "limits": {"max_steps": 4} | ({} if max_cost is None else {"max_cost": max_cost}),
                "objects": {"box": {"slots": 2}},
                "fluents": {"open": ["box"]},
                "tools": {
                    "find": {"args": find, "binds": {"object": "box", "key": "n"}, "cost": 2},
                    "look": {**on_box, "cost": 1},
                    "open": {**on_box, "pre": "!open(box)", "effects": ["open(box)"], "cost": 3},
                    "rest": {"cost": 0},
                },
                "graph": {"every_handle_used": True},
            }
        )
    )


def every_plan(domain):
    """All plans that the checker passes, found by trying all calls at all steps."""
    calls = [("find", {"n": 1}), ("find", {"n": 2}), ("rest", {})]
    calls += [(tool, {"box": f"${step}.id"}) for tool in ("look", "open") for step in "abc"]
    for length in range(1, 5):
        for chosen in itertools.product(calls, repeat=length):
            steps = tuple(Step(step_id(i), tool, args) for i, (tool, args) in enumerate(chosen))
            if judge(domain, plan_text(Plan(steps))).accepted:
                yield plan_text(Plan(steps))


def every_text(language):
    """All texts that a mask lets end, by every way to spell them."""
    rows, seen = [(language.start(), b"")], {b""}
    while rows:
        row, text = rows.pop()
        for token in allowed(language, row):
            if token in language.eos_ids:
                yield text.decode()
                continue
            after, twin = text + language.token_bytes[token], row.fork()
            assert twin.consume(token)
            if after not in seen:
                seen.add(after)
                rows.append((twin, after))


@pytest.mark.parametrize(("max_cost", "budget"), [(None, 900), (3, 900), (5, 900), (6, 150)])
def test_masks_write_exactly_the_plans_within_the_cost(tokenizer, max_cost, budget):
    domain = boxes(max_cost)
    written = list(every_text(PlanLanguage(tokenizer, domain, budget)))
    checked = set(every_plan(domain))
    assert len(written) == len(set(written))
    if budget > 200:
        assert set(written) == checked
    else:  # a token counts as one byte, so few of them forbid some plans
        assert set(written) <= checked
    costs = [sum(domain.schema.tools[s.tool].cost for s in parse_plan(t).steps) for t in written]
    assert written and max(costs) <= (99 if max_cost is None else max_cost)
    assert max_cost is None or budget < 200 or max(costs) == max_cost


def test_a_plan_that_costs_too_much_is_refused_with_a_cheaper_one():
    domain = boxes(5)
    steps = [("find", {"n": 1}), ("look", {"box": "$a.id"}), ("open", {"box": "$a.id"})]
    plan = Plan(tuple(Step(step_id(i), tool, args) for i, (tool, args) in enumerate(steps)))
    with pytest.raises(PlanRefused, match="open costs 3 after 3, and a plan may cost 5") as caught:
        check_plan(domain, plan)
    assert (caught.value.node, caught.value.rule) == ("c", "cost")
    assert "drop steps that cost 1 or more" in str(caught.value)
    check_plan(domain, caught.value.nearest.plan)
    check_plan(boxes(6), plan)
    check_plan(boxes(None), plan)


def test_states_without_heads_keep_to_step_grammars(tokenizer):
    domain = late_handle()
    start = domain.machine.initial()
    assert choice_of(domain.machine, start) is not None
    after = domain.machine.apply(start, Step(step_id(0), "find", {"n": 1}))
    assert choice_of(domain.machine, after) is None
    language = PlanLanguage(tokenizer, domain, 500)
    text = (
        b'{"plan":[{"id":"a","tool":"find","args":{"n":1}},'
        b'{"id":"b","tool":"mark","args":{"word":"u","box":"$a.id"}},'
        b'{"id":"c","tool":"find","args":{"n":2}}]}'
    )
    assert spelled(language.start(), language, text)
    assert not spelled(language.start(), language, text.replace(b'"n":2', b'"n":1'))


def test_a_value_that_looks_like_a_step_does_not_end_one(tokenizer):
    domain = late_handle()
    language = PlanLanguage(tokenizer, domain, 900)
    text = (
        b'{"plan":[{"id":"a","tool":"pack","args":{"items":[{"id":"x","a":{}},{"id":"y","a":{}}]}},'
        b'{"id":"b","tool":"find","args":{"n":2}}]}'
    )
    row = language.start()
    assert spelled(row, language, text)
    assert allowed(language, row) == set(language.eos_ids)
    check_plan(domain, text.decode())
