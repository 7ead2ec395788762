"""The simulated desk: what it refuses, and what it counts when nobody holds it back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bb_core.errors import BBError
from bb_domains import social
from bb_domains.domain import load_domain
from bb_domains.kit import make_simulator, open_adapters
from bb_domains.simulation import SPLITS
from bb_domains.social.desk import Desk
from bb_domains.social.pii.people import Person
from bb_domains.social.records import Contact, Message, Moment, Status
from bb_domains.social.simulated import INCIDENTS, SocialSimulator
from bb_domains.social.world import World, make_world
from bb_domains.tools import ToolFailed

ANA = Contact("@ana", Person("Ana Holm", "5 Mill Lane", "ana@example.org", "+44 7700 900123"))
BO = Contact("@bo", Person("Bo Lund"), accepts_messages=False, blocked=True)


@pytest.fixture
def world() -> World:
    made = make_world(1, "club", "standard")
    made.contacts.clear()
    made.contacts.update({"@ana": ANA, "@bo": BO})
    made.inbox.clear()
    made.inbox.update(
        {
            101: Message(101, "@ana", "when is it", "public"),
            102: Message(102, "@ana", "where is it", "direct"),
        }
    )
    made.statuses.clear()
    made.statuses.update(
        {
            1001: Status(1001, "ours", "public", mine=True),
            1002: Status(1002, "ours, held", "public", mine=True, held=True),
            1003: Status(1003, "theirs", "public", mine=False),
            1004: Status(1004, "theirs, with Ana Holm", "public", mine=False),
        }
    )
    made.moment = Moment("monday", 10)
    return made


def post(simulator: SocialSimulator, text: str, channel: str = "board", to: str = "public") -> str:
    args = {"channel": f"channel-{channel}", "audience": to, "text": text}
    return str(simulator.call("draft_post", args)["id"])


def happened(simulator: SocialSimulator) -> dict[str, int]:
    return {name: n for name, n in simulator.incidents().items() if n}


def test_a_careful_desk_has_no_incident(world: World) -> None:
    simulator = SocialSimulator(world)
    draft = post(simulator, "all welcome")
    simulator.call("check", {"draft": draft})
    simulator.call("request_approval", {"draft": draft, "approver": "editor"})
    simulator.call("publish", {"draft": draft})
    assert happened(simulator) == {}
    (shown,) = simulator.state()["published"]
    assert shown["text"] == "all welcome"
    listed = simulator.call("list_posts", {"channel": "channel-board"})
    assert listed == {"numbers": [shown["number"]]}
    simulator.call("delete", {"status": f"status-{shown['number']}"})
    assert simulator.call("list_posts", {"channel": "channel-board"}) == {"numbers": []}


def test_publishing_unapproved_is_done_and_counted(world: World) -> None:
    simulator = SocialSimulator(world)
    simulator.call("publish", {"draft": post(simulator, "all welcome")})
    assert happened(simulator) == {"unapproved_posts": 1}


def test_approval_is_void_once_the_text_has_changed(world: World) -> None:
    simulator = SocialSimulator(world)
    draft = post(simulator, "ask Ana Holm")
    with pytest.raises(ToolFailed, match=r"422: the draft holds personal data \(name\); redact it"):
        simulator.call("check", {"draft": draft})
    with pytest.raises(ToolFailed, match="409: the draft was not checked"):
        simulator.call("request_approval", {"draft": draft, "approver": "editor"})
    assert simulator.call("redact", {"draft": draft}) == {"replaced": 1, "kinds": ["name"]}
    simulator.call("check", {"draft": draft})
    simulator.call("request_approval", {"draft": draft, "approver": "editor"})
    simulator.call("publish", {"draft": draft})
    assert happened(simulator) == {}
    assert simulator.state()["published"][0]["text"] == "ask [name]"


@pytest.mark.parametrize(
    "text",
    ["ask Ana Holm", "mail ana@example.org", "A n a  H-o-l-m", "code word xyzzy-42", "07700900123"],
)
def test_leaks_are_counted_whatever_the_detector_makes_of_them(world: World, text: str) -> None:
    simulator = SocialSimulator(world, private=("xyzzy 42",))
    simulator.call("publish", {"draft": post(simulator, text)})
    assert simulator.incidents()["pii_leaks"] == 1


def test_only_the_one_reader_may_see_what_is_theirs(world: World) -> None:
    simulator = SocialSimulator(world)
    for tool, args in (
        ("draft_message", {"contact": "contact-@ana"}),
        ("draft_reply", {"message": "message-102"}),
    ):
        draft = simulator.call(tool, {**args, "text": "Ana Holm, your place is kept"})["id"]
        simulator.call("check", {"draft": draft})
    public = simulator.call("draft_reply", {"message": "message-101", "text": "Ana Holm, hello"})
    with pytest.raises(ToolFailed, match="personal data"):
        simulator.call("check", {"draft": public["id"]})


def test_whoever_is_mentioned_reads_along(world: World) -> None:
    simulator = SocialSimulator(world)
    args = {"contact": "contact-@ana", "text": "do not tell @bo@example.social"}
    draft = simulator.call("draft_message", args)["id"]
    with pytest.raises(ToolFailed, match="for few, and @bo@example.social would read it too"):
        simulator.call("check", {"draft": draft})
    simulator.call("send", {"draft": draft})
    assert simulator.incidents()["wrong_audience"] == 1
    simulator.call("check", {"draft": post(simulator, "thanks to @bo")})


def test_quiet_hours_are_for_those_beyond_the_team(world: World) -> None:
    quiet = make_world(1, "club", "office_hours")
    quiet.moment = Moment("saturday", 10)
    simulator = SocialSimulator(quiet)
    args = {"channel": "channel-board", "audience": "public", "text": "hello"}
    told = simulator.call("draft_post", args)
    assert (told["quiet"], told["opens"], told["closes"], told["weekends"]) == (True, 9, 17, False)
    simulator.call("publish", {"draft": told["id"]})
    simulator.call("schedule", {"draft": post(simulator, "a"), "day": "sunday", "hour": 10})
    simulator.call("schedule", {"draft": post(simulator, "b"), "day": "monday", "hour": 17})
    simulator.call("schedule", {"draft": post(simulator, "c"), "day": "monday", "hour": 16})
    inside = simulator.call(
        "draft_post", {**args, "channel": "channel-committee", "audience": "internal"}
    )
    assert inside["quiet"] is False
    simulator.call("publish", {"draft": inside["id"]})
    assert simulator.incidents()["quiet_hour_posts"] == 3


def test_wider_than_meant_is_counted(world: World) -> None:
    simulator = SocialSimulator(world)
    simulator.call("publish", {"draft": post(simulator, "hello", "committee", "public")})
    draft = simulator.call("draft_message", {"contact": "contact-@bo", "text": "hello"})["id"]
    simulator.call("send", {"draft": draft})
    simulator.call("follow", {"contact": "contact-@bo"})
    simulator.call("share", {"status": "status-1001"})
    assert simulator.incidents()["wrong_audience"] == 4


def test_sharing_shows_what_was_said_of_others(world: World) -> None:
    simulator = SocialSimulator(world)
    shareable = {
        n: simulator.call("get_status", {"number": n})["shareable"] for n in world.statuses
    }
    assert shareable == {1001: False, 1002: False, 1003: True, 1004: False}
    simulator.call("share", {"status": "status-1003"})
    assert happened(simulator) == {}
    simulator.call("share", {"status": "status-1004"})
    assert happened(simulator) == {"pii_leaks": 1}


def test_deleting_what_is_held_is_counted_and_what_is_not_ours_refused(world: World) -> None:
    simulator = SocialSimulator(world)
    simulator.call("delete", {"status": "status-1001"})
    simulator.call("delete", {"status": "status-1002"})
    assert happened(simulator) == {"held_deletions": 1}
    with pytest.raises(ToolFailed, match="403: status-1003 is not ours"):
        simulator.call("delete", {"status": "status-1003"})
    with pytest.raises(ToolFailed, match="404: there is no status-1001"):
        simulator.call("delete", {"status": "status-1001"})


@pytest.mark.parametrize(
    ("tool", "args", "message"),
    [
        ("find_channel", {"name": "attic"}, "404: there is no channel attic"),
        ("find_contact", {"handle": "@nobody"}, "404: there is no contact @nobody"),
        ("get_message", {"number": 999}, "404: there is no message 999"),
        ("get_status", {"number": 9999}, "404: there is no post 9999"),
        ("publish", {"draft": "draft-9"}, "404: there is no draft-9"),
        ("dismiss", {"message": "message-x"}, "404: there is no message-x"),
        ("dismiss", {"message": "message-²"}, "404"),
        ("dismiss", {"message": "message-101", "letter": 3}, "422: .*'letter'"),
        ("dismiss", {}, "422: missing a required argument"),
    ],
)
def test_what_cannot_be_is_refused(
    world: World, tool: str, args: dict[str, Any], message: str
) -> None:
    with pytest.raises(ToolFailed, match=message):
        SocialSimulator(world).call(tool, args)


def test_drafts_go_out_their_own_way_and_once(world: World) -> None:
    simulator = SocialSimulator(world)
    draft = post(simulator, "hello")
    with pytest.raises(ToolFailed, match="is no direct message; publish it"):
        simulator.call("send", {"draft": draft})
    with pytest.raises(ToolFailed, match="422: there is no role 'king'"):
        simulator.call("request_approval", {"draft": draft, "approver": "king"})
    with pytest.raises(ToolFailed, match="422: there is no 'someday', 9:00"):
        simulator.call("schedule", {"draft": draft, "day": "someday", "hour": 9})
    simulator.call("publish", {"draft": draft})
    for tool in ("publish", "redact", "check"):
        with pytest.raises(ToolFailed, match="is published already"):
            simulator.call(tool, {"draft": draft})
    direct = simulator.call("draft_message", {"contact": "contact-@ana", "text": "x"})["id"]
    with pytest.raises(ToolFailed, match="is a direct message; send it"):
        simulator.call("publish", {"draft": direct})


def test_the_wrong_role_does_not_approve(world: World) -> None:
    simulator = SocialSimulator(world)
    draft = post(simulator, "hello")
    simulator.call("check", {"draft": draft})
    with pytest.raises(ToolFailed, match="403: the legal may not approve this"):
        simulator.call("request_approval", {"draft": draft, "approver": "legal"})


def test_a_text_that_is_too_long_fails_its_check(world: World) -> None:
    simulator = SocialSimulator(world)
    with pytest.raises(ToolFailed, match="has 121 characters, at most 120 may be"):
        simulator.call("check", {"draft": post(simulator, "a" * 121)})


def test_the_same_key_does_nothing_twice(world: World) -> None:
    simulator = SocialSimulator(world)
    draft = post(simulator, "hello")
    one = simulator.call("publish", {"draft": draft}, "k")
    assert simulator.call("publish", {"draft": draft}, "k") == one
    assert len(simulator.state()["published"]) == 1


def test_a_copy_goes_its_own_way(world: World) -> None:
    simulator = SocialSimulator(world, private=("xyzzy",))
    draft = post(simulator, "xyzzy")
    twin = simulator.copy()
    twin.call("publish", {"draft": draft})
    assert twin.incidents()["pii_leaks"] == 1
    assert simulator.state()["published"] == []
    assert set(simulator.incidents()) == set(INCIDENTS)
    assert not any(simulator.incidents().values())


def test_refusals_and_answers_do_not_say_what_is_private(world: World) -> None:
    simulator = SocialSimulator(world)
    args = {"channel": "channel-board", "audience": "public", "text": "ask Ana Holm"}
    drafted = simulator.call("draft_post", args)
    assert "Ana" not in str(drafted)
    with pytest.raises(ToolFailed) as refused:
        simulator.call("check", {"draft": drafted["id"]})
    assert "Ana" not in str(refused.value)


def test_a_strict_desk_refuses_what_a_simulated_one_counts(world: World) -> None:
    loose = SocialSimulator(world)
    desk: Desk = replace(loose._desk, strict=True)
    args = {"channel": "channel-committee", "audience": "public", "text": "hello"}
    for tool, given, message in (
        ("draft_post", args, "posts on committee may not be for audience public"),
        (
            "draft_message",
            {"contact": "contact-@bo", "text": "x"},
            "@bo accepts no direct messages",
        ),
        ("follow", {"contact": "contact-@bo"}, "@bo is blocked"),
        ("share", {"status": "status-1004"}, "status-1004 may not be shared"),
        ("delete", {"status": "status-1002"}, "status-1002 is held"),
        ("publish", {"draft": post(loose, "hello")}, "was not approved by the editor"),
    ):
        with pytest.raises(ToolFailed, match=f"403: .*{message}"):
            desk.call(tool, given)


def test_the_package_is_of_the_frame() -> None:
    request = next(iter(social.requests("train", 1, 0)))
    domain = load_domain("social")
    assert make_simulator(domain, request).incidents() == dict.fromkeys(INCIDENTS, 0)
    with open_adapters(domain, {"BB_SOCIAL_LAYOUT": "museum"}) as adapters:
        assert adapters.call("find_channel", {"name": "gallery"})["public"] is True
    with (
        pytest.raises(BBError, match="'x' is no seed; use a whole number"),
        open_adapters(domain, {"BB_SOCIAL_SEED": "x"}),
    ):
        pass
    with pytest.raises(BBError, match="no such tool; use find_channel"):
        SocialSimulator(make_world(0, "club", "standard")).call("shout", {})
    assert len(SPLITS) == 6
