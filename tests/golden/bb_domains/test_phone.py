"""The phone domain: meaning and plans as its golden files say, and screens as they are drawn.

Made again by `bb domain test bb_domains/phone --write` and
`python tests/golden/bb_domains/test_phone.py`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from bb_domains import phone
from bb_domains.domain import Domain, make_domain
from bb_domains.golden import FOLDER, check_golden
from bb_domains.phone.drawing import svg_text
from bb_domains.phone.elements import load_book
from bb_domains.phone.handset import make_handset
from bb_domains.phone.layouts import LAYOUTS
from bb_domains.phone.policies import POLICIES
from bb_domains.phone.tree import parse_dump, write_dump
from bb_domains.schema import parse_schema, schema_data

HERE = Path(__file__).parent / "phone"
SCREENS = (("plain", "review"), ("dense", "composer"), ("small", "settings"))


def dump(layout: str, screen: str) -> str:
    handset = make_handset(LAYOUTS[layout], POLICIES["open"], 3)
    handset.fields |= {"payee_field": "Ann Bell", "amount_field": "12.5"}
    return write_dump(handset.picture_of(screen)).replace("><", ">\n<") + "\n"


def picture(layout: str, screen: str) -> str:
    return svg_text(parse_dump(dump(layout, screen)), load_book(), ((540, 1200),))


@pytest.fixture(scope="module")
def domain() -> Domain:
    return make_domain(phone.plan_schema())


def test_meaning_and_verdicts_are_as_written(domain: Domain) -> None:
    assert check_golden(domain, phone.SCHEMA.parent / FOLDER) == []


def test_a_change_of_meaning_shows(domain: Domain) -> None:
    data = schema_data(domain.schema)
    data["tools"]["confirm_payment"]["pre"] = "at_review & !paid(payment)"
    changed = make_domain(parse_schema(data))
    faults = check_golden(changed, phone.SCHEMA.parent / FOLDER)
    assert any("confirm_payment" in fault.where + fault.what for fault in faults)


@pytest.mark.parametrize(("layout", "screen"), SCREENS)
def test_screens_look_as_they_did(layout: str, screen: str) -> None:
    name = f"{layout}_{screen}"
    assert dump(layout, screen) == (HERE / f"{name}.xml").read_text()
    assert picture(layout, screen) == (HERE / f"{name}.svg").read_text()


if __name__ == "__main__":
    HERE.mkdir(exist_ok=True)
    for one, shown in SCREENS:
        (HERE / f"{one}_{shown}.xml").write_text(dump(one, shown))
        (HERE / f"{one}_{shown}.svg").write_text(picture(one, shown))
