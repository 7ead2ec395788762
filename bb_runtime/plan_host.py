"""The host side of a plan's programs: what the machine's host calls do, and what the end means."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import takewhile
from typing import Any

import numpy as np

from bb_core.plan import Ref, Step, parse_reference, references
from bb_domains.errors import DomainError
from bb_domains.guards import holds
from bb_domains.schema import Tool
from bb_runtime.carrier import UNDO, Carrier, StepOutcome, Task, follow
from bb_runtime.execution import End, Execution, OnStep, Rule
from bb_runtime.journal import CallRecord, RunRecord, Status, is_ok
from bb_runtime.plan_program import fold, undo_program
from bb_runtime.run_log import named_bits
from bb_runtime.schedule import plan_lanes
from bem_kernel.isa.machine import HostCall, HostFunction, Machine, RunResult
from bem_kernel.isa.program import Program

NOBODY_KNOWS = "nobody knows whether it happened"


class PlanHost:
    """Runs the programs of one run.

    Args:
        carrier: carries the calls of the plan out.
        on_step: called after each step.
        undo: whether a failure is followed by a compensation.
    """

    def __init__(
        self,
        carrier: Carrier,
        on_step: OnStep | None,
        *,
        undo: bool,
    ) -> None:
        domain, plan = carrier.domain, carrier.plan
        self._domain, self._plan, self._certificate = domain, plan, carrier.certificate
        self._carrier, self._log, self._on_step, self._undo = carrier, carrier.log, on_step, undo
        self._steps = {step.id: step for step in plan.steps}
        self._lanes = plan_lanes(domain, plan)
        self._outcomes: dict[str, StepOutcome] = {}
        self._undone: list[str] = []
        self._reason = ""
        self._bits = 0

    def forward(self, program: Program) -> Execution:
        """Run the plan's program; at a failure, take back what can be taken back."""
        result = self._run(program)
        if result.trap is None:
            return self._end("done", "", "", "")
        for outcome in self._carrier.drain():
            self._keep(outcome)
        self._recall(self._carrier.recorded)
        step, reason = self._said(result)
        rule = self._rule(result, step)
        if self._doubts():
            return self._end("in_doubt", step, reason, rule)
        if not self._undo or not self._reversible():
            return self._end("failed", step, reason, rule)
        return self._take_back(step, reason, rule)

    def back(self, record: RunRecord) -> Execution:
        """Take back what an earlier process did."""
        for step in self._plan.steps:
            if self._is_write(step) and _is_open(record.calls.get(step.id)):
                self._judge(step)
        self._recall(record.calls)
        self._undone = [name for name in reversed(self._steps) if is_ok(record, UNDO + name)]
        self._bits = fold(self._lanes, self._held())
        doubts = self._doubts()
        if doubts:
            return self._end("in_doubt", doubts[0], NOBODY_KNOWS, "tool")
        if not self._reversible():
            return self._end("failed" if self._writes() else "undone", record.step, "given up", "")
        return self._take_back(record.step, "given up", "", again=self._for_session())

    def _take_back(
        self, step: str, reason: str, rule: Rule, again: Sequence[str] = ()
    ) -> Execution:
        """Take steps back, the last first, up to the first whose tool does not say how."""
        held, steps = self._held(), self._reversible()
        if self._carrier.journal is not None:
            self._carrier.journal.settle(self._log.run, "undoing", step)
        self._log.undo(steps)
        program = undo_program(self._domain, self._plan, self._certificate, held, steps, again)
        result = self._run(program, fold(self._lanes, held))
        if result.trap is None:
            return self._end("failed" if self._writes() else "undone", step, reason, rule)
        at, why = self._said(result)
        status: End = "in_doubt" if self._doubts() else "failed"
        return self._end(status, step, f"{reason}; {at}: {why}", rule, journal="undoing")

    def _run(self, program: Program, bits: int = 0) -> RunResult:
        """Run a program from a state to its end; an interruption is logged and passed on."""
        table = {port.name: self._host(port.name) for port in program.ports}
        machine = Machine(program, _planes(bits, program.n_bits), host=table, log=self._at_log)
        self._machine, self._bits = machine, bits
        try:
            return machine.run(fuel=len(program.code) + 1)
        except BaseException as error:
            running = [task for task, _ in self._carrier.running.values()]
            writes = [t for t in running if self._domain.schema.tools[t.tool].effect == "write"]
            name = running[0].name if running else ""
            self._log.end("interrupted", name, type(error).__name__, in_doubt=bool(writes))
            if self._carrier.journal is not None and not self._undone:
                self._carrier.journal.settle(self._log.run, "interrupted", name)
            raise

    def _host(self, port: str) -> HostFunction:
        name, _, kind = port.partition(".")
        step = self._steps[name]
        doing: Mapping[str, Callable[[], list[bool]]] = {
            "guard": lambda: [not self._guards_hold(step)],
            "start": lambda: self._start(step),
            "end": lambda: [not self._finish(step)],
            "call": lambda: [*self._start(step), not self._finish(step)],
            "again": lambda: [not self._call_again(step)],
            "look": lambda: [self._call_again(step)][1:],
            "undo": lambda: [not self._undo_step(step)],
        }
        act = doing[kind]

        def call(_: HostCall) -> list[bool]:
            return act()

        return call

    def _start(self, step: Step) -> list[bool]:
        self._carrier.start(self._task(step))
        return []

    def _finish(self, step: Step) -> bool:
        outcome = self._checked(self._carrier.end(step.id))
        self._keep(outcome)
        self._reason = outcome.reason
        return outcome.ok

    def _call_again(self, step: Step) -> bool:
        """Call a step for the session's sake; what it answered at first is what counts."""
        self._carrier.start(self._task(step))
        outcome = self._carrier.end(step.id)
        self._reason = outcome.reason
        return outcome.ok

    def _keep(self, outcome: StepOutcome) -> None:
        self._outcomes[outcome.step] = outcome
        if self._on_step is not None:
            self._on_step(outcome)

    def _checked(self, outcome: StepOutcome) -> StepOutcome:
        """An outcome; a failure if a repeated look-up found another object than before."""
        before = self._carrier.recorded.get(outcome.step)
        if not outcome.ok or outcome.replayed or before is None or before.status != "ok":
            return outcome
        paths = {
            ref.path
            for step in self._plan.steps
            for ref in references(step.args)
            if ref.step == outcome.step
        }
        for path in sorted(paths):
            if follow(before.result, path) != follow(outcome.result, path):
                reason = f"it answers another {path!r} than before the run was resumed"
                return StepOutcome(outcome.step, outcome.tool, False, reason=reason)
        return outcome

    def _undo_step(self, step: Step) -> bool:
        aside = self._domain.machine.tools[step.tool].undo
        declared = self._tool(step.id).undo
        assert aside is not None
        assert declared is not None
        facts = {**self._known_then(step), "result": self._outcomes[step.id].result}
        name, args, problem = UNDO + step.id, dict[str, Any](), ""
        try:
            args = aside.arguments(facts)
        except DomainError as error:
            problem = str(error)
        self._carrier.start(Task(name, aside.tool, args, declared.args, problem=problem))
        outcome = self._carrier.end(name)
        self._keep(outcome)
        self._reason = outcome.reason
        if outcome.ok:
            self._undone.append(step.id)
        return outcome.ok

    def _guards_hold(self, step: Step) -> bool:
        """Whether all guards of a step hold; a fact that is not known breaks its guard."""
        if self._carrier.adapters is None or self._carrier.decide(self._task(step)) != "call":
            return True  # what was begun before the run was resumed was guarded then
        for guard in self._domain.machine.tools[step.tool].guards:
            reason = ""
            try:
                if not holds(guard, self._known(step)):
                    reason = f"{guard.text} does not hold"
            except DomainError as error:
                reason = f"{guard.text} cannot be decided: {error.what}"
            self._log.guard(step.id, guard.text, holds=not reason)
            if reason:
                self._reason = reason
                return False
        return True

    def _task(self, step: Step) -> Task:
        """The call of a step, each handle replaced by what it refers to."""
        shown = dict(step.args)
        if self._carrier.adapters is None:
            return Task(step.id, step.tool, shown, shown)
        args, problem = dict(shown), ""
        for arg in self._tool(step.id).handles:
            ref = _ref(step, arg)
            args[arg] = follow(self._outcomes[ref.step].result, ref.path)
            if args[arg] is None:
                problem = f"step {ref.step} answered without {ref.path!r}"
        probe = self._domain.machine.tools[step.tool].probe
        return Task(step.id, step.tool, args, shown, self._known(step), probe, problem)

    def _known(self, step: Step) -> dict[str, Any]:
        """What guards speak of: the arguments, and the results behind handle arguments."""
        values: dict[str, Any] = dict(step.args)
        for arg in self._tool(step.id).handles:
            values[arg] = self._outcomes[_ref(step, arg).step].result
        return values

    def _known_then(self, step: Step) -> dict[str, Any]:
        """What was known when the step was made, whatever has been read since."""
        values = self._known(step)
        for arg in self._tool(step.id).handles:
            record = self._carrier.recorded.get(_ref(step, arg).step)
            if record is not None and record.status == "ok":
                values[arg] = record.result
        return values

    def _judge(self, step: Step) -> None:
        """Find out whether a write without an answer happened; it is not made now."""
        for arg in self._tool(step.id).handles:  # what its probe speaks of
            found = self._carrier.recorded[_ref(step, arg).step]
            other = self._steps[_ref(step, arg).step]
            self._outcomes.setdefault(other.id, _replayed(other, found))
        decision = self._carrier.judge(self._task(step))
        if decision == "happened":
            self._keep(self._carrier.end(step.id))
        elif decision == "doubt":
            self._outcomes[step.id] = _doubtful(step)

    def _recall(self, calls: Mapping[str, CallRecord]) -> None:
        """Take note of what an earlier process did and this one did not come to."""
        for step in self._plan.steps:
            record = calls.get(step.id)
            if record is None or step.id in self._outcomes:
                continue
            if record.status == "ok":
                self._outcomes[step.id] = _replayed(step, record)
            elif self._is_write(step) and _is_open(record) and not self._carrier.denied(step.id):
                self._outcomes[step.id] = _doubtful(step)

    def _held(self) -> list[str]:
        """Steps that succeeded and were not taken back, in the order of the plan."""
        return [
            name
            for name in self._steps
            if name in self._outcomes and self._outcomes[name].ok and name not in self._undone
        ]

    def _writes(self) -> list[str]:
        """Steps whose effect stands, the last first."""
        return [name for name in reversed(self._held()) if self._is_write(self._steps[name])]

    def _reversible(self) -> list[str]:
        """What can be taken back, the last first; nothing in a dry run."""
        if self._carrier.adapters is None:
            return []
        return list(takewhile(lambda name: self._tool(name).undo is not None, self._writes()))

    def _for_session(self) -> list[str]:
        """Steps to be called anew by another process, so that the service knows it."""
        return [name for name in self._held() if not self._is_write(self._steps[name])]

    def _doubts(self) -> list[str]:
        return [outcome.step for outcome in self._outcomes.values() if outcome.in_doubt]

    def _tool(self, step: str) -> Tool:
        return self._domain.schema.tools[self._steps[step].tool]

    def _is_write(self, step: Step) -> bool:
        """Whether its effect outlasts the session."""
        service = self._domain.schema.service
        bearer = service.bearer.tool if service and service.bearer else None
        return self._tool(step.id).effect == "write" and step.tool != bearer

    def _at_log(self, pc: int, text: str) -> None:
        """At the end of a step or of an undo: the change of state; `pc` is not needed."""
        name, _, what = text.partition(" ")
        if what == "start":
            return
        row = self._machine.state[: self._domain.machine.layout.n_bits, 0]
        bits = sum(1 << i for i in np.flatnonzero(row & np.uint64(1)).tolist())
        self._log.state(UNDO + name if what == "undone" else name, self._bits, bits)
        self._bits = bits

    def _said(self, result: RunResult) -> tuple[str, str]:
        """The step at which a program trapped, and why."""
        assert result.trap is not None
        step, _, what = result.trap.text.partition(": ")
        return step, f"{what}: {self._reason}" if self._reason else what

    def _rule(self, result: RunResult, step: str) -> Rule:
        """What stopped a program: the bit that is set."""
        layout = self._domain.machine.layout
        bits = [bool(result.state[layout.bad + i, 0] & np.uint64(1)) for i in range(3)]
        if bits[1]:
            return "tool"
        if bits[2]:
            return "guard"
        return "invariant" if step in self._outcomes else "precondition"

    def _end(
        self, status: End, step: str, reason: str, rule: Rule, *, journal: Status | None = None
    ) -> Execution:
        self._log.end(status, step, reason, in_doubt=bool(self._doubts()))
        if self._carrier.journal is not None:
            self._carrier.journal.settle(self._log.run, journal or status, step)
        return Execution(
            self._log.run,
            status,
            tuple(self._outcomes.values()),
            step,
            reason,
            rule,
            named_bits(self._domain, fold(self._lanes, self._held())),
            tuple(self._undone),
            tuple(reversed(self._writes())),
            self._log.head,
            self._carrier.adapters is None,
        )


def _ref(step: Step, arg: str) -> Ref:
    """The reference in a handle argument, which the checker has seen."""
    ref = parse_reference(step.args[arg])
    assert ref is not None
    return ref


def _is_open(record: CallRecord | None) -> bool:
    """Whether a call was begun of which nobody knows whether it had its effect."""
    return record is not None and (record.status == "called" or record.unknown)


def _replayed(step: Step, record: CallRecord) -> StepOutcome:
    return StepOutcome(step.id, step.tool, True, record.result, replayed=True)


def _doubtful(step: Step) -> StepOutcome:
    return StepOutcome(step.id, step.tool, False, reason=NOBODY_KNOWS, in_doubt=True)


def _planes(bits: int, n_bits: int) -> np.ndarray:
    """(n_bits, 1) uint64: these state bits in every lane."""
    return np.array([[-(bits >> i & 1) & (1 << 64) - 1] for i in range(n_bits)], dtype=np.uint64)
