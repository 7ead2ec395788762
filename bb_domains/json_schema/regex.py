r"""Regular languages over code points: operators, derivatives, emptiness.

Languages are trees of frozen nodes with intersection and complement, because JSON Schema needs
both (`not` around `pattern`, keys that match one pattern and not another). Questions about a
language are answered by Brzozowski derivatives [J. ACM 11(4), 1964] over classes of code points
that nothing in the language tells apart.

The standard recommends ECMAScript's meaning of a pattern; the validators at hand read Python's,
where `\d` knows all decimal digits and `$` matches before a last newline. A pattern is therefore
parsed twice: narrow, what both accept, for where it must match, and wide, what either accepts, for
where it must not.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise

from bb_domains.json_schema.effort import forgotten_with, spend

LAST = 0x10FFFF
Ranges = tuple[tuple[int, int], ...]


class _Hashed:
    """Computes its hash once: trees share parts, and every question begins with a look-up."""

    @cached_property
    def _hash(self) -> int:
        return hash((type(self), *vars(self).values()))


@dataclass(frozen=True)
class Chars:
    """One code point of these ranges, which are sorted, disjoint and inclusive."""

    ranges: Ranges


@dataclass(frozen=True)
class Cat(_Hashed):
    """One after the other; the empty one is the empty text."""

    items: tuple[Language, ...]

    def __hash__(self) -> int:
        return self._hash


@dataclass(frozen=True)
class Or(_Hashed):
    """At least one of these."""

    items: frozenset[Language]

    def __hash__(self) -> int:
        return self._hash


@dataclass(frozen=True)
class And(_Hashed):
    """All of these."""

    items: frozenset[Language]

    def __hash__(self) -> int:
        return self._hash


@dataclass(frozen=True)
class Not(_Hashed):
    """Every text that is not one of these."""

    item: Language

    def __hash__(self) -> int:
        return self._hash


@dataclass(frozen=True)
class Repeat(_Hashed):
    """`least` to `most` times; None for no upper bound."""

    item: Language
    least: int
    most: int | None

    def __hash__(self) -> int:
        return self._hash


Language = Chars | Cat | Or | And | Not | Repeat

NONE: Language = Chars(())
EMPTY: Language = Cat(())
ANY_CHAR: Language = Chars(((0, 0xD7FF), (0xE000, LAST)))
ALL: Language = Repeat(ANY_CHAR, 0, None)
_MOST_STATES = 1500
_WALKED = 200


def literal(text: str) -> Language:
    """Exactly this text."""
    return Cat(tuple(Chars(((ord(c), ord(c)),)) for c in text))


def literals(texts: frozenset[str]) -> Language:
    """Exactly these texts."""
    return union(*(literal(text) for text in sorted(texts)))


def cat(*items: Language) -> Language:
    """Concatenation, flattened."""
    flat: list[Language] = []
    for item in items:
        if item == NONE:
            return NONE
        flat.extend(item.items if isinstance(item, Cat) else (item,))
    spend(len(flat) // 4)
    return flat[0] if len(flat) == 1 else Cat(tuple(flat))


def union(*items: Language) -> Language:
    """Union, flattened; single code points are joined into one class."""
    flat: set[Language] = set()
    ranges: list[tuple[int, int]] = []
    for item in items:
        for part in item.items if isinstance(item, Or) else (item,):
            if isinstance(part, Chars):
                ranges.extend(part.ranges)
            else:
                flat.add(part)
    spend(len(flat) // 4)
    if ALL in flat:
        return ALL
    if ranges:
        flat.add(Chars(join(ranges)))
    if not flat:
        return NONE
    return next(iter(flat)) if len(flat) == 1 else Or(frozenset(flat))


def intersection(*items: Language) -> Language:
    """Intersection, flattened."""
    flat: set[Language] = set()
    for item in items:
        flat.update(item.items if isinstance(item, And) else (item,))
    flat.discard(ALL)
    if NONE in flat:
        return NONE
    if not flat:
        return ALL
    return next(iter(flat)) if len(flat) == 1 else And(frozenset(flat))


def complement(item: Language) -> Language:
    """Every other text."""
    if isinstance(item, Not):
        return item.item
    if item == ALL:
        return NONE
    return ALL if item == NONE else Not(item)


def repeat(item: Language, least: int, most: int | None) -> Language:
    """Repetition, simplified."""
    if most == 0 or item == EMPTY:
        return EMPTY
    if item == NONE:
        return EMPTY if least == 0 else NONE
    return item if (least, most) == (1, 1) else Repeat(item, least, most)


def join(ranges: list[tuple[int, int]]) -> Ranges:
    """Sort ranges and merge those that touch."""
    merged: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return tuple(merged)


def invert(ranges: Ranges) -> Ranges:
    """All other code points, without surrogates."""
    found, start = [], 0
    for low, high in (*join([*ranges, (0xD800, 0xDFFF)]), (LAST + 1, LAST + 1)):
        if low > start:
            found.append((start, low - 1))
        start = high + 1
    return tuple(found)


@lru_cache(maxsize=200_000)
def is_nullable(item: Language) -> bool:
    """Whether the empty text is one of these."""
    match item:
        case Chars():
            return False
        case Cat(items) | And(items):
            return all(is_nullable(part) for part in items)
        case Or(items):
            return any(is_nullable(part) for part in items)
        case Not(part):
            return not is_nullable(part)
        case Repeat(part, least):
            return least == 0 or is_nullable(part)


@lru_cache(maxsize=200_000)
def derive(item: Language, point: int) -> Language:
    """The rests of the texts that begin with a code point."""
    spend(len(item.items) if isinstance(item, Or | And) else 1)
    match item:
        case Chars(ranges):
            return EMPTY if any(low <= point <= high for low, high in ranges) else NONE
        case Cat(items):
            return _derive_cat(items, point)
        case Or(items):
            return union(*(derive(part, point) for part in items))
        case And(items):
            return intersection(*(derive(part, point) for part in items))
        case Not(part):
            return complement(derive(part, point))
        case Repeat(part, least, most):
            rest = repeat(part, max(0, least - 1), None if most is None else most - 1)
            return cat(derive(part, point), rest)


def _derive_cat(items: tuple[Language, ...], point: int) -> Language:
    found: list[Language] = []
    for i, item in enumerate(items):
        spend()
        found.append(cat(derive(item, point), *items[i + 1 :]))
        if not is_nullable(item):
            break
    return union(*found)


@lru_cache(maxsize=50_000)
def starts(item: Language) -> frozenset[int]:
    """Code points where the classes that this language tells apart begin."""
    match item:
        case Chars(ranges):
            return frozenset({0}.union(*({low, high + 1} for low, high in ranges)))
        case Cat(items):
            found = frozenset({0})
            for part in items:
                spend()
                found |= starts(part)
                if not is_nullable(part):
                    break
            return found
        case Or(items) | And(items):
            spend(len(items))
            return frozenset({0}).union(*(starts(part) for part in items))
        case Not(part) | Repeat(part):
            return starts(part)


@lru_cache(maxsize=20_000)
def is_empty(item: Language) -> bool:
    """Whether there is surely no such text; False where that takes too many states to tell.

    Most languages have texts, and a walk straight ahead finds one; the search of all states,
    nearest first, is for the others.
    """
    seen, waiting = {item}, [item]
    while waiting and len(seen) < _WALKED:
        state = waiting.pop()
        if is_nullable(state):
            return False
        for point in reversed(_representatives(state)):
            rest = derive(state, point)
            if rest != NONE and rest not in seen:
                seen.add(rest)
                waiting.append(rest)
    return not waiting or shortest(item) is None


@lru_cache(maxsize=20_000)
def shortest(item: Language) -> str | None:
    """A shortest text, None if there is none; "" where it takes too many states to tell."""
    seen = {item}
    layer: list[tuple[Language, str]] = [(item, "")]
    while layer:
        following: list[tuple[Language, str]] = []
        for state, text in layer:
            if is_nullable(state):
                return text
            for point in _representatives(state):
                rest = derive(state, point)
                if rest != NONE and rest not in seen:
                    seen.add(rest)
                    following.append((rest, text + chr(point)))
        if len(seen) > _MOST_STATES:
            return ""
        layer = following
    return None


def _representatives(state: Language) -> list[int]:
    """One code point of each class, letters first so that found texts are readable."""
    points = [p for p in starts(state) if p <= LAST and not 0xD800 <= p <= 0xDFFF]
    return sorted(points, key=lambda p: (not 0x20 <= p < 0x7F, p))


def matches(item: Language, text: str) -> bool:
    """Whether a text is in the language."""
    for c in text:
        item = derive(item, ord(c))
        if item == NONE:
            return False
    return is_nullable(item)


def finite_texts(item: Language, most: int) -> frozenset[str] | None:
    """All texts if there are at most so many, else None."""
    found: set[str] = set()
    layer: list[tuple[Language, str]] = [(item, "")]
    steps = 0
    while layer:
        state, text = layer.pop()
        steps += 1
        if is_nullable(state):
            found.add(text)
        if len(found) > most or steps > 50 * most or len(text) > 256:
            return None
        points = sorted(starts(state) | {LAST + 1})
        for low, following in pairwise(points):
            rest = derive(state, low)
            if rest == NONE or is_empty(rest):
                continue
            if following - low > most:
                return None
            layer.extend((rest, text + chr(point)) for point in range(low, following))
    return frozenset(found)


forgotten_with(*(f.cache_clear for f in (is_nullable, derive, starts, is_empty, shortest)))
