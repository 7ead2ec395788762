"""What does a token cost under the masks, against llguidance alone in the same run?

The same scripted plans of `api_json`, tokenized by the embedded base rail's tokenizer, are taken
token by token: a mask is filled and the token consumed. llguidance alone knows the static grammar
of plans, so it lets through calls that the plan state forbids, and plans that never fit.
"""

from __future__ import annotations

import time
from functools import lru_cache
from random import Random
from typing import TYPE_CHECKING, Any

from benchmarks.frame import Context, Measured, UnavailableError, row, time_pair

if TYPE_CHECKING:
    import numpy as np
    from llguidance import LLMatcher
    from transformers import PreTrainedTokenizerBase

    from bb_domains.domain import Domain

BUDGET = 1024
UNIT = "tokens/s"


@lru_cache(maxsize=1)
def _tokenizer() -> PreTrainedTokenizerBase:
    from transformers import AutoTokenizer

    from bb_nn.base import EMBEDDED

    if not (EMBEDDED / "tokenizer.json").exists():
        raise UnavailableError("no embedded base rail", where="plans_mask", fix="bb base train")
    return AutoTokenizer.from_pretrained(EMBEDDED, local_files_only=True)


@lru_cache(maxsize=1)
def _domain() -> Domain:
    from bb_domains.api_json import plan_schema
    from bb_domains.domain import make_domain

    return make_domain(plan_schema())


def _plans(context: Context, offset: int = 0, count: int | None = None) -> list[list[int]]:
    """Token ids of scripted plans with three goals each, the end of sequence included."""
    from bb_core.plan import plan_text
    from bb_domains.api_json.entities import make_city, make_email, make_name
    from bb_domains.api_json.workflows import (
        GOAL_KINDS,
        LEVELS,
        REASONS,
        TAGS,
        Goal,
        plan_for,
        slot_names,
    )

    rng, tokenizer = Random(context.seed + offset), _tokenizer()
    makers: dict[str, Any] = {
        "number": lambda: next(numbers),
        "email": lambda: make_email(rng, *make_name(rng)),
        "new_email": lambda: make_email(rng, *make_name(rng)),
        "amount": lambda: rng.choice([12.5, 7.07, 30]),
        "reason": lambda: rng.choice(REASONS),
        "city": lambda: make_city(rng),
        "level": lambda: rng.choice(LEVELS),
        "tag": lambda: rng.choice(TAGS),
    }
    texts = []
    for _ in range(count or (200 if context.full else 20)):
        kinds = rng.sample(GOAL_KINDS, 3)
        numbers = iter(rng.sample(range(1000, 10_000), 6))  # two goals never name one order
        goals = [Goal(kind, {name: makers[name]() for name in slot_names(kind)}) for kind in kinds]
        texts.append(plan_text(plan_for(goals)))
    end = tokenizer.eos_token_id
    return [[*tokenizer(text)["input_ids"], end] for text in texts]


def _walk(start: Any, plans: list[list[int]], n_words: int) -> None:
    """Fill the mask before every token, and consume it."""
    import numpy as np

    words = np.zeros(n_words, dtype=np.int32)
    for plan in plans:
        state = start()
        for token in plan:
            state.fill(words)
            assert state.consume(token)


@row("plans.mask_state", peer_name="llguidance, syntax only", unit=UNIT, target=0.1)
def mask_state(context: Context) -> Measured:
    """Plan state and budget besides syntax, from nothing: every state and grammar met anew."""
    from llguidance import LLMatcher

    from bb_runtime.masks import MatcherRow, compile_matcher
    from bb_runtime.plan_mask import PlanLanguage

    plans, domain = _plans(context), _domain()
    language = PlanLanguage(_tokenizer(), domain, BUDGET)
    grammar = LLMatcher.grammar_from_lark(domain.grammar)
    matcher = compile_matcher(language.ll_tokenizer, grammar, "plan grammar")
    return time_pair(
        lambda: _walk(PlanLanguage(_tokenizer(), domain, BUDGET).start, plans, language.n_words),
        lambda: _walk(
            lambda: MatcherRow(matcher.deep_copy(), language.eos_ids), plans, language.n_words
        ),
        work=sum(map(len, plans)),
    )


WARM = 200


def _token_costs(start: Any, plans: list[list[int]], n_words: int) -> list[float]:
    """Seconds for each token: its mask is filled, and it is taken."""
    import numpy as np

    words, costs = np.zeros(n_words, dtype=np.int32), []
    for plan in plans:
        state = start()
        for token in plan:
            begun_s = time.perf_counter()
            state.fill(words)
            assert state.consume(token)
            costs.append(time.perf_counter() - begun_s)
    return costs


