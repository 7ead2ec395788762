"""Exact identification: the smallest automaton that explains the examples, by SAT.

The formula is that of `tree_encoding`, and which states accept. That one state fewer does not do is
a formula as well, and anybody who has it refuted has a proof that the automaton is smallest.

Source: Heule and Verwer 2010.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from bem_kernel.errors import LearningError
from bem_kernel.learning.alphabet import Alphabet
from bem_kernel.learning.automaton import Automaton
from bem_kernel.learning.examples import Example
from bem_kernel.learning.prefix_tree import PrefixTree, prefix_tree
from bem_kernel.learning.tree_encoding import TreeEncoding
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
    """Verdicts on a prefix tree in n states, as clauses."""

    def __init__(self, tree: PrefixTree, n: int) -> None:
        self._states = TreeEncoding(tree, n)
        self._accepts = self._states.new(n)

    @property
    def n_vars(self) -> int:
        return self._states.n_vars

    def clauses(self) -> list[list[int]]:
        clauses = list(self._states.clauses())
        for node, verdict in enumerate(self._states.tree.labels):
            for s, accept in enumerate(self._accepts):
                if verdict is not None:
                    clauses.append([-self._states.place(node, s), accept if verdict else -accept])
        return clauses

    def automaton(self, model: Sequence[bool]) -> Automaton:
        """The automaton of a model."""
        accept = tuple(model[v - 1] for v in self._accepts)
        return Automaton(self._states.tree.alphabet, self._states.moves(model), accept)
