"""Requests of each split for the simulated shops, with plans that the shops grant.

Wording, layout, policy and goals are drawn separately; each `unseen_` split takes one of them from
what is held out and the others from what training has seen.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from dataclasses import replace

from bb_core.errors import BBError
from bb_domains.api_json.in_process import InProcessService
from bb_domains.api_json.layouts import LAYOUTS, open_shop
from bb_domains.api_json.planner import MOST_TRIES, PlannedRequest, RequestPlanner, World
from bb_domains.api_json.policies import POLICIES, Policy
from bb_domains.api_json.workflows import WORKFLOWS, plan_for
from bb_domains.simulation import Request

SHOP_REQUESTS = 8
"""Requests that are made in one shop, each in a copy of its own."""

STANDARD_SHARE = 0.5  # of requests under no house rule, where house rules are not held out

_TOOL_OF = {kind: flow.tool for kind, flow in WORKFLOWS.items()}
_RESTRICTED = {
    policy.name: tuple(
        kind
        for kind, tool in _TOOL_OF.items()
        if tool in {*policy.caps, *(rule.tool for rule in policy.prerequisites)}
    )
    for policy in POLICIES.values()
}


def requests(split: str, n: int, seed: int) -> Iterator[Request]:
    """`n` requests of a split; no text appears twice.

    Args:
        split: one of `simulation.SPLITS`.
        n: how many.
        seed: makes them and their shops.

    Raises:
        BBError: no request can be found that was not made before.
    """
    rng, texts = random.Random(f"{seed}/{split}"), set[str]()
    layouts = [x for x in LAYOUTS.values() if x.held_out == (split == "unseen_layouts")]
    for i in range(n):
        if i % SHOP_REQUESTS == 0:
            layout, shop_seed = rng.choice(layouts), _shop_seed(seed, split, i)
            world = World.read(InProcessService(0, open_shop(layout, shop_seed)))
        planned, policy, text = _new(world, split, texts, rng)
        yield Request(
            f"{split}-{i:05d}",
            split,
            planned.skin,
            text,
            plan_for(planned.goals, policy.prerequisites),
            shop_seed,
            layout.name,
            policy.name,
            {"goals": [goal.as_label() for goal in planned.goals]},
        )


def _new(
    world: World, split: str, texts: set[str], rng: random.Random
) -> tuple[PlannedRequest, Policy, str]:
    """A request, the house rules it is made under, and its text, which becomes one of `texts`."""
    for _ in range(MOST_TRIES):
        policy = _policy(split, rng)
        planned = _planned(world, split, policy, rng)
        text = planned.text + policy.statement(rng)
        if text not in texts:
            texts.add(text)
            return planned, policy, text
    raise BBError("no new request found", where=f"requests: {split}", fix="ask for fewer")


def _shop_seed(seed: int, split: str, i: int) -> int:
    digest = hashlib.sha256(f"{seed}/{split}/{i}".encode()).digest()
    return int.from_bytes(digest[:6], "big")


def _policy(split: str, rng: random.Random) -> Policy:
    held_out = split == "unseen_policies"
    if not held_out and rng.random() < STANDARD_SHARE:
        return POLICIES["standard"]
    return rng.choice([p for p in POLICIES.values() if p.held_out == held_out and p.says])


def _planned(world: World, split: str, policy: Policy, rng: random.Random) -> PlannedRequest:
    """A request that the policy grants and that it has to do with."""
    concerned = _RESTRICTED[policy.name]
    kind = split if split in ("unseen_wordings", "unseen_compositions") else "train"
    for _ in range(MOST_TRIES):
        planner = RequestPlanner(_fresh(world), rng.getrandbits(32))
        (planned,) = planner.plan(kind, 1)
        touched = not concerned or any(goal.kind in concerned for goal in planned.goals)
        if touched and policy.grants(planned.goals, _TOOL_OF):
            return planned
    raise BBError(
        f"no request under {policy.name}", where=f"requests: {split}", fix="ask for fewer"
    )


def _fresh(world: World) -> World:
    """The same world, before anything was promised."""
    return replace(
        world,
        emails=dict(world.emails),
        spent=set(world.spent),
        noted=set(world.noted),
        taken_emails=set(world.taken_emails),
    )
