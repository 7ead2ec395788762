"""The gate: the only way to production.

A candidate is *unsafe* when its mean risk exceeds its incumbent's by epsilon or more. Over all
candidates ever submitted, the chance that any unsafe one is promoted is at most the policy's
delta: the j-th submission is tested at delta_j = 6 delta / (pi^2 j^2) by an e-process (Ville), the
levels sum to delta, and no evidence is used twice. Why a margin: with epsilon = 0 a candidate that
is exactly as safe as its incumbent could never be told from an unsafe one.

    claim the set and the submission -> battery -> test -> log entry -> record

The opposite test (worse than the margin, at `harm_level`) and the cap on samples only ever reject,
so they cannot weaken the bound.

Source: builderbrain 2 (safety), 5.5, 10; Waudby-Smith & Ramdas, arXiv 2010.09686.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bb_core.canonical import canonical_json, sha256_hex
from bb_core.errors import BBError
from bb_core.lyapunov import v_s
from bb_safety.decision import (
    Check,
    Decision,
    Evidence,
    RiskSummary,
    Verdict,
    decision_to_json,
)
from bb_safety.eprocess import observe, samples_needed, start, upper_bound
from bb_safety.evidence import BatteryResult, CandidateSpec, PairedRisks
from bb_safety.policy import GatePolicy
from bb_safety.risk import weighted_risk
from bb_safety.usage import Recorded, UsageStore

FloatArray = NDArray[np.float64]


class GateError(BBError):
    """The gate was asked something that has no answer."""


class AppendOnlyLog(Protocol):
    """The part of `bem_kernel.ledger.chain.Ledger` that the gate needs."""

    def append(self, entry: Mapping[str, Any]) -> int:
        """Add an entry durably and return its index."""


@dataclass(frozen=True)
class Look:
    """Where the sequential test stopped."""

    verdict: Verdict
    n: int
    log_e: float
    log_e_harm: float


def gate(
    candidate: CandidateSpec,
    incumbent: CandidateSpec,
    policy: GatePolicy,
    *,
    evidence: PairedRisks,
    battery: BatteryResult,
    ledger: AppendOnlyLog,
    usage: UsageStore,
) -> Decision:
    """Decide whether a candidate may become production, and write the decision down.

    The evaluation set and the submission are spent even if the verdict is to reject.

    Args:
        candidate: the revision that wants to be promoted.
        incumbent: the revision in production; the base rail if there is no other.
        policy: margins, levels and weights.
        evidence: risks of both on the same fresh requests, in the order of drawing.
        battery: hard checks on the candidate.
        ledger: hash-chained log that the decision becomes an entry of.
        usage: what was spent before.

    Raises:
        GateError: evidence or battery is about other revisions, or candidate is the incumbent.
        ReusedEvidenceError: the evaluation set was used before; nothing is spent.
        EvidenceError: other risk components were measured than the policy declares.
    """
    _check_about(candidate, incumbent, evidence, battery)
    new = weighted_risk(evidence.candidate, policy.components())
    old = weighted_risk(evidence.incumbent, policy.components())
    submission = usage.claim(
        candidate.revision, incumbent.revision, policy.fingerprint, evidence.evaluation_set
    )
    differences = np.concatenate([submission.earlier, new - old])
    delta_j = policy.delta_for(submission.number)
    look = sequential_test(differences, policy, delta_j)
    checks = battery_checks(candidate, battery, policy)
    failed = [check for check in checks if not check.holds]
    verdict: Verdict = "reject" if failed else look.verdict
    decision = Decision(
        verdict=verdict,
        candidate=candidate.revision,
        incumbent=incumbent.revision,
        submission=submission.number,
        policy=policy.fingerprint,
        evaluation_set=evidence.evaluation_set.name,
        evidence=_figures(differences, look, policy, delta_j),
        risks=_summaries(policy, evidence),
        battery=checks,
        reasons=_reasons(failed, look, policy, delta_j),
        next_step=_next_step(
            verdict, failed, policy, differences=differences[: look.n], delta_j=delta_j
        ),
    )
    return _record(decision, evidence, _measurement(policy, new, old), ledger, usage)


def recompute(decision: Decision, usage: UsageStore) -> Look:
    """Run a recorded decision's test again on the risks that were recorded with it.

    Raises:
        GateError: the gate recorded no decision under this sequence number.
    """
    recorded = usage.decision(decision.sequence)
    if recorded is None:
        raise GateError(
            f"decision {decision.sequence} is not recorded",
            where="gate",
            fix="see `bb gate status` for those that are",
        )
    differences = usage.differences(decision.submission, until=decision.sequence)
    return sequential_test(differences, recorded_policy(recorded), decision.evidence.delta_j)


def recorded_policy(recorded: Recorded) -> GatePolicy:
    """The policy that a recorded decision was made under."""
    return GatePolicy.model_validate(json.loads(recorded.measurement)["policy"])


def battery_checks(
    candidate: CandidateSpec, battery: BatteryResult, policy: GatePolicy
) -> tuple[Check, ...]:
    """The hard conditions; one that does not hold rejects the candidate."""
    n = battery.requests
    base = battery.base_fingerprint
    declared = candidate.base_fingerprint
    return (
        Check("coverage", n >= policy.min_battery, f"{n} requests, {policy.min_battery} needed"),
        Check("syntax", battery.syntax_valid == n, f"{battery.syntax_valid} of {n} plans parse"),
        Check("admissible", battery.admissible == n, f"{battery.admissible} of {n} admitted"),
        Check("base", base == declared, f"ran on {base[:12]}, declared {declared[:12]}"),
    )


def sequential_test(differences: FloatArray, policy: GatePolicy, delta_j: float) -> Look:
    """Look after every sample from `min_samples` on and stop at the first that decides.

    Args:
        differences: (n,) float64 in [-1, 1], in the order they were drawn.
        policy: margin, bets, sample limits and the level of the opposite test.
        delta_j: level for promotion.
    """
    grid = policy.bets.grid()
    _, path = observe(start(policy.epsilon, grid), differences)
    _, harm = observe(start(policy.epsilon, grid, sign=-1), differences)
    safe_enough = np.maximum.accumulate(path) >= -math.log(delta_j)
    harmful = harm >= -math.log(policy.harm_level)
    deciding = np.flatnonzero(safe_enough | harmful)
    deciding = deciding[deciding >= policy.min_samples - 1]
    end = int(deciding[0]) if deciding.size else len(differences) - 1
    verdict: Verdict = "more_data"
    if deciding.size:
        verdict = "promote" if safe_enough[end] else "reject"
    elif len(differences) >= policy.max_samples:
        verdict = "reject"
    return Look(verdict, end + 1, float(path[: end + 1].max()), float(harm[end]))


def _check_about(
    candidate: CandidateSpec,
    incumbent: CandidateSpec,
    evidence: PairedRisks,
    battery: BatteryResult,
) -> None:
    if candidate.revision == incumbent.revision:
        raise GateError(
            f"revision {candidate.revision[:12]} is its own incumbent",
            where="gate",
            fix="submit a revision that is not in production",
        )
    for what, found, wanted in (
        ("the candidate's risks are", evidence.candidate_revision, candidate.revision),
        ("the incumbent's risks are", evidence.incumbent_revision, incumbent.revision),
        ("the battery is", battery.revision, candidate.revision),
    ):
        if found != wanted:
            raise GateError(
                f"{what} about revision {found[:12]}, not {wanted[:12]}",
                where="gate",
                fix="measure the revisions that are submitted",
            )


def _figures(differences: FloatArray, look: Look, policy: GatePolicy, delta_j: float) -> Evidence:
    seen = differences[: look.n]
    return Evidence(
        n=look.n,
        n_measured=len(differences),
        epsilon=policy.epsilon,
        delta_j=delta_j,
        log_e=look.log_e,
        log_e_harm=look.log_e_harm,
        mean_difference=float(seen.mean()),
        upper_bound=upper_bound(seen, delta_j, policy.bets.grid()),
    )


def _reasons(
    failed: list[Check], look: Look, policy: GatePolicy, delta_j: float
) -> tuple[str, ...]:
    lines = [f"battery: {check.name} fails: {check.detail}" for check in failed]
    against = f"1/delta_j = {1 / delta_j:.4g}"
    e_value = f"e-value {_scientific(look.log_e)}"
    if look.verdict == "promote":
        lines.append(f"{e_value} reached {against} after {look.n} requests")
    elif look.n >= policy.max_samples:
        lines.append(f"{e_value} never reached {against} in {look.n} requests, all that may be had")
    elif look.verdict == "reject":
        lines.append(
            f"worse than the margin: opposite e-value {_scientific(look.log_e_harm)} reached "
            f"{1 / policy.harm_level:.4g} after {look.n} requests"
        )
    else:
        lines.append(f"{e_value} has not reached {against} after {look.n} requests")
    return tuple(lines)


def _next_step(
    verdict: Verdict,
    failed: list[Check],
    policy: GatePolicy,
    *,
    differences: FloatArray,
    delta_j: float,
) -> str:
    if verdict == "promote":
        return "nothing to do: the registry switches production if the incumbent is still there"
    if failed:
        return f"mend what fails ({', '.join(check.name for check in failed)}) and submit again"
    if verdict == "reject":
        return "train a candidate with lower risk; this one needs a new submission and fresh data"
    process, _ = observe(start(policy.epsilon, policy.bets.grid()), differences)
    left = policy.max_samples - process.n
    needed = samples_needed(process, differences, -math.log(delta_j), left)
    if needed is None:
        return f"a lower risk: at the risk seen, the {left} requests still allowed would not do"
    needed = max(needed, policy.min_samples - process.n)
    return f"about {needed} more fresh requests if the risk stays as seen ({left} are allowed)"


def _summaries(policy: GatePolicy, evidence: PairedRisks) -> dict[str, RiskSummary]:
    summaries = {}
    for side, columns in (("candidate", evidence.candidate), ("incumbent", evidence.incumbent)):
        means = {name: float(np.mean(columns[name])) for name in sorted(columns)}
        summaries[side] = RiskSummary(v_s(policy.components(), means), means)
    return summaries


def _measurement(policy: GatePolicy, new: FloatArray, old: FloatArray) -> str:
    """What the decision can be recomputed from, as canonical JSON."""
    document = {
        "candidate": new.tolist(),
        "incumbent": old.tolist(),
        "policy": policy.model_dump(mode="json"),
    }
    return canonical_json(document).decode()


def _record(
    decision: Decision,
    evidence: PairedRisks,
    measurement: str,
    ledger: AppendOnlyLog,
    usage: UsageStore,
) -> Decision:
    """Log first, then record under the log's index."""
    entry = decision_to_json(decision)
    del entry["sequence"]
    sequence = ledger.append(
        {
            "type": "gate.decision",
            "decision": entry,
            "evaluation_set": evidence.evaluation_set.digest,
            "measurement": sha256_hex(measurement.encode()),
        }
    )
    final = replace(decision, sequence=sequence)
    document = canonical_json(decision_to_json(final)).decode()
    usage.settle(
        Recorded(sequence, decision.submission, document, measurement),
        evidence.evaluation_set,
        more_data=decision.verdict == "more_data",
    )
    return final


def _scientific(log_value: float) -> str:
    """A number given by its natural logarithm, readable at any size."""
    if log_value < 690.0:
        return f"{math.exp(log_value):.4g}"
    return f"1e{log_value / math.log(10.0):.0f}"
