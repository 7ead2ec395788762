"""Many requests on one tiny untrained model: each is answered as if it were alone."""

from __future__ import annotations

import asyncio
import json
import re
import threading
import time

import jsonschema
import pytest
import torch

from bb_core.errors import BBError
from bb_nn.config import DualRailConfig
from bb_nn.lanes import LaneProgram
from bb_nn.rail import DualRailForCausalLM
from bb_runtime.check import check_plan
from bb_runtime.constraints import (
    keep_to_choice,
    keep_to_lark,
    keep_to_plans,
    keep_to_regex,
    keep_to_schema,
)
from bb_runtime.engine import Busy, Engine, EngineLimits, Sampling
from bb_runtime.errors import MaskError
from bem_kernel.circuits.expression import compile_expression

PROMPTS = [f"### Request\nrefund order {n}{' please' * n}\n### Plan\n" for n in range(9)]
SCHEMA = {
    "type": "object",
    "properties": {"alpha": {"type": "integer"}, "beta": {"enum": ["x", "y"]}},
    "required": ["alpha", "beta"],
    "additionalProperties": False,
}


@pytest.fixture
def engine(model, tokenizer):
    made = Engine(model, tokenizer, "tiny")
    yield made
    assert made.close(20)


def alone(model, tokenizer, prompt, budget):
    ids = tokenizer(prompt, return_tensors="pt")["input_ids"]
    with torch.no_grad():
        out = model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=budget,
            do_sample=False, pad_token_id=tokenizer.pad_token_id,
        )  # fmt: skip
    return out[0, ids.shape[1] :].tolist()


@pytest.mark.parametrize(
    "limits",
    [
        EngineLimits(),
        EngineLimits(packed=False),
        EngineLimits(max_rows=2, max_call_tokens=5),
        EngineLimits(max_rows=3, packed=False),
    ],
    ids=["packed", "padded", "packed, few rows, prompts in parts", "padded, few rows"],
)
def test_each_text_is_that_of_the_model_alone(model, tokenizer, limits):
    engine = Engine(model, tokenizer, "tiny", limits)
    asked = [engine.submit(p, Sampling(5 + 3 * i)) for i, p in enumerate(PROMPTS)]
    for i, (prompt, generation) in enumerate(zip(PROMPTS, asked, strict=True)):
        (made,) = generation.result(30)
        expected = alone(model, tokenizer, prompt, 5 + 3 * i)
        assert list(made.tokens) == expected
        assert made.text == tokenizer.decode(expected, skip_special_tokens=True)
        assert made.prompt_tokens == len(tokenizer(prompt)["input_ids"])
        ended = tokenizer.eos_token_id in expected
        assert (made.reason, made.finished) == (("stop", True) if ended else ("length", False))
    stats = engine.stats()
    assert (stats.running, stats.waiting, sum(stats.ended.values())) == (0, 0, 9)
    assert stats.completion_tokens >= 9 * 5


def test_rows_share_calls(engine, model):
    rows = []
    hook = model.lm_head.register_forward_hook(lambda _m, _i, out: rows.append(out.shape[1]))
    with engine.lock:
        asked = [engine.submit(p, Sampling(8)) for p in PROMPTS]
    for generation in asked:
        generation.result(30)
    hook.remove()
    assert max(rows) == 9 and len(rows) < 9 * 8 / 2


def test_a_seed_draws_the_same_whatever_runs_beside(engine):
    wanted = Sampling(16, temperature=1.3, top_p=0.9, seed=7)
    (first,) = engine.complete("hello", wanted)
    beside = [
        engine.submit(p, Sampling(20, temperature=1.0, seed=i)) for i, p in enumerate(PROMPTS)
    ]
    (second,) = engine.complete("hello", wanted)
    assert first.tokens == second.tokens
    (other,) = engine.complete("hello", Sampling(16, temperature=1.3, top_p=0.9, seed=8))
    assert other.tokens != first.tokens
    for generation in beside:
        generation.result(30)


def test_choices_read_the_prompt_once_and_differ(engine, model):
    read = []
    hook = model.model.embed_tokens.register_forward_hook(
        lambda _m, inputs, _o: read.append(inputs[0].numel())
    )
    sampling = Sampling(6, temperature=2.0, n=4)
    made = engine.complete([5] * 40, sampling)
    hook.remove()
    assert len({choice.tokens for choice in made}) == 4
    assert sum(read) <= 40 + 4 * 6
    (single,) = engine.complete([5] * 40, Sampling(6, temperature=2.0))
    assert single.tokens == made[0].tokens


