"""Sabotage of patches: what is not what was proved is refused, with a message that says which."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path

import pytest

from bem_kernel.circuits.circuit import Circuit, Gate, Op
from bem_kernel.circuits.expression import compile_expressions
from bem_kernel.errors import ExpertError, PatchError
from bem_kernel.experts.expert import Expert
from bem_kernel.experts.table import ExpertTable
from bem_kernel.ledger.chain import Ledger
from bem_kernel.logic.proof import proof_from_steps
from bem_kernel.memory.configuration import MachineConfig
from bem_kernel.memory.memory import Memory
from bem_kernel.patches.apply import apply
from bem_kernel.patches.certificate import Certificate, certify
from bem_kernel.patches.edits import perform
from bem_kernel.patches.patch import Invariant, Patch, Predicate, Scope
from bem_kernel.patches.propose import (
    drafted,
    propose_invariants,
    propose_replace,
    propose_retire,
)
from bem_kernel.patches.structure import structure_hash
from bem_kernel.patches.verify import Proved, verify

# x = a ^ b in four gates, and in one.
LONG = Circuit(2, (Gate(Op.OR, 0, 1), Gate(Op.AND, 0, 1), Gate(Op.ANDN, 2, 3)), (4,))
SHORT = Circuit(2, (Gate(Op.XOR, 0, 1),), (2,))
WRONG = Circuit(2, (Gate(Op.OR, 0, 1),), (2,))


@pytest.fixture
def table() -> ExpertTable:
    """Two experts; bits 0 and 1 are read, 2 is written."""
    sizes = {"shared_words": 4096, "expert_words": 4096, "max_experts": 8}
    table = ExpertTable(Memory(MachineConfig(n_bits=8, n_shared_bits=64, **sizes)))
    for name, circuit in (("sum", LONG), ("or", WRONG)):
        table.add(Expert(name, (0, 1), circuit, (2,)))
    return table


@pytest.fixture
def log(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "log.jsonl")


def proved(table: ExpertTable, patch: Patch) -> Certificate:
    verdict = verify(table, patch)
    assert isinstance(verdict, Proved), verdict
    return verdict.certificate


def test_one_gate_different_from_what_was_proved(table: ExpertTable, log: Ledger) -> None:
    word = table.find("sum")
    patch = propose_replace(table, word, SHORT, reason="smaller")
    certificate = proved(table, patch)
    other = replace(patch.added[0].expert, circuit=WRONG)  # XOR became OR
    changed = replace(patch, added=(replace(patch.added[0], expert=other),))
    with pytest.raises(PatchError, match=r"patch: the certificate is for another patch, [0-9a-f]"):
        apply(table, changed, certificate, log)
    # … and with all hashes of the patch put right:
    honest = drafted(table, changed)
    with pytest.raises(PatchError, match="the certificate is for another patch"):
        apply(table, honest, certificate, log)
    # … and with the proofs of the good patch under the bad one's name:
    verdict = verify(table, patch)
    assert isinstance(verdict, Proved)
    evidence = replace(verdict.evidence, patch=honest.fingerprint)
    with pytest.raises(PatchError, match="no proof that 'sum' and 'sum' write the same"):
        certify(table, honest, evidence)
    assert structure_hash(table) == patch.before and len(log) == 0


def test_a_patch_that_is_changed_behind_its_back(table: ExpertTable, log: Ledger) -> None:
    patch = propose_replace(table, table.find("sum"), SHORT, reason="smaller")
    certificate = proved(table, patch)
    assert certificate.patch == patch.fingerprint
    object.__setattr__(patch.added[0].expert, "circuit", WRONG)
    with pytest.raises(PatchError, match="the certificate is for another patch"):
        apply(table, patch, certificate, log)
    assert structure_hash(table) == patch.before and len(log) == 0


def test_certificates_for_something_else(table: ExpertTable, log: Ledger) -> None:
    patch = propose_replace(table, table.find("sum"), SHORT, reason="smaller")
    certificate = proved(table, patch)
    scope = Scope((0,), compile_expressions(["a"], ["a"]))
    narrow = propose_replace(table, table.find("sum"), SHORT, scope=scope, reason="smaller")
    with pytest.raises(PatchError, match="the certificate is for another scope"):
        apply(table, patch, proved(table, narrow), log)
    with pytest.raises(PatchError, match="the certificate is for another patch"):
        apply(table, replace(patch, reason="other"), certificate, log)
    with pytest.raises(PatchError, match="the certificate is for another base"):
        apply(table, replace(patch, before="0" * 64), certificate, log)
    retire = propose_retire(table, [table.find("or")], reason="x")
    apply(table, retire, proved(table, retire), log)
    with pytest.raises(PatchError, match=r"the certificate is for a machine of base .*, this one"):
        apply(table, patch, certificate, log)
    with pytest.raises(PatchError, match=r"the patch is for a machine of base .*, this one is"):
        verify(table, patch)
    assert len(log) == 1


def test_no_certificate_and_forged_ones(table: ExpertTable, log: Ledger) -> None:
    patch = propose_replace(table, table.find("sum"), WRONG, reason="wrong")
    for nothing in (None, True, patch, "proved"):
        with pytest.raises(PatchError, match=r"patch: no certificate but .*; verify the patch"):
            apply(table, patch, nothing, log)  # type: ignore[arg-type]
    good = proved(table, propose_replace(table, table.find("sum"), SHORT, reason="smaller"))
    fields = {"patch": patch.fingerprint, "before": patch.before, "after": patch.after}
    for seal in (good.seal, bytes(32), "x" * 32):
        forged = replace(good, **fields, seal=seal)  # type: ignore[arg-type]
        with pytest.raises(PatchError, match="the certificate was not made by verify"):
            apply(table, patch, forged, log)
    assert structure_hash(table) == patch.before and len(log) == 0


def test_proofs_are_checked(table: ExpertTable) -> None:
    patch = propose_replace(table, table.find("sum"), SHORT, reason="smaller")
    verdict = verify(table, patch)
    assert isinstance(verdict, Proved)
    evidence = verdict.evidence
    assert certify(table, patch, evidence) == verdict.certificate
    with pytest.raises(PatchError, match="2 proofs for 3 obligations"):
        certify(table, patch, replace(evidence, proofs=evidence.proofs[:2]))
    wrong = propose_replace(table, table.find("sum"), WRONG, reason="wrong")
    bound = {"patch": wrong.fingerprint}
    for proof in (evidence.proofs[0], proof_from_steps([(False, [])]), proof_from_steps([])):
        with pytest.raises(
            PatchError, match=r"no proof that 'sum' and 'sum' write the same .*: st"
        ):
            certify(table, wrong, replace(evidence, **bound, proofs=(proof, *evidence.proofs[1:])))
    with pytest.raises(PatchError, match="the evidence is for another scope"):
        certify(table, patch, replace(evidence, scope="0" * 64))


def test_a_patched_machine_is_sealed(table: ExpertTable, log: Ledger) -> None:
    patch = propose_replace(table, table.find("sum"), SHORT, reason="smaller")
    certificate = proved(table, patch)
    assert not table.sealed
    apply(table, patch, certificate, log)
    bad = propose_retire(table, [table.find("or")], reason="x")
    for change in (
        lambda: table.add(Expert("more", (0, 1), SHORT, (2,))),
        lambda: table.retire(table.find("or")),
        table.rebalance,
        lambda: perform(table, bad),
        lambda: perform(table, invariant_patch(table)),
    ):
        with pytest.raises(ExpertError, match="expert table: sealed, as the machine has been st"):
            change()
    assert structure_hash(table) == patch.after
    assert ExpertTable(table.memory).sealed


def invariant_patch(table: ExpertTable) -> Patch:
    holds = Predicate((5,), compile_expressions(["!a"], ["a"]))
    return propose_invariants(table, [Invariant("!s5", holds)], reason="x")


def test_only_apply_changes_a_machine() -> None:
    """Whoever else changes structure in the code does so to copies, to see where a patch leads."""
    allowed = {
        "lifted_seal": {"apply", "proposer"},
        "write_invariants": {"edits"},
        "write_program": {"edits", "program"},
        "perform": {"apply", "certificate", "propose", "proposer"},
        "revert": {"apply"},
    }
    for file in sorted((Path(__file__).parents[3] / "bem_kernel").rglob("*.py")):
        text = file.read_text()
        for node in ast.walk(ast.parse(text)) if any(name in text for name in allowed) else ():
            called = node.func if isinstance(node, ast.Call) else None
            name = getattr(called, "attr", getattr(called, "id", ""))
            assert file.stem in allowed.get(name, {file.stem}), f"{file} calls {name}"
