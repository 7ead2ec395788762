"""The page of a domain says what a run does when answers are late, lost or bad."""

from __future__ import annotations

import pytest

from bb_domains.domain import load_domain
from bb_domains.domain_page import domain_page, markdown, tool_page


@pytest.mark.parametrize(
    ("domain", "tool", "lines"),
    [
        (
            "robots",
            "drive",
            (
                "| changes something | `yes` |",
                "| waits for an answer | `300 s` |",
                "| asks, if its answer is lost | `report(); it happened if "
                "result.place == to.place` |",
            ),
        ),
        (
            "api_json",
            "change_city",
            (
                "| may be repeated under one key | `yes` |",
                "| waits for an answer | `10 s, then up to 2 more tries` |",
                "| is taken back by | `change_city(order=order.id, city=order.city)` |",
            ),
        ),
        (
            "api_json",
            "confirm_owner",
            ("| changes something | `only the session with the service` |",),
        ),
        (
            "social",
            "find_contact",
            (
                "| changes something | `no` |",
                "| waits for an answer | `30 s, then up to 2 more tries` |",
            ),
        ),
    ],
)
def test_a_tool(domain: str, tool: str, lines: tuple[str, ...]) -> None:
    page = markdown(tool_page(load_domain(domain), tool))
    for line in lines:
        assert line in page


def test_calls_at_a_time() -> None:
    assert "; up to 4 calls at a time." in markdown(domain_page(load_domain("api_json")))
    assert "at a time" not in markdown(domain_page(load_domain("phone")))