def test_greedy_choices_are_equal(engine):
    one, two, three = engine.complete("hello", Sampling(6, n=3))
    assert one.tokens == two.tokens == three.tokens


def test_constraints_are_mixed_in_one_batch(engine, tokenizer, shop):
    warm = {"temperature": 1.5, "seed": 3}
    asked = {
        "schema": engine.submit("a", Sampling(64, **warm), keep_to_schema(tokenizer, SCHEMA, 64)),
        "regex": engine.submit(
            "b", Sampling(64, **warm), keep_to_regex(tokenizer, "[ab]{3}-[0-9]")
        ),
        "choice": engine.submit(
            "c", Sampling(9, n=2), keep_to_choice(tokenizer, ['"q\n', "refund"])
        ),
        "lark": engine.submit(
            "d", Sampling(64, **warm), keep_to_lark(tokenizer, "start: /x{2,5}/")
        ),
        "plan": engine.submit("e", Sampling(400, **warm), keep_to_plans(tokenizer, shop, 400)),
        "free": engine.submit("f", Sampling(5)),
    }
    made = {name: generation.result(60) for name, generation in asked.items()}
    assert all(c.finished for name, choices in made.items() if name != "free" for c in choices)
    jsonschema.validate(json.loads(made["schema"][0].text), SCHEMA)
    assert re.fullmatch("[ab]{3}-[0-9]", made["regex"][0].text)
    assert {c.text for c in made["choice"]} <= {'"q\n', "refund"}
    assert re.fullmatch("x{2,5}", made["lark"][0].text)
    assert json.loads(made["plan"][0].text)["plan"] is not None


def test_forced_tokens_are_not_asked_for(engine, tokenizer):
    before = engine.stats()
    constraint = keep_to_regex(tokenizer, "a long text that is all forced but [01] digit")
    (made,) = engine.complete("x", Sampling(64, logprobs=2), constraint)
    after = engine.stats()
    assert re.fullmatch("a long text that is all forced but [01] digit", made.text)
    assert after.forced_tokens - before.forced_tokens >= len(made.tokens) - 3
    assert after.calls - before.calls <= 3
    assert len(made.logprobs) == len(made.tokens)
    assert made.logprobs[0].logprob == 0.0
    n_forced = sum(told.is_forced for told in made.logprobs)
    assert n_forced == after.forced_tokens - before.forced_tokens
    assert next(told.allowed for told in made.logprobs if not told.is_forced) == 2


def test_plans_pass_the_checker_and_ask_for_few_tokens(engine, tokenizer, shop):
    constraint = keep_to_plans(tokenizer, shop, 400)
    made = engine.complete("x", Sampling(400, temperature=1.2, n=3), constraint)
    for one in made:
        check_plan(shop, one.text)
        assert one.finished and one.tokens[-1] == tokenizer.eos_token_id
    stats = engine.stats()
    assert stats.forced_tokens > 0.2 * stats.completion_tokens


def test_what_is_forced_altogether_needs_no_call(engine, tokenizer):
    made = engine.complete("x", Sampling(64, n=2), keep_to_regex(tokenizer, "always the same"))
    assert [choice.text for choice in made] == ["always the same"] * 2
    assert engine.stats().calls == 0


def test_logprobs_are_those_of_the_model(engine, model, tokenizer):
    (made,) = engine.complete("hello", Sampling(4, logprobs=3))
    ids = tokenizer("hello")["input_ids"] + list(made.tokens)
    with torch.no_grad():
        logprobs = model(torch.tensor([ids])).logits[0].log_softmax(-1)
    start = len(ids) - len(made.tokens) - 1
    for at, (token, told) in enumerate(zip(made.tokens, made.logprobs, strict=True)):
        assert told.token == token
        assert told.logprob == pytest.approx(float(logprobs[start + at, token]), abs=1e-4)
        assert [t for t, _ in told.top] == logprobs[start + at].topk(3).indices.tolist()


def test_stop_strings_end_the_text_and_are_not_in_it(engine):
    (whole,) = engine.complete("hello", Sampling(30))
    stop = whole.text[8:11]
    (made,) = engine.complete("hello", Sampling(30, stop=("never met", stop)))
    assert made.text == whole.text[: whole.text.index(stop)]
    assert made.reason == "stop" and len(made.tokens) < len(whole.tokens)


