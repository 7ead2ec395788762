"""Don't-cares: which values the slots of a network can take together, on the inputs that count.

Patterns, which are inputs that count with the values of all slots, answer most questions: what one
of them shows can occur. The others go to the solver, whose models become patterns, and whose
refutations are don't-cares. An answer that takes too long counts as "can occur".

Source: Mishchenko and Brayton 2005 (don't-cares of windows); Mishchenko, Chatterjee, Jiang and
Brayton 2005 (equal slots by simulation and SAT).
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import numpy as np
from numpy.typing import NDArray

from bem_kernel.circuits.circuit import Gate
from bem_kernel.lanes import WORD_BITS
from bem_kernel.logic.cnf import cnf_from_clauses
from bem_kernel.logic.tseitin import gate_clauses
from bem_kernel.sat.check import MAX_SMALL_VARS, Satisfiable, Solver, Unsatisfiable
from bem_kernel.synthesis.network import OP_OF, Network
from bem_kernel.synthesis.observation import simulate

_WORDS = 16  # of random patterns at the start
_BUDGET = 200  # conflicts for one question


class Occurrence:
    """What can occur in a network.

    Args:
        network: of which the questions are.
        care: a network of one output on the same inputs; inputs where it is 1 count. None: all.
        key: of the random patterns.
    """

    def __init__(self, network: Network, care: Network | None, key: int) -> None:
        self.network = network
        gates, where = _joined(network, care)
        self._solver = Solver(len(gates))
        self._solver.add(cnf_from_clauses(_clauses(gates, network.n_inputs, where), len(gates)))
        self._values = _random_values(gates, network.n_inputs, where, key)
        self._models: list[NDArray[np.bool_]] = []
        if not self._values.shape[1]:
            self.can_be(())

    @property
    def values(self) -> NDArray[np.bool_]:
        """(slots, patterns) of all patterns so far; none if no input counts."""
        if self._models:
            models = np.stack(self._models, axis=1)
            self._values = np.concatenate([self._values, models], axis=1)
            self._models.clear()
        return self._values[: len(self.network.gates)]

    def can_be(self, literals: Sequence[int]) -> tuple[int, ...] | None:
        """Whether literals can all be 1 on an input that counts.

        Returns:
            None if they can, or if that took too long to find out; otherwise literals of these
            that cannot.
        """
        verdict = self._solver.solve([_dimacs(x) for x in literals], budget=_BUDGET)
        if isinstance(verdict, Satisfiable):
            self._models.append(verdict.model)
        if not isinstance(verdict, Unsatisfiable):
            return None
        failed = set(verdict.failed)
        return tuple(x for x in literals if _dimacs(x) in failed)

    def state_equal(self, x: int, y: int) -> None:
        """Tell the solver that two literals are equal, which was found by `can_be`."""
        a, b = _dimacs(x), _dimacs(y)
        self._solver.add(cnf_from_clauses([[a, -b], [-a, b]], self._solver.n_vars))

    def rows(self, slots: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which values some slots can have together.

        Args:
            slots: (k,) few slots.

        Returns:
            (2**k,) bool: row r is that slot i of them is bit i of r.
        """
        k = len(slots)
        numbers = (self.values[slots] * (1 << np.arange(k))[:, None]).sum(axis=0)
        occurs = np.bincount(numbers, minlength=1 << k) > 0
        every = np.arange(1 << k)
        unknown = ~occurs
        while unknown.any():
            row = int(np.argmax(unknown))
            literals = [2 * slot + 1 - (row >> i & 1) for i, slot in enumerate(slots.tolist())]
            impossible = self.can_be(literals)
            unknown[row] = False
            if impossible is None:
                occurs[row] = True
                continue
            fixed = sum(1 << i for i, x in enumerate(literals) if x in impossible)
            unknown &= (every & fixed) != row & fixed
        return occurs


def fits_solver(network: Network, care: Network | None) -> bool:
    """Whether a network is small enough to ask about."""
    extra = 0 if care is None else care.size
    return len(network.gates) + extra <= MAX_SMALL_VARS


def packed_rows(rows: NDArray[np.bool_]) -> NDArray[np.uint64]:
    """Rows of a truth table as words, as `smaller.all_inputs` has them."""
    repeated = np.resize(rows, max(WORD_BITS, len(rows)))
    return np.packbits(repeated, bitorder="little").view(np.uint64)


def _dimacs(literal: int) -> int:
    variable = (literal >> 1) + 1
    return -variable if literal & 1 else variable


def _joined(network: Network, care: Network | None) -> tuple[NDArray[np.int64], int]:
    """Rows of both, and the literal that says where it counts; 1 if everywhere."""
    if care is None:
        return network.gates, 1
    first, moved = 1 + network.n_inputs, len(network.gates) - 1 - network.n_inputs
    more = care.gates[first:].copy()
    more[:, 1:] += np.where(more[:, 1:] >= first, moved, 0)
    where = int(care.outputs[0])
    where += 2 * moved if where >> 1 >= first else 0
    return np.concatenate([network.gates, more]), where


def _clauses(gates: NDArray[np.int64], n_inputs: int, where: int) -> list[list[int]]:
    clauses = [[-1], [_dimacs(where)]]
    for slot, (table, a, b) in enumerate(gates.tolist()):
        if slot > n_inputs:
            if table == 4:
                table, a, b = 2, b, a
            clauses += gate_clauses(Gate(OP_OF[table]), slot + 1, a + 1, b + 1)
    return clauses


def _random_values(
    gates: NDArray[np.int64], n_inputs: int, where: int, key: int
) -> NDArray[np.bool_]:
    """Random inputs, those that count, with the values of all slots."""
    sims = np.zeros((len(gates), _WORDS), dtype=np.uint64)
    drawn = Random(key).randbytes(8 * n_inputs * _WORDS)
    sims[1 : 1 + n_inputs] = np.frombuffer(drawn, dtype=np.uint64).reshape(n_inputs, _WORDS)
    simulate(n_inputs, len(gates), gates, sims)
    values = np.unpackbits(sims.view(np.uint8), axis=1, bitorder="little").astype(np.bool_)
    return values[:, values[where >> 1] != (where & 1)]


def swept(network: Network, occurrence: Occurrence) -> NDArray[np.int64]:
    """Find slots that are equal or opposite to earlier ones wherever it counts.

    Args:
        network: the network of `occurrence`.
        occurrence: what can occur.

    Returns:
        (slots,) int64, the literal that a slot can be replaced by, -1 for none.
    """
    instead = np.full(len(network.gates), -1, dtype=np.int64)
    given_up: set[tuple[int, int]] = set()
    found_different = bool(occurrence.values.shape[1])
    while found_different:
        found_different = False
        values = occurrence.values
        prints = np.packbits(values ^ values[:, :1], axis=1)
        first: dict[bytes, int] = {}
        for slot in range(len(network.gates)):
            other = first.setdefault(prints[slot].tobytes(), slot)
            if slot <= network.n_inputs or instead[slot] >= 0 or (other, slot) in given_up:
                continue
            if other == slot:
                continue
            literal = 2 * other + int(values[other, 0] ^ values[slot, 0])
            if _always_equal(occurrence, 2 * slot, literal):
                instead[slot] = literal
                continue
            given_up.add((other, slot))
            found_different = True
    return instead


def _always_equal(occurrence: Occurrence, x: int, y: int) -> bool:
    for a, b in ((x, y ^ 1), (x ^ 1, y)):
        if occurrence.can_be((a, b)) is None:
            return False
    occurrence.state_equal(x, y)
    return True
