"""Calls carried out: written down, made, repeated where that is safe, and never otherwise.

The only place from which a plan calls a domain's tools. A `Carrier` cannot be made without the
plan's certificate, and makes no call that is not a step of that plan or the declared undo of one
(probes are declared, and only read).

A call whose answer is not known (a crash, a deadline, a broken connection) is

- repeated, if it only reads or takes an idempotency key: the same key, so at most one effect;
- else looked up by the tool's `probe`: if it happened, the run goes on;
- else in doubt: somebody says whether it happened. Until then the run stands.

A probe that finds nothing is believed when the run is resumed and the call's deadline is over, not
in the moment of the failure: the call may still be on its way.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from bb_core.errors import BBError
from bb_core.plan import Plan
from bb_domains.asides import Aside
from bb_domains.domain import Domain
from bb_domains.errors import DomainError
from bb_domains.schema import Tool
from bb_domains.tools import Adapters
from bb_runtime.attempt import Answer, Attempt, may_repeat, pause_s
from bb_runtime.check import Certificate, verify_certificate
from bb_runtime.errors import ExecutionRefused
from bb_runtime.journal import CallRecord, Journal
from bb_runtime.run_log import RunLog

UNDO = "undo:"
"""Before the id of a step, it names the step's undo."""

KEYS_LAST_S = 24 * 3600.0
"""Services forget idempotency keys; after so long, a call is not repeated under its old key."""

Word = bool | Mapping[str, Any]
"""What somebody says of a call in doubt: whether it happened, or what it answered."""

Decision = Literal["call", "repeat", "happened", "doubt"]


@dataclass(frozen=True)
class Task:
    """A call to be made: a step, or the undo of one.

    Attributes:
        name: the step's id; `undo:` before it for its undo.
        tool: name of the tool.
        args: its arguments, references replaced.
        shown: its arguments for the log, references in place: what they refer to may be private.
        facts: what probes speak of.
        probe: how to find out whether it happened.
        problem: why the call cannot be made.
    """

    name: str
    tool: str
    args: Mapping[str, Any] = field(default_factory=dict)
    shown: Mapping[str, Any] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    probe: Aside | None = None
    problem: str = ""


@dataclass(frozen=True)
class StepOutcome:
    """What became of a step.

    Attributes:
        step: its id.
        tool: its tool.
        ok: whether the call succeeded.
        result: the tool's result, as it came; empty if it failed, and in a dry run.
        reason: why it failed; empty if it did not.
        in_doubt: whether a failed call may have had its effect nevertheless.
        seconds: duration of the call.
        replayed: whether it was done before the run was resumed.
    """

    step: str
    tool: str
    ok: bool
    result: Mapping[str, Any] = field(default_factory=dict)
    reason: str = ""
    in_doubt: bool = False
    seconds: float = 0.0
    replayed: bool = False