def test_parts_make_up_the_whole(engine):
    asked = engine.submit("hello", Sampling(12, n=2, temperature=1.0, logprobs=0))
    parts = list(asked)
    made = asked.result()
    for choice in (0, 1):
        own = [part for part in parts if part.choice == choice]
        assert "".join(part.text for part in own) == made[choice].text
        assert sum((part.tokens for part in own), ()) == made[choice].tokens
        assert [part.reason is not None for part in own] == [False] * (len(own) - 1) + [True]
    assert list(asked) == []


def test_asyncio_reads_many_at_once(engine):
    async def text(prompt):
        parts = [part.text async for part in engine.submit(prompt, Sampling(10))]
        return "".join(parts)

    async def all_of_them():
        texts = await asyncio.gather(*map(text, PROMPTS))
        (made,) = await engine.submit(PROMPTS[0], Sampling(10))
        return texts, made.text

    texts, again = asyncio.run(all_of_them())
    assert texts[0] == again
    assert texts == [engine.complete(p, Sampling(10))[0].text for p in PROMPTS]


def test_a_closed_loop_cancels_what_it_read(engine):
    async def leave():
        async for _ in engine.submit("hello", Sampling(2000)):
            return

    started_s = time.monotonic()
    asyncio.run(leave())
    while engine.stats().running and time.monotonic() < started_s + 20:
        engine.complete("x", Sampling(1))
    assert engine.stats().ended.get("cancelled") == 1


def test_cancel_keeps_what_was_made(engine):
    with engine.submit("hello", Sampling(3000)) as asked:
        first = next(iter(asked))
    (made,) = asked.result(20)
    assert made.reason == "cancelled" and not made.finished
    assert 1 <= len(made.tokens) < 3000 and made.tokens[: len(first.tokens)] == first.tokens


def test_deadlines_end_waiting_and_running_texts(model, tokenizer):
    engine = Engine(model, tokenizer, "tiny", EngineLimits(max_rows=1))
    running = engine.submit("hello", Sampling(3500), deadline_s=0.3)
    waiting = engine.submit("hello", Sampling(5), deadline_s=0.0)
    (late,) = waiting.result(20)
    (cut,) = running.result(20)
    assert (late.reason, late.tokens) == ("deadline", ())
    assert cut.reason == "deadline" and 0 < len(cut.tokens) < 3500
    assert engine.complete("hello", Sampling(5))[0].reason == "length"


def test_result_gives_up_and_cancels(engine):
    asked = engine.submit("hello", Sampling(3500))
    with pytest.raises(TimeoutError, match=r"no answer within 0\.01 s"):
        asked.result(0.01)
    assert asked.result(20)[0].reason == "cancelled"


def test_too_many_are_told_so(model, tokenizer):
    engine = Engine(model, tokenizer, "tiny", EngineLimits(max_rows=1, max_waiting=2))
    with engine.lock:  # nothing moves
        asked = [engine.submit("hello", Sampling(3)) for _ in range(2)]
        with pytest.raises(Busy, match=r"too many requests wait; try again in \d+ s") as refused:
            for _ in range(2):
                asked.append(engine.submit("hello", Sampling(3)))
        assert refused.value.retry_after_s >= 1
    assert all(generation.result(20)[0].reason == "length" for generation in asked)


def test_closing_finishes_what_there_is_and_takes_no_more(model, tokenizer):
    engine = Engine(model, tokenizer, "tiny")
    asked = engine.submit("hello", Sampling(20))
    assert engine.close(20)
    assert asked.result(1)[0].reason == "length"
    with pytest.raises(Busy, match="the server is closing"):
        engine.submit("hello", Sampling(1))
    slow = Engine(model, tokenizer, "tiny")
    asked = slow.submit("hello", Sampling(3900))
    assert not slow.close(0.05)
    assert asked.result(20)[0].reason == "cancelled"


@pytest.mark.parametrize(
    ("prompt", "sampling", "message"),
    [
        ("", Sampling(5), "the prompt is empty; write at least one character"),
        ("x", Sampling(0), "max_new_tokens is 0; use 1 to 8192"),
        ("x", Sampling(5, temperature=-1), "temperature is -1; use 0 to inf"),
        ("x", Sampling(5, temperature=float("nan")), "temperature is nan"),
        ("x", Sampling(5, top_p=1.5), "top_p is 1.5; use 0 to 1"),
        ("x", Sampling(5, n=65), "n is 65; use 1 to 64"),
        ("x", Sampling(5, logprobs=21), "logprobs is 21; use 0 to 20"),
        ("x", Sampling(5, stop=("",)), "a stop string is empty; leave it out"),
        ("x" * 40, Sampling(4090), "do not fit in the model's 4096 positions"),
    ],
)
def test_what_cannot_be_honoured_is_refused(engine, prompt, sampling, message):
    with pytest.raises(BBError, match=re.escape(message)):
        engine.submit(prompt, sampling)


