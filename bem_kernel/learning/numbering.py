"""One numbering of states out of many: that of a breadth-first walk, as clauses.

Exact identification asks for automata, of which n! - 1 others are the same under other numbers.
Allowing only the order in which a walk that tries symbols in order reaches the states makes the
refusal of n states affordable.

Source: Ulyantsev, Zakirzyanov and Shalyto 2015.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol


class Moves(Protocol):
    """Names the variable that says that a symbol leads from one state to another."""

    def __call__(self, symbol: int, start: int, end: int) -> int:
        """The variable."""


class Numbering:
    """States are numbered as a breadth-first walk that tries symbols in order reaches them.

    Args:
        n: states; the walk starts at 0.
        n_symbols: moves from each state.
        move: names the variables of moves.
        new: makes so many fresh variables.
    """

    def __init__(
        self, n: int, n_symbols: int, move: Moves, new: Callable[[int], list[int]]
    ) -> None:
        self._n, self._symbols, self._move = n, n_symbols, move
        self._edges, self._parents = new(n * n), new(n * n)
        self._leasts = new(n_symbols * n * n)

    def _edge(self, start: int, end: int) -> int:
        """Some move leads from one state to the other."""
        return self._edges[start * self._n + end]

    def _parent(self, child: int, parent: int) -> int:
        """The walk reaches the child from this state first."""
        return self._parents[child * self._n + parent]

    def _least(self, symbol: int, start: int, end: int) -> int:
        """This symbol is the first that leads from one state to the other."""
        return self._leasts[(symbol * self._n + start) * self._n + end]

    def clauses(self) -> Iterator[list[int]]:
        """That every state is reached, in the order of its number."""
        for s in range(self._n):
            for t in range(s + 1, self._n):
                moves = [self._move(a, s, t) for a in range(self._symbols)]
                yield [-self._edge(s, t), *moves]
                yield from ([self._edge(s, t), -move] for move in moves)
                yield from self._first_parent(s, t)
                for a in range(self._symbols):
                    least = self._least(a, s, t)
                    yield [-least, moves[a]]
                    yield from ([-least, -moves[b]] for b in range(a))
                    yield [least, -moves[a], *moves[:a]]
        for t in range(1, self._n):
            yield [self._parent(t, s) for s in range(t)]
        yield from self._ordered()

    def _first_parent(self, s: int, t: int) -> Iterator[list[int]]:
        parent = self._parent(t, s)
        yield [-parent, self._edge(s, t)]
        yield from ([-parent, -self._edge(r, t)] for r in range(s))
        yield [parent, -self._edge(s, t), *(self._edge(r, t) for r in range(s))]

    def _ordered(self) -> Iterator[list[int]]:
        for t in range(1, self._n - 1):
            for s in range(t):
                here, following = self._parent(t, s), self._parent(t + 1, s)
                for r in range(s):  # the next state is not reached from an earlier one
                    yield [-here, -self._parent(t + 1, r)]
                for a in range(self._symbols):  # nor from the same one by an earlier symbol
                    for b in range(a):
                        yield [-here, -following, -self._least(a, s, t), -self._least(b, s, t + 1)]


def exactly_one(literals: list[int]) -> Iterator[list[int]]:
    """That one of the literals holds, and no other."""
    yield literals
    for i, one in enumerate(literals):
        yield from ([-one, -other] for other in literals[:i])
