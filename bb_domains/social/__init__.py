"""Domain `social`: a desk that drafts, checks, has approved and publishes what others will read.

In a simulated network unless `BB_SOCIAL_URL` names a Mastodon server.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bb_domains.schema import PlanSchema
    from bb_domains.simulation import Request
    from bb_domains.social.simulated import SocialSimulator

SCHEMA = Path(__file__).parent / "plan_schema.yaml"


def plan_schema() -> PlanSchema:
    """The domain as shipped.

    Raises:
        BBError: the file of the package is broken.
    """
    from bb_domains.schema import load_schema

    return load_schema(SCHEMA)


def requests(split: str, n: int, seed: int) -> Iterator[Request]:
    """Requests of a split, with plans that fulfil them."""
    from bb_domains.social.planner import plan_requests

    return plan_requests(plan_schema(), split, n, seed)


def simulator(request: Request) -> SocialSimulator:
    """The world of a request."""
    from bb_domains.social.simulated import SocialSimulator
    from bb_domains.social.world import make_world

    world = make_world(request.seed, request.layout, request.policy)
    return SocialSimulator(world, tuple(request.label.get("private", ())))
