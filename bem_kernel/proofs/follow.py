"""One run of the checker's kernels: arrays made, filled, and read back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bem_kernel.errors import CnfError, ProofError
from bem_kernel.logic.cnf import Cnf
from bem_kernel.logic.proof import Proof
from bem_kernel.proofs import checker, records
from bem_kernel.proofs.redundancy import HINTS

MAX_CELLS = 1 << 31  # a link has 32 bits, one of them for the watch

_Row = NDArray[np.int32]


class Followed(NamedTuple):
    """What the checker has found; clauses are numbered from those of the formula on.

    Attributes:
        status: ACCEPTED, NOT_REDUNDANT or NO_CONFLICT of `checker`.
        step: where that was decided.
        checked: added clauses that were checked.
        rats: how many of them needed RAT.
        needed: (clauses,) bool, the core; empty if checked forward.
        added: the step that added each clause beyond those of the formula and the assumptions;
            empty if checked forward.
        hints: numbers of clauses: those of the conflict, then those of each checked clause, the
            last one first.
        hint_ends: (clauses + 1,) where the hints of a clause end; of the conflict at the last.
        fits: False if there was no room for all hints; then they are useless.
    """

    status: int
    step: int
    checked: int
    rats: int
    needed: NDArray[np.bool_]
    added: NDArray[np.int64]
    hints: NDArray[np.uint32]
    hint_ends: NDArray[np.uint32]
    fits: bool


def follow(
    cnf: Cnf, proof: Proof, assumptions: Sequence[int], *, backward: bool, room: int = 0
) -> Followed:
    """Check a proof.

    Args:
        cnf: the formula.
        proof: the steps.
        assumptions: unit clauses beside the formula.
        backward: check from the last step back.
        room: for how many hints; none are kept for 0.

    Raises:
        CnfError: an assumption is 0 or no variable of the formula.
        ProofError: formula and proof are too large together.
    """
    offsets, literals = with_units(cnf, assumptions)
    literals, steps, n_vars = _compact(cnf.n_vars, literals, proof.literals)
    deletions = int(np.count_nonzero(proof.deletes))
    count = len(offsets) - 1
    total = count + len(proof) - deletions
    size = 1 + records.HEADER * (total + 1) + len(literals) + len(steps)
    if size >= MAX_CELLS:
        raise ProofError(
            f"{size} cells of clauses", where="proof check", fix=f"use fewer than {MAX_CELLS}"
        )
    cells = np.empty(size, dtype=np.uint32)
    at = np.empty(total, dtype=np.uint32)
    means = np.empty(len(proof), dtype=np.int32)
    records.load(
        cells,
        at,
        np.zeros(2 * n_vars, dtype=np.uint32),
        offsets,
        literals,
        proof.offsets,
        steps,
        proof.deletes,
        means,
        np.zeros(1 << total.bit_length() if deletions else 0, dtype=np.uint32),
        np.empty(total if deletions else 0, dtype=np.int32),
    )
    state = np.zeros(2, dtype=np.int64)
    hints = np.empty(room, dtype=np.uint32)
    hint_ends = np.zeros(total + 1 if room else 1, dtype=np.uint32)
    result = np.zeros(4, dtype=np.int64)
    checker.check(
        cells,
        np.zeros(4 * n_vars, dtype=np.uint32),
        np.zeros(2 * n_vars, dtype=np.int8),
        np.empty(n_vars, dtype=np.uint32),
        np.zeros(n_vars, dtype=np.uint32),
        np.zeros(n_vars, dtype=np.uint8),
        state,
        hints,
        at,
        count,
        proof.offsets,
        steps,
        proof.deletes,
        means,
        backward,
        hint_ends,
        result,
    )
    status, step, checked, rats = result.tolist()
    needed, added = np.zeros(0, dtype=np.bool_), np.zeros(0, dtype=np.int64)
    if backward:
        needed = (cells[at + np.uint32(1)] & records.CORE).astype(np.bool_)
        added = np.flatnonzero(~proof.deletes)
    return Followed(
        status, step, checked, rats, needed, added, hints, hint_ends, int(state[HINTS]) >= 0
    )


def with_units(cnf: Cnf, assumptions: Sequence[int]) -> tuple[_Row, _Row]:
    """The formula's offsets and literals with the assumptions as unit clauses at the end.

    Raises:
        CnfError: an assumption is 0 or no variable of the formula.
    """
    if not len(assumptions):
        return cnf.offsets, cnf.literals
    for literal in assumptions:
        if not 1 <= abs(literal) <= cnf.n_vars:
            raise CnfError(
                f"assumption {literal}",
                where="proof check",
                fix=f"use 1 to {cnf.n_vars} or their negations",
            )
    units = np.array(assumptions, dtype=np.int32)
    ends = np.arange(1, len(units) + 1, dtype=np.int32) + np.int32(len(cnf.literals))
    return np.concatenate([cnf.offsets, ends]), np.concatenate([cnf.literals, units])


def _compact(n_vars: int, literals: _Row, steps: _Row) -> tuple[_Row, _Row, int]:
    """The same with variables renumbered if most do not occur, and the number of variables."""
    n_vars = max(n_vars, records.largest(steps))
    if n_vars <= 4 * (len(literals) + len(steps)) + 64:
        return literals, steps, n_vars
    both = np.concatenate([literals, steps])
    variables, places = np.unique(np.abs(both.astype(np.int64)), return_inverse=True)
    renamed = np.where(both > 0, places + 1, -(places + 1)).astype(np.int32)
    return renamed[: len(literals)], renamed[len(literals) :], len(variables)
