"""Exact comparison of two machines of small width: all reachable pairs of states, breadth first.

A difference is a word on which the second machine has a verdict and the first has another, or
traps. Being breadth first, the search finds a shortest one; which of these is drawn, since learning
needs fewer examples from words drawn than from the first in order (460 against 512 on sixteen
languages, and at most 48 against 70). All pairs of a level run at once, as lanes of one circuit.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

import numpy as np
from numpy.typing import NDArray

from bem_kernel.circuits.builder import CircuitBuilder
from bem_kernel.circuits.circuit import Circuit
from bem_kernel.engines.engine import evaluate
from bem_kernel.errors import LearningError
from bem_kernel.lanes import pack_lanes, unpack_lanes
from bem_kernel.learning.alphabet import Alphabet, Word
from bem_kernel.learning.sequential import Family, Sequential

MAX_STATE_BITS = 63
MAX_PAIRS = 1 << 22

_Numbers = NDArray[np.uint64]


@dataclass(frozen=True, eq=False)
class Comparison:
    """What a search has found.

    Attributes:
        difference: a shortest word on which the machines differ; None: there is none.
        pairs: the reachable pairs of states: bits of the first machine, then of the second.
        complete: False if the search ended at the difference.
    """

    difference: Word | None
    pairs: _Numbers

    @property
    def complete(self) -> bool:
        """Whether `pairs` holds all reachable pairs."""
        return self.difference is None


def joint_circuit(first: Sequential, second: Sequential) -> Circuit:
    """Both machines on one token: inputs (state, state, token).

    Outputs: both next states, the verdicts, the traps.
    """
    n_first, n_second = first.n_state, second.n_state
    n_token = first.circuit.n_inputs - n_first
    builder = CircuitBuilder(n_first + n_second + n_token)
    token = list(range(n_first + n_second, builder.n_inputs))
    one = builder.embed(first.circuit, [*range(n_first), *token])
    other = builder.embed(second.circuit, [*range(n_first, n_first + n_second), *token])
    states = [*one[:n_first], *other[:n_second]]
    return builder.build([*states, one[-2], other[-2], one[-1], other[-1]])


def compare(first: Family, second: Family, width: int, seed: int = 0) -> Comparison:
    """Look for a word on which two machines of one width differ.

    Args:
        first: may trap only where the second does.
        second: over the same alphabet.
        width: small, since the pairs of states are listed.
        seed: of the draw among the shortest differences.

    Raises:
        LearningError: the states are too many.
    """
    one, other = first.at(width), second.at(width)
    n_state = one.n_state + other.n_state
    alphabet = second.alphabet
    initial = sum(1 << i for i, bit in enumerate((*one.initial, *other.initial)) if bit)
    start = np.array([initial], dtype=np.uint64)
    if one.empty != other.empty:
        return Comparison((), start)
    if n_state > MAX_STATE_BITS:
        raise LearningError(
            f"{n_state} bits of state", where="product", fix="compare at a smaller width"
        )
    search = _Search(joint_circuit(one, other), n_state, alphabet, width)
    return search.run(start, Random(seed))


class _Search:
    """A breadth-first search over pairs of states."""

    def __init__(self, circuit: Circuit, n_state: int, alphabet: Alphabet, width: int) -> None:
        self.circuit, self.n_state = circuit, n_state
        self.tokens = alphabet.tokens(width)
        rows = [alphabet.input_bits(token, width) for token in self.tokens]
        codes = [sum(1 << i for i, bit in enumerate(row) if bit) for row in rows]
        self.codes = np.array(codes, dtype=np.uint64)
        self.n_token = len(rows[0])
        self.levels: list[tuple[_Numbers, NDArray[np.int64]]] = []  # pairs, and where each is from

    def run(self, start: _Numbers, draw: Random) -> Comparison:
        frontier, seen = start, start
        self.levels = [(start, np.zeros(1, dtype=np.int64))]
        while len(frontier):
            following, bad = self._expand(frontier)
            if len(bad):
                return Comparison(self._word(int(draw.choice(bad))), seen)
            fresh, first = np.unique(following[0], return_index=True)
            new = ~np.isin(fresh, seen, assume_unique=True)
            frontier = fresh[new]
            self.levels.append((frontier, following[1][first[new]]))
            seen = np.concatenate([seen, frontier])
            if len(seen) > MAX_PAIRS:
                raise LearningError(
                    f"more than {MAX_PAIRS} pairs of states",
                    where="product",
                    fix="compare at a smaller width",
                )
        return Comparison(None, seen)

    def _expand(
        self, frontier: _Numbers
    ) -> tuple[tuple[_Numbers, NDArray[np.int64]], NDArray[np.int64]]:
        """The next pairs with the moves that lead there, and the moves that show a difference.

        Move m takes pair m // tokens of the frontier with token m % tokens.
        """
        n_tokens = len(self.tokens)
        states, codes = np.repeat(frontier, n_tokens), np.tile(self.codes, len(frontier))
        planes = np.concatenate([pack_lanes(states, self.n_state), pack_lanes(codes, self.n_token)])
        results = evaluate(self.circuit, planes)
        after = unpack_lanes(results[: self.n_state], len(states))
        ends = unpack_lanes(results[self.n_state :], len(states))
        mine, theirs, trap, stop = ((ends >> np.uint64(i) & np.uint64(1)) != 0 for i in range(4))
        bad = np.flatnonzero(~stop & (trap | (mine != theirs)))
        going = np.flatnonzero(~stop)
        return (after[going], going), bad

    def _word(self, move: int) -> Word:
        """The tokens that lead to a move of the last level's expansion."""
        tokens = []
        for level in range(len(self.levels) - 1, -1, -1):
            pair, token = divmod(move, len(self.tokens))
            tokens.append(self.tokens[token])
            move = int(self.levels[level][1][pair])
        return tuple(reversed(tokens))
