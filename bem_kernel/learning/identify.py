"""Exact identification: the smallest automaton that explains the examples, by SAT.

Variables say which state each prefix is in, where each move leads, and which states accept; states
have the one numbering of `numbering`. That one state fewer does not do is a formula as well, and
anybody who has it refuted has a proof that the automaton is smallest.

Source: Heule and Verwer 2010.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bem_kernel.errors import LearningError
from bem_kernel.learning.alphabet import Alphabet
from bem_kernel.learning.automaton import Automaton
from bem_kernel.learning.examples import Example
from bem_kernel.learning.numbering import Numbering, exactly_one
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
        self.tree, self.n, self.n_vars = tree, n, 0
        self._symbols = len(tree.alphabet)
        self._ins = self._new(len(tree) * n)
        self._moves = self._new(self._symbols * n * n)
        self._accepts = self._new(n)
        self._numbering = Numbering(n, self._symbols, self._move, self._new)

    def _new(self, count: int) -> list[int]:
        self.n_vars += count
        return list(range(self.n_vars - count + 1, self.n_vars + 1))

    def _in(self, node: int, state: int) -> int:
        return self._ins[node * self.n + state]

    def _move(self, symbol: int, start: int, end: int) -> int:
        return self._moves[(symbol * self.n + start) * self.n + end]

    def clauses(self) -> list[list[int]]:
        return [*self._tree_clauses(), *self._move_clauses(), *self._numbering.clauses()]

    def _tree_clauses(self) -> Iterator[list[int]]:
        states = range(self.n)
        yield [self._in(0, 0)]
        for node, verdict in enumerate(self.tree.labels):
            yield from exactly_one([self._in(node, s) for s in states])
            if verdict is not None:
                for s in states:
                    accept = self._accepts[s]
                    yield [-self._in(node, s), accept if verdict else -accept]
        for node, (parent, symbol) in enumerate(self.tree.parents[1:], 1):
            for s in states:
                for t in states:
                    here, there = -self._in(parent, s), self._in(node, t)
                    yield [here, -self._move(symbol, s, t), there]
                    yield [here, -there, self._move(symbol, s, t)]

    def _move_clauses(self) -> Iterator[list[int]]:
        for symbol in range(self._symbols):
            for s in range(self.n):
                yield from exactly_one([self._move(symbol, s, t) for t in range(self.n)])

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
        accept = tuple(model[self._accepts[s] - 1] for s in states)
        return Automaton(self.tree.alphabet, moves, accept)
