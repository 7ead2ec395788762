"""PEG files: taken where the grammar means the same, refused with the reason where not."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from bb_domains.errors import ProfileError
from bb_domains.profile.lowering import lower, mask_grammar
from bb_domains.profile.peg import Call, First, Look, Peg, PegReader, Row, Text, Times, Until
from bb_domains.profile.peg_lowering import peg_to_lark
from bb_domains.profile.sentences import Sentences
from bb_domains.profile.source import parse_grammar
from benchmarks.grammars import accepts, matcher, parses

JSON = Path(__file__).parents[2] / "golden" / "bb_domains" / "grammars" / "json.peg"
SUM = """
start <- _ sum !.
sum   <- value (("+" / "-") _ value)*
value <- number / name / "(" _ sum ")" _
number <- [0-9]+ ("." [0-9]+)? _
name  <- !"x" [a-z] [a-z0-9]* _
_     <- ([ \\t] / "{" (!"}" .)* "}")*
"""
OPERATORS = 'start <- [a-z] (("<=" / "<" / "==") [a-z])*'


def run(rules: dict[str, Peg], peg: Peg, text: str, at: int) -> int | None:
    """Ford's semantics: where the expression ends, or None where it fails."""
    match peg:
        case Text(sets):
            for i, ranges in enumerate(sets):
                point = ord(text[at + i]) if at + i < len(text) else -1
                if not any(low <= point <= high for low, high in ranges):
                    return None
            return at + len(sets)
        case Call(name):
            return run(rules, rules[name], text, at)
        case Row(items):
            end: int | None = at
            for item in items:
                end = run(rules, item, text, end)
                if end is None:
                    return None
            return end
        case First(items):
            return next((e for i in items if (e := run(rules, i, text, at)) is not None), None)
        case Times(item, least, most):
            count = 0
            while most is None or count < most:
                end = run(rules, item, text, at)
                if end is None:
                    break
                at, count = end, count + 1
            return at if count >= least else None
        case Look(item, negated):
            return at if (run(rules, item, text, at) is None) == negated else None
        case Until(before, literal):
            end = text.find(literal, at)
            body = text[at:end] if end >= 0 else "\0"
            inside = all(any(low <= ord(c) <= high for low, high in before) for c in body)
            return end + len(literal) if end >= 0 and inside else None
    raise TypeError(peg)


@pytest.mark.parametrize("text", [SUM, OPERATORS, JSON.read_text()], ids=["sum", "ops", "json"])
def test_the_grammar_means_what_the_peg_means(text: str) -> None:
    rules = PegReader(text, "test.peg").rules()
    source = parse_grammar(peg_to_lark(text))
    lowered = lower(source)
    start, parsed = matcher(mask_grammar(lowered)), parses(source)
    draw, verdicts = random.Random(3), [0, 0]
    letters = 'ab<=+-(){}[],:1.2 "x/*e'
    sentences = Sentences(lowered, 5)
    for i in range(250):
        sample = sentences.draw(8)
        if i % 2:
            sample = sentences.near_miss(sample)
        if i % 5 == 0:
            sample = "".join(draw.choices(letters, k=draw.randint(0, 5)))
        expected = run(rules, rules[next(iter(rules))], sample, 0) == len(sample)
        assert parsed(sample) == expected, sample
        assert accepts(start, sample) == expected, sample
        verdicts[expected] += 1
    assert min(verdicts) > 40


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('a <- "x" / "xy"', "rule a: a literal hides the longer one after it; put the longer"),
        ('a <- b / c\nb <- "x" "1"\nc <- [x] "2"', "two alternatives begin with 'x'"),
        ('a <- "x"* "x"', "a repeated or optional part takes 'x', which may also follow"),
        ('a <- ("x"?)* "y"', "a repeated part may be empty"),
        ('a <- a "x" / "y"', "rule a: calls itself before it reads"),
        ('a <- b "x"\nb <- "y"? a', "calls itself before it reads"),
        ('a <- ("x"? / "y") "z"', "an alternative that may be empty hides those after it"),
        ('a <- "if" !b b*\nb <- [a-z]', "! looks ahead at"),
        ('a <- &("x" "y") [x] .', "& looks ahead at a whole expression"),
        ('a <- ("<=" / "<") "="', "what follows the shorter of two literals may be the rest"),
        ("a <- b", "rule 'b' is not defined"),
        ('a <- "x"\na <- "y"', "test.peg:2:1: rule 'a' is defined twice"),
        ('a <- "x" | "y"', "test.peg:1:10: '|' is no PEG; write / for an ordered choice"),
        ('a <- "x" { act }', "'{' is not of a PEG's syntax"),
        ('a <- ("x"', "test.peg:1:6: this parenthesis is not closed"),
        ("a <- [z-a]", "no such range of characters"),
        ("", "holds no rule"),
        ('"x"', "expected a rule, found"),
    ],
)
def test_what_a_grammar_cannot_mean_is_refused_with_the_reason(text: str, message: str) -> None:
    with pytest.raises(ProfileError) as caught:
        peg_to_lark(text, name="test.peg")
    assert message in str(caught.value)


def test_a_look_ahead_at_what_cannot_follow_changes_nothing() -> None:
    source = parse_grammar(peg_to_lark('a <- "if" ![a-z] " " [a-z]+'))
    assert parses(source)("if x") and not parses(source)("ifx")
