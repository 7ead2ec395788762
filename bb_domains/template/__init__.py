"""A domain to start from: doors that are announced, unlocked and opened.

`plan_schema.yaml` says what plans may do, `world.py` is a world in which they can be tried,
`asking.py` makes requests in that world, `wordings/` says them. Change them one by one and ask
`bb domain check` and `bb domain test` after each.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from bb_domains.schema import PlanSchema, load_schema
from bb_domains.simulation import Request

from .asking import made_requests
from .world import Building, building


def plan_schema() -> PlanSchema:
    """What the domain declares."""
    return load_schema(Path(__file__).parent / "plan_schema.yaml")


def requests(split: str, n: int, seed: int) -> Iterator[Request]:
    """Requests of a split, with plans that fulfil them."""
    return made_requests(split, n, seed)


def simulator(request: Request) -> Building:
    """The building in which a request is made."""
    return building(request)


@contextmanager
def open_adapters(schema: PlanSchema, environment: Mapping[str, str]) -> Iterator[Building]:
    """What carries real calls out: here a simulated building; put your own in its place."""
    yield Building(dict.fromkeys(range(100, 500), True))
