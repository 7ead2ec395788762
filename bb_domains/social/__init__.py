"""Domain `social`: a desk that drafts, checks, has approved and publishes what others will read.

In a network that `BB_SOCIAL_SEED`, `BB_SOCIAL_LAYOUT` and `BB_SOCIAL_POLICY` make up, unless
`BB_SOCIAL_URL` names a Mastodon server.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bb_domains.schema import PlanSchema
    from bb_domains.simulation import Request
    from bb_domains.social.simulated import SocialSimulator
    from bb_domains.tools import Adapters

SCHEMA = Path(__file__).parent / "plan_schema.yaml"
URL = "BB_SOCIAL_URL"
SEED, LAYOUT, POLICY = "BB_SOCIAL_SEED", "BB_SOCIAL_LAYOUT", "BB_SOCIAL_POLICY"


@cache
def plan_schema() -> PlanSchema:
    """The domain as shipped.

    Raises:
        BBError: the file of the package is broken.
    """
    from bb_domains.schema import load_schema

    return load_schema(SCHEMA)


@contextmanager
def open_adapters(schema: PlanSchema, environment: Mapping[str, str]) -> Iterator[Adapters]:
    """The desk on a Mastodon server, or one in a simulated network.

    Raises:
        BBError: `BB_SOCIAL_URL` is set and something else that the desk needs is not, or a variable
            means nothing.
    """
    if environment.get(URL):
        from bb_domains.social.mastodon import open_desk

        with open_desk(schema, environment) as desk:
            yield desk
        return
    from bb_core.errors import BBError
    from bb_domains.social.simulated import SocialSimulator
    from bb_domains.social.world import make_world

    seed = environment.get(SEED, "0")
    if not seed.isdecimal():
        raise BBError(f"{seed!r} is no seed", where=SEED, fix="use a whole number")
    layout, policy = environment.get(LAYOUT, "club"), environment.get(POLICY, "standard")
    yield SocialSimulator(make_world(int(seed), layout, policy))


def requests(split: str, n: int, seed: int) -> Iterator[Request]:
    """Requests of a split, with plans that fulfil them."""
    from bb_domains.requests import draw_requests
    from bb_domains.simulation import Trial
    from bb_domains.social.planner import cases

    return draw_requests(partial(cases, Trial.of(plan_schema()), split), split, n, seed)


def simulator(request: Request) -> SocialSimulator:
    """The world of a request."""
    from bb_domains.social.simulated import SocialSimulator
    from bb_domains.social.world import make_world

    world = make_world(request.seed, request.layout, request.policy)
    return SocialSimulator(world, tuple(request.label.get("private", ())))
