"""The plan executor: runs a certified plan as a program of the machine, and writes the chain.

Every call, its result and every change of the plan state is an entry of the hash-chained log, the
call before it is made; private values are there as keyed hashes. The first failure stops the run.

    event    fields besides `event` and `run`
    plan     at, domain, fingerprint, plan_digest, program_hash, plan, dry_run
    guard    step, guard, holds
    call     at, step, tool, args, idempotency_key
    result   step, ok, t_s, and result, or reason and in_doubt
    state    step, set, cleared
    end      at, status, step, reason, in_doubt

`plan_digest` is keyed like the private values: a bare hash of a plan would let anyone who has the
log test guesses about what is in it.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np

from bb_core.canonical import canonical_json, sha256_hex
from bb_core.errors import BBError
from bb_core.plan import Plan, Ref, Step, parse_reference, plan_text
from bb_domains.domain import Domain
from bb_domains.errors import DomainError
from bb_domains.guards import holds, parse_guard
from bb_domains.privacy import Redactor, load_log_key
from bb_domains.tools import Adapters, ToolFailed
from bb_runtime.check import Certificate
from bb_runtime.plan_program import plan_program
from bem_kernel.isa.disassembler import disassemble
from bem_kernel.isa.machine import HostCall, HostFunction, Machine, RunResult
from bem_kernel.isa.program import Program
from bem_kernel.ledger.chain import Ledger

__all__ = ["Execution", "StepOutcome", "execute", "plan_program"]


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
    """

    step: str
    tool: str
    ok: bool
    result: Mapping[str, Any] = field(default_factory=dict)
    reason: str = ""
    in_doubt: bool = False
    seconds: float = 0.0


@dataclass(frozen=True)
class Execution:
    """What became of a plan.

    Attributes:
        run: identifier of the run in the log.
        status: "done", or "failed" at `step` for `reason`.
        outcomes: one per step that was called.
        step: the step that failed, "" if none did.
        reason: why, "" if none did.
        facts: names of the state bits that hold afterwards.
        head: the chain hash after the run's last entry, hex.
        dry_run: whether no tool was called.
    """

    run: str
    status: Literal["done", "failed"]
    outcomes: tuple[StepOutcome, ...]
    step: str
    reason: str
    facts: tuple[str, ...]
    head: str
    dry_run: bool


def execute(
    domain: Domain,
    plan: Plan,
    certificate: Certificate,
    adapters: Adapters,
    ledger: Ledger,
    *,
    dry_run: bool = False,
    redactor: Redactor | None = None,
    on_step: Callable[[StepOutcome], object] | None = None,
) -> Execution:
    """Run a plan.

    Args:
        domain: the plan's domain.
        plan: the plan.
        certificate: from `check_plan`, for this plan and domain.
        adapters: carry the calls out.
        ledger: the chain, opened for appending.
        dry_run: call no tool and check no guard; everything else happens.
        redactor: hides private values; None for the key file beside the ledger.
        on_step: called after each step, for whoever watches.

    Returns:
        What became of it; a failing tool or guard is no exception.

    Raises:
        ExecutionRefused: the certificate does not fit; nothing was called.
        LedgerError: the log cannot be written; no further call is made.
    """
    program = plan_program(domain, plan, certificate)
    if redactor is None:
        redactor = Redactor(load_log_key(ledger.path.with_suffix(".key")))
    run = _Run(domain, plan, adapters, ledger, redactor, dry_run=dry_run, on_step=on_step)
    return run.run(program)


