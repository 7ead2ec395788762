"""Does the checker catch every spoilt plan and let every good one pass; is the mask complete?

Good plans are those of the requests of every installed domain that has a simulator. Spoilt ones are
made from them in twelve ways (`plan_mutants`).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import lru_cache
from random import Random
from typing import TYPE_CHECKING, Any

from benchmarks.frame import Context, Measured, UnavailableError, row
from benchmarks.plan_mutants import KINDS, is_valid

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from bb_core.plan import Plan
    from bb_domains.domain import Domain

BUDGET = 4096
FULL, SMALL = 10_000, 240


@lru_cache(maxsize=1)
def _domains() -> tuple[Domain, ...]:
    """The installed domains that make requests."""
    from bb_domains.domain import installed_domains, load_domain
    from bb_domains.kit import has_simulator

    found = (load_domain(name) for name in sorted(installed_domains()))
    return tuple(domain for domain in found if has_simulator(domain))


@lru_cache(maxsize=1)
def _plans(context: Context) -> tuple[tuple[Domain, Plan], ...]:
    """As many plans as are asked for, from all domains and splits in turn; made once."""
    from bb_domains.kit import make_requests
    from bb_domains.simulation import SPLITS

    domains = _domains()
    if not domains:
        raise UnavailableError("no domain has a simulator", where="plans_checker", fix="add one")
    count = FULL if context.full else SMALL
    each = -(-count // (len(domains) * len(SPLITS)))
    return tuple(
        (domain, request.plan)
        for domain in domains
        for split in SPLITS
        for request in make_requests(domain, split, each, context.seed)
    )


def _passes(domain: Domain, plan: Plan) -> bool:
    from bb_runtime.check import check_plan
    from bb_runtime.errors import PlanRefused

    try:
        check_plan(domain, plan, repair=False)
    except PlanRefused:
        return False
    return True


@row("plans.checker_catches", peer_name="all", unit="of mutants", target=1.0)
def checker_catches(context: Context) -> Measured:
    """One mutant of each good plan, its kinds in turn."""
    rng, caught, made = Random(context.seed), 0, 0
    for i, (domain, plan) in enumerate(_plans(context)):
        for k in range(len(KINDS)):
            spoilt = KINDS[(i + k) % len(KINDS)](domain.schema, plan, rng)
            if spoilt is not None:
                made += 1
                caught += not _passes(domain, spoilt)
                break
    return Measured([caught / made], [1.0])


@row("plans.checker_alarms", peer_name="none refused", unit="of good plans", target=1.0)
def checker_alarms(context: Context) -> Measured:
    """Good plans, as the plain reading of their schema says too, pass."""
    plans = _plans(context)
    passed = sum(_passes(domain, plan) for domain, plan in plans)
    good = sum(is_valid(domain.schema, plan) for domain, plan in plans)
    assert good == len(plans), f"{len(plans) - good} requests come with a plan that is none"
    return Measured([passed / len(plans)], [1.0])


@lru_cache(maxsize=1)
def _tokenizer() -> PreTrainedTokenizerBase:
    from transformers import AutoTokenizer

    from bb_nn.base import EMBEDDED

    if not (EMBEDDED / "tokenizer.json").exists():
        raise UnavailableError("no embedded base rail", where="plans_checker", fix="bb base train")
    return AutoTokenizer.from_pretrained(EMBEDDED, local_files_only=True)


@row("plans.mask_complete", peer_name="all", unit="of good plans", target=1.0)
def mask_complete(context: Context) -> Measured:
    """Good plans are let through token by token, as the tokenizer writes them."""
    from bb_core.plan import plan_text
    from bb_runtime.plan_mask import PlanLanguage

    tokenizer = _tokenizer()
    languages: dict[str, PlanLanguage] = {}
    passed = count = 0
    for domain, plan in _plans(context):
        if domain.name not in languages:
            languages[domain.name] = PlanLanguage(tokenizer, domain, BUDGET)
        tokens = [*tokenizer(plan_text(plan))["input_ids"], tokenizer.eos_token_id]
        state = languages[domain.name].start()
        passed += all(state.consume(token) for token in tokens)
        count += 1
    return Measured([passed / count], [1.0])


@row("plans.decoded_pass", peer_name="all", unit="of decoded plans", target=1.0)
def decoded_pass(context: Context) -> Measured:
    """Plans of every domain, written by taking any token that the mask allows, pass the checker."""
    import numpy as np

    from bb_core.plan import parse_plan
    from bb_runtime.plan_mask import PlanLanguage

    rng, passed, count = Random(context.seed), 0, 0
    for domain in _domains():
        language = PlanLanguage(_tokenizer(), domain, 1024)
        words = np.zeros(language.n_words, dtype=np.int32)
        for _ in range(1000 if context.full else 10):
            state, text = language.start(), b""
            while not state.finished:
                state.fill(words)
                allowed = np.flatnonzero(np.unpackbits(words.view(np.uint8), bitorder="little"))
                token = int(allowed[rng.randrange(len(allowed))])
                assert state.consume(token)
                text += b"" if state.finished else language.token_bytes[token]
            plan = parse_plan(text.decode())
            passed += bool(plan.steps) and _passes(domain, plan)
            count += 1
    return Measured([passed / count], [1.0])


def _small_domain(max_steps: int) -> Domain:
    """A domain with a few thousand plans: boxes of two sizes that are found, opened and joined."""
    from bb_domains.domain import make_domain
    from bb_domains.schema import parse_schema

    size = {"enum": ["big", "small"]}
    box = {"type": "object", "properties": {"box": {}}, "required": ["box"]}
    pair = {"type": "object", "properties": {"one": {}, "two": {}}, "required": ["one", "two"]}
    one_size = {"type": "object", "properties": {"size": size}, "required": ["size"]}
    return make_domain(
        parse_schema(
            {
                "domain": "boxes",
                "limits": {"max_steps": max_steps},
                "objects": {"box": {"slots": 2}},
                "fluents": {"open": ["box"], "joined": ["box", "box"], "lit": []},
                "tools": {
                    "light": {"pre": "!lit", "effects": ["lit"]},
                    "find": {"args": one_size, "binds": {"object": "box", "key": "size"}},
                    "open": {
                        "args": box,
                        "handles": {"box": {"object": "box"}},
                        "pre": "!open(box)",
                        "effects": ["open(box)"],
                    },
                    "join": {
                        "args": pair,
                        "handles": {"one": {"object": "box"}, "two": {"object": "box"}},
                        "pre": "lit & !joined(one,two)",
                        "effects": ["joined(one,two)"],
                    },
                },
                "invariants": [
                    {
                        "name": "closed",
                        "never": "joined(a,b) & open(b)",
                        "for": {"a": "box", "b": "box"},
                    }
                ],
                "graph": {"every_handle_used": True},
            }
        )
    )


def _candidates(domain: Domain) -> Iterator[str]:
    """Every sequence of calls with every value and every reference, admissible or not."""
    from bb_core.plan import Plan, Step, plan_text, step_id

    def calls(position: int) -> Iterator[tuple[str, dict[str, Any]]]:
        refs = [f"${step_id(i)}.id" for i in range(position)]
        yield "light", {}
        yield from (("find", {"size": size}) for size in ("big", "small"))
        yield from (("open", {"box": ref}) for ref in refs)
        for one, two in itertools.product(refs, refs):
            yield "join", {"one": one, "two": two}

    for n_steps in range(domain.schema.limits.max_steps + 1):
        for chosen in itertools.product(*(list(calls(i)) for i in range(n_steps))):
            steps = (Step(step_id(i), tool, args) for i, (tool, args) in enumerate(chosen))
            yield plan_text(Plan(tuple(steps)))


@row("plans.mask_language", peer_name="the checker's", unit="plans", target=1.0)
def mask_language(context: Context) -> Measured:
    """The texts that the mask writes are those that the checker passes, all of them."""
    import numpy as np

    from bb_core.plan import parse_plan
    from bb_runtime.plan_mask import PlanLanguage

    domain = _small_domain(5 if context.full else 4)
    language = PlanLanguage(_tokenizer(), domain, BUDGET)
    written: set[str] = set()
    seen = {b""}
    rows = [(language.start(), b"")]
    while rows:
        state, text = rows.pop()
        words = np.zeros(language.n_words, dtype=np.int32)
        state.fill(words)
        allowed = np.flatnonzero(np.unpackbits(words.view(np.uint8), bitorder="little"))
        for token in allowed.tolist():
            if token in language.eos_ids:
                written.add(text.decode())
                continue
            after, twin = text + language.token_bytes[token], state.fork()
            assert twin.consume(token), f"{after!r} was allowed"
            if after not in seen:
                seen.add(after)
                rows.append((twin, after))
    checked = {text for text in _candidates(domain) if _passes(domain, parse_plan(text))}
    assert checked
    union = len(written | checked)
    return Measured([len(written & checked)], [union])
