"""Step 6: a trained rail goes through the gate, against what is in production."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bb_core.plan import Plan
from bb_core.progress import Progress
from bb_core.workspace import Workspace
from bb_domains.api_json.demo import Demo
from bb_domains.api_json.planner import RequestPlanner, World
from bb_domains.api_json.workflows import plan_for
from bb_domains.domain import Domain
from bb_nn.base import fingerprint, load_base, torch_dtype
from bb_nn.rail import DualRailForCausalLM
from bb_runtime.decode import Decoded, decode_plans
from bb_safety.decision import Decision, decision_from_json, decision_to_json
from bb_safety.evidence import CandidateSpec
from bb_safety.policy import GatePolicy, load_policy
from bb_safety.registry import Registry, Revision
from bb_safety.report import decision_lines, save_picture
from bb_safety.risk import Change
from bb_safety.submit import submit
from bb_train.evaluate import DecodeBudget
from bb_train.run_dir import RunDir, read_record
from bb_train.shadow import ShadowEvaluator, dry_run, measurable
from bb_train.study import Model
from bem_kernel.ledger.chain import Ledger

_FIRST_SEED = 1_000_003  # far from the seeds that traces for training are made with


@dataclass(frozen=True)
class Candidate:
    """A trained rail and what it is judged with.

    Attributes:
        run: folder of its finished run.
        model: base, device and number type.
        domain: whose plans it writes.
        budget: how answers are decoded.
    """

    run: Path
    model: Model
    domain: Domain
    budget: DecodeBudget


@dataclass(frozen=True)
class Verdict:
    """Where a rail stands after the gate.

    Attributes:
        revision: its content address.
        folder: its files in the registry.
        alias: "production" or "candidate".
        decision: the gate's; None if the rail was in production already.
    """

    revision: str
    folder: Path
    alias: str
    decision: Decision | None

    def summary(self) -> dict[str, Any]:
        """As JSON values."""
        decision = None if self.decision is None else decision_to_json(self.decision)
        return {"revision": self.revision, "alias": self.alias, "decision": decision}


def register(registry: Registry, run: Path) -> Revision:
    """Register a finished run's rail; the base alone goes first into an empty registry.

    The provenance holds inputs only, no times, so the same training is the same revision.
    """
    record = read_record(run)
    inputs = {key: record[key] for key in ("method", "base", "domain", "data", "steps")}
    registry.begin(record["base"], {"made_by": "bb_train", "base": record["base"]})
    return registry.add(RunDir(run).model, base_fingerprint=record["base"], provenance=inputs)


def decide(
    work: Workspace,
    candidate: Candidate,
    demo: Demo,
    policy_and_n: tuple[Path, int],
    say: Callable[[str], None],
) -> Verdict:
    """Take a rail through the gate and, if it says so, into production.

    Args:
        work: its registry, logs and pictures.
        candidate: the rail.
        demo: the running service, whose state the dry runs read.
        policy_and_n: the gate's policy file, and how many fresh requests to measure.
        say: prints one line.
    """
    policy_file, n = policy_and_n
    registry = Registry(work)
    revision = register(registry, candidate.run)
    folder = registry.folder(revision)
    assert folder is not None  # a rail has files
    say(f"revision {revision.digest[:12]} registered")
    production = registry.production()
    if production is not None and production.digest == revision.digest:
        say("it is in production already; the gate has nothing to decide")
        return Verdict(revision.digest, folder, "production", None)
    policy = load_policy(policy_file)
    decision = _earlier_rejection(registry, revision, policy)
    if decision is None:
        with _evaluator(work, registry, candidate, demo, n) as evaluator:
            decision = submit(registry, revision, policy, evaluator)
        _picture(work, registry, decision, policy)
    else:
        say("the gate rejected it before, against the same incumbent and policy")
    for line in decision_lines(decision):
        say(line)
    alias = "production" if decision.verdict == "promote" else "candidate"
    return Verdict(revision.digest, folder, alias, decision)


def _earlier_rejection(
    registry: Registry, revision: Revision, policy: GatePolicy
) -> Decision | None:
    """The gate's last word on this revision if it was to reject it under present conditions."""
    production = registry.production()
    for recorded in reversed(registry.usage.decisions()):
        decision = decision_from_json(json.loads(recorded.document))
        if decision.candidate == revision.digest:
            same = production is not None and decision.incumbent == production.digest
            is_last_word = decision.verdict == "reject" and decision.policy == policy.fingerprint
            return decision if same and is_last_word else None
    return None


@contextmanager
def _evaluator(
    work: Workspace, registry: Registry, candidate: Candidate, demo: Demo, n: int
) -> Iterator[ShadowEvaluator]:
    """Fresh requests about the service's present state, and what decodes and dry-runs answers.

    The seed of the draw counts the evaluation sets used so far, so no draw is offered twice.
    """
    domain, seed = candidate.domain, _FIRST_SEED + len(registry.usage.evaluation_sets())
    planner = RequestPlanner(World.read(demo.auditor), seed)
    drawn = ((request.text, plan_for(request.goals)) for request in planner.plan("fresh", 2 * n))
    rails = _Rails(registry, candidate)
    with Ledger(work.caches / f"shadow-{seed}.jsonl", sync="batch") as ledger:

        def effects(plan: Plan) -> frozenset[Change] | None:
            return dry_run(domain, plan, demo.adapters, ledger)

        references = measurable(drawn, effects, n)
        yield ShadowEvaluator(domain, rails.base(), seed, references, rails.decode, effects)


@dataclass(frozen=True)
class _Rails:
    """Decodes with revisions of a registry."""

    registry: Registry
    candidate: Candidate

    def base(self) -> str:
        """Fingerprint of the base that revisions run beside here."""
        return fingerprint(*load_base(self.candidate.model.base))

    def decode(self, revision: CandidateSpec, requests: Sequence[str]) -> list[Decoded]:
        """Answers of a revision under the masks."""
        folder = self.registry.folder(self.registry.find(revision.revision))
        model, tokenizer = load_rail(folder, self.candidate.model)
        with Progress(len(requests), f"decode {revision.kind} {revision.revision[:12]}") as bar:
            return decode_plans(
                model,
                tokenizer,
                requests,
                self.candidate.domain,
                max_new_tokens=self.candidate.budget.plan_bytes,
                batch_size=self.candidate.budget.batch_size,
                on_batch=bar.advance,
            )


def load_rail(folder: Path | None, model: Model) -> tuple[Any, Any]:
    """(model, tokenizer) of a rail's folder, or of the base alone.

    A rail knows its base by the weights as they were trained beside, in float32, so it is found
    and checked in float32 and only then turned into the number type it decodes in.
    """
    if folder is None:
        return load_base(model.base, model.device, model.dtype)
    pair = load_base(model.base, model.device)
    rail = DualRailForCausalLM.from_pretrained(folder, base=pair)
    return rail.to(torch_dtype(model.dtype)), pair[1]


def _picture(work: Workspace, registry: Registry, decision: Decision, policy: GatePolicy) -> None:
    """Draw the path of the e-value, beside the comparison's picture."""
    differences = registry.usage.differences(decision.submission, until=decision.sequence)
    save_picture(work.runs / "report" / "gate.png", decision, differences, policy)
