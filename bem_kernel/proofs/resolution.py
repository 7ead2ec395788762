"""Resolution proofs, checked by operations on bitsets.

A clause is a pair of bitsets (pos, neg) over the variables. Two clauses resolve if exactly one
variable occurs in the one as it is and in the other negated; the resolvent is their union without
these two literals. A step names clauses before it; resolving them in turn, from the first on, must
give its clause or a part of it. The last clause is empty. That is all there is to believe.

`resolution_proof` gets the names from a DRAT proof: when unit propagation finds a conflict, the
false clause resolves with the reasons of its literals, the latest first.

Source: BEM core spec 9.3; Robinson 1965; Van Gelder 2008 (resolution from unit propagation);
Cruz-Filipe et al. 2017 (LRAT: the names of the clauses as hints).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bem_kernel.compiled import kernel
from bem_kernel.errors import ProofError
from bem_kernel.lanes import WORD_BITS
from bem_kernel.logic.cnf import Cnf, cnf_from_clauses, to_bitsets
from bem_kernel.logic.proof import Proof
from bem_kernel.proofs.check import Rejected, rejected
from bem_kernel.proofs.checker import ACCEPTED
from bem_kernel.proofs.follow import Followed, follow, with_units

MAX_WORDS = 1 << 26
"""Most 64-bit words of a table of bitsets, of which there are two."""

_SOUND = -1


@dataclass(frozen=True, eq=False)
class ResolutionProof:
    """Clauses and the clauses they resolve from; nothing about them has been checked.

    Attributes:
        clauses: what the steps derive, in order; the last is empty.
        offsets: (len(clauses) + 1,) int64; step i resolves hints[offsets[i]:offsets[i + 1]].
        hints: int64 numbers of clauses: those of the formula from 0, then the assumptions, then
            the steps. No hints are enough for a tautology.
    """

    clauses: Cnf
    offsets: NDArray[np.int64]
    hints: NDArray[np.int64]

    def __post_init__(self) -> None:
        for name, array in (("offsets", self.offsets), ("hints", self.hints)):
            if array.ndim != 1 or array.dtype != np.int64:
                raise ProofError(
                    f"{name} are {array.dtype} of shape {array.shape}",
                    where="resolution proof",
                    fix="give a row of int64",
                )
        ends = self.offsets
        if (
            len(ends) != len(self.clauses) + 1
            or ends[0]
            or (np.diff(ends) < 0).any()
            or ends[-1] != len(self.hints)
        ):
            raise ProofError(
                "offsets do not ascend from 0 to the number of hints, one more than clauses",
                where="resolution proof",
                fix="make step i hints[offsets[i]:offsets[i + 1]]",
            )


@kernel(
    "int64(uint64[:, ::1], uint64[:, ::1], int64, int64[::1], int64[::1], uint64[::1], uint64[::1])"
)
def _first_fault(pos, neg, count, offsets, hints, p, n):  # type: ignore[no-untyped-def]
    """The first step that does not follow, or _SOUND.

    Args:
        pos: (clauses, words) the formula's clauses, then those of the steps.
        neg: the same of negated literals.
        count: clauses before the steps.
        offsets: of each step's hints.
        hints: numbers of clauses.
        p: (words,) room for a resolvent.
        n: the same.
    """
    zero, one = np.uint64(0), np.uint64(1)
    words = pos.shape[1]
    for step in range(offsets.shape[0] - 1):
        first = offsets[step]
        for at in range(first, offsets[step + 1]):
            hint = hints[at]
            if hint < 0 or hint >= count + step:
                return step
            clashes = np.int64(0)
            for w in range(words):
                if at == first:
                    p[w], n[w] = pos[hint, w], neg[hint, w]
                    continue
                here, there = p[w] & neg[hint, w], n[w] & pos[hint, w]
                for clash in (here, there):
                    clashes += np.int64(clash != zero) + np.int64(clash & (clash - one) != zero)
                p[w] = (p[w] & ~here) | (pos[hint, w] & ~there)
                n[w] = (n[w] & ~there) | (neg[hint, w] & ~here)
            if at > first and clashes != 1:
                return step
        follows = first < offsets[step + 1]
        tautology = False
        for w in range(words):
            claimed_p, claimed_n = pos[count + step, w], neg[count + step, w]
            follows &= (p[w] & ~claimed_p) | (n[w] & ~claimed_n) == zero
            tautology |= claimed_p & claimed_n != zero
        if not (follows or tautology):
            return step
    return _SOUND


def check_resolution(
    cnf: Cnf, proof: ResolutionProof, *, assumptions: Sequence[int] = ()
) -> Rejected | None:
    """Check that a resolution proof refutes a formula; None if it does.

    Memory is one bit per variable and sign for every clause: meant for thousands of variables.

    Args:
        cnf: the formula.
        proof: clauses and hints.
        assumptions: DIMACS literals to take as unit clauses.

    Raises:
        CnfError: an assumption is 0 or no variable of the formula.
        ProofError: the bitsets would have more than MAX_WORDS words.

    Source: BEM core spec 9.3, PROOF_CHECK as operations on pos and neg.
    """
    if not len(proof.clauses) or proof.clauses.clause(len(proof.clauses) - 1):
        return Rejected(len(proof.clauses), "the last clause is not empty")
    offsets, literals = with_units(cnf, assumptions)
    n_vars = max(cnf.n_vars, proof.clauses.n_vars)
    words = (len(offsets) - 1 + len(proof.clauses)) * (n_vars // WORD_BITS + 1)
    if words > MAX_WORDS:
        raise ProofError(
            f"bitsets of {words} words",
            where="resolution proof",
            fix=f"use at most {MAX_WORDS}, or check_proof",
        )
    given = to_bitsets(Cnf(n_vars, offsets, literals))
    derived = to_bitsets(Cnf(n_vars, proof.clauses.offsets, proof.clauses.literals))
    pos, neg = (np.concatenate(pair) for pair in zip(given, derived, strict=True))
    resolvent = np.zeros((2, pos.shape[1]), dtype=np.uint64)
    step = _first_fault(
        pos, neg, len(offsets) - 1, proof.offsets, proof.hints, resolvent[0], resolvent[1]
    )
    if step == _SOUND:
        return None
    return Rejected(int(step), f"{proof.clauses.clause(step)} does not follow by its resolutions")


def resolution_proof(
    cnf: Cnf, proof: Proof, *, assumptions: Sequence[int] = ()
) -> ResolutionProof | Rejected:
    """Turn a DRAT proof into a resolution proof, if it needs no RAT step.

    Args:
        cnf: the formula.
        proof: what is checked backward, see `check_proof`.
        assumptions: DIMACS literals to take as unit clauses.

    Raises:
        CnfError: an assumption is 0 or no variable of the formula.
        ProofError: the proof needs RAT, which is no resolution.
    """
    room = 64 + 16 * len(proof)
    while True:
        found = follow(cnf, proof, assumptions, backward=True, room=room)
        if found.status != ACCEPTED:
            return rejected(found, proof)
        if found.rats:
            raise ProofError(
                f"{found.rats} steps need RAT",
                where="resolution proof",
                fix="have the solver use resolution only",
            )
        if found.fits:
            return _assembled(proof, len(cnf) + len(assumptions), found)
        room *= 4


def _assembled(proof: Proof, count: int, found: Followed) -> ResolutionProof:
    """The needed steps in order, with hints that number them so; the empty clause at the end."""
    numbers = np.flatnonzero(found.needed[count:])
    ends = [*found.hint_ends[count + numbers].tolist(), int(found.hint_ends[-1])]
    # Those of the conflict come first, then those of the steps, the last one's first.
    starts = [*ends[1:], 0]
    pieces = [found.hints[a:b] for a, b in zip(starts, ends, strict=True)]
    hints = np.concatenate(pieces).astype(np.int64)
    later = hints >= count
    hints[later] = count + np.searchsorted(numbers, hints[later] - count)
    offsets = np.zeros(len(pieces) + 1, dtype=np.int64)
    np.cumsum([len(piece) for piece in pieces], out=offsets[1:])
    steps = [proof.step(int(step))[1] for step in found.added[numbers]]
    return ResolutionProof(cnf_from_clauses([*steps, []]), offsets, hints)
