"""Does the checker catch every spoilt plan and let every good one pass; is the mask complete?

Good plans are those of the requests of every installed domain that has a simulator. Spoilt ones are
made from them in twelve ways (`plan_mutants`).
"""

from __future__ import annotations

import itertools
from functools import lru_cache
from random import Random
from typing import TYPE_CHECKING, Any

from bb_core.errors import BBError
from bb_core.plan import parse_plan
from benchmarks.frame import Context, Measured, UnavailableError, row
from benchmarks.plan_mutants import KINDS, is_valid

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from bb_core.plan import Plan
    from bb_core.progress import Progress
    from bb_domains.domain import Domain
    from bb_domains.simulation import Request

BUDGET = 4096
"""For plans made by others, however long."""
DECODED = 1024
"""The budget that `bb_runtime/README.md` recommends."""
FULL, SMALL = 10_000, 240
GREEDY = 10
"""Every tenth plan is decoded greedily, the others are sampled."""
MOST_DRAWS = 20


@lru_cache(maxsize=1)
def _domains() -> tuple[Domain, ...]:
    """The installed domains that make requests."""
    from bb_domains.domain import installed_domains, load_domain
    from bb_domains.kit import has_simulator

    found = (load_domain(name) for name in sorted(installed_domains()))
    domains = tuple(domain for domain in found if has_simulator(domain))
    if not domains:
        raise UnavailableError("no domain has a simulator", where="plans_checker", fix="add one")
    return domains


