"""What the hash-chained log says of a run; private values are there as keyed hashes.

    event    fields besides `event` and `run`
    plan     at, domain, fingerprint, plan_digest, program_hash, plan, dry_run
    resume   at, giving_up
    guard    step, guard, holds
    call     at, step, tool, args, idempotency_key
    retry    step, attempt, reason
    probe    step, tool, happened (null: it could not tell)
    word     step, happened: what a person said of a step in doubt
    result   step, ok, t_s, and result, or reason and in_doubt
    state    step, set, cleared
    undo     steps: about to be taken back, in this order
    end      at, status, step, reason, in_doubt

A step's undo is logged like a step, as `undo:` and its id. Arguments are shown as the plan or the
schema writes them, with references in place: what they refer to may be private. `plan_digest` is
keyed like the private values: a bare hash of a plan would let anyone who has the log test guesses
about what is in it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any

from bb_core.canonical import canonical_json, sha256_hex
from bb_core.errors import BBError
from bb_core.plan import Plan, Step, plan_text
from bb_domains.domain import Domain
from bb_domains.privacy import Redactor
from bem_kernel.isa.disassembler import disassemble
from bem_kernel.isa.program import Program
from bem_kernel.ledger.chain import Ledger, read_entries


class RunLog:
    """Writes the entries of one run.

    Args:
        domain: says which fields are private.
        ledger: the chain, opened for appending.
        redactor: hides private values.
        run: identifier of the run.
        resumed: whether entries of the run may be there already.

    Raises:
        LedgerError: the chain cannot be read.
    """

    def __init__(
        self,
        domain: Domain,
        ledger: Ledger,
        redactor: Redactor,
        run: str,
        *,
        resumed: bool = False,
    ) -> None:
        self._domain, self._ledger, self._redactor, self.run = domain, ledger, redactor, run
        self._known = _known(ledger, run) if resumed else set()

    @property
    def head(self) -> str:
        """The chain hash after the last entry, hex."""
        return self._ledger.head

    def has(self, event: str, step: str) -> bool:
        """Whether an earlier process wrote such an entry."""
        return (event, step) in self._known

    def learn(self, tool: str, values: Mapping[str, Any]) -> None:
        """Note what is private of a call, so that no reason repeats it."""
        self._redactor.learn(values, self._domain.schema.tools[tool].private)

    def begin(self, plan: Plan, program: Program, *, dry_run: bool) -> None:
        """The run begins."""
        for step in plan.steps:
            self.learn(step.tool, step.args)
        self._append(
            "plan",
            at=now(),
            domain=self._domain.name,
            fingerprint=self._domain.fingerprint,
            plan_digest=self._redactor.digest(plan_text(plan)),
            program_hash=sha256_hex(disassemble(program).encode()),
            plan=[self._shown_step(step) for step in plan.steps],
            dry_run=dry_run,
        )

    def resume(self, *, giving_up: bool) -> None:
        """The run goes on, or is taken back."""
        self._append("resume", at=now(), giving_up=giving_up)

    def guard(self, step: str, guard: str, *, holds: bool) -> None:
        """A guard was looked at."""
        self._append("guard", step=step, guard=guard, holds=holds)

    def call(self, step: str, tool: str, args: Mapping[str, Any], key: str | None) -> None:
        """A call is about to be made."""
        shown = self._shown(tool, args)
        self._append("call", at=now(), step=step, tool=tool, args=shown, idempotency_key=key)

    def retry(self, step: str, attempt: int, reason: str) -> None:
        """A call failed and is about to be made once more."""
        self._append("retry", step=step, attempt=attempt, reason=self._redactor.redact(reason))

    def probe(self, step: str, tool: str, happened: bool | None) -> None:
        """A step in doubt was asked about."""
        self._append("probe", step=step, tool=tool, happened=happened)

    def word(self, step: str, *, happened: bool) -> None:
        """Somebody said whether a step in doubt happened."""
        self._append("word", step=step, happened=happened)

    def result(self, step: str, tool: str, result: Mapping[str, Any], seconds: float) -> None:
        """A call succeeded."""
        self.learn(tool, result)
        private = self._domain.schema.tools[tool].private
        shown = self._loggable(self._redactor.redact(result, private))
        self._append("result", step=step, ok=True, t_s=round(seconds, 6), result=shown)

    def failure(self, step: str, reason: str, seconds: float, *, in_doubt: bool) -> None:
        """A call failed."""
        shown, t_s = self._redactor.redact(reason), round(seconds, 6)
        self._append("result", step=step, ok=False, t_s=t_s, reason=shown, in_doubt=in_doubt)

    def state(self, step: str, before: int, after: int) -> None:
        """A step, or its undo, changed the state bits."""
        if not self.has("state", step):
            names = self._domain.machine.layout.names
            self._append(
                "state",
                step=step,
                set=_named(names, after & ~before),
                cleared=_named(names, before & ~after),
            )

    def undo(self, steps: Collection[str]) -> None:
        """Steps are about to be taken back."""
        self._append("undo", steps=list(steps))

    def end(self, status: str, step: str, reason: str, *, in_doubt: bool) -> None:
        """The run ends, for now."""
        shown = self._redactor.redact(reason)
        self._append("end", at=now(), status=status, step=step, reason=shown, in_doubt=in_doubt)

    def _shown_step(self, step: Step) -> dict[str, Any]:
        shown = {"id": step.id, "tool": step.tool, "args": self._shown(step.tool, step.args)}
        return {**shown, "after": list(step.after)} if step.after else shown

    def _shown(self, tool: str, args: Mapping[str, Any]) -> Any:
        private = self._domain.schema.tools[tool].private
        return self._loggable(self._redactor.redact(dict(args), private))

    def _loggable(self, value: Any) -> Any:
        """The value, or its keyed hash where it has no canonical form (an integer above 2^53)."""
        try:
            canonical_json(value)
        except BBError:
            return self._redactor.digest(value)
        return value

    def _append(self, event: str, **fields: Any) -> None:
        self._ledger.append({"event": event, "run": self.run, **fields})


def named_bits(domain: Domain, bits: int) -> tuple[str, ...]:
    """Names of the state bits that are set."""
    return tuple(_named(domain.machine.layout.names, bits))


def _named(names: tuple[str, ...], bits: int) -> list[str]:
    return [name for i, name in enumerate(names) if bits >> i & 1]


def _known(ledger: Ledger, run: str) -> set[tuple[str, str]]:
    entries = (entry for entry in read_entries(ledger.path) if entry.get("run") == run)
    return {(entry["event"], entry.get("step", "")) for entry in entries}


def now() -> str:
    """The time, ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
