"""Plans of the social domain checked and carried out: in the simulator, and over HTTP."""

from __future__ import annotations

from pathlib import Path

import pytest

from bb_core.plan import Plan, Step
from bb_domains import social
from bb_domains.domain import Domain, make_domain
from bb_domains.simulation import SPLITS
from bb_domains.social.mastodon import open_desk
from bb_domains.social.server import Instance, serve
from bb_domains.social.world import make_world
from bb_runtime.check import check_plan
from bb_runtime.execute import execute
from bem_kernel.ledger.chain import Ledger

TOKEN = "t0ken-that-no-log-may-show"


@pytest.fixture(scope="module")
def domain() -> Domain:
    return make_domain(social.plan_schema(), package="bb_domains.social")


@pytest.mark.parametrize("split", SPLITS)
def test_requests_are_carried_out_and_their_texts_are_in_no_log(
    domain: Domain, split: str, tmp_path: Path
) -> None:
    for request in social.requests(split, 2, 5):
        simulator = social.simulator(request)
        with Ledger(tmp_path / "log") as ledger:
            certificate = check_plan(domain, request.plan)
            done = execute(domain, request.plan, certificate, simulator, ledger)
        assert done.status == "done"
        assert not any(simulator.incidents().values())
        texts = [s.args["text"] for s in request.plan.steps if "text" in s.args]
        kept = b"".join(path.read_bytes() for path in tmp_path.rglob("log") if path.is_file())
        assert kept
        for private in (*texts, *request.label["private"]):
            assert private.encode() not in kept


def test_a_certified_plan_reaches_the_server_once(domain: Domain, tmp_path: Path) -> None:
    instance = Instance(make_world(0, "club", "standard"), TOKEN)
    (tmp_path / "desk.yaml").write_text(
        "channels: {news: {widest: public}}\nrules: {approvers: {public: author}}\n"
    )
    text = "call 030 5550123 about the regatta"
    plan = Plan(
        (
            Step("a", "find_channel", {"name": "news"}),
            Step("b", "draft_post", {"channel": "$a.id", "audience": "public", "text": text}),
            Step("c", "redact", {"draft": "$b.id"}),
            Step("d", "check", {"draft": "$b.id"}),
            Step("e", "request_approval", {"draft": "$b.id", "approver": "author"}),
            Step("f", "publish", {"draft": "$b.id"}),
        )
    )
    with serve(instance) as url:
        environment = {
            "BB_SOCIAL_URL": url,
            "BB_SOCIAL_TOKEN": TOKEN,
            "BB_SOCIAL_DESK": str(tmp_path),
        }
        with open_desk(domain.schema, environment) as desk, Ledger(tmp_path / "log") as ledger:
            done = execute(domain, plan, check_plan(domain, plan), desk, ledger)
    assert done.status == "done"
    (post,) = instance.posts.values()
    assert post["content"] == "<p>call [phone] about the regatta</p>"
    assert len(instance.by_key) == 1
    kept = (tmp_path / "log").read_bytes()
    assert b"5550123" not in kept
    assert TOKEN.encode() not in kept
    assert TOKEN.encode() not in (tmp_path / "desk.sqlite").read_bytes()


def test_a_refusal_stops_a_plan_before_anything_is_seen(domain: Domain, tmp_path: Path) -> None:
    plan = Plan(
        (
            Step("a", "find_channel", {"name": "board"}),
            Step(
                "b", "draft_post", {"channel": "$a.id", "audience": "public", "text": "to a@b.org"}
            ),
            Step("c", "check", {"draft": "$b.id"}),
            Step("d", "request_approval", {"draft": "$b.id", "approver": "editor"}),
            Step("e", "publish", {"draft": "$b.id"}),
        )
    )
    with social.open_adapters(domain.schema, {}) as desk, Ledger(tmp_path / "log") as ledger:
        done = execute(domain, plan, check_plan(domain, plan), desk, ledger)
        assert done.status != "done"
        assert done.step == "c"
        assert "personal data (email)" in done.reason
        assert desk.state()["published"] == []  # type: ignore[attr-defined]
