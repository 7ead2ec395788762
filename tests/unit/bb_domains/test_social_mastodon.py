"""The desk on a server that speaks Mastodon: what goes over the wire, decisions, keys, crashes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from bb_core.errors import BBError
from bb_domains import social
from bb_domains.social import mastodon
from bb_domains.social.cli import app
from bb_domains.social.drafts import Draft
from bb_domains.social.mastodon import MastodonNetwork, RealDesk, open_desk, plain_text
from bb_domains.social.pii.people import Person
from bb_domains.social.records import Contact, Message, Moment, Status
from bb_domains.social.server import Instance, serve
from bb_domains.social.settings import load_settings
from bb_domains.social.store import STORE_FILE, DeskStore
from bb_domains.social.world import make_world
from bb_domains.tools import ToolFailed

TOKEN = "t0ken"
FINE = {"status": "x", "visibility": "public"}
SETTINGS = """
channels:
  news: {widest: public}
  crew: {widest: internal, team: ["@ana", "@bo"]}
rules: {approvers: {public: author}}
people:
  - {handle: "@ana", name: Ana Holm, street: 5 Mill Lane, email: ana@example.org}
  - {name: Cem Weiss}
held: ["1002"]
"""


@pytest.fixture
def instance() -> Instance:
    world = make_world(1, "club", "standard")
    world.contacts.clear()
    world.contacts["@ana"] = Contact("@ana", Person("Ana Holm"))
    world.contacts["@bo"] = Contact("@bo", Person("Bo Lund"), blocked=True)
    world.inbox.clear()
    world.inbox[5] = Message(5, "@ana", "when & where?", "followers")
    world.inbox[6] = Message(6, "@ana", "psst", "direct")
    world.statuses.clear()
    world.statuses[1001] = Status(1001, "ours", "public", mine=True)
    world.statuses[1002] = Status(1002, "ours, held", "public", mine=True)
    world.statuses[1003] = Status(1003, "theirs", "public", mine=False)
    return Instance(world, TOKEN)


@pytest.fixture
def environment(instance: Instance, tmp_path: Path) -> Iterator[dict[str, str]]:
    (tmp_path / "desk.yaml").write_text(SETTINGS)
    with serve(instance) as url:
        yield {"BB_SOCIAL_URL": url, "BB_SOCIAL_TOKEN": TOKEN, "BB_SOCIAL_DESK": str(tmp_path)}


@pytest.fixture
def desk(environment: dict[str, str]) -> Iterator[RealDesk]:
    with social.open_adapters(social.plan_schema(), environment) as opened:
        assert isinstance(opened, RealDesk)
        yield opened


def draft(desk: RealDesk, text: str = "all welcome", channel: str = "news") -> str:
    to = "internal" if channel == "crew" else "public"
    args = {"channel": f"channel-{channel}", "audience": to, "text": text}
    return str(desk.call("draft_post", args, f"key of {text}")["id"])


def approved(desk: RealDesk, name: str) -> str:
    desk.call("check", {"draft": name}, f"check {name}")
    desk.call("request_approval", {"draft": name, "approver": "author"}, f"ask {name}")
    return name


def test_a_post_is_published_once_under_its_key(desk: RealDesk, instance: Instance) -> None:
    name = approved(desk, draft(desk))
    one = desk.call("publish", {"draft": name}, "k1")
    assert desk.call("publish", {"draft": name}, "k1") == one
    assert [p["content"] for p in instance.posts.values()] == ["<p>all welcome</p>"]
    assert [p["visibility"] for p in instance.posts.values()] == ["public"]
    assert list(instance.by_key) == ["k1"]
    listed = desk.call("list_posts", {"channel": "channel-news"})
    assert listed == {"numbers": [one["number"]]}


def test_nothing_leaves_without_approval_whatever_the_plan_said(
    desk: RealDesk, instance: Instance
) -> None:
    name = draft(desk)
    with pytest.raises(ToolFailed, match="403: .* was not approved by the author"):
        desk.call("publish", {"draft": name}, "k1")
    with pytest.raises(ToolFailed, match="personal data"):
        desk.call("check", {"draft": draft(desk, "ask Cem Weiss")}, "k2")
    assert instance.posts == {}


def test_an_answer_goes_to_whoever_saw_the_question(desk: RealDesk, instance: Instance) -> None:
    network = desk.desk.network
    assert isinstance(network, MastodonNetwork)
    first, second = network.inbox()
    assert (first.number, first.sender, first.audience) == (100, "@ana", "followers")
    assert first.text == "@desk when & where?"
    assert second.audience == "direct"
    args = {"message": "message-100", "text": "at nine"}
    told = desk.call("draft_reply", args, "k0")
    assert told["approver"] == "editor"
    desk.call("check", {"draft": told["id"]}, "k1")
    ask = {"draft": told["id"], "approver": "editor"}
    with pytest.raises(ToolFailed, match="403: draft-.* waits for the editor"):
        desk.call("request_approval", ask, "k2")
    kept = desk.store.get(told["id"])
    assert kept is not None
    desk.store.record_decision(kept, "editor", yes=True, who="Nora")
    desk.call("request_approval", ask, "k2")
    desk.call("publish", {"draft": told["id"]}, "k3")
    (post,) = instance.posts.values()
    assert post["content"] == "<p>@ana at nine</p>"
    assert (post["visibility"], post["in_reply_to_id"]) == ("private", "95")
    desk.call("dismiss", {"message": "message-101"}, "k4")
    assert instance.dismissed == {"6"}


def test_direct_and_internal_posts_are_for_few(desk: RealDesk, instance: Instance) -> None:
    told = desk.call("draft_message", {"contact": "contact-@ana", "text": "Ana Holm, hi"}, "k0")
    desk.call("send", {"draft": approved(desk, told["id"])}, "k1")
    desk.call("publish", {"draft": approved(desk, draft(desk, "rota is up", "crew"))}, "k2")
    shown = [(p["content"], p["visibility"]) for p in instance.posts.values()]
    assert shown == [
        ("<p>@ana Ana Holm, hi</p>", "direct"),
        ("<p>@ana @bo rota is up</p>", "direct"),
    ]


def test_a_scheduled_post_waits_and_can_be_taken_back(desk: RealDesk, instance: Instance) -> None:
    name = approved(desk, draft(desk))
    told = desk.call("schedule", {"draft": name, "day": "friday", "hour": 9}, "k1")
    (kept,) = instance.scheduled.values()
    at = datetime.fromisoformat(kept["scheduled_at"])
    assert (at.weekday(), at.hour, at.minute) == (4, 9, 0)
    assert at > datetime.now(UTC)
    desk.call("delete", {"status": told["id"]}, "k2")
    assert instance.scheduled == {}


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ("2026-03-06T08:00:00", "2026-03-06T09:00:00"),  # a Friday
        ("2026-03-06T08:55:00", "2026-03-13T09:00:00"),  # too late for Mastodon
        ("2026-03-07T00:00:00", "2026-03-13T09:00:00"),
    ],
)
def test_the_next_time_it_is_that_hour(desk: RealDesk, now: str, expected: str) -> None:
    network = desk.desk.network
    assert isinstance(network, MastodonNetwork)
    network.clock = lambda: datetime.fromisoformat(now).replace(tzinfo=UTC)
    assert network._next(Moment("friday", 9)).replace(tzinfo=None) == datetime.fromisoformat(
        expected
    )
    assert network.now().day in ("friday", "saturday")


def test_posts_and_people_as_the_server_has_them(desk: RealDesk, instance: Instance) -> None:
    numbers = [desk.store.number_of("status", remote) for remote in ("1001", "1002", "1003")]
    assert numbers == [1000, 1001, 1002]
    told = [desk.call("get_status", {"number": n}) for n in numbers]
    assert [t["mine"] for t in told] == [True, True, False]
    assert [t["held"] for t in told] == [False, True, False]
    assert [t["shareable"] for t in told] == [False, False, True]
    desk.call("share", {"status": "status-1002"}, "k1")
    assert instance.boosted == {"1003"}
    with pytest.raises(ToolFailed, match="status-1001 is held"):
        desk.call("delete", {"status": "status-1001"}, "k2")
    assert desk.call("find_contact", {"handle": "@bo"})["blocked"] is True
    desk.call("follow", {"contact": "contact-@ana"}, "k3")
    assert instance.followed == {"@ana"}
    with pytest.raises(ToolFailed, match="there is no contact @cy"):
        desk.call("find_contact", {"handle": "@cy"})
    with pytest.raises(ToolFailed, match="there is no post 7777"):
        desk.call("get_status", {"number": 7777})


def test_after_a_crash_between_post_and_note_the_key_keeps_it_one_post(
    environment: dict[str, str], instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    schema = social.plan_schema()
    with open_desk(schema, environment) as desk:
        name = approved(desk, draft(desk))
        monkeypatch.setattr(DeskStore, "number_of", _crash)
        with pytest.raises(KeyboardInterrupt):
            desk.call("publish", {"draft": name}, "k1")
    monkeypatch.undo()
    assert len(instance.posts) == 1
    with open_desk(schema, environment) as desk:
        desk.call("publish", {"draft": name}, "k1")
    assert len(instance.posts) == 1


def test_after_a_crash_between_deletion_and_note_it_is_done(
    environment: dict[str, str], instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    schema = social.plan_schema()
    with open_desk(schema, environment) as desk:
        desk.store.number_of("status", "1001")
        monkeypatch.setattr(DeskStore, "finish", _crash)
        with pytest.raises(KeyboardInterrupt):
            desk.call("delete", {"status": "status-1000"}, "k1")
    monkeypatch.undo()
    with open_desk(schema, environment) as desk:
        assert desk.call("delete", {"status": "status-1000"}, "k1") == {}
        with pytest.raises(ToolFailed, match="404"):
            desk.call("delete", {"status": "status-1000"}, "another key")


def test_a_key_that_the_server_has_forgotten_is_in_doubt(
    desk: RealDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = approved(desk, draft(desk))
    assert desk.store.begin("k1") == (None, None)
    monkeypatch.setattr(mastodon, "KEY_HONOURED_S", -1)
    with pytest.raises(ToolFailed, match="409: in doubt: it was begun over an hour ago"):
        desk.call("publish", {"draft": name}, "k1")


def test_a_refusal_may_be_tried_again_under_its_key(desk: RealDesk) -> None:
    name = draft(desk)
    with pytest.raises(ToolFailed, match="was not approved"):
        desk.call("publish", {"draft": name}, "k1")
    assert desk.store.begin("k1") == (None, None)


def test_a_decision_is_for_the_text_as_it_stood(tmp_path: Path) -> None:
    store = DeskStore(tmp_path / STORE_FILE)
    one = Draft("draft-1", "public", "public", "hello", "news", checked=True)
    store.record_decision(one, "editor", yes=True, who="Nora")
    assert store.decide(one, "editor", "editor") == ""
    other = Draft("draft-1", "public", "public", "hello!", "news", checked=True)
    assert "waits for the editor" in store.decide(other, "editor", "editor")
    assert "may not approve" in store.decide(one, "lead", "editor")
    store.record_decision(one, "editor", yes=False, who="Nora")
    assert "the editor said no" in store.decide(one, "editor", "editor")
    with pytest.raises(BBError, match="was not checked; check it first"):
        store.record_decision(Draft("d", "public", "public", "x"), "editor", yes=True, who="N")
    store.close()
    assert os.stat(tmp_path / STORE_FILE).st_mode & 0o077 == 0


def test_numbers_run_out_and_other_files_are_no_desk(tmp_path: Path) -> None:
    store = DeskStore(tmp_path / STORE_FILE)
    store._do("INSERT INTO numbers VALUES ('message', 999, 'x')")
    with pytest.raises(BBError, match="no number left for a message"):
        store.number_of("message", "y")
    assert store.number_of("message", "x") == 999
    store.close()
    (tmp_path / "other").write_text("not a database, but long enough to be looked at" * 40)
    with pytest.raises(BBError, match="no desk: .*name another folder"):
        DeskStore(tmp_path / "other")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("channels: {}", "channels: "),
        ("channels: {a: {widest: direct}}", "widest must be one of internal, followers, public"),
        ("channels: {a: {widest: public}}\nrules: {opens: 25}", "rules.opens"),
        ("channels: {a: {widest: public}}\ncolour: red", "colour: Extra inputs"),
    ],
)
def test_settings_are_checked(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "desk.yaml").write_text(text)
    with pytest.raises(BBError, match=message):
        load_settings(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"BB_SOCIAL_TOKEN": ""}, "BB_SOCIAL_TOKEN not set"),
        (
            {"BB_SOCIAL_URL": "https://mastodon.example"},
            "mastodon.example:443 is not a declared host",
        ),
    ],
)
def test_hosts_and_variables_are_checked(
    environment: dict[str, str], change: dict[str, str], message: str
) -> None:
    with (
        pytest.raises(BBError, match=message),
        open_desk(social.plan_schema(), {**environment, **change}),
    ):
        pass


def test_a_wrong_token_is_refused_and_not_repeated_in_words(environment: dict[str, str]) -> None:
    wrong = {**environment, "BB_SOCIAL_TOKEN": "s3cret"}
    with open_desk(social.plan_schema(), wrong) as desk:
        with pytest.raises(ToolFailed, match="answered 401") as refused:
            desk.call("find_contact", {"handle": "@ana"})
        assert "s3cret" not in str(refused.value)
        assert "s3cret" not in repr(desk.desk.network)


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/api/v1/statuses", {**FINE, "in_reply_to_id": "1"}, 404),
        ("POST", "/api/v1/statuses", {"status": " ", "visibility": "public"}, 422),
        ("POST", "/api/v1/statuses", {"status": "x", "visibility": "secret"}, 422),
        ("POST", "/api/v1/statuses", {**FINE, "scheduled_at": "2020-01-01T00:00:00Z"}, 422),
        ("POST", "/api/v1/statuses", {**FINE, "scheduled_at": "soon"}, 422),
        ("GET", "/api/v1/statuses/nothing", None, 404),
        ("DELETE", "/api/v1/statuses/1003", None, 404),
        ("GET", "/api/v2/statuses/1", None, 404),
        ("POST", "/api/v1/statuses", [], 400),
    ],
)
def test_the_server_refuses_like_mastodon(
    environment: dict[str, str], method: str, path: str, body: Any, status: int
) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with httpx.Client(
        base_url=environment["BB_SOCIAL_URL"], headers=headers, trust_env=False
    ) as web:
        answer = web.request(method, path, json=body if body != [] else [1])
        assert answer.status_code == status
        assert web.get("/api/v1/accounts/verify_credentials").json()["acct"] == "desk"


def test_html_becomes_plain_text() -> None:
    content = '<p>a &amp; b<br>c</p><p><a href="https://x.example">d</a></p>'
    assert plain_text({"content": content}) == "a & b c d"


def test_people_at_the_desk_have_their_commands(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    runner = CliRunner()
    with open_desk(social.plan_schema(), environment) as desk:
        name = draft(desk)
        desk.call("check", {"draft": name}, "k1")
    assert "100  @ana (followers)  @desk when & where?" in runner.invoke(app, ["inbox"]).stdout
    assert f"{name}  public, checked, needs author" in runner.invoke(app, ["drafts"]).stdout
    decided = runner.invoke(app, ["decide", name, "--as", "editor", "--by", "Nora"])
    assert decided.stdout == f"{name} approved by the editor\n"
    assert runner.invoke(app, ["number", "1003"]).stdout == "1000\n"
    for args, what in (
        (["decide", "draft-0", "--as", "editor", "--by", "N"], "there is no such draft"),
        (["decide", name, "--as", "king", "--by", "N"], "no role 'king'"),
    ):
        assert what in str(runner.invoke(app, args).exception)


def test_a_text_is_checked_from_the_command_line() -> None:
    runner = CliRunner()
    found = runner.invoke(app, ["check", "call Nora on 030 5550123"])
    assert (found.exit_code, found.stdout) == (1, "call Nora on [phone]\n")
    clean = runner.invoke(app, ["check", "all welcome", "--json"])
    assert (clean.exit_code, clean.stdout) == (0, "[]\n")


def _crash(*args: Any, **kwargs: Any) -> None:
    raise KeyboardInterrupt
