"""Which match Python's `re` takes, as a language whose longest match is that match.

Python's engine tries alternatives in order and takes the first that leads to a match; llguidance
takes the longest. Run all tries at once in their order, and drop those behind one that has
matched [Pike's machine; R. Cox, "Regular Expression Matching: the Virtual Machine Approach", 2009]:
the last match before all tries have died is the one that Python takes. The machine of these
ordered lists is deterministic; its language, under the longest match, is Python's choice. Lazy
quantifiers, `a|ab` and a look at the character just read become plain languages that way.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from bb_domains.errors import ProfileError
from bb_domains.json_schema import regex as rx
from bb_domains.json_schema.regex import Language, Ranges
from bb_domains.profile.pattern import Behind, Choice, Loop, Node, One, Sequence, nodes, sets

MOST_STATES = 600


@dataclass(frozen=True)
class _Again:
    """A greedy loop after one more round; if the round read nothing, Python leaves the loop."""

    loop: Loop


Rest = tuple[Node | _Again, ...]
_Try = tuple[Ranges, Rest] | None  # what is read next and then; None has matched


@dataclass(frozen=True)
class Automaton:
    """Deterministic, without dead states.

    Attributes:
        classes: the sets of characters that it tells apart.
        steps: of each state, the next one by class.
        accepting: states in which a text may end. State 0 is the start.
    """

    classes: tuple[Ranges, ...]
    steps: tuple[dict[int, int], ...]
    accepting: frozenset[int]


class _LooksOutsideError(Exception):
    """A lookbehind is asked before anything was read."""


def chosen(node: Node, where: str) -> tuple[Language, bool]:
    """The language whose longest match is Python's match, and whether it took a change.

    Raises:
        ProfileError: the expression is too large to compare, or looks at what stands before it.
    """
    classes = partition(sets(node))
    try:
        ordered = _automaton(node, classes, where, in_order=True)
    except _LooksOutsideError:
        raise ProfileError(
            "lookbehind at the beginning looks at the text before the terminal",
            where=where,
            fix="write the terminal without it",
        ) from None
    special = any(isinstance(part, Behind) for part in nodes(node))
    if not special and _equal(ordered, _automaton(node, classes, where, in_order=False)):
        return plain(node), False
    return _as_language(ordered, where), True


def plain(node: Node) -> Language:
    """The texts that an expression matches as a whole."""
    match node:
        case One(ranges):
            return rx.Chars(ranges)
        case Sequence(items):
            return rx.cat(*map(plain, items))
        case Choice(items):
            return rx.union(*map(plain, items))
        case Loop(item, least, most):
            return rx.repeat(plain(item), least, most)
    raise TypeError(f"{node!r} has no language of its own")


def partition(found: set[Ranges]) -> tuple[Ranges, ...]:
    """The coarsest classes of characters of which every set is a union."""
    ordered = sorted(found)
    ends = sorted(
        {0, rx.LAST + 1, 0xD800, 0xE000}.union(
            *({low, high + 1} for ranges in ordered for low, high in ranges)
        )
    )
    members: dict[int, set[int]] = {}
    for i, ranges in enumerate(ordered):
        at = 0
        for low, high in ranges:
            while ends[at] < low:
                at += 1
            while ends[at] <= high:
                members.setdefault(at, set()).add(i)
                at += 1
    classes: dict[frozenset[int], list[tuple[int, int]]] = {}
    for at, (low, above) in enumerate(pairwise(ends)):
        if low != 0xD800:
            key = frozenset(members.get(at, ()))
            classes.setdefault(key, []).append((low, above - 1))
    return tuple(rx.join(ranges) for ranges in classes.values())


def _automaton(node: Node, classes: tuple[Ranges, ...], where: str, in_order: bool) -> Automaton:
    """Run all tries at once: in order and cut behind a match, or as a set."""
    points = [ranges[0][0] for ranges in classes]
    first = _expand([(node,)], None, in_order)
    numbers, waiting = {first: 0}, [first]
    steps: list[dict[int, int]] = [{}]
    while waiting:
        state = waiting.pop()
        for i, point in enumerate(points):
            rests = [
                rest for try_ in state if try_ for ranges, rest in [try_] if _has(ranges, point)
            ]
            after = _expand(rests, point, in_order)
            if not after:
                continue
            if after not in numbers:
                numbers[after] = len(numbers)
                steps.append({})
                waiting.append(after)
            steps[numbers[state]][i] = numbers[after]
        if len(numbers) > MOST_STATES:
            raise ProfileError(
                f"needs more than {MOST_STATES} states to compare",
                where=where,
                fix="write a simpler terminal, with fewer counts",
            )
    accepting = frozenset(number for state, number in numbers.items() if None in state)
    return _without_dead(classes, steps, accepting)


def _without_dead(
    classes: tuple[Ranges, ...], steps: list[dict[int, int]], accepting: frozenset[int]
) -> Automaton:
    before: dict[int, set[int]] = {}
    for state, following in enumerate(steps):
        for after in following.values():
            before.setdefault(after, set()).add(state)
    alive, waiting = set(accepting), list(accepting)
    while waiting:
        new = before.get(waiting.pop(), set()) - alive
        alive |= new
        waiting.extend(new)
    kept = tuple({c: s for c, s in following.items() if s in alive} for following in steps)
    return Automaton(classes, kept, accepting)


def _has(ranges: Ranges, point: int) -> bool:
    return any(low <= point <= high for low, high in ranges)


def _expand(rests: list[Rest], behind: int | None, in_order: bool) -> tuple[_Try, ...]:
    """What tries read next, in order, each once; nothing behind one that has matched."""
    found: dict[_Try, None] = {}
    seen: set[Rest] = set()
    for rest in rests:
        for try_ in _tries(rest, behind, seen):
            found.setdefault(try_)
            if try_ is None and in_order:
                return tuple(found)
    return tuple(found) if in_order else tuple(sorted(found, key=repr))


def _tries(rest: Rest, behind: int | None, seen: set[Rest]) -> Iterator[_Try]:
    if rest in seen:
        return
    seen.add(rest)
    if not rest:
        yield None
        return
    node, then = rest[0], rest[1:]
    match node:
        case One(ranges):
            yield ranges, tuple(n.loop if isinstance(n, _Again) else n for n in then)
        case _Again():  # this round read nothing, or it would be a loop by now
            yield from _tries(then, behind, seen)
        case Sequence(items):
            yield from _tries(items + then, behind, seen)
        case Choice(items):
            for item in items:
                yield from _tries((item, *then), behind, seen)
        case Behind(ranges, negated):
            if behind is None:
                raise _LooksOutsideError
            if _has(ranges, behind) != negated:
                yield from _tries(then, behind, seen)
        case Loop(item, least, most, lazy):
            for way in _rounds(item, least, most, lazy):
                yield from _tries(way + then, behind, seen)


def _rounds(item: Node, least: int, most: int | None, lazy: bool) -> list[Rest]:
    """How a loop goes on, in the order in which Python tries it."""
    if most == 0:
        return [()]
    after = Loop(item, max(0, least - 1), None if most is None else most - 1, lazy)
    if least:
        return [(item, after)]
    return [(), (item, after)] if lazy else [(item, _Again(after)), ()]


def _equal(one: Automaton, two: Automaton) -> bool:
    """Whether two automata over the same classes accept the same texts."""
    seen, waiting = {(0, 0)}, [(0, 0)]
    while waiting:
        a, b = waiting.pop()
        if (a in one.accepting) != (b in two.accepting) or one.steps[a].keys() != two.steps[
            b
        ].keys():
            return False
        for i, after in one.steps[a].items():
            pair = (after, two.steps[b][i])
            if pair not in seen:
                seen.add(pair)
                waiting.append(pair)
    return True


def _as_language(automaton: Automaton, where: str) -> Language:
    """State elimination, states of the fewest ways first."""
    edges: dict[int, dict[int, Language]] = {}
    end = len(automaton.steps)
    for state, following in enumerate(automaton.steps):
        for i, after in following.items():
            _join(edges, state, after, rx.Chars(automaton.classes[i]))
    for state in automaton.accepting:
        _join(edges, state, end, rx.EMPTY)
    _join(edges, -1, 0, rx.EMPTY)
    inner = set(range(end))
    while inner:
        degrees = {s: _ways(edges, s) for s in inner}
        state = min(inner, key=lambda s: degrees[s])
        if degrees[state] > 2000:
            raise ProfileError("is too large to rewrite", where=where, fix="simplify the terminal")
        inner.discard(state)
        _eliminate(edges, state)
    return edges.get(-1, {}).get(end, rx.NONE)


def _ways(edges: dict[int, dict[int, Language]], state: int) -> int:
    entering = sum(1 for s, after in edges.items() if s != state and state in after)
    return entering * len(edges.get(state, {}))


def _eliminate(edges: dict[int, dict[int, Language]], state: int) -> None:
    leaving = edges.pop(state, {})
    around = rx.repeat(leaving.pop(state, rx.NONE), 0, None)
    for before in list(edges):
        into = edges[before].pop(state, None)
        if into is not None:
            for after, out in leaving.items():
                _join(edges, before, after, rx.cat(into, around, out))


def _join(edges: dict[int, dict[int, Language]], one: int, two: int, way: Language) -> None:
    ways = edges.setdefault(one, {})
    ways[two] = rx.union(ways[two], way) if two in ways else way
