"""Certificates: what `apply` asks for, and what alone makes them.

A solver's proofs are evidence and nothing more. `certify` builds the formulas once more from the
patch and the machine, has each proof checked by the checker, which has never seen a solver, tries
the patch on a copy of the table, and only then makes a certificate. It carries the hashes of the
patch, of the structures before and after, of the scope, and of each formula with its proof; a seal
over all of them, with a key of this process, tells it from one that somebody else put together.

Source: BEM core spec 9.3, 9.4.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from bb_core.canonical import canonical_json, fingerprint
from bem_kernel.errors import PatchError
from bem_kernel.experts.table import ExpertTable
from bem_kernel.logic.cnf import Cnf
from bem_kernel.logic.proof import Proof
from bem_kernel.patches.edits import Trace, perform
from bem_kernel.patches.invariant import check_hold_now
from bem_kernel.patches.obligations import obligations
from bem_kernel.patches.patch import Patch
from bem_kernel.patches.record import scope_record
from bem_kernel.patches.structure import copied_table, structure_hash
from bem_kernel.proofs.check import Rejected, check_proof


@dataclass(frozen=True)
class Evidence:
    """Proofs for one patch; nothing about them is believed.

    Attributes:
        patch: fingerprint of the patch that they are for.
        before: hash of the structure that it changes.
        scope: fingerprint of its scope.
        proofs: one for each obligation, in order.
    """

    patch: str
    before: str
    scope: str
    proofs: tuple[Proof, ...]


@dataclass(frozen=True)
class Certificate:
    """That a patch is right for a machine of a certain structure; made by `certify` alone.

    Attributes:
        patch: fingerprint of the patch.
        before: hash of the structure that it changes.
        after: hash of the structure that it leads to.
        scope: fingerprint of the scope in which old and new agree.
        proved: for each obligation, the hashes of its formula and of its proof.
        seal: over all of these, with this process's key.
    """

    patch: str
    before: str
    after: str
    scope: str
    proved: tuple[tuple[str, str], ...]
    seal: bytes


def evidence_for(patch: Patch, proofs: Sequence[Proof]) -> Evidence:
    """Proofs with the names of what they are for."""
    return Evidence(patch.fingerprint, patch.before, scope_fingerprint(patch), tuple(proofs))


def scope_fingerprint(patch: Patch) -> str:
    """SHA-256 of the canonical record of a patch's scope, hex."""
    return fingerprint(scope_record(patch.scope))


def certify(table: ExpertTable, patch: Patch, evidence: Evidence) -> Certificate:
    """Make the certificate of a patch, if the evidence shows that it is right.

    Args:
        table: of the machine; not changed.
        patch: to be applied to it.
        evidence: from anywhere.

    Raises:
        PatchError: the evidence is for another patch, scope or structure, a proof is rejected, or
            the patch does not lead where it says; the message says which.
        KernelError: the patch cannot be applied to this table.
    """
    check_bound(patch, (evidence.scope, evidence.before, evidence.patch), "the evidence")
    check_structure(table, patch.before, "the patch")
    owed = obligations(table, patch)
    if len(evidence.proofs) != len(owed):
        raise _refused(
            f"{len(evidence.proofs)} proofs for {len(owed)} obligations", "verify it again"
        )
    proved = []
    for obligation, proof in zip(owed, evidence.proofs, strict=True):
        outcome = check_proof(obligation.cnf, proof)
        if isinstance(outcome, Rejected):
            raise _refused(
                f"no proof that {obligation.claim}: step {outcome.step}: {outcome.reason}",
                "verify the patch again",
            )
        proved.append((formula_hash(obligation.cnf), proof_hash(proof)))
    check_hold_now(table.memory, patch.invariants)
    rehearse(table, patch)
    fields = (patch.fingerprint, patch.before, patch.after, scope_fingerprint(patch), tuple(proved))
    return Certificate(*fields, _seal(fields))


