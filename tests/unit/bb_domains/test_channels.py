"""Channels of a domain: their grammars are checked with it, and say what the desk may write."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from typing import Any

import pytest
from lark.exceptions import LarkError

from bb_core.cli import run_app
from bb_domains.cli import app
from bb_domains.domain import load_domain, make_domain
from bb_domains.domain_page import domain_page, markdown
from bb_domains.errors import UnknownStart
from bb_domains.fingerprints import meaning
from bb_domains.lint import lint
from bb_domains.profile.channels import channel_grammar
from bb_domains.profile.peg_lowering import peg_to_lark
from bb_domains.profile.source import offline_parser
from bb_domains.schema import PlanSchema, parse_schema, schema_data
from bb_domains.social.layouts import LAYOUTS
from bb_domains.social.texts import write
from bb_domains.social.world import make_world

SCHEMA = """\
domain: notes
tools:
  write: {args: {type: object, properties: {n: {type: integer, maximum: 9}}, required: [n]}}
channels:
  post: {mode: soft, grammar: post.lark, weight: 2.5}
  title:
    mode: hard
    grammar: title.peg
"""


def bb_domain(*args: object) -> int:
    with pytest.raises(SystemExit) as stop:
        run_app(app, "bb domain", [str(arg) for arg in args])
    return int(stop.value.code or 0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "plan_schema.yaml").write_text(SCHEMA)
    (tmp_path / "post.lark").write_text('start: WORD "!"\nWORD: /a.*?z/\n')
    (tmp_path / "title.peg").write_text("title <- [A-Z] [a-z]* !.\n")
    return tmp_path


def test_an_import_copies_the_grammars_that_its_overlay_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tools = tmp_path / "tools.json"
    tools.write_text('[{"name": "write", "parameters": {"type": "object", "properties": {}}}]')
    paths = {"/x": {"get": {"operationId": "write"}}}
    document = tmp_path / "api.json"
    document.write_text(json.dumps({"openapi": "3.1.0", "info": {"title": "t"}, "paths": paths}))
    rules = tmp_path / "rules"
    rules.mkdir()
    overlay = rules / "overlay.yaml"
    overlay.write_text(
        "channels: {post: {mode: soft, grammar: post.lark}, title: {mode: hard, grammar: t.peg},"
        " chat: {mode: off}}"
    )
    (rules / "post.lark").write_text('%import .words.WORD\nstart: WORD "!"\n')
    (rules / "words.lark").write_text("WORD: /[a-z]+/\n")
    for command, source in (("import-openapi", document), ("import-jsonschema", tools)):
        out = tmp_path / command
        assert bb_domain(command, source, "--overlay", overlay, "--out", out) == 1
        place = "overlay.yaml:1:72: channels.title.grammar"
        assert f"{place}: there is no file {rules / 't.peg'}; write it" in capsys.readouterr().err
        assert not out.exists()
    (rules / "t.peg").write_text("t <- [A-Z]\n")
    for command, source in (("import-openapi", document), ("import-jsonschema", tools)):
        out = tmp_path / command
        assert bb_domain(command, source, "--overlay", overlay, "--out", out) == 0
        copied = {name: (out / name).read_text() for name in ("post.lark", "words.lark", "t.peg")}
        assert copied == {name: (rules / name).read_text() for name in copied}
        assert bb_domain("check", out) == 0
    (rules / "t.peg").unlink()  # kept in the domain's folder alone
    assert bb_domain("import-openapi", document, "--overlay", overlay, "--out", out) == 0
    overlay.write_text("channels: {post: {mode: soft, grammar: grammar.lark}}")
    assert bb_domain("import-openapi", document, "--overlay", overlay, "--out", out) == 1
    assert "is where the grammar of plans goes; name another" in capsys.readouterr().err


def test_check_lints_every_grammar_of_a_domain(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bb_domain("check", folder) == 0
    said = capsys.readouterr().out
    for name in ("plan (hard)", "post (soft)", "title (hard)"):
        assert re.search(rf"^channels +{re.escape(name)}$", said, re.MULTILINE)
    found = f"{folder}/post.lark:2: WORD: lazy quantifier: Python stops as early as it can"
    (line,) = [line for line in said.splitlines() if line.startswith(found)]
    assert line.endswith("[lowered]; repeat what the end is not, as in [^;]*; for .*?;")
    assert bb_domain("check", folder, "--json") == 0
    grammars = json.loads(capsys.readouterr().out)["grammars"]
    assert [one["start"] for one in grammars] == ["start"] * 3
    assert grammars[1]["findings"][0]["fix"].startswith("repeat what the end is not")
    assert grammars[2]["findings"] == [] and grammars[2]["mask_bytes"] > 0


@pytest.mark.parametrize(
    ("old", "new", "place", "what"),
    [
        ("post.lark", "gone.lark", "5:22: channels.post.grammar", "there is no file .*gone.lark"),
        ("title.peg", "title.lark", "8:5: channels.title.grammar", "there is no file .*title.lark"),
        (", weight: 2.5", ", start: sentence", "5:42: channels.post.start",
         "post.lark has no rule 'sentence'; name the start rule: start"),
        ("title.peg", "title.peg\n    start: heading", "9:5: channels.title.start",
         "title.peg has no rule 'heading'; name the start rule: title"),
        ("2.5", "-2.5", "5:42: channels.post.weight", "input should be greater than 0; it is -2.5"),
        ("mode: hard", "mode: stern", "7:5: channels.title.mode", "input should be 'hard', 'soft'"),
        ("weight", "wait", "5:42: channels.post.wait", "unknown key 'wait'; use one of mode, gram"),
        ("post.lark", "../post.lark", "5:22: channels.post.grammar", "string should match pattern"),
        ("grammar: post.lark, ", "", "5:3: channels.post", "a soft channel needs a grammar"),
        ("post:", "plan:", "5:3: channels.plan", "plans are always hard-masked; remove it"),
    ],
)  # fmt: skip
def test_a_broken_channel_is_an_error_with_its_place(
    folder: Path, old: str, new: str, place: str, what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = folder / "plan_schema.yaml"
    assert SCHEMA.count(old) == 1
    file.write_text(SCHEMA.replace(old, new))
    assert bb_domain("check", folder) == 1
    error = capsys.readouterr().err
    assert re.fullmatch(rf"error: {re.escape(f'{file}:{place}')}: .*{what}.*\n", error), error


def test_all_broken_grammars_are_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "post.lark").write_text("start: WORD\nWORD: /a(?=b)/\n")
    (folder / "title.peg").unlink()
    assert bb_domain("check", folder) == 1
    first, last = capsys.readouterr().err.splitlines()
    assert first.startswith(f"error: {folder}/post.lark:2: WORD: ") and "look" in first
    assert "channels.title.grammar: there is no file" in last


def test_a_peg_without_the_named_start_is_refused() -> None:
    assert "start" in peg_to_lark("a <- 'x'", "start")
    assert "start" in peg_to_lark("a <- 'x'", "")
    with pytest.raises(UnknownStart, match="has no rule 'b'; name the start rule: a"):
        peg_to_lark("a <- 'x'", "b")


def test_what_a_channel_says_in_vain_is_found(shop: PlanSchema) -> None:
    channels = {
        "a": {"mode": "off", "weight": 1.0, "grammar": "a.lark"},
        "b": {"mode": "hard", "grammar": "b.lark", "weight": 1.0},
        "c": {"mode": "soft", "grammar": "c.lark", "weight": 1.0, "start": "c"},
    }
    schema = parse_schema({**schema_data(shop), "channels": channels})
    found = {f.where: f.what for f in lint(make_domain(schema)) if "channels" in f.where}
    assert found == {
        "channels.a.weight": "means nothing while off",
        "channels.a.grammar": "means nothing while off",
        "channels.b.weight": "means nothing while hard",
    }


def test_a_channels_grammar_and_weight_are_part_of_what_a_domain_means(folder: Path) -> None:
    before = meaning(load_domain(folder))
    assert before["whole"]["channels"]["post"]["weight"] == 2.5
    (folder / "post.lark").write_text('// as before\nstart: WORD "!"\nWORD: /a.*?z/\n')
    assert meaning(load_domain(folder)) == before
    (folder / "post.lark").write_text('start: WORD "?"\nWORD: /a.*?z/\n')
    edited = meaning(load_domain(folder))
    assert edited["meaning"] != before["meaning"]
    (folder / "plan_schema.yaml").write_text(SCHEMA.replace("2.5", "2.6"))
    assert meaning(load_domain(folder))["meaning"] != edited["meaning"]


def test_the_page_of_a_domain_shows_its_channels(folder: Path) -> None:
    page = markdown(domain_page(load_domain(folder)))
    assert "| `post` | soft | `post.lark: start` | 2.5 nats |" in page
    assert "| `title` | hard | `title.peg: start` |  |" in page


@pytest.fixture(scope="module")
def parsers() -> dict[str, Any]:
    social = load_domain("social")
    return {n: offline_parser(channel_grammar(social, n).source) for n in ("post", "reply")}


OCCASIONS = {"post": ("post",), "reply": ("answer", "direct")}


def accepts(parser: Any, text: str) -> bool:
    try:
        parser.parse(text)
    except LarkError:
        return False
    return True


@pytest.mark.parametrize("name", ["post", "reply"])
def test_social_texts_are_in_their_channel_and_contact_data_is_not(
    parsers: dict[str, Any], name: str
) -> None:
    parser = parsers[name]
    subjects = [subject for layout in LAYOUTS.values() for subject in layout.subjects]
    people, rng = make_world(0, "club", "standard").people(), random.Random(0)
    shown = re.compile(r"@|\+?\d[\d ()-]{6,}\d|\b[A-Z]{2}\d\d |\d+\.\d+\.\d+")
    refused = 0
    for occasion in OCCASIONS[name]:
        for _ in range(100):
            assert accepts(parser, write(occasion, subjects, None, rng).text)
            text = write(occasion, subjects, rng.choice(people), rng).text
            if shown.search(text):
                refused += 1
                assert not accepts(parser, text), text
    assert refused > 20


@pytest.mark.parametrize(
    ("text", "post", "reply"),
    [
        ("The spring regatta starts at 14:00 on Friday. #regatta #club", True, False),
        ("@ana35 yes, the boathouse is open until 18:00.", False, True),
        ("ticket 45-1234 for the guided tour is valid", False, True),
        ("more at https://example.org on Friday", False, False),
        ("write to example.org about it", False, False),
        ("the **boathouse** is <b>closed</b>", False, False),
        ("call the club on 555 0134 please", False, False),
        ("call the club on 5550134 please", False, False),
        ("#regatta the boathouse is open", False, False),
        ("the CANTEEN IS CLOSED TODAY friends", False, False),
        ("closed", False, False),
        ("so " + "very " * 23 + "long", False, False),
    ],
)
def test_what_a_post_and_a_reply_look_like(
    parsers: dict[str, Any], text: str, post: bool, reply: bool
) -> None:
    assert {name: accepts(parsers[name], text) for name in parsers} == {
        "post": post,
        "reply": reply,
    }


@pytest.mark.parametrize("name", ["api_json", "phone", "robots"])
def test_the_other_domains_write_nothing_but_plans(name: str) -> None:
    assert load_domain(name).schema.channels == {}