@lru_cache(maxsize=2)
def _requests(count: int, seed: int) -> tuple[tuple[Domain, Request], ...]:
    """At least as many requests as are asked for, of all domains and splits alike; made once."""
    from bb_core.progress import Progress
    from bb_domains.kit import make_requests
    from bb_domains.simulation import SPLITS

    each = -(-count // (len(_domains()) * len(SPLITS)))
    found = []
    with Progress(each * len(_domains()) * len(SPLITS), "requests") as progress:
        for domain, split in itertools.product(_domains(), SPLITS):
            for request in make_requests(domain, split, each, seed):
                found.append((domain, request))
                progress.advance(note=domain.name)
    return tuple(found)


def _plans(context: Context) -> list[tuple[Domain, Plan]]:
    """Good plans: those that come with the requests."""
    requests = _requests(FULL if context.full else SMALL, context.seed)
    return [(domain, request.plan) for domain, request in requests]


def passes(domain: Domain, plan: Plan | str) -> bool:
    """Whether the checker takes a plan."""
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
    from bb_core.progress import track

    rng, caught, made = Random(context.seed), 0, dict.fromkeys(KINDS, 0)
    for i, (domain, plan) in enumerate(track(_plans(context), "mutants")):
        for k in range(len(KINDS)):
            kind = KINDS[(i + k) % len(KINDS)]
            spoilt = kind(domain.schema, plan, rng)
            if spoilt is not None:
                made[kind] += 1
                caught += not passes(domain, spoilt)
                break
    missing = [kind.__name__ for kind, count in made.items() if not count]
    assert not missing, f"no mutants of the kinds {missing}"
    return Measured([caught / sum(made.values())], [1.0])


@row("plans.checker_alarms", peer_name="none refused", unit="of good plans", target=1.0)
def checker_alarms(context: Context) -> Measured:
    """Good plans, as the plain reading of their schema says too, pass."""
    from bb_core.progress import track

    plans = _plans(context)
    passed = sum(passes(domain, plan) for domain, plan in track(plans, "good plans"))
    good = sum(is_valid(domain.schema, plan) for domain, plan in plans)
    assert good == len(plans), f"{len(plans) - good} requests come with a plan that is none"
    return Measured([passed / len(plans)], [1.0])


@lru_cache(maxsize=1)
def _base() -> tuple[Any, PreTrainedTokenizerBase]:
    from bb_nn.base import EMBEDDED, load_base, quiet_transformers

    if not (EMBEDDED / "tokenizer.json").exists():
        raise UnavailableError("no embedded base rail", where="plans_checker", fix="bb base train")
    quiet_transformers()
    return load_base()


def load_tokenizer() -> PreTrainedTokenizerBase:
    """The embedded base rail's."""
    return _base()[1]


@row("plans.mask_complete", peer_name="all", unit="of good plans", target=1.0)
def mask_complete(context: Context) -> Measured:
    """Every token of good plans is in its mask and is taken, as the tokenizer writes them."""
    import numpy as np

    from bb_core.plan import plan_text
    from bb_core.progress import track
    from bb_runtime.plan_mask import PlanLanguage

    tokenizer = load_tokenizer()
    languages = {domain.name: PlanLanguage(tokenizer, domain, BUDGET) for domain in _domains()}
    plans, passed = _plans(context), 0
    for domain, plan in track(plans, "plans under the mask"):
        tokens = [*tokenizer(plan_text(plan))["input_ids"], tokenizer.eos_token_id]
        state = languages[domain.name].start()
        words = np.zeros(languages[domain.name].n_words, dtype=np.int32)
        for token in tokens:
            state.fill(words)
            if not words[token // 32] >> token % 32 & 1 or not state.consume(token):
                break
        else:
            passed += 1
    return Measured([passed / len(plans)], [1.0])


def _untrained_rail(domain: Domain, seed: int) -> Any:
    """A dual rail before its training, all weights random: the way out of a new one is silent."""
    from copy import deepcopy

    import torch

    from bb_domains.kit import make_requests, make_simulator
    from bb_domains.simulation import record
    from bb_nn.config import DualRailConfig
    from bb_nn.rail import DualRailForCausalLM
    from bb_train.programs import learn_lanes

    requests = make_requests(domain, "train", 32, seed)
    traces = [record(domain.name, make_simulator(domain, one), one) for one in requests]
    model, tokenizer = _base()
    torch.manual_seed(seed)
    lanes = learn_lanes(traces, domain)
    rail = DualRailForCausalLM.from_base(deepcopy(model), tokenizer, DualRailConfig(), lanes)
    torch.nn.init.normal_(rail.rail.outward.weight)
    return rail


@lru_cache(maxsize=1)
def _decoded(context: Context) -> tuple[tuple[Domain, str], ...]:
    """What an untrained rail answers to 1,000 requests of each domain, some of it greedily."""
    from bb_core.progress import Progress

    each = 1000 if context.full else 10
    requests = _requests(each * len(_domains()), context.seed)
    found: list[tuple[Domain, str]] = []
    with Progress(each * len(_domains()), "decoded plans") as progress:
        for domain in _domains():
            rail = _untrained_rail(domain, context.seed)
            asks = [request.text for owner, request in requests if owner is domain][:each]
            greedy, sampled = asks[::GREEDY], [a for i, a in enumerate(asks) if i % GREEDY]
            for texts, temperature in ((greedy, 0.0), (sampled, 1.0)):
                drawn = _draw(rail, domain, texts, temperature, context.seed, progress)
                found += [(domain, text) for text in drawn]
    return tuple(found)


def _draw(
    rail: Any, domain: Domain, asks: list[str], temperature: float, seed: int, progress: Progress
) -> list[str]:
    """An answer to each request; a plan without steps does not count and is drawn again."""
    from bb_core.plan import Plan, plan_text
    from bb_runtime.decode import decode_plans

    found: list[str] = []
    for draw in range(MOST_DRAWS):
        answers = decode_plans(
            rail, load_tokenizer(), asks, domain, max_new_tokens=DECODED, batch_size=128,
            temperature=temperature if draw == 0 else 1.0, seed=seed + draw,
            on_batch=lambda n: progress.advance(n, note=domain.name),
        )  # fmt: skip
        empty = [answer.text == plan_text(Plan(())) for answer in answers]
        found += [a.text for a, is_empty in zip(answers, empty, strict=True) if not is_empty]
        asks = [ask for ask, is_empty in zip(asks, empty, strict=True) if is_empty]
        if not asks:
            return found
        progress.total += len(asks)
    raise BBError(f"{len(asks)} plans stay empty", where=domain.name, fix="raise the temperature")


@row("plans.decoded_pass", peer_name="all", unit="of decoded plans", target=1.0)
def decoded_pass(context: Context) -> Measured:
    """Plans that an untrained rail decodes end within the budget and pass the checker."""
    decoded = _decoded(context)
    return Measured([sum(passes(*one) for one in decoded) / len(decoded)], [1.0])


@row("plans.decoded_distinct", peer_name="decoded plans", unit="plans", target=0.0)
def decoded_distinct(context: Context) -> Measured:
    """How many of these plans are different ones, for orientation."""
    decoded = _decoded(context)
    return Measured([len({(domain.name, text) for domain, text in decoded})], [len(decoded)])


@row("plans.walked_pass", peer_name="all", unit="of written plans", target=1.0)
def walked_pass(context: Context) -> Measured:
    """Plans of every domain, written by taking any token that the mask allows, pass too."""
    import numpy as np

    from bb_core.progress import Progress
    from bb_runtime.plan_mask import PlanLanguage

    rng, passed, each = Random(context.seed), 0, 1000 if context.full else 10
    with Progress(each * len(_domains()), "random walks") as progress:
        for domain in _domains():
            language = PlanLanguage(load_tokenizer(), domain, DECODED)
            words = np.zeros(language.n_words, dtype=np.int32)
            for _ in range(each):
                state, text = language.start(), b""
                while not state.finished:
                    state.fill(words)
                    allowed = np.flatnonzero(np.unpackbits(words.view(np.uint8), bitorder="little"))
                    token = int(allowed[rng.randrange(len(allowed))])
                    assert state.consume(token)
                    text += b"" if state.finished else language.token_bytes[token]
                plan = parse_plan(text.decode())
                passed += bool(plan.steps) and passes(domain, plan)
                progress.advance(note=domain.name)
    return Measured([passed / (each * len(_domains()))], [1.0])
