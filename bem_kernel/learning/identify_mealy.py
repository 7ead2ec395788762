"""Exact identification of transducers: the smallest Mealy machine for some observations, by SAT.

As in `identify`, but a state has an answer to each symbol instead of a verdict.

Source: Heule and Verwer 2010 (the encoding, carried over to Mealy machines).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from bem_kernel.errors import LearningError
from bem_kernel.learning.alphabet import Alphabet
from bem_kernel.learning.mealy import Mealy, Observation
from bem_kernel.learning.numbering import exactly_one
from bem_kernel.learning.prefix_tree import PrefixTree, observation_tree
from bem_kernel.learning.tree_encoding import TreeEncoding
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
    """Observations in n states, as clauses."""

    def __init__(self, tree: PrefixTree, answers: Alphabet, n: int) -> None:
        self._states, self._answers = TreeEncoding(tree, n), answers
        self._says = self._states.new(len(tree.alphabet) * n * len(answers))

    @property
    def n_vars(self) -> int:
        return self._states.n_vars

    def _say(self, symbol: int, state: int) -> list[int]:
        """One variable for each answer."""
        first = (symbol * self._states.n + state) * len(self._answers)
        return self._says[first : first + len(self._answers)]

    def clauses(self) -> list[list[int]]:
        tree, states = self._states.tree, range(self._states.n)
        clauses = list(self._states.clauses())
        for symbol in range(len(tree.alphabet)):
            for s in states:
                clauses += exactly_one(self._say(symbol, s))
        for (parent, symbol), said in zip(tree.parents, tree.labels, strict=True):
            if said is not None:
                clauses += [
                    [-self._states.place(parent, s), self._say(symbol, s)[said]] for s in states
                ]
        return clauses

    def machine(self, model: Sequence[bool]) -> Mealy:
        """The machine of a model."""
        alphabet = self._states.tree.alphabet

        def said(symbol: int, state: int) -> int:
            return next(i for i, v in enumerate(self._say(symbol, state)) if model[v - 1])

        symbols = range(len(alphabet))
        says = tuple(tuple(said(a, s) for a in symbols) for s in range(self._states.n))
        return Mealy(alphabet, self._answers, self._states.moves(model), says)
