r"""What in a grammar means something else to the other engine, by name, and what becomes of it.

`bb domain check` prints these. None of them is ignored: what is *lowered* means in the mask what it
means to lark's parser, what makes the mask *narrower* never lets a wrong text through, and what can
be neither is refused by `lower` with a ProfileError.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from bb_domains.json_schema import regex as rx
from bb_domains.json_schema.regex import Language
from bb_domains.profile.lowering import Lowered
from bb_domains.profile.pattern import Behind, Loop, nodes, parse_pattern

MOST_PAIRS = 400
Outcome = Literal["lowered", "narrower", "offline parser"]

_FIXES = {
    "not LALR(1)": "let the next token decide between the alternatives",
    "rule priority": "let the alternatives share no texts",
    "terminal priority": "let the terminals share no texts",
    "order of alternatives": "put the longer alternative first",
    "ESCAPED_STRING": 'write out its pattern: /"([^"\\\\\\n]|\\\\[^\\n])*"/',
    "unreachable terminal": "remove it, or narrow the terminal that is always taken",
    "lookbehind": "write the character that stands before as part of the terminal",
    "lazy quantifier": "repeat what the end is not, as in [^;]*; for .*?;",
    "Unicode class": "write the characters, as in [0-9] or [A-Za-z0-9_]",
    "case-insensitive": "write both cases, as in [Ss]",
    "shared texts": "let the terminals share no texts, or make them one",
    "shared parser state": "let the terminals share no beginnings",
    "keyword as identifier": "keep the keywords out of the name's pattern",
    "going back": "make the longer and the shorter token one terminal",
    "leading and trailing %ignore": "write blanks where they may stand, and no %ignore",
    "template": "write the rules out",
    "%import": "write the terminals out",
    "%override, %extend": "write the rule out as a whole",
}


@dataclass(frozen=True)
class GrammarFinding:
    """A construct that llguidance would read otherwise, or not at all.

    Attributes:
        where: file, line and name.
        construct: what it is.
        what: what each engine makes of it.
        outcome: what becomes of it; see the module.
    """

    where: str
    construct: str
    what: str
    outcome: Outcome

    @property
    def fix(self) -> str:
        """What to write instead, so that both engines read the same."""
        return _FIXES[self.construct]


def lint_grammar(lowered: Lowered) -> list[GrammarFinding]:
    """Return what lowering had to see to, in the order of importance."""
    return [
        *_engine(lowered),
        *_backing_up(lowered),
        *_uneven(lowered),
        *_terminals(lowered),
        *_preferences(lowered),
        *_reading_on(lowered),
        *_ignored(lowered),
        *_directives(lowered),
    ]


def _engine(lowered: Lowered) -> Iterator[GrammarFinding]:
    source = lowered.source
    if source.engine == "earley":
        yield GrammarFinding(
            source.name,
            "not LALR(1)",
            f"{source.conflict[:160]}: texts are parsed by Earley's algorithm, which tries every "
            "token; the mask takes the longest one only",
            "offline parser",
        )
    for rule in source.rules:
        if rule.options.priority:
            name = str(rule.origin.name)
            what = "lark chooses a parse by it; llguidance has no priorities of rules"
            yield GrammarFinding(source.where(name), "rule priority", what, "lowered")


def _terminals(lowered: Lowered) -> Iterator[GrammarFinding]:
    for terminal in lowered.source.terminals:
        where = lowered.source.where(terminal.name)
        if terminal.priority:
            what = f"lark tries {terminal.name} in the order of its priority, llguidance does not"
            yield GrammarFinding(where, "terminal priority", what, "lowered")
        if terminal.pattern.type == "re":
            for construct, what in _constructs(terminal.pattern.to_regexp(), where):
                yield GrammarFinding(where, construct, what, "lowered")
            if terminal.name in lowered.rewritten and not _is_lazy(terminal, where):
                what = "Python takes the first alternative that matches, llguidance the longest"
                yield GrammarFinding(where, "order of alternatives", what, "lowered")
        if terminal.name.rpartition("__")[2] == "ESCAPED_STRING":
            what = "lark's holds no raw newline; a text with one is refused by both"
            yield GrammarFinding(where, "ESCAPED_STRING", what, "lowered")
        if terminal.name in lowered.empty:
            what = "lark always takes something else first, so it never occurs"
            yield GrammarFinding(where, "unreachable terminal", what, "lowered")


def _is_lazy(terminal: object, where: str) -> bool:
    pattern = getattr(terminal, "pattern").to_regexp()  # noqa: B009
    parts = list(nodes(parse_pattern(pattern, where)))
    return any(isinstance(p, Behind) or (isinstance(p, Loop) and p.lazy) for p in parts)


def _constructs(pattern: str, where: str) -> Iterator[tuple[str, str]]:
    parts = list(nodes(parse_pattern(pattern, where)))
    if any(isinstance(part, Behind) for part in parts):
        yield "lookbehind", "Python looks at the character before, llguidance refuses to"
    if any(isinstance(part, Loop) and part.lazy for part in parts):
        yield "lazy quantifier", "Python stops as early as it can, llguidance reads on"
    found = sorted(set(re.findall(r"\\[wWdDsS]", pattern)))
    if found:
        yield "Unicode class", f"{', '.join(found)} hold other characters in Python than in Rust"
    if re.search(r"\(\?[a-zA-Z]*i", pattern):
        yield "case-insensitive", "Python and Rust hold other characters for the same letter"


def _preferences(lowered: Lowered) -> Iterator[GrammarFinding]:
    """Terminals that share texts: lark decides by its order, llguidance takes both."""
    found: dict[str, set[str]] = {}
    for kind in lowered.contexts.kinds:
        for name, blockers in kind.items():
            before = blockers.openings | blockers.wholes | blockers.holders
            found.setdefault(name, set()).update(before)
    for name, others in found.items():
        if others:
            shown = ", ".join(sorted(others)[:8]) + (", …" if len(others) > 8 else "")
            what = f"lark's lexer takes {shown} for it, llguidance either"
            yield GrammarFinding(lowered.source.where(name), "shared texts", what, "lowered")


def _reading_on(lowered: Lowered) -> Iterator[GrammarFinding]:
    names = {name for kind, name in lowered.overrun}
    for name in sorted(names):
        kinds = [kind[name] for kind in lowered.contexts.kinds if name in kind]
        longer = ", ".join(sorted({other for kind in kinds for other in kind.doubts})[:8])
        what = f"lark may read on as {longer} where none can follow; llguidance knows that none can"
        yield GrammarFinding(lowered.source.where(name), "shared parser state", what, "lowered")


def _uneven(lowered: Lowered) -> Iterator[GrammarFinding]:
    for name in sorted(lowered.contexts.uneven):
        what = (
            "whether a keyword is one depends on more of the parser's state than the place in the "
            "rules; the mask never writes what is a keyword in any of these states"
        )
        where = lowered.source.where(name)
        yield GrammarFinding(where, "keyword as identifier", what, "narrower")


def _ignored(lowered: Lowered) -> Iterator[GrammarFinding]:
    if lowered.source.ignored:
        yield GrammarFinding(
            lowered.source.where("%ignore"),
            "leading and trailing %ignore",
            "lark skips ignored texts at both ends too, llguidance only between tokens",
            "lowered",
        )


def _directives(lowered: Lowered) -> Iterator[GrammarFinding]:
    text, name = lowered.source.text, lowered.source.name
    known = {
        "template": (r"^\s*[?!]*[a-z_]\w*\{", "llguidance has no templates"),
        "%import": (r"^\s*%import\b", "llguidance knows a few of lark's terminals, its own way"),
        "%override, %extend": (r"^\s*%(override|extend)\b", "llguidance has neither"),
    }
    for construct, (pattern, what) in known.items():
        found = re.search(pattern, text, re.MULTILINE)
        if found:
            line = text.count("\n", 0, found.end()) + 1
            yield GrammarFinding(f"{name}:{line}", construct, what, "lowered")


def _backing_up(lowered: Lowered) -> Iterator[GrammarFinding]:
    """Tokens after which the beginning of a longer one may stand that then fails to come.

    Lark goes back to the shorter token; llguidance has gone too far, so its mask does not offer
    such texts.
    """
    seen = set[str]()
    for one, other, example in list(overruns(lowered)):
        if one not in seen:
            seen.add(one)
            yield GrammarFinding(
                lowered.source.where(one),
                "going back",
                f"after {one}, what follows may look like a part of {other} ({example!r}): lark "
                "goes back if it is not, the mask does not offer it",
                "narrower",
            )


def overruns(lowered: Lowered) -> Iterator[tuple[str, str, str]]:
    """Yield (terminal, longer terminal, example): the example's last character fits both ways."""
    follow = _follow(lowered)
    pairs = {
        (one, other)
        for names in lowered.contexts.expected
        for one in names
        for other in names
        if one in follow
    }
    for one, other in sorted(pairs)[: MOST_PAIRS * 10]:
        firsts = rx.union(*(lowered.coded[name] for name in sorted(follow[one])), rx.NONE)
        example = _overrun(lowered.coded[one], lowered.coded[other], firsts)
        if example is not None:
            yield one, other, lowered.alphabet.text(example)


