"""Measures a candidate beside its incumbent on fresh requests, without touching the world.

Both decode under the masks. A plan is judged by what it would do: its dry run reads from the
service that holds the state the requests were made for, and its writes are collected, not sent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bb_core.canonical import canonical_json
from bb_core.plan import Plan
from bb_domains.domain import Domain
from bb_domains.schema import PlanSchema
from bb_domains.tools import Adapters
from bb_runtime.check import check_plan
from bb_runtime.decode import Decoded
from bb_runtime.errors import PlanRefused
from bb_runtime.execute import execute
from bb_safety.evidence import BatteryResult, CandidateSpec, EvaluationSet, PairedRisks
from bb_safety.risk import Change, PlanOutcome, request_risk, risk_columns
from bb_train.metrics import is_admitted, is_sentence, plan_of
from bem_kernel.ledger.chain import Ledger


@dataclass
class DryRunAdapters:
    """Sends reads on, and collects writes instead of sending them.

    Attributes:
        schema: says which tools write.
        reading: carries the reads out.
        writes: the calls collected so far, as (tool, canonical JSON of resolved arguments).
    """

    schema: PlanSchema
    reading: Adapters
    writes: Counter[tuple[str, str]] = field(default_factory=Counter)

    def call(
        self, tool: str, args: Mapping[str, Any], idempotency_key: str | None = None
    ) -> dict[str, Any]:
        """The result of a read; an empty one for a write."""
        if self._is_read(tool):
            return self.reading.call(tool, args, idempotency_key)
        self.writes[tool, canonical_json(dict(args)).decode()] += 1
        return {}

    def _is_read(self, tool: str) -> bool:
        """A login counts as a read: it opens the session that reads need."""
        service = self.schema.service
        bearer = service.bearer.tool if service and service.bearer else None
        return self.schema.tools[tool].effect == "read" or tool == bearer


def dry_run(
    domain: Domain, plan: Plan, reading: Adapters, ledger: Ledger
) -> frozenset[Change] | None:
    """What an admissible plan would change, as the calls it would send.

    Args:
        domain: the plan's domain.
        plan: the plan.
        reading: carries reads out.
        ledger: gets the run's entries.

    Returns:
        One change per write, with the number of times it would be sent; None if a read or a guard
        fails on the way.

    Raises:
        PlanRefused: the plan is not admissible.
    """
    adapters = DryRunAdapters(domain.schema, reading)
    execution = execute(domain, plan, check_plan(domain, plan), adapters, ledger, at_once=1)
    if execution.status != "done":
        return None
    return frozenset(
        Change(f"/calls/{tool}/{args}", None, str(times))
        for (tool, args), times in adapters.writes.items()
    )


_FAILED = frozenset({Change("/failed", None, "true")})


@dataclass(frozen=True)
class Reference:
    """A fresh request and what carrying it out changes."""

    request: str
    changes: frozenset[Change]


@dataclass
class ShadowEvaluator:
    """The gate's evaluator for rails: decodes each revision once and remembers its answers.

    Attributes:
        domain: whose checker and effects count.
        base: fingerprint of the base rail that `decode` really runs beside.
        seed: of the draw.
        references: the drawn requests, in the order of drawing.
        decode: answers of a revision to the requests, under the masks.
        effects: what an admissible plan would change, None if its dry run fails.
    """

    domain: Domain
    base: str
    seed: int
    references: Sequence[Reference]
    decode: Callable[[CandidateSpec, Sequence[str]], list[Decoded]]
    effects: Callable[[Plan], frozenset[Change] | None]
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
        drawn = EvaluationSet.of("fresh", self.seed, [r.request for r in self.references])
        return PairedRisks(
            drawn,
            candidate.revision,
            incumbent.revision,
            risk_columns(self._risks(candidate)),
            risk_columns(self._risks(incumbent)),
        )

    def _decoded(self, revision: CandidateSpec) -> list[Decoded]:
        if revision.revision not in self._answers:
            requests = [reference.request for reference in self.references]
            self._answers[revision.revision] = self.decode(revision, requests)
        return self._answers[revision.revision]

    def _risks(self, revision: CandidateSpec) -> list[dict[str, float]]:
        answers = self._decoded(revision)
        return [
            request_risk(self._outcome(answer), reference.changes)
            for answer, reference in zip(answers, self.references, strict=True)
        ]

    def _outcome(self, answer: Decoded) -> PlanOutcome:
        plan = plan_of(answer)
        if plan is None:
            return PlanOutcome(answer.finished)
        try:
            changes = self.effects(plan)
        except PlanRefused:
            return PlanOutcome(finished=True)
        return PlanOutcome(True, True, _FAILED if changes is None else changes)


def measurable(
    workflows: Iterable[tuple[str, Plan]],
    effects: Callable[[Plan], frozenset[Change] | None],
    n: int,
) -> list[Reference]:
    """The first `n` requests whose scripted workflow holds in the state that dry runs read.

    Requests are planned one after the other and may depend on each other (an address changed by
    one is used by the next), while dry runs all start from the same state.

    Args:
        workflows: request and scripted plan, in the order of drawing.
        effects: what a plan would change, None if its dry run fails.
        n: how many are wanted.
    """
    found = []
    for request, plan in workflows:
        changes = effects(plan)
        if changes is not None:
            found.append(Reference(request, changes))
        if len(found) == n:
            break
    return found
