"""Measures a candidate beside its incumbent on fresh requests, without touching the world.

Both decode under the masks. A plan is judged by what it would do: its dry run reads from a service
that holds the state the requests were made for, and its writes are collected instead of sent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from bb_core.canonical import canonical_json
from bb_core.plan import parse_reference, step_id
from bb_core.trace import Trace
from bb_domains.domain import Domain
from bb_runtime.decode import Decoded
from bb_safety.evidence import BatteryResult, CandidateSpec, EvaluationSet, PairedRisks
from bb_safety.risk import Change, PlanOutcome, request_risk, risk_columns
from bb_train.metrics import is_admitted, is_sentence

Calls = Counter[tuple[str, str]]
"""Side-effecting calls with resolved arguments, as (tool, canonical JSON), with their number."""


@dataclass
class ShadowEvaluator:
    """The gate's evaluator for rails: decodes each revision once and remembers its answers.

    Attributes:
        domain: whose checker and effects count.
        base: fingerprint of the base rail that `decode` really runs beside.
        traces: fresh requests with their reference workflows.
        seed: of the draw.
        decode: answers of a revision to the requests, under the masks.
        effects: the writes of an admitted plan's dry run, or None if it fails on the way.
    """

    domain: Domain
    base: str
    traces: Sequence[Trace]
    seed: int
    decode: Callable[[CandidateSpec, Sequence[str]], list[Decoded]]
    effects: Callable[[str], Calls | None]
    _answers: dict[str, list[Decoded]] = field(default_factory=dict)

    def battery(self, candidate: CandidateSpec) -> BatteryResult:
        """Count which of the candidate's answers parse and are admitted."""
        answers = self._decoded(candidate)
        finished = [answer.text for answer in answers if answer.finished]
        return BatteryResult(
            revision=candidate.revision,
            requests=len(answers),
            syntax_valid=sum(is_sentence(self.domain, text) for text in finished),
            admissible=sum(is_admitted(self.domain, text) for text in finished),
            base_fingerprint=self.base,
        )

    def paired_risks(self, candidate: CandidateSpec, incumbent: CandidateSpec) -> PairedRisks:
        """Risks of both on every request, in the order of drawing."""
        drawn = EvaluationSet.of("fresh", self.seed, [trace.request for trace in self.traces])
        return PairedRisks(
            drawn,
            candidate.revision,
            incumbent.revision,
            risk_columns(self._risks(candidate)),
            risk_columns(self._risks(incumbent)),
        )

    def _decoded(self, revision: CandidateSpec) -> list[Decoded]:
        if revision.revision not in self._answers:
            requests = [trace.request for trace in self.traces]
            self._answers[revision.revision] = self.decode(revision, requests)
        return self._answers[revision.revision]

    def _risks(self, revision: CandidateSpec) -> list[dict[str, float]]:
        answers = self._decoded(revision)
        return [
            request_risk(self._outcome(answer), as_changes(reference_effects(self.domain, trace)))
            for answer, trace in zip(answers, self.traces, strict=True)
        ]

    def _outcome(self, answer: Decoded) -> PlanOutcome:
        if not answer.finished or not is_admitted(self.domain, answer.text):
            return PlanOutcome(answer.finished)
        calls = self.effects(answer.text)
        if calls is None:
            return PlanOutcome(True, True, frozenset({Change("/failed", None, "true")}))
        return PlanOutcome(True, True, as_changes(calls))


def reference_effects(domain: Domain, trace: Trace) -> Calls:
    """The writes that a recorded workflow made, its references replaced by what they were."""
    calls: Calls = Counter()
    results: dict[str, Any] = {}
    for i, step in enumerate(trace.steps):
        results[step_id(i)] = step.result
        if domain.schema.tools[step.tool].effect == "write":
            args = {name: _resolved(value, results) for name, value in step.args.items()}
            calls[step.tool, canonical_json(args).decode()] += 1
    return calls


def as_changes(calls: Calls) -> frozenset[Change]:
    """Calls as changes of the world, one for each tool and arguments, with the number of times."""
    return frozenset(
        Change(f"/calls/{tool}/{args}", None, str(times)) for (tool, args), times in calls.items()
    )


def _resolved(value: Any, results: dict[str, Any]) -> Any:
    reference = parse_reference(value) if isinstance(value, str) else None
    if reference is None:
        return value
    found = results[reference.step]
    for part in reference.path.split("."):
        found = found[part]
    return found
