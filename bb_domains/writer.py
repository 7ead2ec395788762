"""Writing rules down as Lark: expressions, and the terminals and shared rules they need."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from bb_domains.rules import Alt, Lit, Opt, Rule, Rx, Seq, Slot

_INLINE_CHARACTERS = 60
"""Longer expressions of parts are written once, as rules of their own."""


@dataclass(frozen=True)
class Fragment:
    """A Lark expression and the names of the definitions it mentions."""

    text: str
    needs: frozenset[str] = frozenset()

    def grouped(self) -> str:
        """The expression as an operand of a sequence."""
        return f"({self.text})" if " | " in self.text else self.text


@dataclass(frozen=True)
class Template:
    """A call's expression with holes.

    Attributes:
        pieces: expressions; between pieces i and i + 1 stands slot i.
        slots: the slots in order.
        needs: names of the definitions that the pieces mention.
    """

    pieces: tuple[str, ...]
    slots: tuple[Slot, ...]
    needs: frozenset[str]

    def fill(self, texts: Iterable[str]) -> str:
        """The expression with one expression per slot."""
        parts = [self.pieces[0]]
        for text, piece in zip(texts, self.pieces[1:], strict=True):
            parts += (text, piece)
        return " ".join(part for part in parts if part)


class Writer:
    """Writes rules and keeps their definitions, each under a name of its own."""

    def __init__(self) -> None:
        self._lines: dict[str, str] = {}
        self._needs: dict[str, frozenset[str]] = {}
        self._terminals: dict[str, str] = {}
        self._parts: dict[Rule, Fragment] = {}

    def template(self, rule: Rule) -> Template:
        """A rule whose slots, if it has any, are among the items of a sequence."""
        items = rule.items if isinstance(rule, Seq) else (rule,)
        pieces: list[list[str]] = [[]]
        slots: list[Slot] = []
        needs: set[str] = set()
        for item in items:
            if isinstance(item, Slot):
                slots.append(item)
                pieces.append([])
            else:
                fragment = self.fragment(item)
                pieces[-1].append(fragment.grouped())
                needs |= fragment.needs
        return Template(tuple(" ".join(p) for p in pieces), tuple(slots), frozenset(needs))

    def fragment(self, rule: Rule) -> Fragment:
        """The expression of a rule; slots are written in their general form."""
        match rule:
            case Lit(text):
                return Fragment(json.dumps(text))
            case Rx():
                return self._terminal(rule)
            case Slot(_, general):
                return self.fragment(general)
        found = self._parts.get(rule)
        if found is None:
            found = self._parts[rule] = self._shared(self._composite(rule))
        return found

    def _composite(self, rule: Seq | Alt | Opt) -> Fragment:
        items = [self.fragment(item) for item in _items(rule)]
        needs = frozenset().union(*(item.needs for item in items))
        match rule:
            case Seq():
                return Fragment(" ".join(item.grouped() for item in items), needs)
            case Alt():
                return Fragment(" | ".join(item.text for item in items), needs)
            case Opt():
                return Fragment(f"({items[0].text})?", needs)

    def _shared(self, fragment: Fragment) -> Fragment:
        """The same, by name if it is long."""
        if len(fragment.text) <= _INLINE_CHARACTERS:
            return fragment
        name = f"part_{len(self._lines)}"
        self._define(name, fragment)
        return Fragment(name, frozenset({name}))

    def _terminal(self, rule: Rx) -> Fragment:
        name = self._terminals.get(rule.pattern)
        if name is None:
            name = rule.name if rule.name not in self._lines else f"{rule.name}_V{len(self._lines)}"
            self._terminals[rule.pattern] = name
            self._define(name, Fragment(f"/{rule.pattern}/"))
        return Fragment(name, frozenset({name}))

    def _define(self, name: str, body: Fragment) -> None:
        below = (self._needs[other] for other in body.needs)
        self._lines[name] = f"{name}: {body.text}"
        self._needs[name] = frozenset({name}).union(*below)

    def definitions(self, needs: Iterable[str]) -> list[str]:
        """Lines that define these names and all that they need, in order of first writing."""
        wanted: set[str] = set()
        for name in needs:
            wanted |= self._needs[name]
        return [line for name, line in self._lines.items() if name in wanted]


def _items(rule: Seq | Alt | Opt) -> tuple[Rule, ...]:
    return (rule.item,) if isinstance(rule, Opt) else rule.items


def key_expression(
    general: Rule, taken: Iterable[str], writer: Writer, named: dict[str, str]
) -> tuple[str, list[str]]:
    """The expression of a key that is none of `taken`, and definitions of its own.

    The definitions use llguidance's terminal operators `&` and `~`; `named` has those of this
    grammar so far by name, since two types of object may have keys of one form.
    """
    gone = sorted(taken)
    items = general.items if isinstance(general, Alt) else (general,)
    texts: list[str] = []
    lines: list[str] = []
    for item in items:
        if isinstance(item, Lit):
            if item.text not in gone:
                texts.append(json.dumps(item.text))
            continue
        whole = writer.fragment(item).text
        excluded = " | ".join(json.dumps(text) for text in gone)
        name, body = f"{whole}_NEW", f"{whole} & ~({excluded})"
        while named.setdefault(name, body) != body:
            name += "_"
        lines.append(f"{name}: {body}")
        texts.append(name)
    return (texts[0] if len(texts) == 1 else f"({' | '.join(texts)})"), lines


def write(rules: Iterable[str], definitions: Iterable[str]) -> str:
    """A whole grammar, each line once."""
    return "\n".join(dict.fromkeys([*rules, *definitions])) + "\n"
