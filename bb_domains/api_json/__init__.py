"""Domain `api_json`: orders, refunds and customers behind an HTTP service of our own.

`openapi.json` is the service's own document, written by `python -m bb_domains.api_json.document`;
`plan_schema.yaml` says what OpenAPI cannot.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bb_domains.schema import PlanSchema

OVERLAY = Path(__file__).parent / "plan_schema.yaml"
DOCUMENT = Path(__file__).parent / "openapi.json"


def plan_schema() -> PlanSchema:
    """The domain as shipped: the stored document with the overlay, at the service's usual port.

    Raises:
        BBError: a file of the package is broken.
    """
    from bb_domains.openapi import import_openapi

    return import_openapi(DOCUMENT, OVERLAY)