def _overrun(short: Language, long: Language, following: Language) -> str | None:
    """A text of `short` and a character with which `long` and `following` both could go on."""
    seen, waiting = {(short, long)}, [(short, long, "")]
    while waiting and len(seen) < MOST_PAIRS:
        a, b, text = waiting.pop(0)
        for number in sorted(rx.starts(a) | rx.starts(b) | rx.starts(following)):
            after_a, after_b = rx.derive(a, number), rx.derive(b, number)
            if after_b == rx.NONE or rx.is_empty(after_b):
                continue
            goes_on = rx.derive(following, number) != rx.NONE
            inside = not rx.is_nullable(after_b) and not rx.is_nullable(after_a)
            if text and rx.is_nullable(a) and goes_on and inside:
                return text + chr(number)
            if after_a != rx.NONE and (after_a, after_b) not in seen:
                seen.add((after_a, after_b))
                waiting.append((after_a, after_b, text + chr(number)))
    return None


def _follow(lowered: Lowered) -> dict[str, set[str]]:
    """By terminal, the terminals that may come after it, the ignored ones among them."""
    source = lowered.source
    ignored = set(source.ignored)
    found = {
        str(symbol.name): {str(s.name) for s in after if s.name in lowered.coded} | ignored
        for symbol, after in source.analysis.FOLLOW.items()
        if symbol.is_term and symbol.name in lowered.coded
    }
    everything = set(lowered.coded)
    return {**found, **dict.fromkeys(ignored, everything)}