class _Run:
    """One run: the host side of the program."""

    def __init__(
        self,
        domain: Domain,
        plan: Plan,
        adapters: Adapters,
        ledger: Ledger,
        redactor: Redactor,
        *,
        dry_run: bool,
        on_step: Callable[[StepOutcome], object] | None,
    ) -> None:
        self.id = uuid.uuid4().hex
        self._domain = domain
        self._plan = plan
        self._adapters = adapters
        self._ledger = ledger
        self._redactor = redactor
        self._dry_run = dry_run
        self._on_step = on_step
        self._steps = {step.id: step for step in plan.steps}
        self._outcomes: dict[str, StepOutcome] = {}
        self._reason = ""
        self._calling = ""
        self._bits = np.zeros(domain.machine.layout.n_bits, dtype=bool)

    def run(self, program: Program) -> Execution:
        self._begin(program)
        machine = Machine(program, host=self._host_table(program), log=self._log)
        self._machine = machine
        try:
            result = machine.run(fuel=len(program.code) + 1)
        except BaseException as error:
            self._end("interrupted", self._calling, type(error).__name__, self._is_in_doubt())
            raise
        return self._finish(result)

    def _begin(self, program: Program) -> None:
        self._append(
            "plan",
            at=_now(),
            domain=self._domain.name,
            fingerprint=self._domain.fingerprint,
            plan_digest=self._redactor.digest(plan_text(self._plan)),
            program_hash=sha256_hex(disassemble(program).encode()),
            plan=[self._shown_step(step) for step in self._plan.steps],
            dry_run=self._dry_run,
        )

    def _finish(self, result: RunResult) -> Execution:
        step, reason = "", ""
        if result.trap is not None:
            step, _, what = result.trap.text.partition(": ")
            reason = f"{what}: {self._reason}" if self._reason else what
        status: Literal["done", "failed"] = "done" if result.halted else "failed"
        in_doubt = any(outcome.in_doubt for outcome in self._outcomes.values())
        self._end(status, step, reason, in_doubt)
        names = self._domain.machine.layout.names
        facts = tuple(names[bit] for bit in np.flatnonzero(self._domain_bits()))
        return Execution(
            self.id,
            status,
            tuple(self._outcomes.values()),
            step,
            reason,
            facts,
            self._ledger.head,
            self._dry_run,
        )

    def _host_table(self, program: Program) -> dict[str, HostFunction]:
        table: dict[str, HostFunction] = {}
        for port in program.ports:
            step_id, _, kind = port.name.partition(".")
            step = self._steps[step_id]
            table[port.name] = self._guard_host(step) if kind == "guard" else self._call_host(step)
        return table

    def _guard_host(self, step: Step) -> HostFunction:
        def check(_: HostCall) -> list[bool]:
            return [not self._guards_hold(step)]

        return check

    def _call_host(self, step: Step) -> HostFunction:
        def call(_: HostCall) -> list[bool]:
            return [not self._call(step)]

        return call

    def _guards_hold(self, step: Step) -> bool:
        """Whether all guards of a step hold; a fact that is not known breaks its guard."""
        if self._dry_run:
            return True
        tool = self._domain.schema.tools[step.tool]
        for text in tool.guards:
            guard = parse_guard(text, tool.properties, f"tool {step.tool}")
            reason = ""
            try:
                if not holds(guard, self._known(step)):
                    reason = f"{text} does not hold"
            except DomainError as error:
                reason = f"{text} cannot be decided: {error.what}"
            self._append("guard", step=step.id, guard=text, holds=not reason)
            if reason:
                self._reason = reason
                return False
        return True

    def _known(self, step: Step) -> dict[str, Any]:
        """What guards speak of: the arguments, and the results behind handle arguments."""
        values: dict[str, Any] = dict(step.args)
        for arg in self._domain.schema.tools[step.tool].handles:
            values[arg] = self._outcomes[_ref(step, arg).step].result
        return values

    def _call(self, step: Step) -> bool:
        """Carry a call out; its entry is on the disk before, its result after."""
        tool = self._domain.schema.tools[step.tool]
        key = f"{self.id}:{step.id}" if tool.idempotent else None
        args = self._redactor.redact(dict(step.args), tool.private)
        self._append(
            "call", at=_now(), step=step.id, tool=step.tool, args=args, idempotency_key=key
        )
        if self._dry_run:
            outcome = StepOutcome(step.id, step.tool, True)
        else:
            self._calling = step.id
            outcome = self._answer(step, key, is_write=tool.effect == "write")
            self._calling = ""
        self._outcomes[step.id] = outcome
        self._reason = outcome.reason
        self._log_result(outcome, tool.private)
        if self._on_step is not None:
            self._on_step(outcome)
        return outcome.ok

    def _answer(self, step: Step, key: str | None, is_write: bool) -> StepOutcome:
        started_s = time.perf_counter()
        result: Mapping[str, Any] = {}
        reason, in_doubt = "", False
        try:
            args = self._resolved(step)
            result = self._adapters.call(step.tool, args, key)
        except ToolFailed as error:
            # Without an answer nobody knows whether the call had its effect.
            reason, in_doubt = error.reason, is_write and error.status == 0
        except BBError as error:
            reason = str(error)
        seconds = time.perf_counter() - started_s
        return StepOutcome(step.id, step.tool, not reason, result, reason, in_doubt, seconds)

    def _resolved(self, step: Step) -> dict[str, Any]:
        """The arguments with each handle replaced by what it refers to."""
        args: dict[str, Any] = dict(step.args)
        for arg in self._domain.schema.tools[step.tool].handles:
            ref = _ref(step, arg)
            args[arg] = _follow(self._outcomes[ref.step].result, ref.path)
            if args[arg] is None:
                raise BBError(
                    f"step {ref.step} answered without {ref.path!r}",
                    where=f"step {step.id}",
                    fix="check the domain against the service",
                )
        return args

    def _log_result(self, outcome: StepOutcome, private: tuple[str, ...]) -> None:
        shown: dict[str, Any] = {"ok": outcome.ok, "t_s": round(outcome.seconds, 6)}
        if outcome.ok:
            shown["result"] = self._loggable(self._redactor.redact(outcome.result, private))
        else:
            shown["reason"] = self._redactor.redact(outcome.reason)
            shown["in_doubt"] = outcome.in_doubt
        self._append("result", step=outcome.step, **shown)

    def _loggable(self, value: Any) -> Any:
        """The value, or its keyed hash where it has no canonical form (an integer above 2^53)."""
        try:
            canonical_json(value)
        except BBError:
            return self._redactor.digest(value)
        return value

    def _log(self, pc: int, text: str) -> None:
        """At `LOG <id> done`: the change of state that the step made; `pc` is not needed."""
        step_id, _, what = text.partition(" ")
        if what != "done":
            return
        bits, names = self._domain_bits(), self._domain.machine.layout.names
        self._append(
            "state",
            step=step_id,
            set=[names[bit] for bit in np.flatnonzero(bits & ~self._bits)],
            cleared=[names[bit] for bit in np.flatnonzero(self._bits & ~bits)],
        )
        self._bits = bits

    def _domain_bits(self) -> np.ndarray:
        """(n_bits,) bool: the domain's state bits in lane 0."""
        state = self._machine.state[: self._domain.machine.layout.n_bits, 0]
        return (state & np.uint64(1)).astype(bool)

    def _shown_step(self, step: Step) -> dict[str, Any]:
        private = self._domain.schema.tools[step.tool].private
        args = self._redactor.redact(dict(step.args), private)
        return {"id": step.id, "tool": step.tool, "args": args}

    def _is_in_doubt(self) -> bool:
        """Whether a call that writes is under way."""
        step = self._steps.get(self._calling)
        return step is not None and self._domain.schema.tools[step.tool].effect == "write"

    def _end(self, status: str, step: str, reason: str, in_doubt: bool) -> None:
        shown = self._redactor.redact(reason)
        self._append("end", at=_now(), status=status, step=step, reason=shown, in_doubt=in_doubt)

    def _append(self, event: str, **fields: Any) -> None:
        self._ledger.append({"event": event, "run": self.id, **fields})


def _ref(step: Step, arg: str) -> Ref:
    """The reference in a handle argument, which the checker has seen."""
    ref = parse_reference(step.args[arg])
    assert ref is not None
    return ref


def _follow(value: Any, path: str) -> Any:
    """The value at a dotted path of a JSON value; None if there is none."""
    for part in path.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return None
        value = value[part]
    return value


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
