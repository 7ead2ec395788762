"""Domain `robots`: a robot with one arm that drives, carries and opens doors.

In a simulated building unless `BB_ROBOTS_URL` names a rosbridge server.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bb_domains.robots.simulated import RobotSimulator
    from bb_domains.schema import PlanSchema
    from bb_domains.simulation import Request

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
    from bb_domains.robots.planner import plan_requests

    return plan_requests(plan_schema(), split, n, seed)


def simulator(request: Request) -> RobotSimulator:
    """The world of a request."""
    from bb_domains.robots.simulated import RobotSimulator
    from bb_domains.robots.world import make_world

    return RobotSimulator(make_world(request.seed, request.layout, request.policy))
