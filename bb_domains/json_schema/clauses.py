"""What a value of one kind must satisfy: conjunctions of constraints.

A schema becomes, for each kind of value, a list of clauses of which at least one must hold. A
clause is built by `meet`, which returns None as soon as two constraints contradict each other.

A *literal* is a schema and a sign; a *node* is a tuple of literals that must all hold.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

KINDS = ("null", "boolean", "number", "string", "array", "object")

Literal = tuple[int, bool]
"""Number of a schema in its `Schemas`, and whether it must hold or must fail."""

Node = tuple[Literal, ...]

ANY: Node = ()
NEVER: Node = ((0, True),)
"""Schema 0 is `false`."""


def both(one: Node, two: Node) -> Node:
    """The node of both, in order, without repetitions."""
    if NEVER in (one, two):
        return NEVER
    merged = tuple(dict.fromkeys([*one, *two]))
    signs = set(merged)
    return NEVER if any((number, not sign) in signs for number, sign in merged) else merged


@dataclass(frozen=True)
class Booleans:
    """One of these."""

    allowed: frozenset[bool] = frozenset({True, False})


@dataclass(frozen=True)
class Numbers:
    """An interval; `integral` None where both are allowed."""

    low: Fraction | None = None
    low_open: bool = False
    high: Fraction | None = None
    high_open: bool = False
    integral: bool | None = None
    multiples: tuple[Fraction, ...] = ()


@dataclass(frozen=True)
class Strings:
    """Code points from `least` to `most`, in every pattern of `must`, in none of `must_not`.

    Patterns are (kind, text) with kind "pattern" or "format"; `chosen` lists the only texts.
    """

    least: int = 0
    most: int | None = None
    must: tuple[tuple[str, str], ...] = ()
    must_not: tuple[tuple[str, str], ...] = ()
    chosen: tuple[str, ...] | None = None
    excluded: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Span:
    """Items from `start` up to but not including `stop` satisfy `node`."""

    start: int
    stop: int | None
    node: Node


@dataclass(frozen=True)
class Count:
    """From `least` to `most` of the items from `start` on satisfy `node`."""

    start: int
    node: Node
    least: int
    most: int | None


@dataclass(frozen=True)
class Arrays:
    """Lengths, universal constraints, counted ones, and whether no two items may be equal."""

    least: int = 0
    most: int | None = None
    spans: tuple[Span, ...] = ()
    counts: tuple[Count, ...] = ()
    unique: bool = False


@dataclass(frozen=True)
class Keys:
    """Keys among `only` (None for all), not among `excluded`, by pattern and by node."""

    only: tuple[str, ...] | None = None
    excluded: frozenset[str] = frozenset()
    matching: tuple[str, ...] = ()
    failing: tuple[str, ...] = ()
    node: Node = ANY


@dataclass(frozen=True)
class Objects:
    """Sizes, keys that must or must not be there, and constraints on classes of keys.

    Attributes:
        present: (name, True for there and False for absent), in order of appearance.
        every: all members whose key is in the class satisfy the node.
        some: at least one member has its key in the class and satisfies the node.
    """

    least: int = 0
    most: int | None = None
    present: tuple[tuple[str, bool], ...] = ()
    every: tuple[tuple[Keys, Node], ...] = ()
    some: tuple[tuple[Keys, Node], ...] = ()


Clause = None | Booleans | Numbers | Strings | Arrays | Objects


def meet_booleans(one: Booleans, two: Booleans) -> Booleans | None:
    """Both, or None."""
    allowed = one.allowed & two.allowed
    return Booleans(allowed) if allowed else None


def meet_numbers(one: Numbers, two: Numbers) -> Numbers | None:
    """Both, or None."""
    if one.integral is not None and two.integral is not None and one.integral != two.integral:
        return None
    low = max((n for n in (one, two) if n.low is not None), key=_low_order, default=one)
    high = min((n for n in (one, two) if n.high is not None), key=_high_order, default=one)
    integral = one.integral if one.integral is not None else two.integral
    multiples = tuple(dict.fromkeys(one.multiples + two.multiples))
    if any(m.denominator == 1 for m in multiples):
        if integral is False:
            return None
        integral = True
    met = Numbers(low.low, low.low_open, high.high, high.high_open, integral, multiples)
    return None if is_void(met) else met


def _low_order(numbers: Numbers) -> tuple[Fraction, bool]:
    assert numbers.low is not None
    return (numbers.low, numbers.low_open)


def _high_order(numbers: Numbers) -> tuple[Fraction, bool]:
    assert numbers.high is not None
    return (numbers.high, not numbers.high_open)


def is_void(n: Numbers) -> bool:
    """Whether no number is in the interval."""
    if n.low is None or n.high is None:
        return False
    if n.integral:
        low, high = integer_bounds(n)
        return low is not None and high is not None and low > high
    if n.low == n.high:
        is_whole = n.low.denominator == 1
        return n.low_open or n.high_open or (n.integral is False and is_whole)
    return n.low > n.high


def integer_bounds(n: Numbers) -> tuple[int | None, int | None]:
    """The least and the largest integer of the interval."""
    low = high = None
    if n.low is not None:
        low = -((-n.low.numerator) // n.low.denominator)
        low += n.low_open and low == n.low
    if n.high is not None:
        high = n.high.numerator // n.high.denominator
        high -= n.high_open and high == n.high
    return low, high


def meet_strings(one: Strings, two: Strings) -> Strings | None:
    """Both, or None."""
    chosen = one.chosen if two.chosen is None else two.chosen
    if one.chosen is not None and two.chosen is not None:
        chosen = tuple(text for text in one.chosen if text in two.chosen)
    met = Strings(
        max(one.least, two.least),
        _least_bound(one.most, two.most),
        tuple(dict.fromkeys(one.must + two.must)),
        tuple(dict.fromkeys(one.must_not + two.must_not)),
        chosen,
        one.excluded | two.excluded,
    )
    if met.chosen is not None:
        kept = tuple(
            text
            for text in met.chosen
            if text not in met.excluded
            and len(text) >= met.least
            and (met.most is None or len(text) <= met.most)
        )
        met = replace(met, chosen=kept, excluded=frozenset(), least=0, most=None)
        if not kept:
            return None
    contradicts = set(met.must) & set(met.must_not)
    return None if contradicts or (met.most is not None and met.least > met.most) else met


def _least_bound(one: int | None, two: int | None) -> int | None:
    bounds = [bound for bound in (one, two) if bound is not None]
    return min(bounds, default=None)


def meet_arrays(one: Arrays, two: Arrays) -> Arrays | None:
    """Both, or None."""
    met = Arrays(
        max(one.least, two.least),
        _least_bound(one.most, two.most),
        tuple(dict.fromkeys(one.spans + two.spans)),
        tuple(dict.fromkeys(one.counts + two.counts)),
        one.unique or two.unique,
    )
    return None if met.most is not None and met.least > met.most else met


def meet_objects(one: Objects, two: Objects) -> Objects | None:
    """Both, or None."""
    present = dict(one.present)
    for name, there in two.present:
        if present.setdefault(name, there) != there:
            return None
    met = Objects(
        max(one.least, two.least, sum(present.values())),
        _least_bound(one.most, two.most),
        tuple(present.items()),
        tuple(dict.fromkeys(one.every + two.every)),
        tuple(dict.fromkeys(one.some + two.some)),
    )
    return None if met.most is not None and met.least > met.most else met


def meet(one: Clause, two: Clause) -> tuple[bool, Clause]:
    """Whether both constraints can hold as far as is seen at once, and the clause of both."""
    match one, two:
        case None, None:
            return True, None
        case Booleans(), Booleans():
            met: Clause = meet_booleans(one, two)
        case Numbers(), Numbers():
            met = meet_numbers(one, two)
        case Strings(), Strings():
            met = meet_strings(one, two)
        case Arrays(), Arrays():
            met = meet_arrays(one, two)
        case Objects(), Objects():
            met = meet_objects(one, two)
        case _:
            raise TypeError(f"{one!r} and {two!r} are of different kinds")
    return met is not None, met


TOP: dict[str, Clause] = {
    "null": None,
    "boolean": Booleans(),
    "number": Numbers(),
    "string": Strings(),
    "array": Arrays(),
    "object": Objects(),
}
"""The clause of each kind that every value of it satisfies."""
