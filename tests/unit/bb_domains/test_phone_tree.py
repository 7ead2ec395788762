"""Dumps of screens: what uiautomator writes, and what no phone would."""

from __future__ import annotations

import pytest

from bb_core.errors import BBError
from bb_domains.phone.tree import MOST_DEPTH, MOST_NODES, Bounds, Node, hit, parse_dump, write_dump

NODE = '<node index="0" text="{}" resource-id="{}" class="android.widget.{}" package="a.b" {}/>'
PLACE = 'bounds="[0,0][10,20]"'


def dump(*nodes: str) -> str:
    return f"<?xml version='1.0'?><hierarchy rotation=\"0\">{''.join(nodes)}</hierarchy>"


def test_a_dump_as_android_writes_it() -> None:
    tree = parse_dump(
        "<?xml version='1.0' encoding='UTF-8' standalone='yes' ?>"
        '<hierarchy rotation="0"><node index="0" text="" resource-id="" '
        'class="android.widget.FrameLayout" package="com.android.settings" content-desc="" '
        'checkable="false" checked="false" clickable="false" enabled="true" focusable="false" '
        'focused="false" scrollable="false" long-clickable="false" password="false" '
        'selected="false" bounds="[0,0][1080,2280]"><node index="0" text="Wi&#8209;Fi &amp; more" '
        'resource-id="com.android.settings:id/switch_widget" class="android.widget.Switch" '
        'package="com.android.settings" content-desc="On" checkable="true" checked="true" '
        'clickable="true" enabled="false" focusable="true" focused="true" scrollable="false" '
        'long-clickable="false" password="true" selected="false" bounds="[900,100][1060,200]" />'
        "</node></hierarchy>"
    )
    (switch,) = tree.children
    assert (switch.kind, switch.id, switch.package) == (
        "Switch",
        "switch_widget",
        "com.android.settings",
    )
    assert (switch.text, switch.desc) == ("Wi‑Fi & more", "On")
    assert (switch.checked, switch.clickable, switch.enabled) == (True, True, False)
    assert switch.focused and switch.password
    assert switch.bounds.center == (980, 150)


def test_windows_are_gathered_under_one_root() -> None:
    tree = parse_dump(
        dump(NODE.format("a", "", "TextView", PLACE), NODE.format("b", "", "X", PLACE))
    )
    assert [child.text for child in tree.children] == ["a", "b"]
    assert tree.bounds == Bounds(0, 0, 10, 20)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is no XML"),
        ("<hierarchy>", "is no XML"),
        (dump(), "shows nothing"),
        ("<node/>", "has an element 'node'"),
        (dump("<script/>"), "has an element 'script'"),
        (dump('<node bounds="[0,0][1e9,2]"/>'), "has bounds"),
        (dump("<node/>"), "has bounds ''"),
        ('<!DOCTYPE a [<!ENTITY b "c">]>' + dump(), "declares a document type"),
        ('<!DOCTYPE a SYSTEM "file:///etc/passwd"><hierarchy/>', "declares a document type"),
        (dump(f"<node {PLACE}>" * (MOST_DEPTH + 1) + "</node>" * (MOST_DEPTH + 1)), "is deeper"),
        (dump(f"<node {PLACE}/>" * (MOST_NODES + 1)), "has more than 20000 elements"),
        (dump("<node", " " * 4_000_000, "/>"), "has 4000"),
        (dump('<node text="&b;" bounds="[0,0][1,1]"/>'), "is no XML"),
    ],
)
def test_what_no_phone_writes_is_refused(text: str, says: str) -> None:
    with pytest.raises(BBError, match="ui dump: ") as caught:
        parse_dump(text)
    assert says in str(caught.value)


def test_taps_hit_what_is_drawn_last_and_can_be_tapped() -> None:
    place = Bounds(0, 0, 100, 100)
    below = Node(place, clickable=True, text="below")
    above = Node(Bounds(0, 0, 50, 50), clickable=True, text="above")
    label = Node(place, text="label")
    dead = Node(Bounds(60, 60, 100, 100), clickable=True, enabled=False, text="dead")
    tree = Node(place, children=(below, above, label, dead))
    assert hit(tree, (10, 10)) == above
    assert hit(tree, (50, 50)) == below
    assert hit(tree, (70, 70)) == below
    assert hit(tree, (100, 100)) is None


def test_control_characters_are_written_as_such() -> None:
    tree = Node(Bounds(0, 0, 1, 1), text="a\x00b\x1f\ud800<&\"'")
    assert parse_dump(write_dump(tree)).text == "a\ufffdb\ufffd\ufffd<&\"'"
