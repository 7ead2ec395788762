"""Requests of every split: which wishes, on which phone, under which rules, in which words.

A request is kept if its plan succeeds on its phone, every guard holds, and no incident happens.
Wording, layout, policy and composition are drawn apart; each `unseen_` split holds out one of them
and keeps the others.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bb_core.errors import BBError
from bb_core.plan import MAX_STEPS, parse_reference
from bb_domains.guards import holds, parse_guard
from bb_domains.phone.handset import Handset, make_handset
from bb_domains.phone.layouts import LAYOUTS, layout_named
from bb_domains.phone.people import (
    COMPANIES,
    TITLES,
    make_amount,
    make_date,
    make_name,
    make_number,
    make_text,
)
from bb_domains.phone.policies import POLICIES, Policy
from bb_domains.phone.simulated import simulated
from bb_domains.phone.skins import skins
from bb_domains.phone.workflows import APP_OF, GOAL_KINDS, make_plan
from bb_domains.schema import PlanSchema
from bb_domains.simulation import Request, try_plan
from bb_domains.wordings import Goal, Value, render

SINGLE_SHARE = 0.4
OPEN_SHARE = 0.4  # of requests under no policy to speak of, where policies are not held out
HELD_OUT_PAIR_SHARE = 0.4  # of unseen_compositions; the others have three goals
MOST_DRAWS = 500


def held_out_pairs() -> frozenset[tuple[str, str]]:
    """The ordered pairs of goals that training never sees: 14 of 49, each kind in four."""
    n = len(GOAL_KINDS)
    return frozenset(
        (kind, GOAL_KINDS[(i + by) % n]) for i, kind in enumerate(GOAL_KINDS) for by in (1, 3)
    )


def composition(split: str, rng: random.Random) -> tuple[str, ...]:
    """The goal kinds of one request of a split."""
    if split == "unseen_compositions":
        if rng.random() < HELD_OUT_PAIR_SHARE:
            return rng.choice(sorted(held_out_pairs()))
        return tuple(rng.choice(GOAL_KINDS) for _ in range(3))
    if rng.random() < SINGLE_SHARE:
        return (rng.choice(GOAL_KINDS),)
    pairs = [(one, two) for one in GOAL_KINDS for two in GOAL_KINDS]
    return rng.choice([pair for pair in pairs if pair not in held_out_pairs()])


def plan_requests(schema: PlanSchema, split: str, n: int, seed: int) -> Iterator[Request]:
    """`n` requests of a split, no two with the same text.

    Args:
        schema: the domain's; its bounds are kept.
        split: one of `simulation.SPLITS`.
        n: how many.
        seed: makes them.

    Raises:
        BBError: no further request is found.
    """
    rng, texts = random.Random(f"{seed}/{split}"), set[str]()
    for i in range(n):
        request = _request(schema, f"{split}-{seed}-{i}", split, rng, texts)
        texts.add(request.text)
        yield request


def _request(
    schema: PlanSchema, name: str, split: str, rng: random.Random, texts: set[str]
) -> Request:
    layouts = [x.name for x in LAYOUTS.values() if x.held_out == (split == "unseen_layouts")]
    for _ in range(MOST_DRAWS):
        policy, kinds = _policy(split, rng), composition(split, rng)
        if policy.asks and not any(APP_OF[kind] in policy.asks for kind in kinds):
            continue  # what is said must have to do with the wishes
        skin = rng.choice(skins(held_out=split == "unseen_wordings"))
        layout, seed = rng.choice(layouts), rng.randrange(1 << 32)
        goals = _goals(kinds, make_handset(layout_named(layout), policy, seed), rng)
        text = render(skin, goals, rng) + policy.statement(rng)
        if text in texts or _n_steps(kinds, policy) > min(MAX_STEPS, schema.limits.max_steps):
            continue
        plan = make_plan(goals, policy)
        label = {"goals": [goal.as_label() for goal in goals]}
        request = Request(name, split, skin.name, text, plan, seed, layout, policy.name, label)
        if _succeeds(schema, request):
            return request
    raise BBError("no new request found", where=f"requests: {split}", fix="ask for fewer")


def _succeeds(schema: PlanSchema, request: Request) -> bool:
    """Whether the plan runs to its end with every guard holding and no incident."""
    phone, results = simulated(request), dict[str, Mapping[str, Any]]()
    outcome = try_plan(phone, request.plan)
    if not outcome.done or any(phone.incidents().values()):
        return False
    for step, done in zip(request.plan.steps, outcome.steps, strict=True):
        tool, known = schema.tools[step.tool], dict(step.args)
        for arg in tool.handles:
            reference = parse_reference(step.args[arg])
            assert reference is not None
            known[arg] = results[reference.step]
        results[step.id] = done.result
        guards = (parse_guard(text, tool.properties, step.tool) for text in tool.guards)
        if not all(holds(guard, known) for guard in guards):
            return False
    return True


def _policy(split: str, rng: random.Random) -> Policy:
    held_out = split == "unseen_policies"
    if not held_out and rng.random() < OPEN_SHARE:
        return POLICIES["open"]
    return rng.choice([p for p in POLICIES.values() if p.held_out == held_out and p.says])


def _n_steps(kinds: Sequence[str], policy: Policy) -> int:
    """Steps of a plan for goals of these kinds."""
    of = {"message": 4, "call": 2, "contact": 4, "delete": 3, "event": 5, "switch": 1, "pay": 6}
    apps = {APP_OF[kind] for kind in kinds}
    asked = sum(app in policy.asks for app in apps)
    return 2 * len(kinds) + policy.locked + asked + sum(of[kind] for kind in kinds)


def _goals(kinds: Sequence[str], phone: Handset, rng: random.Random) -> tuple[Goal, ...]:
    """Wishes of these kinds that make sense on a phone; nobody is named twice."""
    known = list(phone.contacts)
    rng.shuffle(known)
    switches = list(phone.switches)
    rng.shuffle(switches)
    return tuple(Goal(kind, _slots(kind, phone, known, switches, rng)) for kind in kinds)


def _slots(
    kind: str, phone: Handset, known: list[str], switches: list[str], rng: random.Random
) -> dict[str, Value]:
    match kind:
        case "message":
            return {"name": known.pop(), "text": make_text(rng)}
        case "call" | "delete":
            return {"name": known.pop()}
        case "contact":
            new = make_name(rng)
            while new in phone.contacts:
                new = make_name(rng)
            return {"name": new, "number": make_number(rng)}
        case "event":
            at = f"{rng.randint(7, 20):02d}:{rng.choice((0, 15, 30, 45)):02d}"
            return {"title": rng.choice(TITLES), "date": make_date(rng), "time": at}
        case "switch":
            which = switches.pop()
            return {"switch": which, "state": "off" if phone.switches[which] else "on"}
        case _:
            payee = rng.choice((known[0], rng.choice(COMPANIES)))
            return {"name": payee, "amount": make_amount(rng)}
