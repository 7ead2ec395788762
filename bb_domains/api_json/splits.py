"""Requests of each split for the simulated shops, with plans that the shops grant."""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import partial
from itertools import repeat

from bb_domains.api_json.in_process import InProcessService
from bb_domains.api_json.layouts import LAYOUTS, open_shop
from bb_domains.api_json.planner import COMPOSITIONS, World, granted_goals
from bb_domains.api_json.policies import POLICIES
from bb_domains.api_json.skins import skins
from bb_domains.api_json.workflows import WORKFLOWS, plan_for
from bb_domains.requests import Case, draw_requests
from bb_domains.simulation import Request

SHOP_CASES = 8
"""Cases that are made up in one shop, each in a copy of its own."""

STANDARD_SHARE = 0.5  # of draws under no house rule, where house rules are not held out

_TOOL_OF = {kind: flow.tool for kind, flow in WORKFLOWS.items()}

_Shop = tuple[str, int, World]  # layout, seed, what is there


def requests(split: str, n: int, seed: int) -> Iterator[Request]:
    """`n` requests of a split; see `requests.draw_requests`.

    Args:
        split: one of `simulation.SPLITS`.
        n: how many.
        seed: makes them and their shops.

    Raises:
        BBError: no request can be found that was not made before.
    """
    shops = _shops(split, random.Random(f"{seed}/{split}/shops"))
    return draw_requests(partial(_cases, split, shops), split, n, seed)


def _cases(split: str, shops: Iterator[_Shop], rng: random.Random) -> Iterator[Case]:
    """A case that the policy grants and that it has to do with, if there is one."""
    policy = POLICIES.draw(split, rng, STANDARD_SHARE)
    kinds = COMPOSITIONS.draw(split, rng)
    restricted = {*policy.caps, *(rule.tool for rule in policy.prerequisites)}
    if restricted and restricted.isdisjoint(_TOOL_OF[kind] for kind in kinds):
        return
    skin = skins().draw(split, rng)
    layout, seed, world = next(shops)
    goals = tuple(granted_goals(world, kinds, rng).values())
    if policy.grants(goals, _TOOL_OF):
        plan = plan_for(goals, policy.prerequisites)
        yield Case(skin, goals, plan, seed, layout, policy.name, policy.says)


def _shops(split: str, rng: random.Random) -> Iterator[_Shop]:
    while True:
        layout, seed = LAYOUTS.draw(split, rng), rng.getrandbits(48)
        world = World.read(InProcessService(0, open_shop(layout, seed)))
        yield from repeat((layout.name, seed, world), SHOP_CASES)
