"""From a registered candidate to a decision and, if it says so, to production."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from bb_safety.decision import Decision
from bb_safety.evidence import BatteryResult, CandidateSpec, PairedRisks
from bb_safety.policy import GatePolicy
from bb_safety.promote import GateError, gate
from bb_safety.registry import Registry, Revision


class Evaluator(Protocol):
    """Measures a candidate beside its incumbent; implemented where models can be run."""

    def battery(self, candidate: CandidateSpec) -> BatteryResult:
        """Decode the battery's requests with the candidate and count what holds."""

    def paired_risks(self, candidate: CandidateSpec, incumbent: CandidateSpec) -> PairedRisks:
        """Draw fresh requests and measure both on each, without any side effect."""


@dataclass(frozen=True)
class Measured:
    """An evaluator that gives what was measured before."""

    risks: PairedRisks
    counts: BatteryResult

    def battery(self, candidate: CandidateSpec) -> BatteryResult:
        """The counts; `gate` refuses them if they are about another revision."""
        return self.counts

    def paired_risks(self, candidate: CandidateSpec, incumbent: CandidateSpec) -> PairedRisks:
        """The risks; `gate` refuses them if they are about other revisions."""
        return self.risks


def submit(
    registry: Registry, candidate: Revision, policy: GatePolicy, evaluator: Evaluator
) -> Decision:
    """Measure a candidate against production, let the gate decide, and carry the decision out.

    Raises:
        GateError: nothing is in production yet, or the evidence is about other revisions.
        ReusedEvidenceError: the evaluation set was used before.
        VoidDecisionError: production changed while the candidate was measured.
    """
    incumbent = registry.production()
    if incumbent is None:
        raise GateError(
            "nothing is in production to compare with",
            where="gate",
            fix="begin with the base rail alone: Registry.begin(base_fingerprint, provenance)",
        )
    decision = gate(
        candidate.spec(),
        incumbent.spec(),
        policy,
        evidence=evaluator.paired_risks(candidate.spec(), incumbent.spec()),
        battery=evaluator.battery(candidate.spec()),
        ledger=registry.log,
        usage=registry.usage,
    )
    if decision.verdict == "promote":
        registry.promote(decision)
    return decision
