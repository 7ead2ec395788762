"""Domain `phone`: screens, taps, typing and permissions of a handset.

On a simulated handset unless `BB_PHONE_ADB` names an `adb` executable.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bb_domains.phone.simulated import PhoneSimulator
    from bb_domains.schema import PlanSchema
    from bb_domains.simulation import Request
    from bb_domains.tools import Adapters

SCHEMA = Path(__file__).parent / "plan_schema.yaml"


@cache
def plan_schema() -> PlanSchema:
    """The domain as shipped.

    Raises:
        BBError: the file of the package is broken.
    """
    from bb_domains.schema import load_schema

    return load_schema(SCHEMA)


def open_adapters(
    schema: PlanSchema, environment: Mapping[str, str]
) -> AbstractContextManager[Adapters]:
    """The phone behind `adb`, or a simulated one; see `connect`."""
    from bb_domains.phone.connect import open_phone

    return open_phone(schema, environment)


def requests(split: str, n: int, seed: int) -> Iterator[Request]:
    """Requests of a split, with plans that fulfil them."""
    from bb_domains.phone.planner import cases
    from bb_domains.requests import draw_requests
    from bb_domains.simulation import Trial

    return draw_requests(partial(cases, Trial.of(plan_schema()), split), split, n, seed)


def simulator(request: Request) -> PhoneSimulator:
    """The phone that a request is made about."""
    from bb_domains.phone.simulated import simulated

    return simulated(request)
