"""Nodes to clauses: disjunctive normal form, kind by kind, and whether anything satisfies it.

A node is a set of signed schemas that must hold together; its clauses of one kind are what a value
of that kind may satisfy. Nodes are expanded when they are needed, so recursive schemas are no
special case.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from bb_domains.errors import LowerError
from bb_domains.json_schema import regex as rx
from bb_domains.json_schema.clauses import (
    ANY,
    KINDS,
    NEVER,
    TOP,
    Arrays,
    Clause,
    Keys,
    Literal,
    Node,
    Objects,
    Strings,
    both,
    meet,
)
from bb_domains.json_schema.ecma import pattern_language
from bb_domains.json_schema.effort import spend
from bb_domains.json_schema.formats import STRING_FORMATS, WIDE_FORMATS
from bb_domains.json_schema.formulas import (
    AllOf,
    AnyOf,
    Formula,
    Holds,
    Is,
    OneOf,
    Place,
)
from bb_domains.json_schema.keywords import schema_formula
from bb_domains.json_schema.regex import Language
from bb_domains.json_schema.schemas import Schemas

MOST_CLAUSES = 512
_CLAUSE_STEPS = 3
_CHECKED_FROM = 16


class Expander:
    """Expands the nodes of one document, and remembers what it found.

    Args:
        schemas: the document.
        unknown_formats: "refuse" or "annotate".
    """

    def __init__(self, schemas: Schemas, unknown_formats: str = "refuse") -> None:
        self.schemas = schemas
        self._unknown_formats = unknown_formats
        self._clauses: dict[tuple[Node, str], list[Clause]] = {}
        self._formulas: dict[tuple[Literal, str], Formula] = {}
        self._empty: dict[tuple[Node, str, bool], bool] = {}
        self._open: list[Literal] = []

    def clauses(self, node: Node, kind: str) -> list[Clause]:
        """The clauses of one kind; none if no value of that kind can satisfy the node.

        Raises:
            LowerError: a keyword that cannot be kept, or too many alternatives.
        """
        if node == NEVER:
            return []
        if (node, kind) not in self._clauses:
            before, self._open = self._open, []
            found = [TOP[kind]]
            for literal in node:
                found = self._extend(found, Holds(literal), kind)
            self._open = before
            alive = [clause for clause in found if not self.is_dead(clause)]
            self._clauses[node, kind] = list(dict.fromkeys(alive))
        return self._clauses[node, kind]

    def _formula(self, literal: Literal, kind: str) -> Formula:
        if (literal, kind) not in self._formulas:
            place = Place(self.schemas, self.schemas[literal[0]], kind, self._unknown_formats)
            self._formulas[literal, kind] = schema_formula(place, literal[1])
        return self._formulas[literal, kind]

    def _extend(self, clauses: list[Clause], formula: Formula, kind: str) -> list[Clause]:
        """The clauses of all that satisfy one of `clauses` and the formula."""
        if not clauses:
            return []
        spend(_CLAUSE_STEPS * len(clauses))
        match formula:
            case Is(clause):
                met = [meet(one, clause) for one in clauses]
                return [found for holds, found in met if holds]
            case AllOf(parts):
                for part in parts:
                    clauses = self._extend(clauses, part, kind)
                return clauses
            case AnyOf(parts):
                return self._checked(
                    [c for part in parts for c in self._extend(clauses, part, kind)]
                )
            case Holds(literal):
                return self._hold(clauses, literal, kind)
            case OneOf(numbers):
                return self._one_of(clauses, numbers, kind)

    def _hold(self, clauses: list[Clause], literal: Literal, kind: str) -> list[Clause]:
        if literal in self._open:
            raise LowerError(
                "refers to itself without a value between",
                where=self.schemas[literal[0]].pointer or "/",
                fix="break the circle of references",
            )
        self._open.append(literal)
        found = self._extend(clauses, self._formula(literal, kind), kind)
        self._open.pop()
        return found

    def _one_of(self, clauses: list[Clause], numbers: tuple[int, ...], kind: str) -> list[Clause]:
        """Exactly one: alternatives that exclude each other anyway need not be negated."""
        found: list[Clause] = []
        for i, number in enumerate(numbers):
            mine = self._extend(clauses, Holds((number, True)), kind)
            for j, other in enumerate(numbers):
                if i != j and mine and not self._are_disjoint(number, other, kind):
                    mine = self._checked(self._extend(mine, Holds((other, False)), kind))
            found += mine
        return self._checked(found)

    def _are_disjoint(self, one: int, two: int, kind: str) -> bool:
        pair = tuple((number, True) for number in sorted({one, two}))
        return self.is_empty(pair, kind, wide=True)

    def _checked(self, clauses: list[Clause]) -> list[Clause]:
        clauses = list(dict.fromkeys(clauses))
        if len(clauses) > _CHECKED_FROM:
            clauses = [clause for clause in clauses if not self.is_dead(clause)]
        if len(clauses) > MOST_CLAUSES:
            raise LowerError(
                f"has more than {MOST_CLAUSES} alternatives",
                where=self.schemas[self._open[0][0]].pointer if self._open else "/",
                fix="name the alternatives by a constant property",
            )
        return clauses

    def is_never(self, node: Node) -> bool:
        """Whether surely no value satisfies a node; False for one that is being looked at."""
        return all(self.is_empty(node, kind) for kind in KINDS)

    def is_empty(self, node: Node, kind: str, wide: bool = False) -> bool:
        """Whether surely no value of a kind satisfies a node.

        Args:
            node: the node.
            kind: the kind.
            wide: read patterns and formats as widely as any reader might.
        """
        key = (node, kind, wide)
        if key not in self._empty:
            self._empty[key] = False  # what leads back here is not known to be empty
            try:
                found = all(self.is_dead(clause, wide) for clause in self.clauses(node, kind))
            except LowerError:
                found = False
            self._empty[key] = found
        return self._empty[key]

    def is_dead(self, clause: Clause, wide: bool = False) -> bool:
        """Whether surely nothing satisfies a clause."""
        match clause:
            case Strings(chosen=chosen) if chosen is not None:
                return not chosen_texts(clause, wide)
            case Strings():
                return rx.is_empty(string_language(clause, wide))
            case Arrays():
                return self._is_dead_array(clause)
            case Objects():
                return self._is_dead_object(clause)
            case _:
                return False

    def _is_dead_array(self, array: Arrays) -> bool:
        if any(self.is_never(self.item_node(array, i)) for i in range(min(array.least, 32))):
            return True
        ends = [s.stop or s.start + 1 for s in array.spans]
        ends += [c.start + 1 for c in array.counts]
        for count in array.counts:
            if count.least:
                places = range(count.start, max([*ends, count.start + 1]) + 1)
                nodes = [both(self.item_node(array, i), count.node) for i in places]
                if all(self.is_never(node) for node in nodes):
                    return True
        return False

    def item_node(self, array: Arrays, index: int) -> Node:
        """What the item at an index must satisfy."""
        node: Node = ANY
        for span in array.spans:
            if span.start <= index and (span.stop is None or index < span.stop):
                node = both(node, span.node)
        return node

    def _is_dead_object(self, objects: Objects) -> bool:
        for name, there in objects.present:
            if there and self.is_never(self.member_node(objects, name)):
                return True
        return any(self.is_never(node) for _, node in objects.some)

    def member_node(self, objects: Objects, name: str) -> Node:
        """What the member of a name must satisfy."""
        spend(len(objects.every) // 8)
        node: Node = ANY
        for keys, wanted in objects.every:
            if self.is_key(keys, name):
                node = both(node, wanted)
        return node

    def is_key(self, keys: Keys, name: str) -> bool:
        """Whether a name is in a class of keys."""
        if name in keys.excluded or (keys.only is not None and name not in keys.only):
            return False
        if keys.only is not None and not (keys.matching or keys.failing or keys.node):
            return True
        return rx.matches(self.key_language(keys), name)

    def key_language(self, keys: Keys, wide: bool = False) -> Language:
        """The class as a language."""
        parts = [rx.complement(rx.literals(keys.excluded))]
        if keys.only is not None:
            parts.append(rx.literals(frozenset(keys.only)))
        parts += [pattern_language(p, wide) for p in keys.matching]
        parts += [rx.complement(pattern_language(p, not wide)) for p in keys.failing]
        if keys.node:
            clauses = self.clauses(keys.node, "string")
            parts.append(
                rx.union(*(string_language(c, wide) for c in clauses if isinstance(c, Strings)))
            )
        return rx.intersection(*parts)


@lru_cache(maxsize=4096)
def string_language(strings: Strings, wide: bool = False) -> Language:
    """The texts of a clause.

    Args:
        strings: the clause.
        wide: what any reader of patterns and formats might accept, rather than what all do.

    Raises:
        LowerError: a pattern that cannot be kept, or a format that cannot be negated.
    """
    parts = [named_language(name, wide) for name in strings.must]
    parts += [rx.complement(named_language(name, not wide)) for name in strings.must_not]
    if strings.chosen is not None:
        parts.append(rx.literals(frozenset(strings.chosen)))
    if strings.excluded:
        parts.append(rx.complement(rx.literals(strings.excluded)))
    if (strings.least, strings.most) != (0, None):
        parts.append(rx.repeat(rx.ANY_CHAR, strings.least, strings.most))
    return rx.intersection(*parts)


def chosen_texts(strings: Strings, wide: bool = False) -> list[str]:
    """The listed texts of a clause that satisfy all else."""
    rest = string_language(replace(strings, chosen=None), wide)
    return [text for text in strings.chosen or () if rest == rx.ALL or rx.matches(rest, text)]


def named_language(name: tuple[str, str], wide: bool) -> Language:
    """The language of ("pattern", text) or ("format", name).

    Raises:
        LowerError: see `string_language`.
    """
    what, text = name
    if what == "pattern":
        return pattern_language(text, wide)
    if not wide:
        return pattern_language(f"^(?:{STRING_FORMATS[text]})$")
    if text not in WIDE_FORMATS:
        raise LowerError(
            f"format {text!r} cannot be negated", where="/format", fix="use a pattern instead"
        )
    return pattern_language(WIDE_FORMATS[text], True)
