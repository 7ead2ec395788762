"""A PEG as a Lark grammar: checked to mean the same, and written down.

The check is that of strong LL(1) over characters; see `peg` for why it is enough. Of literals that
begin alike the longer may stand first (`"<=" / "<"`), if what follows cannot be mistaken for its
rest. Each maximal part without recursion becomes a terminal, and what is left becomes rules.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bb_core.files import read_text
from bb_domains.errors import ProfileError, UnknownStart
from bb_domains.json_schema import regex as rx
from bb_domains.json_schema.regex import Chars, Language, Ranges
from bb_domains.profile.pattern import Loop, One, Sequence
from bb_domains.profile.peg import ANY, Call, First, Look, Peg, PegReader, Row, Text, Times, Until
from bb_domains.profile.preference import chosen
from bb_domains.profile.python_pattern import python_pattern
from bb_domains.profile.size import MOST_CHARACTERS
from bb_domains.profile.source import Source, parse_grammar

PEG_SUFFIX = ".peg"
_END: Ranges = ()


def read_peg(path: Path, start: str = "") -> Source:
    """Read a PEG file as a grammar of the profile.

    Args:
        path: the file.
        start: the rule that a text is; the file's first if empty, or `start` and no rule of it.

    Raises:
        BBError: the file cannot be read, is no PEG, or means something that no grammar of the
            profile means; names rule and reason.
    """
    return parse_grammar(peg_to_lark(read_text(path), start, str(path)), "start", str(path))


def peg_to_lark(text: str, start: str = "", name: str = "grammar.peg") -> str:
    """The Lark grammar of a PEG.

    Raises:
        ProfileError: see `read_peg`.
    """
    rules = PegReader(text, name).rules()
    first = start if start in rules else next(iter(rules))
    if start not in ("", "start", first):
        known = ", ".join(list(rules)[:12])
        raise UnknownStart(
            f"has no rule {start!r}", where=name, fix=f"name the start rule: {known}"
        )
    lowering = _Lowering(rules, first, name)
    lowering.check()
    return lowering.lark()


class _Lowering:
    """FIRST and FOLLOW of characters, the check, and the writing."""

    def __init__(self, rules: dict[str, Peg], start: str, name: str) -> None:
        self._rules, self._start, self._name = rules, start, name
        self._rules = {rule: self._without_end(rule, body) for rule, body in rules.items()}
        for rule, body in self._rules.items():
            for called in _calls(body):
                if called not in rules:
                    raise self._refusal(rule, f"rule {called!r} is not defined", "define it")
        self._reach = self._reachable()
        self._nullable: set[str] = set()
        self._firsts: dict[str, Ranges] = {}
        self._fix_beginnings()
        self._follows: dict[str, Ranges] = dict.fromkeys(rules, _END)
        self._terminals: dict[str, str] = {}

    def _without_end(self, rule: str, body: Peg) -> Peg:
        """The start rule without its `!.`: a text is always read to its end."""
        end = Look(Text((ANY,)), True)
        if rule == self._start and isinstance(body, Row) and body.items[-1:] == (end,):
            return Row(body.items[:-1])
        return body

    def _refusal(self, rule: str, what: str, fix: str) -> ProfileError:
        return ProfileError(what, where=f"{self._name}: rule {rule}", fix=fix)

    # What a part may begin with, and whether it may be empty.

    def _reachable(self) -> dict[str, set[str]]:
        reach = {rule: set(_calls(body)) for rule, body in self._rules.items()}
        changed = True
        while changed:
            changed = False
            for called in reach.values():
                more = set().union(*(reach[name] for name in called)) - called
                called |= more
                changed |= bool(more)
        return reach

    def _is_nullable(self, peg: Peg) -> bool:
        match peg:
            case Text(sets):
                return not sets
            case Call(name):
                return name in self._nullable
            case Row(items):
                return all(map(self._is_nullable, items))
            case First(items):
                return any(map(self._is_nullable, items))
            case Times(item, least):
                return least == 0 or self._is_nullable(item)
            case Look():
                return True
        return False

    def _first(self, peg: Peg) -> Ranges:
        match peg:
            case Text(sets):
                return sets[0] if sets else ()
            case Until(before, end):
                return _either(before, ((ord(end[0]), ord(end[0])),))
            case Call(name):
                return self._firsts.get(name, ())
            case Row(items):
                return self._row_first(items)
            case First(items):
                return _either(*map(self._first, items))
            case Times(item):
                return self._first(item)
        return ()

    def _row_first(self, items: tuple[Peg, ...]) -> Ranges:
        found: Ranges = ()
        for item in items:
            found = _either(found, self._first(item))
            if not self._is_nullable(item):
                break
        return found

    def _fix_beginnings(self) -> None:
        """Fill `_nullable` and `_firsts`: the least sets that agree with the rules."""
        while True:
            nullable = {rule for rule, body in self._rules.items() if self._is_nullable(body)}
            firsts = {rule: self._first(body) for rule, body in self._rules.items()}
            if (nullable, firsts) == (self._nullable, self._firsts):
                return
            self._nullable, self._firsts = nullable, firsts

    # The check: what may follow tells what to do.

    def check(self) -> None:
        """Refuse what one character does not decide.

        Raises:
            ProfileError: names the rule and the reason.
        """
        sizes: dict[str, int] = {}
        for rule, body in self._rules.items():
            if self._size(body, sizes) > MOST_CHARACTERS:
                what = f"becomes more than {MOST_CHARACTERS} characters when it is written out"
                raise self._refusal(rule, what, "repeat less within it")
            if self._recurses_left(rule, body):
                raise self._refusal(rule, "calls itself before it reads", "write it with *")
        before: dict[str, Ranges] = {}
        while before != self._follows:
            before = dict(self._follows)
            for rule, body in self._rules.items():
                self._spread(body, self._follows[rule])
        for rule, body in self._rules.items():
            for what, fix in self._faults(body, self._follows[rule]):
                raise self._refusal(rule, what, fix)

    def _size(self, peg: Peg, known: dict[str, int]) -> int:
        """Characters of a part, with all that it calls where that becomes one terminal."""
        match peg:
            case Text(sets):
                return len(sets)
            case Call(name):
                if not self._is_regular(peg):
                    return 1
                if name not in known:
                    known[name] = min(self._size(self._rules[name], known), MOST_CHARACTERS + 1)
                return known[name]
            case Row(items) | First(items):
                return sum(self._size(item, known) for item in items)
            case Times(item) | Look(item):
                return self._size(item, known)
        return 1

    def _recurses_left(self, rule: str, body: Peg) -> bool:
        seen, waiting = set[str](), list(self._left_calls(body))
        while waiting:
            name = waiting.pop()
            if name == rule:
                return True
            if name not in seen:
                seen.add(name)
                waiting += self._left_calls(self._rules[name])
        return False

    def _left_calls(self, peg: Peg) -> Iterator[str]:
        match peg:
            case Call(name):
                yield name
            case Row(items):
                for item in items:
                    yield from self._left_calls(item)
                    if not self._is_nullable(item):
                        return
            case First(items):
                for item in items:
                    yield from self._left_calls(item)
            case Times(item) | Look(item):
                yield from self._left_calls(item)

    def _spread(self, peg: Peg, after: Ranges) -> None:
        """Tell the rules called what may follow them."""
        match peg:
            case Call(name):
                self._follows[name] = _either(self._follows[name], after)
            case Row(items):
                for item, following in self._with_following(items, after):
                    self._spread(item, following)
            case First(items):
                for item in items:
                    self._spread(item, after)
            case Times(item, _, most):
                self._spread(item, after if most else _either(after, self._first(item)))

    def _with_following(
        self, items: tuple[Peg, ...], after: Ranges
    ) -> Iterator[tuple[Peg, Ranges]]:
        for i, item in enumerate(items):
            rest = items[i + 1 :]
            following = self._row_first(rest)
            if all(map(self._is_nullable, rest)):
                following = _either(following, after)
            yield item, following

    def _faults(self, peg: Peg, after: Ranges) -> Iterator[tuple[str, str]]:
        match peg:
            case Row(items):
                for item, following in self._with_following(items, after):
                    yield from self._faults(item, following)
            case First(items):
                yield from self._choice_faults(items, after)
                for item in items:
                    yield from self._faults(item, after)
            case Times(item, _, most):
                shared = _shared(self._first(item), after)
                if shared:
                    yield (
                        f"a repeated or optional part takes {shared}, which may also follow it",
                        "a PEG never gives it back; end the part with something else",
                    )
                if self._is_nullable(item):
                    yield "a repeated part may be empty", "repeat only what reads something"
                inner = after if most else _either(after, self._first(item))
                yield from self._faults(item, inner)
            case Look(item):
                yield from self._look_faults(peg, after)

    def _choice_faults(self, items: tuple[Peg, ...], after: Ranges) -> Iterator[tuple[str, str]]:
        for i, one in enumerate(items):
            if self._is_nullable(one) and i + 1 < len(items):
                yield "an alternative that may be empty hides those after it", "put it last"
            if self._is_nullable(one) and _shared(_either(*map(self._first, items)), after):
                yield "an alternative may be empty, and what follows begins alike", "factor it out"
            for two in items[i + 1 :]:
                if isinstance(one, Text) and isinstance(two, Text):
                    yield from _literal_faults(one, two, after)
                    continue
                shared = _shared(self._first(one), self._first(two))
                if shared:
                    yield (
                        f"two alternatives begin with {shared}; a PEG takes the first that "
                        "matches and never goes back, a grammar takes either",
                        "factor out what they begin with",
                    )

    def _look_faults(self, look: Look, after: Ranges) -> Iterator[tuple[str, str]]:
        one_character = isinstance(look.item, Text) and len(look.item.sets) == 1
        if not (look.negated and not _shared(self._first(look.item), after)):
            mark = "!" if look.negated else "&"
            why = "one character" if one_character else "a whole expression"
            yield (
                f"{mark} looks ahead at {why} that may follow",
                "write the alternatives so that none need look ahead",
            )

    # Writing.

    def lark(self) -> str:
        """The grammar."""
        names = {rule: f"p{i}_{rule.lower()}" for i, rule in enumerate(self._rules)}
        lines = [f"start: {self._expression(self._rules[self._start], names, True)}"]
        used, waiting = set[str](), list(_calls(self._rules[self._start]))
        while waiting:
            rule = waiting.pop()
            if rule in used:
                continue
            used.add(rule)
            waiting += _calls(self._rules[rule])
            if not self._is_regular(Call(rule)):
                lines.append(f"{names[rule]}: {self._expression(self._rules[rule], names, True)}")
        lines += [f"{name}: /{pattern}/" for pattern, name in self._terminals.items()]
        return "\n".join(lines) + "\n"

    def _is_regular(self, peg: Peg) -> bool:
        return not any(
            name in self._reach[name] or self._reach[name] & self._recursive for name in _calls(peg)
        )

    @property
    def _recursive(self) -> set[str]:
        return {name for name, reached in self._reach.items() if name in reached} | {self._start}

    def _expression(self, peg: Peg, names: dict[str, str], outermost: bool = False) -> str:
        if not outermost and self._is_regular(peg) and not self._is_nullable(peg):
            return self._terminal(peg)
        match peg:
            case Call(name):
                if self._is_regular(peg):
                    return self._expression(self._rules[name], names)
                return names[name]
            case Row(items):
                return "(" + " ".join(self._expression(item, names) for item in items) + ")"
            case First(items):
                return "(" + " | ".join(self._expression(item, names) for item in items) + ")"
            case Times(item, 0, most) if self._is_regular(item):
                return self._terminal(Times(item, 1, most)) + "?"
            case Times(item, least, most):
                mark = "?" if most else "+" if least else "*"
                return f"({self._expression(item, names)}){mark}"
            case Text(sets) if sets:
                return self._terminal(peg)
            case Until():
                return self._terminal(peg)
        return "()"

    def _terminal(self, peg: Peg) -> str:
        pattern = python_pattern(self._language(peg))
        return self._terminals.setdefault(pattern, f"T{len(self._terminals)}")

    def _language(self, peg: Peg) -> Language:
        match peg:
            case Text(sets):
                return rx.cat(*map(Chars, sets))
            case Until(before, end):
                body = Loop(One(before), 0, None, lazy=True)
                marks = [One(((ord(c), ord(c)),)) for c in end]
                return chosen(Sequence((body, *marks)), self._name)[0]
            case Call(name):
                return self._language(self._rules[name])
            case Row(items):
                return rx.cat(*map(self._language, items))
            case First(items):
                return rx.union(*map(self._language, items))
            case Times(item, least, most):
                return rx.repeat(self._language(item), least, most)
        return rx.EMPTY


def _calls(peg: Peg) -> Iterator[str]:
    match peg:
        case Call(name):
            yield name
        case Row(items) | First(items):
            for item in items:
                yield from _calls(item)
        case Times(item) | Look(item):
            yield from _calls(item)


def _either(*sets: Ranges) -> Ranges:
    return rx.join([pair for ranges in sets for pair in ranges])


def _shared(one: Ranges, two: Ranges) -> str:
    """A character of both sets, shown; empty if there is none."""
    for low, high in one:
        for other_low, other_high in two:
            if max(low, other_low) <= min(high, other_high):
                return repr(chr(max(low, other_low)))
    return ""


def _literal_faults(one: Text, two: Text, after: Ranges) -> Iterator[tuple[str, str]]:
    """Literals that begin alike: the longer one first, and nothing like its rest may follow."""
    length = min(len(one.sets), len(two.sets))
    if not all(_shared(a, b) for a, b in zip(one.sets, two.sets, strict=False)):
        return
    if len(one.sets) <= len(two.sets):
        yield "a literal hides the longer one after it", "put the longer one first"
    elif _shared(one.sets[length], after):
        yield (
            "what follows the shorter of two literals may be the rest of the longer",
            "tell them apart by what follows",
        )
