"""Proofs that two machines agree on all words, however long, as far as their width reaches.

Candidate invariants are thinned until those left imply themselves after every token (Houdini). If
they also imply that the verdicts agree and that the first machine does not trap where the second
does not, then that holds for every word, by induction on its length: it holds at the start, which
is evaluated, and each step keeps it, which is one unsatisfiable formula. Its proof is checked by
code that has not seen the solver.

Source: Flanagan and Leino 2001 (Houdini).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bem_kernel.circuits.builder import CircuitBuilder
from bem_kernel.circuits.circuit import Circuit
from bem_kernel.engines.engine import evaluate
from bem_kernel.errors import ProofError
from bem_kernel.lanes import pack_bits
from bem_kernel.learning.alphabet import Alphabet
from bem_kernel.learning.invariant import Candidate, Statements, candidates_from
from bem_kernel.learning.product import compare, joint_circuit
from bem_kernel.learning.sequential import Family, Sequential
from bem_kernel.logic.cnf import Cnf, cnf_from_clauses
from bem_kernel.logic.proof import Proof
from bem_kernel.logic.tseitin import Encoded, tseitin
from bem_kernel.proofs.check import Accepted, check_proof
from bem_kernel.sat.check import Satisfiable, Unsatisfiable, check

PROOF_WIDTH = 64
SMALL_WIDTH = 4  # a power of two, so that addresses fill it
MIDDLE_WIDTH = 8
_PROFILES: tuple[tuple[int, ...], ...] = ((), (1, 1), (2, 2), (3, 2))  # in turn; see Candidate
_OWN_BUDGET = 2_000


@dataclass(frozen=True, eq=False)
class Induction:
    """Why two machines agree on every word at one width, until the second traps.

    Attributes:
        width: of both machines.
        invariant: what holds after every token.
        step: says that the invariant holds, a token is read, and then it fails, the verdicts
            differ or the first machine traps although the second does not; unsatisfiable.
        proof: of that, accepted by the checker.
    """

    width: int
    invariant: tuple[Candidate, ...]
    step: Cnf
    proof: Proof


@dataclass(frozen=True)
class _Step:
    """A token read by both machines, with the candidates before and after it.

    Outputs of the circuit: the statements before, those after, then the first machine's trap, the
    second's, and whether the verdicts differ.
    """

    circuit: Circuit
    owner: tuple[int, ...]  # the candidate of each statement
    n_initial: int

    @property
    def n_statements(self) -> int:
        return len(self.owner)


def prove_equal(
    first: Family, second: Family, width: int = PROOF_WIDTH, small: int = SMALL_WIDTH
) -> Induction | None:
    """Prove that two machines agree on all words on which the second does not trap.

    Args:
        first: often the learned one.
        second: the reference.
        width: of the proof.
        small: the width at which candidates for the invariant are found.

    Returns:
        The proof; None if the machines differ, or the candidates do not suffice.

    Raises:
        ProofError: the solver's proof is not accepted; that is a defect.
    """
    found = compare(first, second, small)
    if found.difference is not None:
        return None
    machines = first.at(small), second.at(small)
    for low in _PROFILES:
        candidates = candidates_from(found.pairs, *machines, low)
        if width > MIDDLE_WIDTH:  # most fall here, where a question is cheap
            weeded = _holding(first, second, MIDDLE_WIDTH, candidates)
            if weeded is None:
                continue
            candidates = weeded[0]
        proved = _holding(first, second, width, candidates)
        if proved is None:
            continue
        invariant, (cnf, proof) = proved
        verified = check_proof(cnf, proof)
        if not isinstance(verified, Accepted):
            raise ProofError(
                f"the solver's proof is not accepted: {verified}",
                where="induction",
                fix="report it: this is a defect",
            )
        return Induction(width, tuple(invariant), cnf, proof)
    return None


def _holding(
    first: Family, second: Family, width: int, candidates: list[Candidate]
) -> tuple[list[Candidate], tuple[Cnf, Proof]] | None:
    """The candidates that hold at a width, with the refutation of their failing; see `_thin`."""
    one, other = first.at(width), second.at(width)
    if one.empty != other.empty:
        return None
    step = _build(one, other, candidates)
    alive = _hold_at_start(step, one, other)
    encoded = _with_valid_tokens(tseitin(step.circuit), step.n_initial, second.alphabet, width)
    proved = _thin(step, encoded, alive)
    if proved is None:
        return None
    kept = sorted({step.owner[j] for j in np.flatnonzero(alive)})
    return [candidates[i] for i in kept], proved


def _build(one: Sequential, other: Sequential, candidates: list[Candidate]) -> _Step:
    joint = joint_circuit(one, other)
    builder = CircuitBuilder(joint.n_inputs)
    results = builder.embed(joint, list(range(joint.n_inputs)))
    n_one, n_both = one.n_state, one.n_state + other.n_state
    owner: list[int] = []
    outputs: list[int] = []
    for states in (list(range(n_both)), results[:n_both]):
        statements = Statements(builder, one, other, (states[:n_one], states[n_one:]))
        owner = []
        for i, candidate in enumerate(candidates):
            slots = statements.state(candidate)
            owner += [i] * len(slots)
            outputs += slots
    mine, theirs, trap, stop = results[n_both:]
    outputs += [trap, stop, builder.xor(mine, theirs)]
    return _Step(builder.build(outputs), tuple(owner), n_both)


def _with_valid_tokens(encoded: Encoded, first: int, alphabet: Alphabet, width: int) -> Encoded:
    """Only what is a token: a symbol's number, and an address where the symbol carries one."""
    code = encoded.inputs[first : first + alphabet.code_bits]
    present = encoded.inputs[first + alphabet.n_input_bits(width) - 1]
    clauses = encoded.cnf.clauses()
    for number in range(1 << alphabet.code_bits):
        differs = [-v if number >> i & 1 else v for i, v in enumerate(code)]
        if number >= len(alphabet):
            clauses.append(differs)
        elif alphabet.keyed:
            keyed = alphabet.symbols[number] in alphabet.keyed
            clauses.append([*differs, present if keyed else -present])
    return replace(encoded, cnf=cnf_from_clauses(clauses, encoded.cnf.n_vars))


