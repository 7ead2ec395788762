"""Bounded grammars as data: what a JSON Schema becomes before it is written down as Lark.

    Lit("x")  Rx(pattern)  Seq(...)  Alt(...)  Opt(...)  Slot(arg)

Every node knows the fewest and the most bytes of its texts; there is no recursion, so every
language here is finite. A `Slot` is where a step grammar puts one concrete text (a reference to a
handle, or a key), and where the static grammar puts the general form.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property


@dataclass(frozen=True)
class Lit:
    """Exactly this ASCII text."""

    text: str

    @property
    def least(self) -> int:
        """Bytes of the shortest text."""
        return len(self.text)

    @property
    def most(self) -> int:
        """Bytes of the longest text."""
        return len(self.text)


@dataclass(frozen=True)
class Rx:
    """A terminal: texts that match `pattern` as a whole.

    Patterns are in what Python's `re` and llguidance's regular expressions read alike: no anchors,
    no lookaround, no classes by name. Alternatives of which one is a prefix of another stand
    longest first, because Python takes the first alternative that matches and llguidance the
    longest.

    Attributes:
        name: stem of the terminal's name in the written grammar.
        pattern: the regular expression.
        least, most: bytes of the shortest and longest text.
        count: number of texts if that is known and worth knowing, else None.
    """

    name: str
    pattern: str
    least: int
    most: int
    count: int | None = None


@dataclass(frozen=True)
class Slot:
    """A place, named after its argument, for a text of `general` that a step grammar narrows."""

    arg: str
    general: Rx | Alt | Lit

    @property
    def least(self) -> int:
        """Bytes of the shortest text."""
        return self.general.least

    @property
    def most(self) -> int:
        """Bytes of the longest text."""
        return self.general.most


# Rules share sub-rules, so sizes and hashes are computed once per node: walking the tree at every
# question took minutes for an array of objects with eight optional properties.


@dataclass(frozen=True)
class Seq:
    """One after the other."""

    items: tuple[Rule, ...]
    least: int = field(init=False, compare=False, repr=False)
    most: int = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "least", sum(item.least for item in self.items))
        object.__setattr__(self, "most", sum(item.most for item in self.items))

    @cached_property
    def _hash(self) -> int:
        return hash(("seq", self.items))

    def __hash__(self) -> int:
        return self._hash


@dataclass(frozen=True)
class Alt:
    """One of these; at least one."""

    items: tuple[Rule, ...]
    least: int = field(init=False, compare=False, repr=False)
    most: int = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "least", min(item.least for item in self.items))
        object.__setattr__(self, "most", max(item.most for item in self.items))

    @cached_property
    def _hash(self) -> int:
        return hash(("alt", self.items))

    def __hash__(self) -> int:
        return self._hash


@dataclass(frozen=True)
class Opt:
    """This or nothing."""

    item: Rule
    least: int = field(init=False, default=0, compare=False, repr=False)
    most: int = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "most", self.item.most)

    @cached_property
    def _hash(self) -> int:
        return hash(("opt", self.item))

    def __hash__(self) -> int:
        return self._hash


Rule = Lit | Rx | Slot | Seq | Alt | Opt


def seq(*items: Rule) -> Rule:
    """A sequence, flattened, with neighbouring literals joined."""
    flat: list[Rule] = []
    for item in items:
        for part in item.items if isinstance(item, Seq) else (item,):
            if isinstance(part, Lit) and flat and isinstance(flat[-1], Lit):
                flat[-1] = Lit(flat[-1].text + part.text)
            elif part != Lit(""):
                flat.append(part)
    if not flat:
        return Lit("")
    return flat[0] if len(flat) == 1 else Seq(tuple(flat))


def alt(*items: Rule) -> Rule:
    """Alternatives, flattened, without repetitions."""
    flat = dict.fromkeys(
        part for item in items for part in (item.items if isinstance(item, Alt) else (item,))
    )
    return next(iter(flat)) if len(flat) == 1 else Alt(tuple(flat))


def count_texts(rule: Rule) -> int | None:
    """Number of texts of a literal, terminal or alternative of those; None if unknown."""
    match rule:
        case Lit():
            return 1
        case Rx():
            return rule.count
        case Alt(items):
            counts = [count_texts(item) for item in items]
            return None if None in counts else sum(c for c in counts if c is not None)
        case _:
            return None
