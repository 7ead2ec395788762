"""Requests of every split: which wishes, on which phone, under which rules, in which words.

A request is kept if its plan succeeds on its phone, every guard holds, and no incident happens.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from bb_core.plan import MAX_STEPS
from bb_domains.phone.handset import Handset, make_handset
from bb_domains.phone.layouts import LAYOUTS
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
from bb_domains.phone.simulated import PhoneSimulator, asked_changes
from bb_domains.phone.skins import skins
from bb_domains.phone.workflows import APP_OF, GOAL_KINDS, make_plan
from bb_domains.requests import Case
from bb_domains.simulation import Trial
from bb_domains.variants import Compositions
from bb_domains.wordings import Goal, Value

COMPOSITIONS = Compositions(GOAL_KINDS, (1, 3))
OPEN_SHARE = 0.4  # of draws under no policy to speak of, where policies are not held out


def cases(trial: Trial, split: str, rng: random.Random) -> Iterator[Case]:
    """Cases of a split for one draw, as `requests.draw_requests` wants them."""
    policy, kinds = POLICIES.draw(split, rng, OPEN_SHARE), COMPOSITIONS.draw(split, rng)
    if policy.asks and not any(APP_OF[kind] in policy.asks for kind in kinds):
        return  # what is said must have to do with the wishes
    if _n_steps(kinds, policy) > MAX_STEPS:
        return
    skin, layout = skins().draw(split, rng), LAYOUTS.draw(split, rng)
    seed = rng.randrange(1 << 32)
    phone = make_handset(layout, policy, seed)
    goals = _goals(kinds, phone, rng)
    plan = make_plan(goals, policy)
    asked = asked_changes([goal.as_label() for goal in goals], policy)
    if trial.succeeds(PhoneSimulator(phone, asked), plan):
        yield Case(skin, goals, plan, seed, layout.name, policy.name, policy.says)


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
