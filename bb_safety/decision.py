"""The gate's decision as a value, and its JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

Verdict = Literal["promote", "reject", "more_data"]


@dataclass(frozen=True)
class Check:
    """One hard condition of the battery."""

    name: str
    holds: bool
    detail: str


@dataclass(frozen=True)
class Evidence:
    """What the test found, at the look that decided.

    Attributes:
        n: paired requests up to the deciding look, over all sets of this submission.
        n_measured: paired requests measured.
        epsilon: the margin.
        delta_j: the level spent by this submission; promotion needs an e-value of 1 / delta_j.
        log_e: natural log of the e-value for "not worse by epsilon" at the deciding look.
        log_e_harm: natural log of the e-value for "worse by more than epsilon" there.
        mean_difference: mean of D over the n requests; negative is better than the incumbent.
        upper_bound: E[D] is below this with chance 1 - delta_j, at any number of looks.
    """

    n: int
    n_measured: int
    epsilon: float
    delta_j: float
    log_e: float
    log_e_harm: float
    mean_difference: float
    upper_bound: float

    @property
    def e_value(self) -> float:
        """The e-value, capped at 1e300 so that it stays a JSON number."""
        return math.exp(min(self.log_e, 690.0))


@dataclass(frozen=True)
class RiskSummary:
    """Lyapunov value V_s of one side on the last set, and the means it is made of."""

    v_s: float
    components: Mapping[str, float]


@dataclass(frozen=True)
class Decision:
    """What the gate decided and on what grounds.

    Attributes:
        verdict: promote, reject or more_data.
        candidate: revision.
        incumbent: revision that the candidate was compared with.
        submission: j, the candidate's place in the sequence of submissions.
        policy: fingerprint of the policy.
        evaluation_set: name of the set this decision used up.
        evidence: the test's figures, margin and level.
        risks: V_s and components by side, "candidate" and "incumbent".
        battery: the hard checks.
        reasons: why, for people.
        next_step: what would change the verdict, for people.
        sequence: index of this decision's entry in the hash-chained log.
    """

    verdict: Verdict
    candidate: str
    incumbent: str
    submission: int
    policy: str
    evaluation_set: str
    evidence: Evidence
    risks: Mapping[str, RiskSummary]
    battery: tuple[Check, ...]
    reasons: tuple[str, ...]
    next_step: str
    sequence: int = -1


def decision_to_json(decision: Decision) -> dict[str, Any]:
    """The decision as plain JSON values."""
    document = asdict(decision)
    document["battery"] = list(document["battery"])
    document["reasons"] = list(document["reasons"])
    document["evidence"]["e_value"] = decision.evidence.e_value
    return document


def decision_from_json(document: Mapping[str, Any]) -> Decision:
    """The inverse of `decision_to_json`."""
    fields = dict(document)
    evidence = {key: value for key, value in fields.pop("evidence").items() if key != "e_value"}
    risks = {side: RiskSummary(**summary) for side, summary in fields.pop("risks").items()}
    battery = tuple(Check(**check) for check in fields.pop("battery"))
    reasons = tuple(fields.pop("reasons"))
    return Decision(
        evidence=Evidence(**evidence), risks=risks, battery=battery, reasons=reasons, **fields
    )
