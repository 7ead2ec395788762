"""Plans over HTTP: decoded under the masks, checked, run by the executor, and watched.

A plan that is sent is checked like one that was decoded: nothing in a request stands for a
certificate. Runs are made one after another, since they share a log; a client that goes away ends
the decoding of a plan, never its run.
"""

from __future__ import annotations

import json
import logging
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bb_core.errors import BBError
from bb_core.plan import Plan, plan_text
from bb_core.prompt import format_prompt
from bb_domains.domain import Domain
from bb_domains.kit import open_adapters
from bb_domains.tools import Adapters
from bb_nn.rail import DualRailForCausalLM
from bb_runtime.constraints import keep_to_plans
from bb_runtime.decode import decode_plans
from bb_runtime.engine import Engine, Part, Sampling
from bb_runtime.errors import PlanRefused
from bb_runtime.execute import StepOutcome
from bb_runtime.execution import Execution
from bb_runtime.fallback import Proposal, Proposer, fulfil, propose
from bb_runtime.http.errors import error_data
from bb_runtime.http.logprobs import chat_logprobs
from bb_runtime.http.refusal import HttpError
from bb_runtime.run_plan import as_data
from bb_runtime.run_status import RunView, run_views
from bem_kernel.ledger.chain import Ledger

logger = logging.getLogger(__name__)

OpenAdapters = Callable[[Domain], AbstractContextManager[Adapters]]


@dataclass
class PlanTask:
    """One plan request on its way, watched from any thread.

    Attributes:
        id: of the request.
        domain: whose plan.
        key: name of the key that asked.
        status: `deciding`, then `checked`, `running`, or how it ended: as `execute` says,
            `refused` or `error`.
        events: what happened so far.
        answer: once it has ended.
        error: what it failed with.
        watching: called after each event.
        changed: held while any of these is read or changed.
    """

    domain: str
    key: str
    id: str = field(default_factory=lambda: f"plan-{uuid.uuid4().hex}")
    status: str = "deciding"
    events: list[dict[str, Any]] = field(default_factory=list)
    answer: dict[str, Any] | None = None
    error: Exception | None = None
    watching: list[Callable[[], object]] = field(default_factory=list)
    changed: threading.RLock = field(default_factory=threading.RLock)

    def tell(self, event: str, status: str | None = None, **data: Any) -> None:
        """Something happened."""
        with self.changed:
            self.status = status or self.status
            self.events.append({"number": len(self.events), "event": event, **data})
            for tell in self.watching:
                tell()

    def end(self, status: str, **data: Any) -> None:
        """It has ended."""
        with self.changed:
            self.answer = {"id": self.id, "object": "plan", "domain": self.domain, "status": status}
            self.answer |= data
            self.tell("end", status)

    def fail(self, status: str, error: Exception) -> None:
        """It has ended with an error."""
        with self.changed:
            self.error = error
            self.end(status, **error_data(error))

    def data(self) -> dict[str, Any]:
        """How it stands."""
        with self.changed:
            if self.answer is not None:
                return self.answer
            return {
                "id": self.id, "object": "plan", "domain": self.domain, "status": self.status,
            }  # fmt: skip

    def after(self, number: int) -> tuple[list[dict[str, Any]], bool]:
        """Events from a number on; and whether these are the last."""
        with self.changed:
            return self.events[number:], self.answer is not None

    @contextmanager
    def watched(self, tell: Callable[[], object]) -> Iterator[None]:
        """Call `tell`, from any thread, after each event."""
        with self.changed:
            self.watching.append(tell)
        try:
            yield
        finally:
            with self.changed:
                self.watching.remove(tell)


@dataclass(frozen=True)
class Decoding:
    """How a plan is decoded.

    Attributes:
        max_new_tokens: budget.
        temperature: 0 for the likeliest plan.
        seed: of the random numbers.
        deadline_s: in seconds, or None.
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
    """

    def __init__(
        self,
        engine: Engine,
        domains: Sequence[Domain],
        log: Path | None,
        *,
        opened: OpenAdapters = open_adapters,
    ) -> None:
        self.domains: Mapping[str, Domain] = {domain.name: domain for domain in domains}
        self._engine = engine
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
        domain = self.domains[task.domain]

        def by_rail() -> str:
            constraint = keep_to_plans(self._engine.tokenizer, domain, how.max_new_tokens)
            sampling = Sampling(
                how.max_new_tokens, how.temperature, seed=how.seed, logprobs=how.logprobs
            )
            generation = self._engine.submit(
                format_prompt(request), sampling, constraint, deadline_s=how.deadline_s
            )
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
            task.tell("decoded", proposer=self._engine.name, tokens=made.completion_tokens)
            return made.text

        def by_base() -> str:
            with self._engine.lock:
                (made,) = decode_plans(
                    self._engine.model.base, self._engine.tokenizer, [request], domain,
                    max_new_tokens=how.max_new_tokens, temperature=how.temperature, seed=how.seed,
                )  # fmt: skip
            task.tell("decoded", proposer="base", tokens=made.tokens)
            return made.text

        rail = Proposer(self._engine.name, by_rail)
        is_pair = isinstance(self._engine.model, DualRailForCausalLM)
        return [rail, Proposer("base", by_base)] if is_pair else [rail]

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
        try:
            if run or dry_run:
                self._run(task, domain, proposers, dry_run=dry_run)
            else:
                proposal, _ = propose(domain, proposers)
                task.end("checked", **_proposed(proposal))
        except PlanRefused as refusal:
            task.fail("refused", refusal)
        except Exception as error:  # whoever waits for the task must be told
            if not isinstance(error, BBError):
                logger.exception("a plan request failed")
            task.fail("error", error)

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
                domain, [first, *proposers[1:]], adapters, ledger,
                on_plan=on_plan, on_step=on_step, dry_run=dry_run,
            )  # fmt: skip
        task.end(done.status, **_proposed(proposal), execution=as_data(done), **_doubts(done))

    def views(self, allowed: Callable[[str], bool]) -> list[RunView]:
        """Runs in the log, of domains that are allowed."""
        if self._log is None or not self._log.exists():
            return []
        return [view for view in run_views(self._log) if allowed(view.domain)]


def sent_plan(plan: Plan) -> Proposer:
    """What proposes a plan that a request holds."""
    return Proposer("request", lambda: plan_text(plan))


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
