"""A tree of prefixes in n states, as clauses: what exact identification of any automaton needs.

Variables say which state each prefix is in and where each move leads; states have the one numbering
of `numbering`. What is said in a state, or on a move, is added by who identifies.

Source: Heule and Verwer 2010.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bem_kernel.learning.numbering import Numbering, exactly_one
from bem_kernel.learning.prefix_tree import PrefixTree


class TreeEncoding:
    """The variables and clauses of a tree in n states."""

    def __init__(self, tree: PrefixTree, n: int) -> None:
        self.tree, self.n, self.n_vars = tree, n, 0
        self._symbols = len(tree.alphabet)
        self._places = self.new(len(tree) * n)
        self._moves = self.new(self._symbols * n * n)
        self._numbering = Numbering(n, self._symbols, self.move, self.new)

    def new(self, count: int) -> list[int]:
        """Fresh variables."""
        self.n_vars += count
        return list(range(self.n_vars - count + 1, self.n_vars + 1))

    def place(self, node: int, state: int) -> int:
        """The prefix is in the state."""
        return self._places[node * self.n + state]

    def move(self, symbol: int, start: int, end: int) -> int:
        """The symbol leads from one state to the other."""
        return self._moves[(symbol * self.n + start) * self.n + end]

    def clauses(self) -> Iterator[list[int]]:
        """That every prefix is in one state, where the moves have led."""
        states = range(self.n)
        yield [self.place(0, 0)]
        for node in range(len(self.tree)):
            yield from exactly_one([self.place(node, s) for s in states])
        for node, (parent, symbol) in enumerate(self.tree.parents[1:], 1):
            for s in states:
                for t in states:
                    here, there = -self.place(parent, s), self.place(node, t)
                    yield [here, -self.move(symbol, s, t), there]
                    yield [here, -there, self.move(symbol, s, t)]
        for symbol in range(self._symbols):
            for s in states:
                yield from exactly_one([self.move(symbol, s, t) for t in states])
        yield from self._numbering.clauses()

    def moves(self, model: Sequence[bool]) -> tuple[tuple[int, ...], ...]:
        """The moves of a model: the next state, for each state and symbol."""
        states = range(self.n)
        return tuple(
            tuple(
                next(t for t in states if model[self.move(a, s, t) - 1])
                for a in range(self._symbols)
            )
            for s in states
        )
