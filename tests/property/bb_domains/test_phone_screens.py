"""Laws of dumps, of layouts and of texts typed through adb."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bb_core.errors import BBError
from bb_domains.phone.adb import _typable
from bb_domains.phone.elements import load_book
from bb_domains.phone.handset import Handset, make_handset
from bb_domains.phone.layouts import LAYOUTS
from bb_domains.phone.policies import POLICIES
from bb_domains.phone.tree import Bounds, Node, hit, parse_dump, write_dump

BOOK = load_book()
SCREENS = [name for name in BOOK.screens if name != "home"]
texts = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=12)
bounds = st.builds(Bounds, *[st.integers(-50, 3000)] * 4)
nodes = st.recursive(
    st.builds(Node, bounds, st.sampled_from(["Button", "EditText"]), text=texts, desc=texts,
              clickable=st.booleans(), checked=st.booleans(), password=st.booleans()),
    lambda inner: st.builds(Node, bounds, children=st.lists(inner, max_size=3).map(tuple)),
    max_leaves=8,
)  # fmt: skip
handsets = st.builds(
    make_handset,
    st.sampled_from(list(LAYOUTS.values())),
    st.sampled_from(list(POLICIES.values())),
    st.integers(0, 1000),
)


@given(nodes)
def test_a_tree_survives_its_dump(tree: Node) -> None:
    assert parse_dump(write_dump(tree)) == tree


@given(st.text(max_size=60))
def test_any_text_is_a_dump_or_refused(text: str) -> None:
    for tried in (text, f'<hierarchy><node bounds="[0,0][1,1]" text="{text}"/></hierarchy>'):
        said = "ui dump: "
        try:
            parse_dump(tried)
        except BBError as error:
            said = str(error)
        assert said.startswith("ui dump: ")


@settings(max_examples=60)
@given(handsets, st.sampled_from(SCREENS))
def test_every_screen_is_known_by_what_it_shows(phone: Handset, screen: str) -> None:
    phone.person = next(iter(phone.contacts))
    phone.fields |= {"payee_field": "Ann Bell", "amount_field": "12.5"}
    tree = parse_dump(write_dump(phone.picture_of(screen)))
    assert BOOK.front(tree) == screen


@settings(max_examples=60)
@given(handsets, st.sampled_from(SCREENS))
def test_every_element_is_found_where_it_is_drawn(phone: Handset, screen: str) -> None:
    phone.person = next(iter(phone.contacts))
    phone.fields |= {"payee_field": "Ann Bell", "amount_field": "12.5"}
    drawn = phone.picture_of(screen)
    tree = parse_dump(write_dump(drawn))
    for node in drawn.walk():
        element, _, row = node.name.partition(":")
        if element not in BOOK.elements:
            continue
        found = BOOK.find(tree, screen, element, row)
        assert found is not None and found.bounds == node.bounds
        if node.clickable:
            touched = hit(drawn, found.bounds.center)
            assert touched is not None and touched.name == node.name
            assert BOOK.name_of(tree, found) == node.name


@settings(max_examples=60)
@given(handsets, st.sampled_from(SCREENS))
def test_nothing_lies_over_anything_else_or_off_the_screen(phone: Handset, screen: str) -> None:
    width, height = phone.layout.size
    taps = [n.bounds for n in phone.picture_of(screen).walk() if n.clickable]
    for i, one in enumerate(taps):
        assert 0 <= one.left < one.right <= width and 0 <= one.top < one.bottom <= height
        for other in taps[:i]:
            apart = one.left >= other.right or other.left >= one.right
            assert apart or one.top >= other.bottom or other.top >= one.bottom


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30))
def test_what_is_typed_through_adb_arrives(text: str) -> None:
    arrived = ""
    for part in _typable(text):
        (word,) = shlex.split(shlex.quote(part))
        assert " " not in word
        arrived += word.replace("%s", " ")
    assert arrived == text


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_differ(layout: str) -> None:
    drawn = {
        name: write_dump(make_handset(one, POLICIES["open"], 1).picture_of("bank"))
        for name, one in LAYOUTS.items()
    }
    assert [name for name, text in drawn.items() if text == drawn[layout]] == [layout]
