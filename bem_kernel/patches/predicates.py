"""V_safe, V_equiv and V_proof: the verifier's yes and no.

They are for who asks and does not apply: `apply` wants a certificate, which `verify` makes. Each
yes rests on proofs that the checker has accepted; a no is a counterexample, a spent budget, or a
proof that does not hold.

Source: BEM use 2.4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bem_kernel.experts.table import ExpertTable
from bem_kernel.logic.cnf import Cnf
from bem_kernel.logic.proof import Proof
from bem_kernel.patches.formula import Obligation
from bem_kernel.patches.obligations import equivalence, safety
from bem_kernel.patches.patch import Patch, Scope
from bem_kernel.patches.verify import prove
from bem_kernel.proofs.check import Accepted, check_proof


def is_safe(table: ExpertTable, patch: Patch) -> bool:
    """V_safe(Δ): does the machine keep its invariants under a patch?

    Args:
        table: with the structure that the patch changes.
        patch: as proposed.

    Raises:
        KernelError: the patch is not for this table.
    """
    return _all_proved(safety(table, patch))


def is_equivalent(table: ExpertTable, patch: Patch, scope: Scope) -> bool:
    """V_equiv(Δ, scope): do old and new experts, or old and new program, do the same on a scope?

    Args:
        table: with the structure that the patch changes.
        patch: as proposed; its own scope does not count.
        scope: where they have to agree.

    Raises:
        PatchError: they are of a form that cannot be compared.
        KernelError: the patch is not for this table.
    """
    region = None if patch.region is None else replace(patch.region, preserves=True)
    return _all_proved(equivalence(table, replace(patch, scope=scope, region=region)))


def is_proof(formula: Cnf, proof: Proof) -> bool:
    """V_proof(φ, proof): does a proof show that a formula has no model?"""
    return isinstance(check_proof(formula, proof), Accepted)


def _all_proved(owed: Sequence[Obligation]) -> bool:
    found = prove(owed)
    if not isinstance(found, tuple):
        return False
    return all(is_proof(each.cnf, proof) for each, proof in zip(owed, found, strict=True))
