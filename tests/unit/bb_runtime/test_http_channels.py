"""Channels over HTTP: the domain's configuration says how strictly, and never for plans."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from bb_core.plan import parse_plan
from bb_domains.domain import make_domain
from bb_domains.errors import ProfileError, SchemaError
from bb_domains.schema import Channel, load_schema, parse_schema, schema_data
from bb_runtime.check import check_plan
from bb_runtime.engine import Engine
from bb_runtime.http.app import create_app
from bb_runtime.http.keys import Key, Keys, key_hash
from bb_runtime.http.limits import ServerLimits
from bb_runtime.http.planning import Planner

LIMITS = ServerLimits(max_new_tokens=400, hosts=("testserver",))
SHOP = Path(__file__).parent / "shop"
CHANNELS = {
    "post": {"mode": "soft", "grammar": "post.lark", "weight": 40.0},
    "loose": {"mode": "soft", "grammar": "post.lark", "weight": 0.01},
    "note": {"mode": "hard", "grammar": "note.peg"},
    "chat": {"mode": "off"},
}
SCHEMA = {"type": "object", "properties": {"a": {"const": 1}}, "required": ["a"],
          "additionalProperties": False}  # fmt: skip
TOOL = {"type": "function", "function": {"name": "f"}}


@pytest.fixture(scope="module")
def chatty(tmp_path_factory):
    root = tmp_path_factory.mktemp("chatty")
    (root / "post.lark").write_text('start: WORD (" " WORD)~0..2 "."\nWORD: /[a-z]{1,6}/\n')
    (root / "note.peg").write_text('note <- [a-z] [a-z]? " " [0-9] !.\n')
    data = {**schema_data(load_schema(SHOP / "plan_schema.yaml")), "channels": CHANNELS}
    return make_domain(parse_schema({**data, "domain": "chatty"}), root)


@pytest.fixture(scope="module")
def client(model, tokenizer, chatty, shop):
    engine = Engine(model, tokenizer, "tiny")
    app = create_app(engine, LIMITS, planner=Planner(engine, [chatty, shop], None))
    with TestClient(app) as client:
        yield client


def ask(client, status=200, path="/v1/completions", headers=None, **body):
    body = {"prompt": "hello"} | body if path.endswith("/completions") else body
    if "chat" in path:
        body["messages"] = [{"role": "user", "content": body.pop("prompt")}]
    answer = client.post(path, json=body, headers=headers)
    assert answer.status_code == status, answer.text
    return answer.json() if status == 200 else answer.json()["error"]


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/chat/completions"])
def test_a_soft_channel_tells_energy_and_whether_the_grammar_was_kept(client, path):
    answer = ask(client, path=path, channel="post", max_tokens=60)
    (choice,) = answer["choices"]
    text = choice["text"] if "text" in choice else choice["message"]["content"]
    assert re.fullmatch(r"[a-z]{1,6}( [a-z]{1,6}){0,2}\.", text)
    told = choice["channel"]
    assert told.pop("energy_nats") > 0
    assert told == {"domain": "chatty", "name": "post", "mode": "soft", "in_grammar": True,
                    "distance": 0}  # fmt: skip
    free = ask(client, path=path, max_tokens=60)["choices"][0]
    loose = ask(client, path=path, channel="loose", max_tokens=60)["choices"][0]
    assert "channel" not in free
    assert loose.get("text", loose.get("message")) == free.get("text", free.get("message"))
    assert loose["channel"]["distance"] > 0 and not loose["channel"]["in_grammar"]


def test_every_choice_tells_its_own_and_a_stream_tells_it_at_the_end(client):
    body = {"channel": "loose", "max_tokens": 9, "temperature": 1.0, "seed": 4, "n": 2}
    told = [choice["channel"] for choice in ask(client, **body)["choices"]]
    assert told[0]["energy_nats"] != told[1]["energy_nats"]
    for path in ("/v1/completions", "/v1/chat/completions"):
        whole = ask(client, path=path, **body)["choices"]
        sent = {"prompt": "hello", **body, "stream": True}
        if "chat" in path:
            sent["messages"] = [{"role": "user", "content": sent.pop("prompt")}]
        lines = client.post(path, json=sent).text.splitlines()
        events = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
        ends = {}
        for event in events:
            for choice in event["choices"]:
                assert ("channel" in choice) == (choice["finish_reason"] is not None)
                if "channel" in choice:
                    ends[choice["index"]] = choice["channel"]
        assert [ends[i]["distance"] for i in (0, 1)] == [c["channel"]["distance"] for c in whole]


def test_a_hard_channel_masks_and_one_that_is_off_does_nothing(client):
    hard = ask(client, channel="note", temperature=2.0, max_tokens=20)["choices"][0]
    assert re.fullmatch("[a-z]{1,2} [0-9]", hard["text"])
    assert hard["channel"] == {
        "domain": "chatty", "name": "note", "mode": "hard", "in_grammar": True,
    }  # fmt: skip
    cut = ask(client, channel="note", max_tokens=1)["choices"][0]
    assert not cut["channel"]["in_grammar"]
    off = ask(client, channel="chat", max_tokens=20)["choices"][0]
    assert off["text"] == ask(client, max_tokens=20)["choices"][0]["text"]
    assert off["channel"] == {"domain": "chatty", "name": "chat", "mode": "off"}


def test_unknown_channels_and_domains_are_named(client, model, tokenizer):
    found = ask(client, 400, channel="mail")
    assert found["param"] == "channel"
    assert found["message"] == (
        "channel: domain chatty has no channel 'mail'; use plan, post, loose, note, chat"
    )
    assert ask(client, 400, channel="post", domain="shop")["message"].endswith("; use plan")
    assert ask(client, 404, channel="post", domain="moon")["message"].endswith("use chatty, shop")
    assert "domain needs a channel" in ask(client, 400, domain="shop")["message"]
    with TestClient(create_app(Engine(model, tokenizer, "tiny"), LIMITS)) as bare:
        assert "no domain is served here" in ask(bare, 400, channel="post")["message"]


@pytest.mark.parametrize(
    ("field", "more"),
    [
        ("response_format", {"response_format": {"type": "json_object"}}),
        ("structured_outputs", {"structured_outputs": {"regex": "[0-9]"}}),
        ("stop", {"stop": ["x"]}),
        ("tools", {"tools": [TOOL]}),
    ],
)
@pytest.mark.parametrize("channel", ["post", "note", "plan"])
def test_a_second_constraint_is_refused_beside_a_grammar(client, field, more, channel):
    found = ask(client, 400, path="/v1/chat/completions", channel=channel, **more)
    assert found["param"] == field
    assert f"{field} cannot be combined with channel {channel}" in found["message"]


def test_a_channel_that_is_off_leaves_room_for_a_constraint(client):
    wanted = {"type": "json_schema", "json_schema": {"schema": SCHEMA}}
    found = ask(client, channel="chat", response_format=wanted)["choices"][0]
    assert found["text"] == '{"a":1}' and found["channel"]["mode"] == "off"
    plain = ask(client, channel="post", response_format={"type": "text"})["choices"][0]
    assert plain["channel"]["mode"] == "soft"


def test_a_key_needs_the_right_to_the_domain(model, tokenizer, chatty, shop):
    engine = Engine(model, tokenizer, "tiny")
    key = Key(name="one", sha256=key_hash("bb-one"), domains=("shop",))
    app = create_app(
        engine, LIMITS, planner=Planner(engine, [chatty, shop], None), keys=Keys({key.sha256: key})
    )
    headers = {"authorization": "Bearer bb-one"}
    with TestClient(app) as client:
        found = ask(client, 403, headers=headers, channel="post")
        assert found["code"] == "domain_not_allowed"
        assert ask(client, headers=headers, channel="plan", domain="shop")["choices"]


def test_no_configuration_softens_a_plan(model, tokenizer, chatty):
    """Not even one that no file can hold, since `parse_schema` refuses it."""
    data = {**schema_data(chatty.schema), "channels": {"plan": {"mode": "soft", "weight": 0.01}}}
    with pytest.raises(SchemaError, match="plans are always hard-masked; remove it"):
        parse_schema(data)
    for forged in (
        Channel(mode="off"),
        Channel(mode="soft", grammar="post.lark", weight=0.01),
        Channel(mode="hard", grammar="note.peg"),
    ):
        schema = chatty.schema.model_copy(update={"channels": {"plan": forged}})
        domain = make_domain(schema, chatty.root)
        engine = Engine(model, tokenizer, "tiny")
        app = create_app(engine, LIMITS, planner=Planner(engine, [domain], None))
        with TestClient(app) as client:
            for seed in (1, 2):
                how = {"temperature": 1.5, "seed": seed}
                (choice,) = ask(client, channel="plan", **how)["choices"]
                assert choice["finish_reason"] == "stop"
                assert choice["channel"]["mode"] == "hard" and choice["channel"]["in_grammar"]
                check_plan(domain, parse_plan(choice["text"]))
                made = ask(client, path="/v1/plans", request="hello", **how)
                assert made["status"] == "checked"
                check_plan(domain, parse_plan(made["text"]))
            refused = ask(client, 400, path="/v1/plans", request="hello", channel="post")
            assert refused["param"] == "channel"


def test_a_broken_channel_is_found_when_the_server_starts(model, tokenizer, chatty, tmp_path):
    engine = Engine(model, tokenizer, "tiny")
    domain = make_domain(chatty.schema, tmp_path)
    with pytest.raises(ProfileError, match=r"channels\.post\.grammar: there is no file .*post"):
        create_app(engine, LIMITS, planner=Planner(engine, [domain], None))
    assert engine.close(5)
