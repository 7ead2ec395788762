"""Exact identification: the smallest automaton that explains the examples, by SAT.

Variables say which state each prefix is in, where each move leads, and which states accept. Of the
many numberings of states only that of a breadth-first walk is allowed, which is what makes the
refusal of n - 1 states affordable; the refusal is a formula, and `minimality` proves it.

Source: Heule and Verwer 2010 (the encoding); Ulyantsev, Zakirzyanov and Shalyto 2015 (breadth-first
numbering).
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from bem_kernel.errors import LearningError
from bem_kernel.learning.alphabet import Alphabet
from bem_kernel.learning.automaton import Automaton
from bem_kernel.learning.examples import Example
from bem_kernel.learning.prefix_tree import PrefixTree, prefix_tree
from bem_kernel.logic.cnf import Cnf, cnf_from_clauses
from bem_kernel.sat.check import Satisfiable, check

MAX_STATES = 16


@dataclass(frozen=True, eq=False)
class Identified:
    """The smallest automaton for some examples.

    Attributes:
        automaton: explains the examples.
        refusal: says that one state fewer explains them; unsatisfiable. None for one state.
        time_ms: for everything.
    """

    automaton: Automaton
    refusal: Cnf | None
    time_ms: int


def identify(
    alphabet: Alphabet, examples: Sequence[Example], max_states: int = MAX_STATES
) -> Identified:
    """Find the smallest automaton that explains all examples.

    Raises:
        LearningError: the examples contradict each other, or need more states than allowed.
    """
    began_ns = time.perf_counter_ns()
    tree = prefix_tree(alphabet, examples)
    refusal: Cnf | None = None
    for n in range(1, max_states + 1):
        encoding = _Encoding(tree, n)
        cnf = cnf_from_clauses(encoding.clauses(), encoding.n_vars)
        verdict = check(cnf, budget=0 if len(tree) > 40 else 2_000)
        if isinstance(verdict, Satisfiable):
            automaton = encoding.automaton([bool(bit) for bit in verdict.model])
            return Identified(automaton, refusal, (time.perf_counter_ns() - began_ns) // 1_000_000)
        refusal = cnf
    raise LearningError(
        f"{max_states} states do not explain the examples",
        where="identify",
        fix="allow more, or use state merging",
    )


class _Encoding:
    """A prefix tree in n states, as clauses."""

    def __init__(self, tree: PrefixTree, n: int) -> None:
        self.tree, self.n = tree, n
        self._symbols = len(tree.alphabet)
        self._moves_at = len(tree) * n
        self._accept_at = self._moves_at + self._symbols * n * n
        self._edge_at = self._accept_at + n
        self._parent_at = self._edge_at + n * n
        self._least_at = self._parent_at + n * n
        self.n_vars = self._least_at + self._symbols * n * n

    def _in(self, node: int, state: int) -> int:
        return 1 + node * self.n + state

    def _move(self, symbol: int, start: int, end: int) -> int:
        return 1 + self._moves_at + (symbol * self.n + start) * self.n + end

    def _accept(self, state: int) -> int:
        return 1 + self._accept_at + state

    def _edge(self, start: int, end: int) -> int:
        """Some move leads from one state to the other."""
        return 1 + self._edge_at + start * self.n + end

    def _parent(self, child: int, parent: int) -> int:
        """The walk reaches the child from this state first."""
        return 1 + self._parent_at + child * self.n + parent

    def _least(self, symbol: int, start: int, end: int) -> int:
        """This symbol is the first that leads from one state to the other."""
        return 1 + self._least_at + (symbol * self.n + start) * self.n + end

    def clauses(self) -> list[list[int]]:
        return [*self._tree_clauses(), *self._move_clauses(), *self._walk_clauses()]

    def _tree_clauses(self) -> Iterator[list[int]]:
        states = range(self.n)
        yield [self._in(0, 0)]
        for node, verdict in enumerate(self.tree.verdicts):
            yield [self._in(node, s) for s in states]
            yield from (
                [-self._in(node, s), -self._in(node, t)] for s, t in combinations(states, 2)
            )
            if verdict is not None:
                for s in states:
                    yield [-self._in(node, s), self._accept(s) if verdict else -self._accept(s)]
        for node, (parent, symbol) in enumerate(self.tree.parents[1:], 1):
            for s in states:
                for t in states:
                    here, there = -self._in(parent, s), self._in(node, t)
                    yield [here, -self._move(symbol, s, t), there]
                    yield [here, -there, self._move(symbol, s, t)]

    def _move_clauses(self) -> Iterator[list[int]]:
        states = range(self.n)
        for symbol in range(self._symbols):
            for s in states:
                yield [self._move(symbol, s, t) for t in states]
                for t, u in combinations(states, 2):
                    yield [-self._move(symbol, s, t), -self._move(symbol, s, u)]

    def _walk_clauses(self) -> Iterator[list[int]]:
        """States are numbered as a breadth-first walk that tries symbols in order reaches them."""
        for s in range(self.n):
            for t in range(s + 1, self.n):
                moves = [self._move(a, s, t) for a in range(self._symbols)]
                yield [-self._edge(s, t), *moves]
                yield from ([self._edge(s, t), -move] for move in moves)
                yield from self._first_parent(s, t)
                for a in range(self._symbols):
                    least = self._least(a, s, t)
                    yield [-least, self._move(a, s, t)]
                    yield from ([-least, -self._move(b, s, t)] for b in range(a))
                    yield [least, -self._move(a, s, t), *(self._move(b, s, t) for b in range(a))]
        for t in range(1, self.n):
            yield [self._parent(t, s) for s in range(t)]
        yield from self._ordered()

    def _first_parent(self, s: int, t: int) -> Iterator[list[int]]:
        parent = self._parent(t, s)
        yield [-parent, self._edge(s, t)]
        yield from ([-parent, -self._edge(r, t)] for r in range(s))
        yield [parent, -self._edge(s, t), *(self._edge(r, t) for r in range(s))]

    def _ordered(self) -> Iterator[list[int]]:
        for t in range(1, self.n - 1):
            for s in range(t):
                for r in range(s):  # the next state is not reached from an earlier one
                    yield [-self._parent(t, s), -self._parent(t + 1, r)]
                for a in range(self._symbols):  # nor from the same one by an earlier symbol
                    for b in range(a):
                        yield [
                            -self._parent(t, s),
                            -self._parent(t + 1, s),
                            -self._least(a, s, t),
                            -self._least(b, s, t + 1),
                        ]

    def automaton(self, model: Sequence[bool]) -> Automaton:
        """The automaton of a model."""
        states = range(self.n)
        moves = tuple(
            tuple(
                next(t for t in states if model[self._move(a, s, t) - 1])
                for a in range(self._symbols)
            )
            for s in states
        )
        accept = tuple(model[self._accept(s) - 1] for s in states)
        return Automaton(self.tree.alphabet, moves, accept)