class _Raw:
    """A matcher of llguidance and nothing around it."""

    def __init__(self, matcher: LLMatcher, eos_ids: frozenset[int]) -> None:
        self._matcher, self._eos_ids = matcher, eos_ids

    def fill(self, words: np.ndarray) -> None:
        self._matcher.unsafe_compute_mask_ptr(words.ctypes.data, words.nbytes)

    def consume(self, token: int) -> bool:
        return token in self._eos_ids or bool(self._matcher.consume_token(token))


def _quantile_pairs(context: Context, share: float) -> Measured:
    """Costs of a token on plans not seen before, after other plans have been: a server's life."""
    import numpy as np
    from llguidance import LLMatcher

    from bb_runtime.masks import compile_matcher
    from bb_runtime.plan_mask import PlanLanguage

    domain = _domain()
    language = PlanLanguage(_tokenizer(), domain, BUDGET)
    grammar = LLMatcher.grammar_from_lark(domain.grammar)
    matcher = compile_matcher(language.ll_tokenizer, grammar, "plan grammar")
    starts = (language.start, lambda: _Raw(matcher.deep_copy(), language.eos_ids))
    for start in starts:
        _token_costs(start, _plans(context, offset=1, count=WARM), language.n_words)
    samples: tuple[list[float], list[float]] = ([], [])
    for i in range(10 if context.full else 5):
        plans = _plans(context, offset=2 + i, count=40)
        for side in (0, 1) if i % 2 == 0 else (1, 0):
            costs = _token_costs(starts[side], plans, language.n_words)
            samples[side].append(float(np.quantile(costs, share)) * 1e6)
    return Measured(*samples)


@row(
    "plans.mask_p50",
    peer_name="llguidance, syntax only",
    unit="µs/token",
    target=0.87,
    better="less",
)
def mask_p50(context: Context) -> Measured:
    """The median token, the plan state and the budget known."""
    return _quantile_pairs(context, 0.5)


@row(
    "plans.mask_p99",
    peer_name="llguidance, syntax only",
    unit="µs/token",
    target=0.87,
    better="less",
)
def mask_p99(context: Context) -> Measured:
    """The slowest token of a hundred: where a step ends and the next state begins."""
    return _quantile_pairs(context, 0.99)


def _asked(start: Any, plans: list[list[int]], n_words: int) -> float:
    """The share of the tokens of plans for which the model must be asked."""
    import numpy as np

    words, asked, count = np.zeros(n_words, dtype=np.int32), 0, 0
    for plan in plans:
        state, ahead = start(), list[int]()
        for token in plan:
            ahead = ahead or state.forced()
            if ahead:
                assert ahead.pop(0) == token, "what is forced is not how the tokenizer writes it"
            else:
                state.fill(words)
                asked += int(np.unpackbits(words.view(np.uint8)).sum()) > 1
            assert state.consume(token)
        count += len(plan)
    return asked / count


@row("plans.mask_calls", peer_name="limit", unit="calls/token", target=1.0, better="less")
def mask_calls(context: Context) -> Measured:
    """Calls of the model for each token of a plan, where what is forced is not asked for."""
    from bb_runtime.plan_mask import PlanLanguage

    language = PlanLanguage(_tokenizer(), _domain(), BUDGET)
    return Measured([_asked(language.start, _plans(context), language.n_words)], [0.70])


@row("plans.mask_batch", peer_name="llguidance's own torch functions", unit=UNIT, target=0.5)
def mask_batch(context: Context) -> Measured:
    """GrammarMask as `generate` calls it, against a loop over one matcher a row, 16 rows."""
    import llguidance.torch as ll_torch
    import torch
    from llguidance import LLMatcher

    from bb_runtime.masks import GrammarMask, wrap_tokenizer

    tokenizer, lark, rows = _tokenizer(), _domain().grammar, 16
    plan = torch.tensor(_plans(context)[0][:-1])
    prompt = torch.arange(rows)[:, None]
    ids = torch.cat([prompt, plan.expand(rows, -1)], dim=1)
    scores = torch.randn(rows, len(tokenizer))
    wrapped = wrap_tokenizer(tokenizer)
    grammar = LLMatcher.grammar_from_lark(lark)
    mask = GrammarMask(tokenizer, lark=lark)
    compiled = LLMatcher(wrapped, grammar)

    def ours() -> None:
        mask.reset()
        for length in range(1, ids.shape[1]):
            mask(ids[:, :length], scores)

    def peer() -> None:
        matchers = [compiled.deep_copy() for _ in range(rows)]
        words = ll_torch.allocate_token_bitmask(rows, len(tokenizer))
        for position in range(plan.shape[0]):
            for i, matcher in enumerate(matchers):
                ll_torch.fill_next_token_bitmask(matcher, words, i)
            masked = scores.clone()
            ll_torch.apply_token_bitmask_inplace(masked, words)
            for matcher in matchers:
                matcher.consume_token(int(plan[position]))

    return time_pair(ours, peer, repetitions=3, work=rows * plan.shape[0])
