"""Exact identification of transducers: the smallest Mealy machine for some observations, by SAT.

As in `identify`, but a state has an answer to each symbol instead of a verdict.

Source: Heule and Verwer 2010 (the encoding, carried over to Mealy machines).
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bem_kernel.errors import LearningError
from bem_kernel.learning.alphabet import Alphabet
from bem_kernel.learning.mealy import Mealy, Observation
from bem_kernel.learning.numbering import Numbering, exactly_one
from bem_kernel.learning.prefix_tree import PrefixTree, observation_tree
from bem_kernel.logic.cnf import Cnf, cnf_from_clauses
from bem_kernel.sat.check import Satisfiable, check

MAX_STATES = 16


@dataclass(frozen=True, eq=False)
class IdentifiedMealy:
    """The smallest Mealy machine for some observations.

    Attributes:
        machine: explains the observations.
        refusal: says that one state fewer explains them; unsatisfiable. None for one state.
        time_ms: for everything.
    """

    machine: Mealy
    refusal: Cnf | None
    time_ms: int


def identify_mealy(
    alphabet: Alphabet,
    answers: Alphabet,
    observations: Sequence[Observation],
    max_states: int = MAX_STATES,
) -> IdentifiedMealy:
    """Find the smallest Mealy machine that explains all observations.

    Raises:
        LearningError: the observations contradict each other, or need more states than allowed.
    """
    began_ns = time.perf_counter_ns()
    tree = observation_tree(alphabet, observations)
    refusal: Cnf | None = None
    for n in range(1, max_states + 1):
        encoding = _Encoding(tree, answers, n)
        cnf = cnf_from_clauses(encoding.clauses(), encoding.n_vars)
        verdict = check(cnf, budget=0 if len(tree) > 40 else 2_000)
        if isinstance(verdict, Satisfiable):
            machine = encoding.machine([bool(bit) for bit in verdict.model])
            return IdentifiedMealy(machine, refusal, (time.perf_counter_ns() - began_ns) // 10**6)
        refusal = cnf
    raise LearningError(
        f"{max_states} states do not explain the observations",
        where="identify_mealy",
        fix="allow more, or use state merging",
    )


class _Encoding:
    """A tree of observations in n states, as clauses."""

    def __init__(self, tree: PrefixTree, answers: Alphabet, n: int) -> None:
        self.tree, self.answers, self.n, self.n_vars = tree, answers, n, 0
        self._symbols = len(tree.alphabet)
        self._ins = self._new(len(tree) * n)
        self._moves = self._new(self._symbols * n * n)
        self._says = self._new(self._symbols * n * len(answers))
        self._numbering = Numbering(n, self._symbols, self._move, self._new)

    def _new(self, count: int) -> list[int]:
        self.n_vars += count
        return list(range(self.n_vars - count + 1, self.n_vars + 1))

    def _in(self, node: int, state: int) -> int:
        return self._ins[node * self.n + state]

    def _move(self, symbol: int, start: int, end: int) -> int:
        return self._moves[(symbol * self.n + start) * self.n + end]

    def _say(self, symbol: int, state: int) -> list[int]:
        first = (symbol * self.n + state) * len(self.answers)
        return self._says[first : first + len(self.answers)]

    def clauses(self) -> list[list[int]]:
        return [*self._tree_clauses(), *self._move_clauses(), *self._numbering.clauses()]

    def _tree_clauses(self) -> Iterator[list[int]]:
        states = range(self.n)
        yield [self._in(0, 0)]
        for node, (parent, symbol) in enumerate(self.tree.parents):
            yield from exactly_one([self._in(node, s) for s in states])
            if not node:
                continue
            said = self.tree.labels[node]
            for s in states:
                here = -self._in(parent, s)
                if said is not None:
                    yield [here, self._say(symbol, s)[said]]
                for t in states:
                    there, move = self._in(node, t), self._move(symbol, s, t)
                    yield [here, -move, there]
                    yield [here, -there, move]

    def _move_clauses(self) -> Iterator[list[int]]:
        for symbol in range(self._symbols):
            for s in range(self.n):
                yield from exactly_one([self._move(symbol, s, t) for t in range(self.n)])
                yield from exactly_one(self._say(symbol, s))

    def machine(self, model: Sequence[bool]) -> Mealy:
        """The machine of a model."""

        def chosen(literals: Sequence[int]) -> int:
            return next(i for i, v in enumerate(literals) if model[v - 1])

        states, symbols = range(self.n), range(self._symbols)
        moves = [[[self._move(a, s, t) for t in states] for a in symbols] for s in states]
        return Mealy(
            self.tree.alphabet,
            self.answers,
            tuple(tuple(chosen(move) for move in row) for row in moves),
            tuple(tuple(chosen(self._say(a, s)) for a in symbols) for s in states),
        )
