"""Clausal proofs (DRAT) as flat arrays: clauses added and deleted, in order.

Source: BEM core spec 9.3; Wetzler, Heule and Hunt 2014 (DRAT-trim).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bem_kernel.compiled import kernel
from bem_kernel.errors import ProofError

_SOUND, _BAD_OFFSETS = -1, -2
_MAX_LITERAL = (1 << 31) - 1


@kernel("int64(int32[::1], int32[::1])")
def _first_fault(offsets, literals):  # type: ignore[no-untyped-def]
    """Position of the first literal that is none, or _BAD_OFFSETS, or _SOUND."""
    steps = offsets.shape[0] - 1
    sound = steps >= 0
    if sound:
        sound = offsets[0] == 0 and offsets[steps] == literals.shape[0]
    for i in range(steps):
        sound &= offsets[i] <= offsets[i + 1]
    if not sound:
        return _BAD_OFFSETS
    for k in range(literals.shape[0]):
        if literals[k] == 0 or literals[k] < -_MAX_LITERAL:
            return k
    return _SOUND


@dataclass(frozen=True, eq=False)
class Proof:
    """Steps of a proof; nothing about them has been checked.

    Attributes:
        offsets: (s + 1,) int32; step i is literals[offsets[i]:offsets[i + 1]].
        literals: (offsets[s],) int32, DIMACS literals. The first literal of an added clause is the
            pivot of a RAT step. Variables beyond those of the formula are new definitions.
        deletes: (s,) bool; True where the clause is deleted, False where it is added.

    Raises:
        ProofError: an array has another shape or dtype, offsets do not ascend from 0, or a literal
            is 0 or -2**31.
    """

    offsets: NDArray[np.int32]
    literals: NDArray[np.int32]
    deletes: NDArray[np.bool_]

    def __post_init__(self) -> None:
        shapes = (
            ("offsets", self.offsets, np.int32),
            ("literals", self.literals, np.int32),
            ("deletes", self.deletes, np.bool_),
        )
        for name, array, dtype in shapes:
            if array.ndim != 1 or array.dtype != dtype:
                raise ProofError(
                    f"{name} are {array.dtype} of shape {array.shape}",
                    where="proof",
                    fix=f"give a row of {np.dtype(dtype).name}",
                )
            if not array.flags.carray:  # kernels want plain, writable rows
                object.__setattr__(self, name, array.copy())
        fault = _first_fault(self.offsets, self.literals)
        if fault == _BAD_OFFSETS:
            raise ProofError(
                "offsets do not ascend from 0 to the number of literals",
                where="proof",
                fix="make step i literals[offsets[i]:offsets[i + 1]]",
            )
        if len(self.deletes) != len(self.offsets) - 1:
            raise ProofError(
                f"{len(self.deletes)} marks for {len(self.offsets) - 1} steps",
                where="proof",
                fix="mark each step as added or deleted",
            )
        if fault != _SOUND:
            step = int(np.searchsorted(self.offsets, fault, side="right")) - 1
            raise ProofError(
                f"literal {int(self.literals[fault])}",
                where=f"proof: step {step}",
                fix="use DIMACS literals of 32 bits",
            )

    def __len__(self) -> int:
        return len(self.deletes)

    def step(self, index: int) -> tuple[bool, list[int]]:
        """Whether step `index` deletes, and the literals of its clause."""
        row = self.literals[self.offsets[index] : self.offsets[index + 1]]
        return bool(self.deletes[index]), row.tolist()


def proof_from_steps(steps: Iterable[tuple[bool, Sequence[int]]]) -> Proof:
    """A proof from (deletes, literals) pairs.

    Raises:
        ProofError: a literal is 0 or no 32-bit number.
    """
    rows = [(deletes, list(literals)) for deletes, literals in steps]
    flat = [literal for _, literals in rows for literal in literals]
    if any(abs(literal) >= 1 << 31 for literal in flat):
        raise ProofError("a literal has more than 32 bits", where="proof", fix="renumber variables")
    offsets = np.zeros(len(rows) + 1, dtype=np.int32)
    np.cumsum([len(literals) for _, literals in rows], out=offsets[1:])
    deletes = np.array([deletes for deletes, _ in rows], dtype=np.bool_)
    return Proof(offsets, np.array(flat, dtype=np.int32), deletes)
