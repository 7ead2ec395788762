"""Plan drawings."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from bb_core.errors import UsageError
from bb_core.plan import Plan, PlanGraphError, Step
from bb_runtime.draw import draw_svg, draw_terminal, plan_arcs, write_picture

PLAN = Plan(
    (
        Step("a", "login", {}),
        Step("b", "get_order", {"number": 1042}),
        Step("c", "confirm_owner", {"order": "$b.id", "email": "ana@example.com"}),
        Step("d", "refund_order", {"order": "$b.id", "reason": "late"}, after=("c",)),
        Step("e", "find_customer", {"email": "x<y&z"}),
        Step("f", "add_note", {"customer": "$e.id"}, after=("a",)),
    )
)

PICTURE = """\
┌─────── a  login          {}  done
│ ┌───── b  get_order      {"number":1042}
│ ├─┬──▶ c  confirm_owner  {"order":"$b.id","email":"ana@example.com"}
│ └─┴──▶ d  refund_order   {"order":"$b.id","reason":"late"}
│   ┌─── e  find_customer  {"email":"x<y&z"}
└───┴──▶ f  add_note       {"customer":"$e.id"}"""


def test_terminal_drawing():
    assert draw_terminal(PLAN, notes={"a": "done"}) == PICTURE


def test_a_lane_that_is_passed_by_a_line_is_crossed():
    plan = Plan(
        (
            Step("a", "x", {}),
            Step("b", "y", {}),
            Step("c", "z", {"p": "$a.id"}),
            Step("d", "z", {"p": "$b.id"}),
        )
    )
    assert draw_terminal(plan).splitlines() == [
        "  ┌─── a  x  {}",
        "┌─┼─── b  y  {}",
        '│ └──▶ c  z  {"p":"$a.id"}',
        '└────▶ d  z  {"p":"$b.id"}',
    ]


def test_steps_without_dependencies_have_no_lanes():
    assert draw_terminal(Plan(PLAN.steps[:1])) == "a  login  {}"
    assert draw_terminal(Plan(())) == ""


def test_long_arguments_are_cut_to_the_width():
    plan = Plan((Step("a", "note", {"text": "x" * 300}),))
    (line,) = draw_terminal(plan, width=60).splitlines()
    assert len(line) == 60 and line.endswith("…")


def test_overlapping_arcs_have_different_lanes():
    arcs = plan_arcs(PLAN)
    spans = [(arc.lane, arc.source, arc.targets[-1]) for arc in arcs]
    for i, (lane, low, high) in enumerate(spans):
        for other, other_low, other_high in spans[i + 1 :]:
            assert lane != other or high < other_low or other_high < low
    assert [arc.is_data for arc in arcs] == [False, True, False, True]


def test_extra_edges_are_drawn_and_unknown_steps_refused():
    assert len(plan_arcs(Plan(PLAN.steps[:2]), [("a", "b")])) == 1
    with pytest.raises(PlanGraphError, match="step 'z', which is not in the plan"):
        plan_arcs(PLAN, [("z", "a")])


def test_svg_is_well_formed_and_shows_every_step():
    root = ET.fromstring(draw_svg(PLAN))
    text = "".join(root.itertext())
    for step in PLAN.steps:
        assert step.tool in text
    assert '{"email":"x<y&z"}' in text
    paths = [node.get("stroke-dasharray") for node in root.findall("{*}path")]
    assert len(paths) == 5 and paths.count("4 3") == 2


def test_pictures_are_written(tmp_path):
    write_picture(PLAN, tmp_path / "plan.svg")
    write_picture(PLAN, tmp_path / "plan.png")
    assert (tmp_path / "plan.svg").read_text() == draw_svg(PLAN)
    assert (tmp_path / "plan.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    with pytest.raises(UsageError, match=r"cannot draw \.gif; use \.svg or \.png"):
        write_picture(PLAN, tmp_path / "plan.gif")
