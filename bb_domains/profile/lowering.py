"""A grammar file for llguidance: what lark's parser reads, and nothing that it does not.

Lark's rules are taken over as they are. Terminals become what lark's lexer makes of them:

- the match that Python's `re` takes, as a language of longest matches (`preference`);
- without the texts that lark would take as another terminal there (`contexts`), subtracted with
  llguidance's `&` and `~`;
- ignored terminals before the first token, between tokens and after the last, as lark has them;
  llguidance's own `%ignore` knows only those between.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from bb_domains.errors import ProfileError
from bb_domains.json_schema import regex as rx
from bb_domains.json_schema.regex import Language, Ranges
from bb_domains.json_schema.terminals import lark_terminal
from bb_domains.profile.alphabet import Alphabet
from bb_domains.profile.contexts import Blockers, Contexts, contexts
from bb_domains.profile.pattern import parse_pattern
from bb_domains.profile.preference import chosen
from bb_domains.profile.source import Source
from bb_domains.profile.splitting import Kinds, Option, split

GAP_CHARACTERS = 16


@dataclass(frozen=True)
class Lowered:
    """A grammar, read and compared.

    Attributes:
        source: what lark read.
        languages: by terminal, the texts whose longest match is Python's match.
        rewritten: terminals whose expression had to change for that.
    """

    source: Source
    languages: Mapping[str, Language]
    rewritten: frozenset[str]

    @cached_property
    def alphabet(self) -> Alphabet:
        """The classes of characters that the terminals tell apart."""
        return Alphabet(self.languages.values())

    @cached_property
    def coded(self) -> dict[str, Language]:
        """The languages over classes."""
        return {name: self.alphabet.coded(item) for name, item in self.languages.items()}

    @cached_property
    def contexts(self) -> Contexts:
        """Who is taken for whom, where."""
        return contexts(self.source, self._relevant)

    def _relevant(self, name: str, blockers: Blockers) -> Blockers:
        """Those blockers that share texts with a terminal."""
        return Blockers(
            frozenset(o for o in blockers.openings if self.opens(o, name)),
            frozenset(w for w in blockers.wholes if self._meets(w, name)),
            frozenset(h for h in blockers.holders if self.opens(h, name)),
            frozenset(d for d in blockers.doubts if self._going_on(name, d)),
        )

    @cached_property
    def _known(self) -> dict[tuple[str, str, bool], bool]:
        return {}

    def opens(self, one: str, other: str) -> bool:
        """Whether a text of the one terminal is, or begins, a text of the other."""
        return self._question(one, other, True)

    def _meets(self, one: str, other: str) -> bool:
        return self._question(one, other, False)

    def _question(self, one: str, other: str, opening: bool) -> bool:
        key = (one, other, opening)
        if key not in self._known:
            texts = self.coded[one]
            texts = rx.cat(texts, self.alphabet.anything) if opening else texts
            self._known[key] = not rx.is_empty(rx.intersection(texts, self.coded[other]))
        return self._known[key]

    def language(self, name: str, blockers: Blockers) -> Language:
        """The texts that lark takes as this terminal, in a context."""
        kept = [self.languages[name]]
        openings = [self.languages[o] for o in sorted(blockers.openings)]
        if openings:
            kept.append(rx.complement(rx.cat(rx.union(*openings), rx.ALL)))
        wholes = [self.languages[w] for w in sorted(blockers.wholes)]
        if wholes:
            kept.append(rx.complement(rx.union(*wholes)))
        for holder in sorted(blockers.holders):
            held = self.languages[holder]
            kept.append(rx.union(held, rx.complement(rx.cat(held, rx.ALL))))
        return rx.intersection(*kept)

    @cached_property
    def overrun(self) -> dict[tuple[int, str], Ranges]:
        """Characters that must not stand right behind a terminal read in a kind of context.

        Lark would read on, as a terminal that it tries first, and find that it cannot follow.
        """
        found: dict[tuple[int, str], Ranges] = {}
        for kind, preferred in enumerate(self.contexts.kinds):
            for name, blockers in preferred.items():
                going_on = [self._going_on(name, longer) for longer in sorted(blockers.doubts)]
                if going_on:
                    found[kind, name] = rx.join([pair for ranges in going_on for pair in ranges])
        return found

    @cached_property
    def _walked(self) -> dict[tuple[str, str], Ranges]:
        return {}

    def _going_on(self, short: str, long: str) -> Ranges:
        """Characters with which a text of the one can go on as one of the other."""
        if (short, long) in self._walked:
            return self._walked[short, long]
        first = (self.coded[short], self.coded[long])
        seen, waiting = {first}, [first]
        numbers = set[int]()
        while waiting:
            a, b = waiting.pop()
            for number in range(len(self.alphabet.classes)):
                after = (rx.derive(a, number), rx.derive(b, number))
                if after[1] == rx.NONE or rx.is_empty(after[1]):
                    continue
                if rx.is_nullable(a):
                    numbers.add(number)
                if after[0] != rx.NONE and after not in seen:
                    seen.add(after)
                    waiting.append(after)
        ranges = rx.join([pair for n in numbers for pair in self.alphabet.classes[n]])
        self._walked[short, long] = ranges
        return ranges

    @cached_property
    def empty(self) -> frozenset[str]:
        """Terminals that lark never takes, because another always stands before them."""
        asked: dict[str, list[bool]] = {}
        for kind in self.contexts.kinds:
            for name, blockers in kind.items():
                asked.setdefault(name, []).append(rx.is_empty(self.language(name, blockers)))
        return frozenset(name for name, empties in asked.items() if all(empties))


def lower(source: Source) -> Lowered:
    """Work out what a grammar's terminals mean.

    Raises:
        ProfileError: a terminal holds what the mask has no counterpart for; names file, line and
            construct.
    """
    languages: dict[str, Language] = {}
    rewritten = set()
    for terminal in source.terminals:
        where = source.where(terminal.name)
        node = parse_pattern(terminal.pattern.to_regexp(), where)
        languages[terminal.name], changed = chosen(node, where)
        if changed:
            rewritten.add(terminal.name)
        if rx.is_nullable(languages[terminal.name]):
            raise ProfileError(
                "may be empty, and lark's lexer has no empty tokens",
                where=where,
                fix="make it optional where it is used",
            )
    return Lowered(source, languages, frozenset(rewritten))


def mask_grammar(lowered: Lowered, bounded: bool = False) -> str:
    """The grammar in llguidance's dialect.

    Args:
        lowered: from `lower`.
        bounded: at most one ignored terminal between tokens, of at most 16 characters, so that a
            model cannot write blanks for ever. The mask then allows less than the parser reads.
    """
    return _Writer(lowered, bounded).text()


class _Writer:
    """Writes rules and terminals, once for each kind of preferences that they may meet."""

    def __init__(self, lowered: Lowered, bounded: bool) -> None:
        self._lowered = lowered
        self._bounded = bounded
        self._terminals: dict[tuple[str, Blockers, Ranges], str] = {}
        self._rules: dict[object, str] = {}
        self._kinds = Kinds(lowered.contexts, lowered.overrun, bool(lowered.source.ignored))
        self._grammar = split(lowered.source, self._kinds)

    def text(self) -> str:
        source, found = self._lowered.source, self._lowered.contexts
        bodies: dict[str, list[str]] = {}
        for symbol, options in self._grammar.items():
            bodies[self._rule(symbol)] = [self._sequence(option) for option in options]
        starts = [self._rule(s) for s in self._grammar if s[:2] == (source.start, found.first)]
        if not starts:
            raise ProfileError("has no text at all", where=source.name, fix="give it a way to end")
        lines = [f"start:{self._gap(found.first)} ({' | '.join(starts)})"]
        lines += [f"{name}: {' | '.join(dict.fromkeys(b))}" for name, b in bodies.items()]
        if source.ignored:
            for kind in range(len(found.kinds)):
                lines.append(
                    f"gap_{kind}: ({self._ignored(kind, ())}){'?' if self._bounded else '*'}"
                )
        lines += [
            f"{written}: {self._expression(*key)}" for key, written in self._terminals.items()
        ]
        return "\n".join(lines) + "\n"

    def _sequence(self, option: Option) -> str:
        parts = []
        for name, before, after, is_terminal in option:
            if is_terminal:
                parts.append(self._terminal(name, before) + self._behind(name, before, after))
            else:
                parts.append(self._rule((name, before, after)))
        return " ".join(parts)

    def _behind(self, name: str, before: int, after: int) -> str:
        """What may stand behind a token: nothing if what follows is told what not to begin with."""
        avoided = self._kinds.overrun(before, name)
        if not avoided:
            return self._gap(after)
        if self._kinds.avoided(after):
            return ""
        return f" ({self._ignored(after, avoided)}){'' if self._bounded else self._gap(after)}"

    def _gap(self, kind: int) -> str:
        return f" gap_{kind}" if self._lowered.source.ignored else ""

    def _ignored(self, kind: int, avoided: Ranges) -> str:
        names = self._lowered.source.ignored
        return " | ".join(self._terminal(name, kind, avoided) for name in names)

    def _expression(self, name: str, blockers: Blockers, avoided: Ranges) -> str:
        language = self._lowered.language(name, blockers)
        if avoided:
            begun = rx.cat(rx.Chars(avoided), rx.ALL)
            language = rx.intersection(language, rx.complement(begun))
        if self._bounded and name in self._lowered.source.ignored:
            short = rx.repeat(rx.ANY_CHAR, 1, GAP_CHARACTERS)
            language = rx.intersection(language, short)
        return lark_terminal(language, quoted=False)

    def _terminal(self, name: str, kind: int, avoided: Ranges = ()) -> str:
        known = self._kinds.preferences(kind).get(name, Blockers())
        blockers = replace(known, doubts=frozenset())  # they say nothing of its own texts
        avoided = avoided or self._kinds.avoided(kind)
        if avoided and rx.is_empty(
            rx.intersection(
                self._lowered.coded[name],
                rx.cat(
                    self._lowered.alphabet.coded(rx.Chars(avoided)), self._lowered.alphabet.anything
                ),
            )
        ):
            avoided = ()
        key = (name, blockers, avoided)
        if key not in self._terminals:
            self._terminals[key] = f"T{len(self._terminals)}_{_plain(name).upper()}"
        return self._terminals[key]

    def _rule(self, symbol: tuple[str, int, int]) -> str:
        if symbol not in self._rules:
            self._rules[symbol] = f"r{len(self._rules)}_{_plain(symbol[0]).lower()}"
        return self._rules[symbol]


def _plain(name: str) -> str:
    """A name's ASCII letters, digits and underscores; long ones cut."""
    return "".join(c for c in name if c.isascii() and (c.isalnum() or c == "_")).strip("_")[:40]
