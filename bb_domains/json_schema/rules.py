"""A grammar under construction: named rules and terminals, and which rules have a text at all."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Literal, Protocol

from bb_domains.json_schema.clauses import Node
from bb_domains.json_schema.expand import Expander
from bb_domains.json_schema.regex import ALL, Language
from bb_domains.json_schema.terminals import lark_terminal

MOST_BITS = 40
"""As many things can be told apart by the bits of a rule's parameter."""

Order = Literal["declared", "any"]
"""In which order declared properties may stand."""


@dataclass(frozen=True)
class Option:
    """One right-hand side.

    Attributes:
        text: as Lark writes it.
        refs: rules in it; all must have texts for this to have one.
        condition: of a rule with a parameter; empty for none.
    """

    text: str
    refs: tuple[str, ...] = ()
    condition: str = ""


@dataclass
class Grammar:
    """Rules by name, terminals by their right-hand sides, and the languages of strings."""

    rules: dict[str, list[Option]] = field(default_factory=dict)
    terminals: dict[str, str] = field(default_factory=dict)
    parametric: set[str] = field(default_factory=set)
    languages: dict[Language, None] = field(default_factory=dict)
    _languages: dict[tuple[Language, bool], str] = field(default_factory=dict)

    def new(self, stem: str, has_parameter: bool = False) -> str:
        """A rule's name, taken from now on."""
        name = f"{stem}{len(self.rules)}"
        self.rules[name] = []
        if has_parameter:
            self.parametric.add(name)
        return name

    def rule(self, stem: str, *options: Option) -> str:
        """A new rule."""
        name = self.new(stem)
        self.rules[name].extend(options)
        return name

    def terminal(self, language: Language, quoted: bool) -> str:
        """The name of a terminal."""
        key = (language, quoted)
        if quoted and language != ALL:
            self.languages[language] = None
        if key not in self._languages:
            body = lark_terminal(language, quoted)
            self._languages[key] = self.terminals.setdefault(body, f"T{len(self.terminals)}")
        return self._languages[key]

    def productive(self) -> set[str]:
        """The rules that have at least one finite text, conditions left out of account."""
        users: dict[str, list[tuple[str, int]]] = {}
        missing: dict[tuple[str, int], int] = {}
        ready: list[str] = []
        found: set[str] = set()
        for name, options in self.rules.items():
            for i, option in enumerate(options):
                refs = set(option.refs)
                missing[name, i] = len(refs)
                for ref in refs:
                    users.setdefault(ref, []).append((name, i))
                if not refs:
                    ready.append(name)
        while ready:
            name = ready.pop()
            if name in found:
                continue
            found.add(name)
            for user in users.get(name, ()):
                missing[user] -= 1
                if not missing[user]:
                    ready.append(user[0])
        return found

    def lark(self, start: str) -> str:
        """The grammar as text, from a start rule; rules without texts are left out."""
        productive = self.productive()
        lines, seen, waiting = [f"start: {start}"], set[str](), [start]
        while waiting:
            name = waiting.pop()
            if name in seen:
                continue
            seen.add(name)
            options = [o for o in self.rules[name] if productive.issuperset(o.refs)]
            for option in options:
                waiting.extend(option.refs)
            texts = [o.text + (f" %if {o.condition}" if o.condition else "") for o in options]
            head = f"{name}::_" if name in self.parametric else name
            lines.append(f"{head}: " + "\n | ".join(dict.fromkeys(texts)))
        lines += [f"{name}: {body}" for body, name in self.terminals.items()]
        return "\n".join(lines) + "\n"


class Writer(Protocol):
    """What the writers of objects and arrays need of the whole."""

    expander: Expander
    grammar: Grammar
    needs_guard: bool
    order: Order

    def value(self, node: Node) -> str:
        """The rule of the values that satisfy a node."""
        ...


def lark_literal(text: str) -> str:
    """A literal of Lark."""
    return json.dumps(text, ensure_ascii=False)


def json_literal(text: str) -> str:
    """A literal of Lark that is a JSON string."""
    return lark_literal(json.dumps(text, ensure_ascii=False))
