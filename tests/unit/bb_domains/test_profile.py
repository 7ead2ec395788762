"""Grammar files for both engines: what is lowered and how, what is refused and named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bb_domains.cli import app
from bb_domains.errors import ProfileError
from bb_domains.json_schema import regex as rx
from bb_domains.profile.lint import lint_grammar
from bb_domains.profile.lowering import GAP_CHARACTERS, lower, mask_grammar
from bb_domains.profile.source import offline_parser, parse_grammar, read_grammar
from benchmarks.grammars import accepts, load, matcher, parses

GRAMMARS = Path(__file__).parents[2] / "golden" / "bb_domains" / "grammars"


def both(text: str, **options: str) -> tuple:
    source = parse_grammar(text, **options)
    return matcher(mask_grammar(lower(source))), parses(source)


def findings(text: str) -> dict[str, str]:
    return {f.construct: f.outcome for f in lint_grammar(lower(parse_grammar(text)))}


@pytest.mark.parametrize(
    ("grammar", "inside", "outside"),
    [
        ('start: "if" NAME | NAME "="\nNAME: /[a-z]+/', ["iffy=", "abc="], ["if=", "if"]),
        ("start: A B\nA: /x|xy/\nB: /[a-z]+/", ["xyz", "xx"], ["x", "yx"]),
        ("start: C /.+/\nC: /<.*?>/", ["<a>b", "<>>"], ["<a", "<a>"]),
        ('start: "a" "b"\n%ignore " "', [" a b  ", "ab"], ["a-b", " a"]),
        ("start: A | B\nA.2: /ab?/\nB: /abc/", ["a", "ab"], ["abc"]),
        ('start: K "!"\nK: "select"i', ["SELECT!", "\u017felect!"], ["selec!"]),
        ("start: S\n%import common.ESCAPED_STRING -> S", ['"a\\"b"', '""'], ['"\n"', '"a\\"']),
        ("start: W\nW: /\\w+/", ["é_1", "\u0663"], ["", "a-b"]),
        ("start: (E e)+\ne: E\nE: /a(?<!b)/", ["aa", "aaaa"], ["a", "ab"]),
    ],
)
def test_mask_and_parser_agree_where_llguidance_would_not(
    grammar: str, inside: list[str], outside: list[str]
) -> None:
    start, parsed = both(grammar)
    for text in inside:
        assert parsed(text) and accepts(start, text), text
    for text in outside:
        assert not parsed(text) and not accepts(start, text), text


def test_a_keyword_is_a_name_where_lark_takes_it_for_one() -> None:
    start, parsed = both((GRAMMARS / "turtle.lark").read_text())
    for text in ("c f f10", "c f f f1", "f1", "c fill fill{f1}", "c red c c c red"):
        assert parsed(text) == accepts(start, text), text
    assert accepts(start, "f1") and accepts(start, "c f f f1") is parsed("c f f f1")


def test_a_token_is_not_run_together_with_what_lark_would_read_on_as_a_name() -> None:
    # After "union x" no name can follow, but the parser's state is shared with "[x y]".
    grammar = """
    start: ("union" name | "type" name | "[" name name "]")+
    name: /[a-z]+/
    %ignore " "
    """
    start, parsed = both(grammar)
    assert findings(grammar)["shared parser state"] == "lowered"
    texts = ["union x type y", "union x typey", "unionx", "[x y]union z", "union x[type y]"]
    assert [parsed(text) for text in texts] == [True, False, True, True, True]
    assert [accepts(start, text) for text in texts] == [True, False, True, True, True]


@pytest.mark.parametrize(
    ("grammar", "message"),
    [
        ("start: A\nA: /x(?=y)/", r"grammar.lark:2: A: lookahead has no counterpart"),
        ("start: A\nA: /x(?!y)/", "negative lookahead has no counterpart"),
        ("start: A\nA: /a(?<!bc)/", "lookbehind of more than one character"),
        ("start: A\nA: /(?<!b)a/", "at the beginning looks at the text before"),
        ("start: A\nA: /^x/", r"the anchor \^ has no counterpart"),
        ("start: A\nA: /x\\b/", r"the anchor \\b has no counterpart"),
        ("start: A\nA: /(x)\\1/", "a back-reference has no counterpart"),
        ("start: A\nA: /(?>x*)y/", "an atomic group has no counterpart"),
        ("start: A\nA: /x*+y/", "a possessive quantifier has no counterpart"),
        ("start: A\nA: /\\p{L}/", "Python reads no regular expression"),
        ("start: A\nA: /x{500}/", "a repetition of more than 400"),
        ("start: A\nA: /(x{0,40}y){0,40}(x|y){40}/", "states to compare"),
        ("start: A B\nB: /x*/\nA: /y/", "may be empty"),
        ("start: A\n%declare A", "terminal A is declared without a pattern"),
        ("start: a", "lark refuses it: "),
        ("begin: /x/", "has no rule 'start'; name the start rule: begin"),
        ("A: /x/", "it holds terminals only"),
        ("start: start /x/", "has no text at all"),
    ],
)
def test_what_only_one_engine_has_is_refused_by_name(grammar: str, message: str) -> None:
    with pytest.raises(ProfileError, match=message):
        mask_grammar(lower(parse_grammar(grammar)))


def test_findings_name_the_construct_and_what_becomes_of_it() -> None:
    found = findings((GRAMMARS / "letters.lark").read_text())
    assert found.keys() >= {
        "lookbehind",
        "lazy quantifier",
        "ESCAPED_STRING",
        "terminal priority",
        "Unicode class",
        "shared texts",
        "leading and trailing %ignore",
        "template",
        "%import",
    }
    assert set(found.values()) == {"lowered"}
    assert findings("start: A\nA: /x|xy/")["order of alternatives"] == "lowered"
    assert findings("start: a | b\na.2: /x/ /y/\nb: /x/ /z/")["rule priority"] == "lowered"
    assert findings("start: A | B\nA.2: /ab?/\nB: /abc/")["unreachable terminal"] == "lowered"
    assert findings((GRAMMARS / "either.lark").read_text())["not LALR(1)"] == "offline parser"
    assert lint_grammar(lower(parse_grammar('start: "a" | "b"'))) == []


def test_a_token_that_lark_would_go_back_from_is_named_and_not_offered() -> None:
    grammar = 'start: N ".." N | N\nN: /\\d+(\\.\\d+)?/'
    assert findings(grammar)["going back"] == "narrower"
    start, parsed = both(grammar)
    assert parsed("1..2") and not accepts(start, "1..2")
    assert parsed("1.5") and accepts(start, "1.5")
    assert "going back" not in findings('start: N "," N\nN: /\\d+(\\.\\d+)?/')


def test_blanks_are_bounded_on_request() -> None:
    lowered = lower(parse_grammar('start: "a" "b"\n%ignore /[ \\t]+/'))
    start = matcher(mask_grammar(lowered, bounded=True))
    assert accepts(start, "a" + " " * GAP_CHARACTERS + "b")
    assert not accepts(start, "a" + " " * (GAP_CHARACTERS + 1) + "b")


def test_a_terminal_without_alternatives_keeps_its_expression() -> None:
    lowered = lower(parse_grammar("start: A B\nA: /a.*?c/\nB: /[ab]+/"))
    assert lowered.rewritten == {"A"}
    assert rx.matches(lowered.languages["A"], "abbc")
    assert not rx.matches(lowered.languages["A"], "abcbc")


def test_the_offline_parser_reads_imports_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "parts.lark").write_text("WORD: /[a-z]+/\npair: WORD WORD\n%ignore /-/\n")
    (tmp_path / "main.lark").write_text('%import .parts.pair\nstart: pair ";"\n%ignore " "\n')
    source = read_grammar(tmp_path / "main.lark")
    start = matcher(mask_grammar(lower(source)))
    assert offline_parser(source).parse("ab c;") is not None and accepts(start, "ab c;")
    assert not accepts(start, "ab-c;")


@pytest.mark.parametrize("name", ["turtle.lark", "letters.lark", "either.lark", "json.peg"])
def test_check_accepts_the_golden_grammars(name: str) -> None:
    result = CliRunner().invoke(app, ["check", str(GRAMMARS / name), "--json"])
    assert result.exit_code == 0
    said = json.loads(result.stdout)
    assert said["parser"] == load(GRAMMARS / name).engine
    assert said["mask_bytes"] > 500


def test_check_of_a_folder_looks_at_every_grammar(tmp_path: Path) -> None:
    (tmp_path / "a.lark").write_text("start: A\nA: /x(?=y)/\n")
    (tmp_path / "b.lark").write_text('start: "x"\n')
    result = CliRunner().invoke(app, ["check", str(tmp_path)])
    assert isinstance(result.exception, ProfileError)
    assert "b.lark" in result.stdout and "means the same to both" in result.stdout
