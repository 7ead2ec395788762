"""The small domain that most of these tests speak about."""

from __future__ import annotations

from pathlib import Path

import pytest

from bb_domains.compiler import PlanMachine
from bb_domains.schema import PlanSchema, load_schema

SHOP = Path(__file__).parents[2] / "golden" / "bb_domains" / "shop"


@pytest.fixture(scope="session")
def shop_dir() -> Path:
    return SHOP


@pytest.fixture(scope="session")
def shop(shop_dir: Path) -> PlanSchema:
    return load_schema(shop_dir / "plan_schema.yaml")


@pytest.fixture(scope="session")
def machine(shop: PlanSchema) -> PlanMachine:
    return PlanMachine(shop)
