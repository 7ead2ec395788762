"""Domain `robots`: a robot with one arm that drives, carries and opens doors.

The adapters speak to the rosbridge server at `BB_ROBOTS_URL`; without it, to a simulated building:
`BB_ROBOTS_SEED` (0), `BB_ROBOTS_LAYOUT` (rooms) and `BB_ROBOTS_POLICY` (standard) say which.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bb_domains.robots.simulated import RobotSimulator
    from bb_domains.schema import PlanSchema
    from bb_domains.simulation import Request
    from bb_domains.tools import Adapters

SCHEMA = Path(__file__).parent / "plan_schema.yaml"
URL, SEED, LAYOUT, POLICY = (f"BB_ROBOTS_{name}" for name in ("URL", "SEED", "LAYOUT", "POLICY"))


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
    """What carries the calls out: a robot, or a simulated one.

    Raises:
        BBError: the robot cannot be reached, its host is not declared, or a variable means nothing.
    """
    from bb_core.errors import BBError
    from bb_domains.outgoing import service_of
    from bb_domains.robots.rosbridge import RosbridgeAdapters, load_interfaces
    from bb_domains.robots.simulated import RobotSimulator
    from bb_domains.robots.transports import open_transport
    from bb_domains.robots.world import make_world

    if environment.get(URL):
        timeouts_s = {name: tool.timeout_s for name, tool in schema.tools.items()}
        transport = open_transport(environment[URL], service_of(schema))
        robot = RosbridgeAdapters(transport, load_interfaces(), timeouts_s)
        try:
            yield robot
        finally:
            robot.close()
        return
    seed = environment.get(SEED, "0")
    if not seed.isdecimal():
        raise BBError(f"{seed!r} is no seed", where=SEED, fix="use a whole number")
    layout, policy = environment.get(LAYOUT, "rooms"), environment.get(POLICY, "standard")
    yield RobotSimulator(make_world(int(seed), layout, policy))


def requests(split: str, n: int, seed: int) -> Iterator[Request]:
    """Requests of a split, with plans that fulfil them."""
    from bb_domains.requests import draw_requests
    from bb_domains.robots.planner import cases
    from bb_domains.simulation import Trial

    return draw_requests(partial(cases, Trial.of(plan_schema()), split), split, n, seed)


def simulator(request: Request) -> RobotSimulator:
    """The world of a request."""
    from bb_domains.robots.simulated import RobotSimulator
    from bb_domains.robots.world import make_world

    return RobotSimulator(make_world(request.seed, request.layout, request.policy))
