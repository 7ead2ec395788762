"""Domain `api_json`: orders, refunds and customers behind an HTTP service of our own.

`openapi.json` is the service's own document, written by `python -m bb_domains.api_json.document`;
`plan_schema.yaml` says what OpenAPI cannot.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bb_domains.schema import PlanSchema
    from bb_domains.simulation import Request, Simulator

OVERLAY = Path(__file__).parent / "plan_schema.yaml"
DOCUMENT = Path(__file__).parent / "openapi.json"


@cache
def plan_schema() -> PlanSchema:
    """The domain as shipped: the stored document with the overlay, at the service's usual port.

    Raises:
        BBError: a file of the package is broken.
    """
    from bb_domains.openapi import import_openapi

    return import_openapi(DOCUMENT, OVERLAY)


def requests(split: str, n: int, seed: int) -> Iterator[Request]:
    """Requests of a split with plans that fulfil them; see `splits`."""
    from bb_domains.api_json import splits

    return splits.requests(split, n, seed)


def simulator(request: Request) -> Simulator:
    """A small shop in memory in which a request is made; see `simulated`."""
    from bb_domains.api_json.simulated import simulated

    return simulated(request)
