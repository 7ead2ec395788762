"""Formulas in conjunctive normal form, as flat arrays of DIMACS literals or as bitsets.

A literal is a signed integer: v for the variable v, -v for its negation; variables are 1 to
n_vars. The arrays are what the solver and the checker run on; the bitset form (pos, neg) is the
specification's, with bit v - 1 for variable v.

Source: BEM core spec 9.1.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from bem_kernel.compiled import kernel
from bem_kernel.errors import CnfError
from bem_kernel.lanes import WORD_BITS

MAX_VARS = 1 << 28  # literals are int32, and solvers double them
_SOUND, _BAD_OFFSETS = -1, -2
_INT32 = np.dtype(np.int32)


@kernel("int64(int32[::1], int32[::1], int64)")
def _first_fault(offsets, literals, n_vars):  # type: ignore[no-untyped-def]
    """Position of the first bad literal, or _BAD_OFFSETS, or _SOUND."""
    if offsets.shape[0] == 0 or offsets[0] != 0 or offsets[-1] != literals.shape[0]:
        return _BAD_OFFSETS
    # No way out of these loops, so that they run on vectors.
    descents, bad, last = np.int32(0), np.int32(0), np.uint32(n_vars)
    for i in range(offsets.shape[0] - 1):
        descents |= np.int32(offsets[i] > offsets[i + 1])
    if descents:
        return _BAD_OFFSETS
    for k in range(literals.shape[0]):
        literal = literals[k]
        below = np.uint32((-literal if literal < 0 else literal) - 1)
        bad |= np.int32(below >= last)
    if bad:
        for k in range(literals.shape[0]):
            variable = abs(np.int64(literals[k]))
            if variable == 0 or variable > n_vars:
                return k
    return _SOUND


@kernel("boolean(int32[::1], int32[::1], boolean[::1])")
def _satisfied(offsets, literals, model):  # type: ignore[no-untyped-def]
    """Whether every clause has a literal that is true in the model."""
    false_clauses = np.int64(0)
    start = np.uint64(0)  # indices without a sign spare numba its test for negative ones
    for i in range(1, offsets.shape[0]):
        end = np.uint64(offsets[i])
        true = np.int64(0)
        for k in range(start, end):
            signed = np.int64(literals[k])
            negative = signed >> 63  # -1 or 0
            true |= np.int64(model[np.uint64((signed ^ negative) - negative - 1)]) ^ -negative
        false_clauses |= true ^ 1
        start = end
    return false_clauses == 0


@dataclass(frozen=True, eq=False)
class Cnf:
    """A conjunction of clauses.

    Attributes:
        n_vars: number of variables; those that no clause names are free.
        offsets: (m + 1,) int32; clause i is literals[offsets[i]:offsets[i + 1]].
        literals: (offsets[m],) int32, DIMACS literals. An empty clause is allowed (and false),
            and so are repeated literals and tautologies.

    Raises:
        CnfError: an array has another shape or dtype, offsets do not ascend from 0, or a literal
            is 0 or names a variable beyond n_vars.
    """

    n_vars: int
    offsets: NDArray[np.int32]
    literals: NDArray[np.int32]

    def __post_init__(self) -> None:
        if not 0 <= self.n_vars <= MAX_VARS:
            raise CnfError(f"{self.n_vars} variables", where="cnf", fix=f"use 0 to {MAX_VARS}")
        for name in ("offsets", "literals"):
            array = getattr(self, name)
            if array.ndim != 1 or array.dtype != _INT32:
                raise CnfError(
                    f"{name} are {array.dtype} of shape {array.shape}",
                    where="cnf",
                    fix="give a row of int32",
                )
            if not array.flags.carray:  # kernels want plain, writable rows
                object.__setattr__(self, name, array.copy())
        fault = _first_fault(self.offsets, self.literals, self.n_vars)
        if fault == _BAD_OFFSETS:
            raise CnfError(
                "offsets do not ascend from 0 to the number of literals",
                where="cnf",
                fix="make clause i literals[offsets[i]:offsets[i + 1]]",
            )
        if fault != _SOUND:
            clause = int(np.searchsorted(self.offsets, fault, side="right")) - 1
            raise CnfError(
                f"literal {int(self.literals[fault])}",
                where=f"cnf: clause {clause}",
                fix=f"use 1 to {self.n_vars} or their negations",
            )

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def clause(self, index: int) -> list[int]:
        """The literals of one clause."""
        literals: list[int] = self.literals[self.offsets[index] : self.offsets[index + 1]].tolist()
        return literals

    def clauses(self) -> list[list[int]]:
        """All clauses as lists of literals."""
        flat, ends = self.literals.tolist(), self.offsets.tolist()
        return [flat[a:b] for a, b in pairwise(ends)]


def cnf_from_clauses(clauses: Iterable[Sequence[int]], n_vars: int | None = None) -> Cnf:
    """A formula from lists of literals.

    Args:
        clauses: DIMACS literals of each clause.
        n_vars: number of variables; the largest that occurs if None.

    Raises:
        CnfError: a literal is 0, beyond n_vars, or no 32-bit number.
    """
    rows = [list(clause) for clause in clauses]
    flat = [literal for row in rows for literal in row]
    largest = max(map(abs, flat), default=0)
    if largest > MAX_VARS:
        raise CnfError(f"variable {largest}", where="cnf", fix=f"use 1 to {MAX_VARS}")
    offsets = np.zeros(len(rows) + 1, dtype=np.int32)
    np.cumsum([len(row) for row in rows], out=offsets[1:])
    count = largest if n_vars is None else n_vars
    return Cnf(count, offsets, np.array(flat, dtype=np.int32))


def is_satisfied(cnf: Cnf, model: NDArray[np.bool_]) -> bool:
    """Whether every clause has a true literal.

    Args:
        cnf: the formula.
        model: (n_vars,) bool, the value of variable v at v - 1.

    Raises:
        CnfError: the model has another length.
    """
    if model.shape != (cnf.n_vars,):
        raise CnfError(
            f"a model of shape {model.shape}", where="cnf", fix=f"give ({cnf.n_vars},) bool"
        )
    return bool(_satisfied(cnf.offsets, cnf.literals, model))


def to_bitsets(cnf: Cnf) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """The clauses as bitsets (pos, neg), each (m, ceil(n_vars / 64)) uint64.

    Bit v - 1 of a row of `pos` is 1 if variable v appears positively in that clause, of `neg` if
    negated. Repeated literals leave no trace; a clause with v and -v has both bits.
    """
    words = max(1, -(-cnf.n_vars // WORD_BITS))
    pos = np.zeros((len(cnf), words), dtype=np.uint64)
    neg = np.zeros_like(pos)
    rows = np.repeat(np.arange(len(cnf)), np.diff(cnf.offsets))
    bits = np.abs(cnf.literals) - 1
    masks = np.uint64(1) << (bits % WORD_BITS).astype(np.uint64)
    positive = cnf.literals > 0
    for table, chosen in ((pos, positive), (neg, ~positive)):
        np.bitwise_or.at(table, (rows[chosen], bits[chosen] // WORD_BITS), masks[chosen])
    return pos, neg


def from_bitsets(pos: NDArray[np.uint64], neg: NDArray[np.uint64], n_vars: int) -> Cnf:
    """Inverse of `to_bitsets`; the literals of a clause ascend by variable, v before -v.

    Raises:
        CnfError: the shapes differ, or a bit beyond n_vars is set.
    """
    words = max(1, -(-n_vars // WORD_BITS))
    if pos.shape != neg.shape or pos.ndim != 2 or pos.shape[1] != words:
        raise CnfError(
            f"bitsets of shapes {pos.shape} and {neg.shape}",
            where="cnf.from_bitsets",
            fix=f"give two of (m, {words}) uint64",
        )
    both = np.stack([pos, neg], axis=-1).astype("<u8")  # (m, words, 2)
    bits = np.unpackbits(both.view(np.uint8).reshape(*both.shape, 8), axis=-1, bitorder="little")
    table = bits.transpose(0, 1, 3, 2)  # (m, words, 64, sign)
    clause, word, bit, sign = np.nonzero(table)
    variables = WORD_BITS * word + bit + 1
    if len(variables) and variables.max() > n_vars:
        raise CnfError(
            f"bit {int(variables.max()) - 1} is set",
            where="cnf.from_bitsets",
            fix=f"use bits below {n_vars}",
        )
    offsets = np.zeros(len(pos) + 1, dtype=np.int32)
    np.cumsum(np.bincount(clause, minlength=len(pos)), out=offsets[1:])
    return Cnf(n_vars, offsets, np.where(sign == 0, variables, -variables).astype(np.int32))