def _hold_at_start(step: _Step, one: Sequential, other: Sequential) -> NDArray[np.bool_]:
    """(statements,) bool, which hold in the initial states."""
    bits = [*one.initial, *other.initial]
    bits += [False] * (step.circuit.n_inputs - len(bits))
    planes = evaluate(step.circuit, pack_bits(np.array([bits], dtype=np.bool_)))
    held: NDArray[np.bool_] = planes[: step.n_statements, 0] & np.uint64(1) != 0
    return held


def _thin(step: _Step, encoded: Encoded, alive: NDArray[np.bool_]) -> tuple[Cnf, Proof] | None:
    """Drop statements until the rest imply themselves after a token.

    Returns:
        The formula that says they do not, or that the verdicts differ, with the proof that it is
        false; None if what is left does not suffice.
    """
    after = encoded.outputs[step.n_statements : 2 * step.n_statements]
    while True:
        cnf = _obligation(step, encoded, alive)
        verdict = check(cnf, budget=_OWN_BUDGET)
        if isinstance(verdict, Unsatisfiable):
            return cnf, verdict.proof
        assert isinstance(verdict, Satisfiable)
        held = np.array([verdict.model[abs(v) - 1] == (v > 0) for v in after], dtype=np.bool_)
        if held[alive].all():
            return None  # what is left stands, and yet the verdicts differ
        alive &= held


def _obligation(step: _Step, encoded: Encoded, alive: NDArray[np.bool_]) -> Cnf:
    n = step.n_statements
    trap, stop, differ = encoded.outputs[2 * n :]
    kept = np.flatnonzero(alive)
    clauses = encoded.cnf.clauses()
    clauses += [[encoded.outputs[j]] for j in kept]
    clauses += [[-stop], [*(-encoded.outputs[n + j] for j in kept), trap, differ]]
    return cnf_from_clauses(clauses, encoded.cnf.n_vars)
