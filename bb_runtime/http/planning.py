"""Plans over HTTP: decoded under the masks, checked, run by the executor, and watched.

A plan that is sent is checked like one that was decoded: nothing in a request stands for a
certificate. Runs are made one after another, since they share a log; a client that goes away ends
the decoding of a plan, never its run.

A run that was stopped goes on as it does for `bb plan resume`. Its answer hides private values: the
journal does not say whose run it was.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from bb_core.errors import BBError
from bb_core.plan import Plan, parse_plan, plan_text
from bb_core.prompt import format_prompt
from bb_domains.domain import Domain
from bb_domains.kit import open_adapters
from bb_domains.privacy import Redactor, load_log_key
from bb_domains.tools import Adapters
from bb_nn.rail import DualRailForCausalLM
from bb_runtime.carrier import Word
from bb_runtime.constraints import keep_to_plans
from bb_runtime.crashed import note_crashes
from bb_runtime.engine import Engine, Part, Sampling
from bb_runtime.errors import PlanRefused
from bb_runtime.execute import StepOutcome, resume
from bb_runtime.execution import Execution
from bb_runtime.fallback import Fallback, Proposal, Proposer, fulfil, propose
from bb_runtime.http.logprobs import chat_logprobs
from bb_runtime.http.plan_task import PlanTask
from bb_runtime.http.refusal import HttpError
from bb_runtime.journal import RunRecord, journal_path, open_journal
from bb_runtime.run_plan import as_data
from bb_runtime.run_status import RunView, run_views
from bem_kernel.errors import LedgerHeldError
from bem_kernel.ledger.chain import Ledger

logger = logging.getLogger(__name__)

OpenAdapters = Callable[[Domain], AbstractContextManager[Adapters]]


@dataclass(frozen=True)
class Decoding:
    """How a plan is decoded.

    Attributes:
        max_new_tokens: budget.
        temperature: 0 for the likeliest plan.
        seed: of the random numbers.
        deadline_s: seconds from the request on, for all that is decoded, or None.
        logprobs: likeliest tokens told beside each of the rail's; None for no log-probabilities.
    """

    max_new_tokens: int
    temperature: float = 0.0
    seed: int = 0
    deadline_s: float | None = None
    logprobs: int | None = None


class Planner:
    """Answers plan requests of some domains.

    Args:
        engine: decodes.
        domains: by name; the first is used where a request names none.
        log: the chain of executions; None where plans may not be run.
        opened: opens a domain's adapters.
        fallback: whether the base plans where a rule refuses or stops the rail's plan.
    """

    def __init__(
        self,
        engine: Engine,
        domains: Sequence[Domain],
        log: Path | None,
        *,
        opened: OpenAdapters = open_adapters,
        fallback: bool = True,
    ) -> None:
        self.domains: Mapping[str, Domain] = {domain.name: domain for domain in domains}
        self._engine = engine
        self._base = _base_engine(engine) if fallback else None
        self._log, self._opened = log, opened
        self._running = threading.Lock()

    @property
    def may_run(self) -> bool:
        """Whether plans are run at all."""
        return self._log is not None

    def find(self, name: str | None) -> Domain:
        """The domain of this name, or the first.

        Raises:
            HttpError: it is not served.
        """
        name = name or next(iter(self.domains))
        if name not in self.domains:
            known = ", ".join(self.domains)
            raise HttpError(404, f"no domain {name!r} here", where="domain", fix=f"use {known}")
        return self.domains[name]

    def needed_log(self) -> Path:
        """The log of runs.

        Raises:
            HttpError: plans are not run here.
        """
        if self._log is None:
            raise HttpError(
                400, "this server does not run plans", where="run", fix="start it with --allow-run"
            )
        return self._log

    def proposers(
        self, task: PlanTask, request: str, how: Decoding, watch: Callable[[Any], object]
    ) -> list[Proposer]:
        """What decodes plans for a request: the rail, then the base it stands beside.

        Args:
            task: told of each decoded plan.
            request: what the user wants.
            how: budget and sampling.
            watch: handed each generation, so that it can be cancelled.
        """
        until_s = None if how.deadline_s is None else time.monotonic() + how.deadline_s
        engines = [self._engine] if self._base is None else [self._engine, self._base]
        return [
            Proposer(engine.name, partial(self._decode, engine, task, request, how, until_s, watch))
            for engine in engines
        ]

    def _decode(
        self,
        engine: Engine,
        task: PlanTask,
        request: str,
        how: Decoding,
        until_s: float | None,
        watch: Callable[[Any], object],
    ) -> str:
        constraint = keep_to_plans(engine.tokenizer, self.domains[task.domain], how.max_new_tokens)
        sampling = Sampling(
            how.max_new_tokens, how.temperature, seed=how.seed, logprobs=how.logprobs
        )
        left_s = None if until_s is None else max(0.0, until_s - time.monotonic())
        generation = engine.submit(format_prompt(request), sampling, constraint, deadline_s=left_s)
        watch(generation)
        for part in generation:
            if part.text or part.logprobs:
                task.tell("text", text=part.text, **self._told(part))
        (made,) = generation.result()
        if not made.finished:
            raise HttpError(
                408, f"the plan was not finished: {made.reason}", where="plan",
                fix="allow more time", code=made.reason,
            )  # fmt: skip
        task.tell("decoded", proposer=engine.name, tokens=made.completion_tokens)
        return made.text

    def _told(self, part: Part) -> dict[str, Any]:
        """The log-probabilities of a part, where they were asked for."""
        if not part.logprobs:
            return {}
        return {"logprobs": chat_logprobs(self._engine.tokenizer, part.logprobs)["content"]}

    def work(
        self, task: PlanTask, proposers: Sequence[Proposer], *, run: bool, dry_run: bool
    ) -> None:
        """Bring a plan request to its end; whatever happens is told to the task."""
        domain = self.domains[task.domain]

        def act() -> None:
            if run or dry_run:
                self._run(task, domain, proposers, dry_run=dry_run)
            else:
                proposal, _ = propose(domain, proposers, on_fallback=_falling_back(task))
                task.end("checked", **_proposed(proposal))

        _bring_to_end(task, act)

    def _run(
        self, task: PlanTask, domain: Domain, proposers: Sequence[Proposer], *, dry_run: bool
    ) -> None:
        def on_plan(proposal: Proposal) -> None:
            task.tell("checked", "running", **_proposed(proposal))

        def on_step(outcome: StepOutcome) -> None:
            task.tell("step", **_step(outcome))

        text = proposers[0].propose()  # decoded before others have to wait for this run
        first = Proposer(proposers[0].name, lambda: text)
        with (
            self._running,
            Ledger(self.needed_log()) as ledger,
            self._opened(domain) as adapters,
        ):
            proposal, done = fulfil(
                domain, [first, *proposers[1:]], adapters, ledger, on_plan=on_plan,
                on_step=on_step, on_fallback=_falling_back(task), dry_run=dry_run,
            )  # fmt: skip
        task.run = done.run
        task.end(done.status, **_proposed(proposal), execution=as_data(done), **_doubts(done))

    def find_run(self, run: str) -> RunRecord:
        """A run that the journal knows, by its whole identifier.

        Raises:
            HttpError: it is not known.
            BBError: the journal cannot be read.
        """
        path = self.needed_log()
        if journal_path(path).exists():
            with open_journal(path) as journal:
                if any(record.run == run for record in journal.runs()):
                    return journal.find(run)
        raise HttpError(404, f"no run {run!r} is known here", where="plans", fix="GET /v1/plans")

    def resume(self, task: PlanTask, run: str, words: Mapping[str, Word], *, give_up: bool) -> None:
        """Bring a run that was stopped to its end, as `work`."""
        domain, log = self.domains[task.domain], self.needed_log()
        hide = Redactor(load_log_key(log.with_suffix(".key")))

        def on_step(outcome: StepOutcome) -> None:
            task.tell("step", **_step(_hidden(outcome, domain, hide)))

        def act() -> None:
            for step in parse_plan(self.find_run(run).plan or plan_text(Plan(()))).steps:
                hide.learn(step.args, domain.schema.tools[step.tool].private)
            with self._running, Ledger(log) as ledger, self._opened(domain) as adapters:
                done = resume(
                    domain, run, adapters, ledger, words=words, give_up=give_up, on_step=on_step
                )
            outcomes = tuple(_hidden(outcome, domain, hide) for outcome in done.outcomes)
            done = replace(done, outcomes=outcomes, reason=hide.redact(done.reason))
            task.end(done.status, execution=as_data(done), **_doubts(done))

        task.tell("resumed", run=run)
        _bring_to_end(task, act)

    def note_crashes(self) -> list[RunRecord]:
        """Write down, before any run is made, which runs a crash has interrupted.

        Returns:
            Those of the domains that are served; none where another process runs plans.

        Raises:
            BBError: log or journal cannot be used.
        """
        if self._log is None or not self._log.exists():
            return []
        try:
            with self._running, Ledger(self._log) as ledger:
                found = note_crashes(ledger, self.domains)
        except LedgerHeldError:
            logger.warning("another process runs plans; its runs are not looked at")
            return []
        records = [self.find_run(run) for run in found]
        return [record for record in records if record.domain in self.domains]

    def close(self, timeout_s: float) -> None:
        """End the decoding of the base; see `Engine.close`."""
        if self._base is not None:
            self._base.close(timeout_s)

    def views(self, allowed: Callable[[str], bool]) -> list[RunView]:
        """Runs in the log, of domains that are allowed."""
        if self._log is None or not self._log.exists():
            return []
        return [view for view in run_views(self._log) if allowed(view.domain)]


def sent_plan(plan: Plan) -> Proposer:
    """What proposes a plan that a request holds."""
    return Proposer("request", lambda: plan_text(plan))


def _base_engine(engine: Engine) -> Engine | None:
    """The base that a rail stands beside, decoding in turn with it; None where there is none."""
    if not isinstance(engine.model, DualRailForCausalLM):
        return None
    limits = replace(engine.limits, packed=False)  # packing would change the attention of both
    return Engine(engine.model.base, engine.tokenizer, "base", limits, engine.lock)


def _bring_to_end(task: PlanTask, act: Callable[[], object]) -> None:
    try:
        act()
    except PlanRefused as refusal:
        task.fail("refused", refusal)
    except Exception as error:  # whoever waits for the task must be told
        if not isinstance(error, BBError):
            logger.exception("a plan request failed")
        task.fail("error", error)


def _falling_back(task: PlanTask) -> Callable[[Fallback], object]:
    def tell(fallback: Fallback) -> None:
        task.fall_back(fallback)
        data = {"plan": task.id, **asdict(fallback)}
        logger.warning("a plan made room for the next", extra={"data": data})

    return tell


def _hidden(outcome: StepOutcome, domain: Domain, hide: Redactor) -> StepOutcome:
    """An outcome with its private values as keyed hashes."""
    private = domain.schema.tools[outcome.tool].private
    hide.learn(outcome.result, private)
    result = hide.redact(outcome.result, private)
    return replace(outcome, result=result, reason=hide.redact(outcome.reason))


def _proposed(proposal: Proposal) -> dict[str, Any]:
    text = plan_text(proposal.plan)
    return {
        "proposer": proposal.proposer,
        "plan": json.loads(text)["plan"],
        "text": text,
        "plan_hash": proposal.certificate.plan_hash,
    }


def _step(outcome: StepOutcome) -> dict[str, Any]:
    return {
        "step": outcome.step, "tool": outcome.tool, "ok": outcome.ok, "reason": outcome.reason,
        "in_doubt": outcome.in_doubt,
    }  # fmt: skip


def _doubts(done: Execution) -> dict[str, Any]:
    doubts = [outcome.step for outcome in done.outcomes if outcome.in_doubt]
    return {"in_doubt": doubts} if doubts else {}
