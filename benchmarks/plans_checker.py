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


def _passes(domain: Domain, plan: Plan | str) -> bool:
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
                caught += not _passes(domain, spoilt)
                break
    missing = [kind.__name__ for kind, count in made.items() if not count]
    assert not missing, f"no mutants of the kinds {missing}"
    return Measured([caught / sum(made.values())], [1.0])


@row("plans.checker_alarms", peer_name="none refused", unit="of good plans", target=1.0)
def checker_alarms(context: Context) -> Measured:
    """Good plans, as the plain reading of their schema says too, pass."""
    from bb_core.progress import track

    plans = _plans(context)
    passed = sum(_passes(domain, plan) for domain, plan in track(plans, "good plans"))
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


@row("plans.mask_complete", peer_name="all", unit="of good plans", target=1.0)
def mask_complete(context: Context) -> Measured:
    """Good plans are let through token by token, as the tokenizer writes them."""
    from bb_core.plan import plan_text
    from bb_core.progress import track
    from bb_runtime.plan_mask import PlanLanguage

    _, tokenizer = _base()
    languages = {domain.name: PlanLanguage(tokenizer, domain, BUDGET) for domain in _domains()}
    plans, passed = _plans(context), 0
    for domain, plan in track(plans, "plans under the mask"):
        tokens = [*tokenizer(plan_text(plan))["input_ids"], tokenizer.eos_token_id]
        state = languages[domain.name].start()
        passed += all(state.consume(token) for token in tokens)
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
            rail, _base()[1], asks, domain, max_new_tokens=DECODED, batch_size=128,
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
    return Measured([sum(_passes(*one) for one in decoded) / len(decoded)], [1.0])


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
            language = PlanLanguage(_base()[1], domain, DECODED)
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
                passed += bool(plan.steps) and _passes(domain, plan)
                progress.advance(note=domain.name)
    return Measured([passed / (each * len(_domains()))], [1.0])


def _handle(*names: str) -> dict[str, Any]:
    """Arguments that are handles."""
    return {"type": "object", "properties": {n: {} for n in names}, "required": list(names)}


def _boxes(max_steps: int) -> dict[str, Any]:
    """Boxes of two sizes that are found, opened and joined."""
    size = {"enum": ["big", "small"]}
    one_size = {"type": "object", "properties": {"size": size}, "required": ["size"]}
    return {
        "domain": "boxes",
        "limits": {"max_steps": max_steps},
        "objects": {"box": {"slots": 2}},
        "fluents": {"open": ["box"], "joined": ["box", "box"], "lit": []},
        "tools": {
            "light": {"pre": "!lit", "effects": ["lit"]},
            "find": {"args": one_size, "binds": {"object": "box", "key": "size"}},
            "open": {
                "args": _handle("box"),
                "handles": {"box": {"object": "box"}},
                "pre": "!open(box)",
                "effects": ["open(box)"],
            },
            "join": {
                "args": _handle("one", "two"),
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


def _cups(max_steps: int) -> dict[str, Any]:
    """Cups that are taken, filled, heated and emptied: facts that end, and a choice of grounds."""
    cup, level = {"cup": {"object": "cup"}}, {"type": "integer", "minimum": 1, "maximum": 2}
    filled = _handle("cup")
    filled["properties"]["level"] = level
    return {
        "domain": "cups",
        "limits": {"max_steps": max_steps},
        "objects": {"cup": {"slots": 2}},
        "fluents": {"full": ["cup"], "hot": ["cup"], "clean": []},
        "tools": {
            "wash": {"pre": "!clean", "effects": ["clean"]},
            "take": {"pre": "clean", "binds": {"object": "cup"}, "effects": ["!clean"]},
            "fill": {
                "args": filled,
                "handles": cup,
                "pre": "!full(cup) | hot(cup)",
                "effects": ["full(cup)", "!hot(cup)"],
            },
            "heat": {
                "args": _handle("cup"),
                "handles": cup,
                "pre": "full(cup)",
                "effects": ["hot(cup)"],
            },
            "drink": {
                "args": _handle("cup"),
                "handles": cup,
                "pre": "full(cup) & !(clean & hot(cup))",
                "effects": ["!full(cup)", "!hot(cup)"],
            },
        },
        "graph": {"min_steps": 2},
    }


def _candidates(domain: Domain) -> Iterator[str]:
    """Every sequence of calls with every value and every reference, admissible or not."""
    from bb_core.plan import Plan, Step, plan_text, step_id

    def calls(position: int) -> Iterator[tuple[str, dict[str, Any]]]:
        for called, tool in domain.schema.tools.items():
            choices = []
            for name, part in tool.properties.items():
                if name in tool.handles:
                    path = tool.handles[name].path
                    some: list[Any] = [f"${step_id(i)}.{path}" for i in range(position)]
                else:
                    some = part.get("enum") or [*range(part["minimum"], part["maximum"] + 1)]
                optional = [] if name in tool.plan_args()["required"] else [None]
                choices.append([(name, value) for value in (*some, *optional)])
            for chosen in itertools.product(*choices):
                yield called, {name: value for name, value in chosen if value is not None}

    for n_steps in range(domain.schema.limits.max_steps + 1):
        for sequence in itertools.product(*(list(calls(i)) for i in range(n_steps))):
            steps = (Step(step_id(i), tool, args) for i, (tool, args) in enumerate(sequence))
            yield plan_text(Plan(tuple(steps)))


@row("plans.mask_language", peer_name="the checker's", unit="plans", target=1.0)
def mask_language(context: Context) -> Measured:
    """The texts that the mask writes are those that the checker passes, all of them.

    Two small schemas, of which every sequence of calls up to a length is tried.
    """
    from bb_domains.domain import make_domain
    from bb_domains.schema import parse_schema

    same = union = 0
    longest = 5 if context.full else 4
    for schema in (_boxes(longest), _cups(longest)):
        domain = make_domain(parse_schema(schema))
        written = _written(domain)
        checked = {text for text in _candidates(domain) if _passes(domain, text)}
        assert checked
        same, union = same + len(written & checked), union + len(written | checked)
    return Measured([same], [union])


def _written(domain: Domain) -> set[str]:
    """All texts that the mask can write, by every way to spell them."""
    import numpy as np

    from bb_runtime.plan_mask import PlanLanguage

    language = PlanLanguage(_base()[1], domain, BUDGET)
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
    return written