def check_certificate(table: ExpertTable, patch: Patch, certificate: object) -> Certificate:
    """Refuse whatever is not the certificate of this patch for this machine.

    Raises:
        PatchError: there is none, it was not made by `certify`, or it is for another patch, scope
            or structure; the message says which.
    """
    if not isinstance(certificate, Certificate):
        raise _refused(f"no certificate but {type(certificate).__name__}", "verify the patch first")
    c = certificate
    fields = (c.patch, c.before, c.after, c.scope, c.proved)
    if not isinstance(c.seal, bytes) or not hmac.compare_digest(c.seal, _seal(fields)):
        raise _refused("the certificate was not made by verify in this process", "verify the patch")
    check_bound(patch, (c.scope, c.before, c.patch), "the certificate")
    check_structure(table, c.before, "the certificate")
    return certificate


def check_bound(patch: Patch, bound: tuple[str, str, str], what: str) -> None:
    """Refuse what is bound to something else than a patch.

    Args:
        patch: to be applied.
        bound: the fingerprint of a scope, a structure's hash, the fingerprint of a patch.
        what: is bound to them, for messages.

    Raises:
        PatchError: it is for another scope, base or patch.
    """
    scope, before, fingerprint_ = bound
    for own, other, name in (
        (scope_fingerprint(patch), scope, "scope"),
        (patch.before, before, "base"),
        (patch.fingerprint, fingerprint_, "patch"),
    ):
        if own != other:
            raise _refused(
                f"{what} is for another {name}, {other[:16]} and not {own[:16]}",
                "verify this patch",
            )


def check_structure(table: ExpertTable, before: str, what: str) -> None:
    """Refuse what is meant for a machine of another structure.

    Raises:
        PatchError: the table's hash is another.
    """
    found = structure_hash(table)
    if found != before:
        raise _refused(
            f"{what} is for a machine of base {before[:16]}, this one is {found[:16]}",
            "propose the patch again for the machine as it is",
        )


def rehearse(table: ExpertTable, patch: Patch) -> Trace:
    """Try a patch on a copy of the table, and return what would undo it.

    Raises:
        PatchError: it leads elsewhere than it says.
        KernelError: it cannot be applied.
    """
    twin = copied_table(table)
    trace = perform(twin, patch)
    found = structure_hash(twin)
    if found != patch.after:
        raise _refused(
            f"the patch leads to {found[:16]} and not to {patch.after[:16]}", "propose it again"
        )
    return trace


def certificate_record(certificate: Certificate) -> dict[str, Any]:
    """What a log keeps of a certificate; nobody can make it one again."""
    return {
        "before": certificate.before,
        "after": certificate.after,
        "patch": certificate.patch,
        "scope": certificate.scope,
        "proved": [list(pair) for pair in certificate.proved],
    }


def formula_hash(cnf: Cnf) -> str:
    """SHA-256 of a formula, hex."""
    digest = hashlib.sha256(b"cnf\0" + cnf.n_vars.to_bytes(8, "little"))
    digest.update(len(cnf).to_bytes(8, "little") + cnf.offsets.astype("<i4").tobytes())
    digest.update(cnf.literals.astype("<i4").tobytes())
    return digest.hexdigest()


def proof_hash(proof: Proof) -> str:
    """SHA-256 of a proof, hex."""
    digest = hashlib.sha256(b"drat\0" + len(proof).to_bytes(8, "little"))
    for array, kind in ((proof.offsets, "<i4"), (proof.deletes, "u1"), (proof.literals, "<i4")):
        digest.update(np.ascontiguousarray(array).astype(kind).tobytes())
    return digest.hexdigest()


@cache
def _key() -> bytes:
    return secrets.token_bytes(32)


def _seal(fields: tuple[str, str, str, str, tuple[tuple[str, str], ...]]) -> bytes:
    return hmac.digest(_key(), canonical_json(fields), "sha256")


def _refused(what: str, fix: str) -> PatchError:
    return PatchError(what, where="patch", fix=fix)