class Breaks:
    """A constraint state that fails when its mask is wanted."""

    finished = False

    def fork(self):
        return self

    def consume(self, token):
        return True

    def fill(self, words):
        raise MaskError("cannot go on", where="masks", fix="mend it")


def test_a_broken_constraint_fails_its_own_request_only(engine):
    beside = engine.submit("hello", Sampling(30))
    with pytest.raises(MaskError, match="cannot go on"):
        engine.complete("x", Sampling(5), Breaks)

    def refuse():
        raise MaskError("no such text", where="masks", fix="ask for less")

    with pytest.raises(MaskError, match="no such text"):
        engine.complete("x", Sampling(5), refuse)
    assert beside.result(20)[0].reason in ("length", "stop")
    assert engine.stats().ended["error"] == 2


def test_a_mask_without_a_token_is_an_error(engine):
    class Nothing(Breaks):
        def fill(self, words):
            words[:] = 0

    with pytest.raises(MaskError, match="no token is left to choose"):
        engine.complete("x", Sampling(5, temperature=1.0), Nothing)


def test_a_fault_of_the_model_ends_what_runs_and_nothing_else(engine, model, caplog):
    def fault(*_):
        raise RuntimeError("out of memory")

    hook = model.lm_head.register_forward_pre_hook(fault)
    with pytest.raises(BBError, match=r"decoding failed \(RuntimeError: out of memory\)"):
        engine.complete("x", Sampling(5))
    hook.remove()
    assert "a step of the decoder failed" in caplog.text
    assert engine.complete("x", Sampling(5))[0].reason == "length"


def test_submitting_from_many_threads(engine):
    found: dict[int, str] = {}

    def ask(i):
        found[i] = engine.complete(PROMPTS[i % 3], Sampling(6))[0].text

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(found) == 12 and len(set(found.values())) <= 3


def test_the_thread_that_ends_leaves_nobody_waiting(model, tokenizer, monkeypatch):
    engine = Engine(model, tokenizer, "tiny")
    worker = engine._worker

    def fault(*_):
        raise RuntimeError("no memory left")

    with monkeypatch.context() as patched:
        patched.setattr(worker, "_step", fault)
        patched.setattr(worker, "_open_batch", fault)
        asked = engine.submit("x", Sampling(5))
        with pytest.raises(BBError, match=r"decoding failed \(RuntimeError: no memory left\)"):
            asked.result(20)
    assert engine.complete("x", Sampling(5))[0].reason == "length"


def test_the_dual_rail_with_lanes_answers_as_generate_does(model, tokenizer):
    names = [f"{side}{i}" for side in "pc" for i in range(8)]
    newline = "&".join(f"{'' if 10 >> i & 1 else '!'}c{i}" for i in range(8))
    lanes = LaneProgram(
        sentence_end=compile_expression(newline, names),
        goal_mark=compile_expression("c4 & c5", names[8:]),
        completes=compile_expression("t1 & !t0", ["t0", "t1"]),
        tools=("login", "get_order"),
        learned_bits=3,
    )
    torch.manual_seed(4)
    config = DualRailConfig(width=16, heads=2, skills=3, alpha_start=0.5, alpha_budget=0.9)
    rail = DualRailForCausalLM.from_base(model, tokenizer, config, lanes).eval()
    torch.nn.init.normal_(rail.rail.outward.weight)
    engine = Engine(rail, tokenizer, "rail", EngineLimits(max_rows=3))
    asked = [engine.submit(p, Sampling(5 + 3 * i)) for i, p in enumerate(PROMPTS[:6])]
    made = [generation.result(30)[0] for generation in asked]
    for i, (prompt, one) in enumerate(zip(PROMPTS, made, strict=False)):
        assert list(one.tokens) == alone(rail, tokenizer, prompt, 5 + 3 * i)
    assert [list(m.tokens) for m in made] != [
        alone(model, tokenizer, p, 5 + 3 * i) for i, p in enumerate(PROMPTS[:6])
    ]
