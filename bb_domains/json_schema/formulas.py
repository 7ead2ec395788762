"""Formulas over clauses and literals, and what a keyword is told of where it stands."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bb_domains.errors import LowerError
from bb_domains.json_schema.clauses import Clause, Literal, Node
from bb_domains.json_schema.schemas import Entry, Schemas


@dataclass(frozen=True)
class AllOf:
    """Every part; of none, true."""

    parts: tuple[Formula, ...]


@dataclass(frozen=True)
class AnyOf:
    """Some part; of none, false."""

    parts: tuple[Formula, ...]


@dataclass(frozen=True)
class Is:
    """A clause holds."""

    clause: Clause


@dataclass(frozen=True)
class Holds:
    """A literal holds."""

    literal: Literal


@dataclass(frozen=True)
class OneOf:
    """Exactly one of these schemas holds."""

    numbers: tuple[int, ...]


Formula = AllOf | AnyOf | Is | Holds | OneOf
TRUE: Formula = AllOf(())
FALSE: Formula = AnyOf(())


@dataclass(frozen=True)
class Place:
    """Where a keyword stands: the schema, its number, the kind of value, and the policy."""

    schemas: Schemas
    entry: Entry
    kind: str
    unknown_formats: str

    @property
    def schema(self) -> Mapping[str, Any]:
        """The schema that holds the keyword."""
        found: Mapping[str, Any] = self.entry.schema
        return found

    def part(self, path: str, schema: Any, sign: bool = True) -> Literal:
        """The literal of a subschema."""
        return self.schemas.part(self.entry, path, schema, sign)

    def node(self, path: str, schema: Any, sign: bool = True) -> Node:
        """The node of a subschema."""
        return self.schemas.node(self.part(path, schema, sign))

    def refuse(self, keyword: str, what: str, fix: str = "") -> LowerError:
        """The error that names this keyword."""
        return LowerError(
            f"{keyword!r} {what}",
            where=f"{self.entry.pointer}/{keyword}",
            fix=fix or "say it with other keywords",
        )


Keyword = Callable[[Place, Any, bool], Formula]
