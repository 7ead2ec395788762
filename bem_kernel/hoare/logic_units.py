"""BEM_SAT_CHECK and BEM_PROOF_CHECK: a program asks about a formula in its memory.

A formula is the specification's bitsets, with W = max(1, ceil(n / 64)) words for n variables:

    n, m, W words where a model goes, then for each of the m clauses: W words pos, W words neg

A proof is

    formula, s, then for each of its s steps: kind, W words pos, W words neg

with the whole address of the formula, and kind 0 to add the clause (RUP, or RAT on its lowest
variable), 1 to delete it, 2·v to add it with variable v as the pivot. Work is counted in words.

Source: BEM core spec 3.4, 4.2, 9.1, 9.3.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bem_kernel.errors import CnfError, MachineError
from bem_kernel.isa.core import Stop
from bem_kernel.isa.units import AccessFault, Answer, Request
from bem_kernel.lanes import words_for
from bem_kernel.logic.cnf import Cnf, from_bitsets
from bem_kernel.logic.proof import Proof, proof_from_steps
from bem_kernel.proofs.check import Accepted, check_proof
from bem_kernel.sat.check import Satisfiable, Unknown, check

MAX_WORDS = 1 << 16
UNSATISFIABLE, SATISFIABLE, INVALID = 0, 1, 2

_Words = NDArray[np.uint64]


@dataclass(frozen=True)
class SatUnit:
    """The co-processor of BEM_SAT_CHECK; "no" is said once the checker has followed a proof.

    Attributes:
        bound: most words of a formula.
        budget: most conflicts of the solver; nobody goes on beyond it.
    """

    bound: int = MAX_WORDS
    budget: int = 20_000

    def call(self, request: Request) -> Answer:
        """Decide the formula of the descriptor.

        Raises:
            MachineError: the formula is too long, lies where no model may be written, or the
                budget is spent.
            AccessFault: a word does not exist.
        """
        n_vars, n_clauses = request.read(request.address, 2).tolist()
        width = words_for(n_vars)
        work = _checked_size(width * (2 * n_clauses + 1), self.bound, "BEM_SAT_CHECK")
        model = request.address + 2
        _check_writable(request, model, width)
        try:
            cnf = _formula(request, model + width, n_vars, n_clauses)
        except CnfError:
            return Answer(INVALID, work)
        verdict = check(cnf, budget=self.budget, hand_over=False)
        if isinstance(verdict, Satisfiable):
            request.write(model, _packed(verdict.model, width))
            return Answer(SATISFIABLE, work)
        if isinstance(verdict, Unknown):
            raise MachineError(
                f"not decided after {self.budget} conflicts",
                where="BEM_SAT_CHECK",
                fix="attach a unit with a larger budget",
            )
        if not isinstance(check_proof(cnf, verdict.proof), Accepted):
            raise AssertionError("the solver's proof is rejected")
        return Answer(UNSATISFIABLE, work)


@dataclass(frozen=True)
class ProofUnit:
    """The co-processor of BEM_PROOF_CHECK: 1 if the proof refutes the formula, else 0.

    Attributes:
        bound: most words of formula and proof together.
    """

    bound: int = MAX_WORDS

    def call(self, request: Request) -> Answer:
        """Check the proof of the descriptor.

        Raises:
            MachineError: formula and proof are too long.
            AccessFault: a word does not exist, or may not be read.
        """
        formula, n_steps = request.read(request.address, 2).tolist()
        n_vars, n_clauses = request.read(formula, 2).tolist()
        width = words_for(n_vars)
        size = width * (2 * n_clauses + 1) + (2 * width + 1) * n_steps
        work = _checked_size(size, self.bound, "BEM_PROOF_CHECK")
        try:
            cnf = _formula(request, formula + 2 + width, n_vars, n_clauses)
            proof = _proof(request, request.address + 2, n_vars, n_steps)
        except CnfError:
            return Answer(0, work)
        return Answer(int(isinstance(check_proof(cnf, proof), Accepted)), work)


def _checked_size(words: int, bound: int, where: str) -> int:
    if words > bound:
        raise MachineError(f"{words} words", where=where, fix=f"use at most {bound}")
    return words


def _check_writable(request: Request, address: int, count: int) -> None:
    """Refuse words that a program may not write; the instruction has no trap RIGHTS."""
    try:
        request.check_writable(address, count)
    except AccessFault as fault:
        if fault.stop is not Stop.RIGHTS:
            raise
        raise MachineError(
            "no model may be written here", where="BEM_SAT_CHECK", fix="keep the formula in DATA"
        ) from None


def _formula(request: Request, address: int, n_vars: int, n_clauses: int) -> Cnf:
    width = words_for(n_vars)
    words = _read(request, address, 2 * width * n_clauses).reshape(n_clauses, 2 * width)
    return from_bitsets(words[:, :width], words[:, width:], n_vars)


def _proof(request: Request, address: int, n_vars: int, n_steps: int) -> Proof:
    width = words_for(n_vars)
    words = _read(request, address, (2 * width + 1) * n_steps).reshape(n_steps, 2 * width + 1)
    clauses = from_bitsets(words[:, 1 : width + 1], words[:, width + 1 :], n_vars).clauses()
    steps = []
    if any(kind & 1 and kind != 1 for kind in words[:, 0].tolist()):
        raise CnfError("a step of no kind", where="BEM_PROOF_CHECK", fix="use 0, 1 or 2·v")
    for kind, clause in zip(words[:, 0].tolist(), clauses, strict=True):
        pivot = [x for x in clause if abs(x) == kind >> 1]
        steps.append((kind == 1, [*pivot, *(x for x in clause if x not in pivot)]))
    return proof_from_steps(steps)


def _read(request: Request, address: int, count: int) -> _Words:
    return request.read(address, count) if count else np.zeros(0, dtype=np.uint64)


def _packed(model: NDArray[np.bool_], width: int) -> _Words:
    """Variable v as bit v - 1."""
    bits = np.zeros(64 * width, dtype=np.bool_)
    bits[: len(model)] = model
    words: _Words = np.packbits(bits, bitorder="little").view("<u8").astype(np.uint64)
    return words
