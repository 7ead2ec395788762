"""PROOF_CHECK: does a clausal proof (DRAT) show that a formula has no model?

This package never imports a solver. What it accepts, it has followed itself.

Source: BEM core spec 9.3; Wetzler, Heule and Hunt 2014 (DRAT-trim).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from bem_kernel.errors import CnfError, ProofError
from bem_kernel.logic.cnf import Cnf
from bem_kernel.logic.proof import Proof
from bem_kernel.proofs import checker, records

MAX_CELLS = 1 << 30  # links have 32 bits, one of them for the watch


class Mode(StrEnum):
    """Which steps are checked.

    FORWARD: every added clause up to the conflict; stricter, and gives no core.
    BACKWARD: the added clauses that the conflict needs, as DRAT-trim does unless told otherwise.
    """

    FORWARD = "forward"
    BACKWARD = "backward"


@dataclass(frozen=True, eq=False)
class Accepted:
    """The formula and the assumptions have no model.

    Attributes:
        checked: how many added clauses were checked.
        rats: how many of those needed RAT.
        core: backward only: indices of the clauses of the formula that were needed.
        assumptions: backward only: the assumptions that were needed.
        steps: backward only: indices of the steps of the proof that were needed.
    """

    checked: int
    rats: int
    core: NDArray[np.int64] | None = None
    assumptions: tuple[int, ...] | None = None
    steps: NDArray[np.int64] | None = None


@dataclass(frozen=True)
class Rejected:
    """The proof does not show it.

    Attributes:
        step: the step at fault, counted from 0; the number of steps if the end is.
        reason: what is wrong.
    """

    step: int
    reason: str


Outcome = Accepted | Rejected


def check_proof(
    cnf: Cnf,
    proof: Proof,
    *,
    assumptions: Sequence[int] = (),
    mode: Mode = Mode.BACKWARD,
) -> Outcome:
    """Check that a proof refutes a formula.

    Deletions of unit clauses, of clauses that made a literal true, and of clauses that are not
    there have no effect, and what follows a conflict of unit propagation is not looked at: so does
    DRAT-trim, and so CaDiCaL's proofs want it.

    Args:
        cnf: the formula.
        proof: clauses added and deleted; the empty clause need not be stated.
        assumptions: DIMACS literals to take as unit clauses.
        mode: which steps are checked.

    Raises:
        CnfError: an assumption is 0 or no variable of the formula.

    Source: BEM core spec 9.3, PROOF_CHECK.
    """
    count = len(cnf) + len(assumptions)
    offsets, literals = _with_units(cnf, assumptions)
    offsets, literals, steps, n_vars = _compact(cnf.n_vars, offsets, literals, proof)
    added = np.flatnonzero(~proof.deletes)
    total = count + len(added)
    size = 1 + records.HEADER * (total + 1) + len(literals) + len(steps)
    if size > MAX_CELLS:
        raise ProofError(
            f"{size} cells of clauses", where="proof check", fix=f"split it; up to {MAX_CELLS} fit"
        )
    cells = np.empty(size, dtype=np.uint32)
    at = np.empty(total, dtype=np.uint32)
    means = np.empty(len(proof), dtype=np.int32)
    matched = len(added) < len(proof)
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
        np.zeros(1 << total.bit_length() if matched else 0, dtype=np.uint32),
        np.zeros(total if matched else 0, dtype=np.int32),
    )
    result = np.zeros(4, dtype=np.int64)
    checker.check(
        cells,
        np.zeros(4 * n_vars, dtype=np.uint32),
        np.zeros(2 * n_vars, dtype=np.int8),
        np.empty(n_vars, dtype=np.uint32),
        np.zeros(n_vars, dtype=np.uint32),
        np.zeros(n_vars, dtype=np.uint8),
        np.zeros(2, dtype=np.int64),
        np.empty(0, dtype=np.uint32),
        at,
        count,
        proof.offsets,
        steps,
        proof.deletes,
        means,
        mode is Mode.BACKWARD,
        np.zeros(1, dtype=np.uint32),
        result,
    )
    if result[checker.STATUS] == checker.NOT_REDUNDANT:
        step = int(result[checker.STEP])
        return Rejected(step, f"{proof.step(step)[1]} is neither RUP nor RAT")
    if result[checker.STATUS] == checker.NO_CONFLICT:
        return Rejected(len(proof), "unit propagation finds no conflict after the last step")
    checked, rats = int(result[checker.CHECKED]), int(result[checker.RATS])
    if mode is Mode.FORWARD:
        return Accepted(checked, rats)
    needed = (cells[at + np.uint32(1)] & records.CORE).astype(np.bool_)
    core = np.flatnonzero(needed[: len(cnf)])
    used = tuple(x for x, use in zip(assumptions, needed[len(cnf) : count], strict=True) if use)
    return Accepted(checked, rats, core, used, added[needed[count:]])


def _with_units(
    cnf: Cnf, assumptions: Sequence[int]
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """The formula's arrays with the assumptions as unit clauses at the end."""
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


def _compact(
    n_vars: int, offsets: NDArray[np.int32], literals: NDArray[np.int32], proof: Proof
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32], int]:
    """Formula, steps and number of variables; variables are renumbered if most do not occur."""
    steps = proof.literals
    occurrences = len(literals) + len(steps)
    if len(steps):
        n_vars = max(n_vars, int(steps.max()), -int(steps.min()))
    if n_vars <= 4 * occurrences + 64:
        return offsets, literals, steps, n_vars
    both = np.concatenate([literals, steps])
    variables, places = np.unique(np.abs(both.astype(np.int64)), return_inverse=True)
    renamed = np.where(both > 0, places + 1, -(places + 1)).astype(np.int32)
    return offsets, renamed[: len(literals)], renamed[len(literals) :], len(variables)
