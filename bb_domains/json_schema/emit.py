"""Clauses to grammar rules: every text of the rules is a value that the schema allows.

Texts are compact JSON. Declared properties come in order of their declaration, all others after
them. What a context-free rule cannot say (items that differ, keys that do not repeat) is said by
a `Guard` that reads along.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from bb_domains.errors import LowerError
from bb_domains.json_schema.arrays import ArrayWriter
from bb_domains.json_schema.clauses import (
    KINDS,
    Arrays,
    Booleans,
    Clause,
    Node,
    Numbers,
    Objects,
    Strings,
)
from bb_domains.json_schema.expand import Expander
from bb_domains.json_schema.objects import ObjectWriter
from bb_domains.json_schema.rules import Grammar, Option, Order
from bb_domains.json_schema.scalars import number_options, string_options

_MOST_RULES = 60_000


@dataclass
class Emitter:
    """Writes the rules of one document.

    Attributes:
        grammar: the rules so far.
        order: in which order declared properties may stand.
        needs_guard: whether a `Guard` must read along.
    """

    expander: Expander
    order: Order = "declared"
    grammar: Grammar = field(default_factory=Grammar)
    needs_guard: bool = False
    _values: dict[Node, str] = field(default_factory=dict)
    _waiting: list[Node] = field(default_factory=list)

    def document(self, node: Node) -> str:
        """The rule of a whole document, with all rules that it needs."""
        start = self.value(node)
        while self._waiting:
            following = self._waiting.pop()
            name = self._values[following]
            for kind in KINDS:
                for clause in self.expander.clauses(following, kind):
                    self.grammar.rules[name].extend(self._options(clause, kind))
            if len(self.grammar.rules) > _MOST_RULES:
                raise LowerError("makes too large a grammar", where="/", fix="simplify the schema")
        return start

    def value(self, node: Node) -> str:
        """The rule of the values that satisfy a node; its options are written later."""
        if node not in self._values:
            self._values[node] = self.grammar.new("v")
            self._waiting.append(node)
        return self._values[node]

    def _options(self, clause: Clause, kind: str) -> list[Option]:
        match clause:
            case None:
                return [Option('"null"')]
            case Booleans(allowed):
                return [Option('"true"' if b else '"false"') for b in sorted(allowed)]
            case Numbers():
                return number_options(self.grammar, clause)
            case Strings():
                return string_options(self.grammar, clause)
            case Arrays():
                return ArrayWriter(self, clause).options()
            case Objects():
                return ObjectWriter(self, clause).options()
