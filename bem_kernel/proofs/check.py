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

from bem_kernel.logic.cnf import Cnf
from bem_kernel.logic.proof import Proof
from bem_kernel.proofs import checker
from bem_kernel.proofs.follow import Followed, follow

FORWARD_UP_TO = 1000
"""Steps of a proof that is checked forward unless told otherwise; more take longer that way."""


class Mode(StrEnum):
    """Which steps are checked.

    FORWARD: every added clause up to the conflict; gives no core.
    BACKWARD: the added clauses that the conflict needs, as DRAT-trim does unless told otherwise.
        It accepts whatever is accepted forward, and proofs with false steps that nothing needs.
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
    mode: Mode | None = None,
) -> Outcome:
    """Check that a proof refutes a formula.

    Deletions of unit clauses, of clauses that made a literal true, and of clauses that are not
    there have no effect, and what follows a conflict of unit propagation is not looked at: so does
    DRAT-trim, and so CaDiCaL's proofs want it. The pivot of a RAT step is its first literal.

    Args:
        cnf: the formula.
        proof: clauses added and deleted; the empty clause need not be stated.
        assumptions: DIMACS literals to take as unit clauses.
        mode: which steps are checked; if None, FORWARD for proofs up to FORWARD_UP_TO steps, else
            BACKWARD. Ask for BACKWARD to get a core.

    Raises:
        CnfError: an assumption is 0 or no variable of the formula.
        ProofError: formula and proof have more than 2**31 cells together.

    Source: BEM core spec 9.3, PROOF_CHECK.
    """
    if mode is None:
        mode = Mode.FORWARD if len(proof) <= FORWARD_UP_TO else Mode.BACKWARD
    found = follow(cnf, proof, assumptions, backward=mode is Mode.BACKWARD)
    if found.status != checker.ACCEPTED:
        return rejected(found, proof)
    if mode is Mode.FORWARD:
        return Accepted(found.checked, found.rats)
    count = len(cnf) + len(assumptions)
    needed = found.needed
    return Accepted(
        found.checked,
        found.rats,
        np.flatnonzero(needed[: len(cnf)]),
        tuple(x for x, use in zip(assumptions, needed[len(cnf) : count], strict=True) if use),
        found.added[needed[count:]],
    )


def rejected(found: Followed, proof: Proof) -> Rejected:
    """Why a run of the checker did not accept."""
    if found.status == checker.NO_CONFLICT:
        return Rejected(len(proof), "unit propagation finds no conflict after the last step")
    literals = proof.step(found.step)[1]
    if not literals:
        return Rejected(found.step, "the empty clause does not follow by unit propagation")
    return Rejected(found.step, f"{literals} is neither RUP nor RAT on {literals[0]}")