@dataclass
class Carrier:
    """Carries out the calls of one run.

    Attributes:
        domain: whose tools.
        plan: the plan whose calls these are.
        certificate: of the plan; every call is held against it.
        adapters: carry calls out; None in a dry run, where every call succeeds with no result.
        journal: where calls and answers are written down; None in a dry run.
        log: the run's entries in the chain.
        recorded: calls of the run before it was resumed.
        words: what somebody said of calls in doubt.
        finished: whether no call is left to be made, so that none need be made again.
        pause: waits between two tries, in seconds.
    """

    domain: Domain
    plan: Plan
    certificate: Certificate
    adapters: Adapters | None
    journal: Journal | None
    log: RunLog
    recorded: Mapping[str, CallRecord] = field(default_factory=dict)
    words: Mapping[str, Word] = field(default_factory=dict)
    finished: bool = False
    pause: Callable[[float], object] = time.sleep
    running: dict[str, tuple[Task, Attempt]] = field(default_factory=dict, init=False)
    _decisions: dict[str, Decision] = field(default_factory=dict, init=False)
    _settled: dict[str, StepOutcome] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        verify_certificate(self.certificate, self.domain, self.plan)
        self._steps = {step.id: step for step in self.plan.steps}
        for step in self.plan.steps:
            self.log.learn(step.tool, step.args)
            if step.id in self.recorded:
                self.log.learn(step.tool, self.recorded[step.id].result)

    def decide(self, task: Task) -> Decision:
        """What is to be done about a task: decided once, with the service asked if need be."""
        if task.name not in self._decisions:
            self._decisions[task.name] = self._decision(task)
        return self._decisions[task.name]

    def judge(self, task: Task) -> Decision:
        """Decide about a call in doubt that is not to be made any more: did it happen?"""
        record = self.recorded[task.name]
        is_over = time.time() - record.at_s > self._tool(task).timeout_s
        self._decisions[task.name] = self._judged(task, is_over=is_over)
        return self._decisions[task.name]

    def denied(self, name: str) -> bool:
        """Whether a call in doubt turned out not to have happened."""
        return self._decisions.get(name) == "call"

    def start(self, task: Task) -> None:
        """Begin a task; its outcome is had from `end`.

        Raises:
            BBError: log or journal cannot be written; the call is not made.
        """
        decision = self.decide(task)
        if task.name in self._settled:
            return
        if task.problem:
            self._settle(task, Answer(reason=task.problem), 0.0)
        elif self.adapters is None:
            self.log.call(task.name, task.tool, task.shown, self._key(task))
            self._settle(task, Answer(), 0.0)
        elif decision == "doubt":
            reason = "nobody knows whether it happened"
            outcome = StepOutcome(task.name, task.tool, False, reason=reason, in_doubt=True)
            self._settled[task.name] = outcome
        else:
            self._begin(task)

    def end(self, name: str) -> StepOutcome:
        """Wait for a task; a failed call is repeated as often as its tool and safety allow.

        Raises:
            BBError: log or journal cannot be written.
            BaseException: what the adapter raised besides its own kinds of failure.
        """
        if name in self._settled:
            return self._settled.pop(name)
        task, attempt = self.running[name]
        answer, tries = attempt.answer(), 1
        tool = self._tool(task)
        while answer.reason and tries <= tool.retries and may_repeat(tool, answer):
            self.log.retry(name, tries, answer.reason)
            self.pause(pause_s(tries))
            attempt, tries = self._begin(task), tries + 1
            answer = attempt.answer()
        del self.running[name]
        if answer.reason and self._is_unknown(task, answer) and not tool.idempotent:
            answer = self._looked_up(task, answer)
        self._settle(task, answer, attempt.seconds)
        return self._settled.pop(name)

    def drain(self) -> list[StepOutcome]:
        """Wait for everything that was started."""
        return [self.end(name) for name in [*self.running, *self._settled]]

    def _begin(self, task: Task) -> Attempt:
        """Write a call down, in the log and in the journal, then make it."""
        self._check_certified(task)
        assert self.adapters is not None
        assert self.journal is not None
        key = self._key(task)
        self.log.call(task.name, task.tool, task.shown, key)
        if not self._is_again(task):
            self.journal.call(self.log.run, task.name, time.time())
        attempt = Attempt(self.adapters, task.tool, task.args, key, self._tool(task).timeout_s)
        self.running[task.name] = task, attempt
        return attempt

    def _check_certified(self, task: Task) -> None:
        """Refuse a call that is neither a step of the certified plan nor the undo of one.

        The plan is held against its certificate again: it may have been changed since.
        """
        verify_certificate(self.certificate, self.domain, self.plan)
        step = self._steps.get(task.name.removeprefix(UNDO))
        if step is not None and task.name == step.id:
            handles = self.domain.schema.tools[step.tool].handles
            plain = {name: value for name, value in step.args.items() if name not in handles}
            given = {name: value for name, value in task.args.items() if name not in handles}
            if task.tool == step.tool and given == plain and task.args.keys() == step.args.keys():
                return
        elif step is not None:
            undo = self.domain.machine.tools[step.tool].undo
            if undo is not None and (task.tool, task.args.keys()) == (undo.tool, undo.args.keys()):
                return
        raise ExecutionRefused(
            f"call {task.name} of {task.tool} is not in the certified plan",
            where="execute",
            fix="check the plan that is meant",
        )

    def _settle(self, task: Task, answer: Answer, seconds: float) -> None:
        """Write an answer down: in the journal first, which is what a resumed run goes by."""
        unknown = self._is_unknown(task, answer)
        if self.journal is not None and not task.problem and not self._is_again(task):
            result = None if answer.reason else answer.result
            self.journal.answer(self.log.run, task.name, result, unknown=unknown)
        if answer.reason:
            self.log.failure(task.name, answer.reason, seconds, in_doubt=unknown)
        else:
            self.log.result(task.name, task.tool, answer.result, seconds)
        self._settled[task.name] = StepOutcome(
            task.name,
            task.tool,
            not answer.reason,
            answer.result,
            answer.reason,
            unknown,
            seconds,
        )

    def _decision(self, task: Task) -> Decision:
        record, tool = self.recorded.get(task.name), self._tool(task)
        if record is None:
            return "call"
        if record.status == "ok":
            if self.finished or (tool.effect == "write" and not self._is_login(task)):
                self._replay(task, record.result)
                return "happened"
            return "call"
        if record.status == "failed" and not record.unknown:
            return "call"
        age_s = time.time() - record.at_s
        if tool.effect != "write" or (tool.idempotent and 0 <= age_s < KEYS_LAST_S):
            return "repeat"
        return self._judged(task, is_over=age_s > tool.timeout_s)

    def _judged(self, task: Task, *, is_over: bool) -> Decision:
        """The decision on a call of which nobody knows whether it happened."""
        word = self.words.get(task.name)
        if word is not None:
            self.log.word(task.name, happened=word is not False)
            if word is False:
                return "call"
            self._accept(task, {} if word is True else word)
            return "happened"
        found = self._probe(task)
        if isinstance(found, Mapping):
            self._accept(task, found)
            return "happened"
        return "call" if found is False and is_over else "doubt"

    def _accept(self, task: Task, result: Mapping[str, Any]) -> None:
        """A call turned out to have happened."""
        if self.journal is not None:
            self.journal.answer(self.log.run, task.name, result)
        self._replay(task, result)

    def _replay(self, task: Task, result: Mapping[str, Any]) -> None:
        if not self.log.has("result", task.name):
            self.log.result(task.name, task.tool, result, 0.0)
        self._settled[task.name] = StepOutcome(task.name, task.tool, True, result, replayed=True)

    def _looked_up(self, task: Task, answer: Answer) -> Answer:
        """The answer of a failed call, or a success if the probe says so."""
        found = self._probe(task)
        return Answer(found) if isinstance(found, Mapping) else answer

    def _probe(self, task: Task) -> Mapping[str, Any] | Literal[False] | None:
        """What the probe answered if the call happened, False if not, None if it cannot tell."""
        if task.probe is None or self.adapters is None:
            return None
        happened: bool | None = None
        answer = Answer()
        try:
            args = task.probe.arguments(task.facts)
            tool = self.domain.schema.tools[task.probe.tool]
            answer = Attempt(self.adapters, task.probe.tool, args, None, tool.timeout_s).answer()
            if not answer.reason:
                happened = task.probe.says_yes(task.facts, answer.result)
        except DomainError:
            happened = None
        self.log.probe(task.name, task.probe.tool, happened)
        if happened is None:
            return None
        return answer.result if happened else False

    def _is_again(self, task: Task) -> bool:
        """Whether a call was answered before the run was resumed; the journal keeps that answer."""
        record = self.recorded.get(task.name)
        return record is not None and record.status == "ok"

    def _tool(self, task: Task) -> Tool:
        return self.domain.schema.tools[task.tool]

    def _is_login(self, task: Task) -> bool:
        service = self.domain.schema.service
        return bool(service and service.bearer and service.bearer.tool == task.tool)

    def _is_unknown(self, task: Task, answer: Answer) -> bool:
        return answer.unknown and self._tool(task).effect == "write"

    def _key(self, task: Task) -> str | None:
        return f"{self.log.run}:{task.name}" if self._tool(task).idempotent else None


def follow(value: Any, path: str) -> Any:
    """The value at a dotted path of a JSON value; None if there is none."""
    for part in path.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return None
        value = value[part]
    return value


def check_words(words: Mapping[str, Word], recorded: Mapping[str, CallRecord]) -> None:
    """Refuse what is said of calls that are not in doubt.

    Raises:
        BBError: such a call.
    """
    for name in words:
        record = recorded.get(name)
        if record is None or not (record.status == "called" or record.unknown):
            open_calls = [n for n, r in recorded.items() if r.status == "called" or r.unknown]
            raise BBError(
                f"step {name} is not in doubt",
                where="resume",
                fix=f"in doubt are {', '.join(open_calls) or 'none'}",
            )
