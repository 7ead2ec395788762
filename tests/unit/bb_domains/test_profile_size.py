"""Grammars of a few lines that would become larger than any machine: refused by name, at once."""

from __future__ import annotations

import pytest

from bb_domains.errors import ProfileError
from bb_domains.profile.lowering import lower, mask_grammar
from bb_domains.profile.peg_lowering import peg_to_lark
from bb_domains.profile.source import parse_grammar

DOUBLED = "".join(f"a{n}{{x}}: a{n + 1}{{p{{x,x}}}}\n" for n in range(30))
LAUGHS = "".join(f"A{n}: A{n + 1} /a:/ A{n + 1}\n" for n in range(40))


@pytest.mark.parametrize(
    ("grammar", "message"),
    [
        ('start: t{"a"}\nt{x}: x t{t{x}} | x\n', "t: the template becomes more than 500 rules"),
        (f"start: a0{{A}}\n{DOUBLED}a30{{x}}: x\np{{x,y}}: x y\nA: /x/\n", "p: the template"),
        ('start: ((("a"|"b")~1..40)~1..40)~1..40\n', "start: becomes more than 20000 alternatives"),
        ('start: b\nb: (("a"|"c"|"d")~0..49)+\n', "b: becomes more than 20000 alternatives"),
        (f"start: {' '.join(['[A]'] * 60)}\nA: /x/\n", "start: becomes more than 20000"),
        ('start: A\nA: (("a"~1..400)~1..400)~2\n', "A: becomes more than 100000 characters"),
        (f'start: A0\n{LAUGHS}A40: "x"\n', r"A\d+: names more than 5000 terminals"),
    ],
)
def test_what_grows_without_bounds_is_refused_by_name(grammar: str, message: str) -> None:
    with pytest.raises(ProfileError, match=rf"^g\.lark: {message}"):
        parse_grammar(grammar, name="g.lark")


@pytest.mark.parametrize(
    "grammar",
    [
        'start: lst{A, ","}\nlst{x, s}: x | lst{x, s} s x\nA: /x/\n',
        'start: ("a"|"b")~1..5 "c"~60 ["d"]\n',
        'start: A ("," A)*\nA: B B B\nB: "x"~1..60 | "A: A A A"\n',
    ],
)
def test_what_stays_small_is_read(grammar: str) -> None:
    assert mask_grammar(lower(parse_grammar(grammar))).startswith("start:")


def test_a_peg_that_doubles_itself_is_refused_by_rule() -> None:
    rules = "".join(f"r{n} <- r{n + 1} r{n + 1}\n" for n in range(40))
    with pytest.raises(ProfileError, match=r"rule \w+: becomes more than 100000 characters"):
        peg_to_lark(f'start <- r0\n{rules}r40 <- "x"\n')
