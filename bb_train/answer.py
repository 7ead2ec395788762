"""Step 7: one request from decoding to the changed rows of the service's database."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bb_core.plan import Plan, parse_plan
from bb_core.trace import Trace, trace_plan
from bb_core.workspace import Workspace
from bb_domains.api_json.demo import Demo
from bb_domains.api_json.traces import TraceMaker
from bb_domains.domain import Domain
from bb_runtime.check import check_plan
from bb_runtime.decode import decode_plans
from bb_runtime.draw import draw_terminal
from bb_runtime.errors import PlanRefused
from bb_runtime.execute import StepOutcome, execute
from bb_train.evaluate import DecodeBudget
from bb_train.promotion import load_rail
from bb_train.service import changed_rows, database, read_rows, service_copy
from bb_train.study import Model
from bem_kernel.ledger import Ledger, verify

Say = Callable[[str], None]


@dataclass(frozen=True)
class Answer:
    """What became of the request.

    Attributes:
        request: its text.
        plan: the decoded text.
        status: "done", "failed" at a step, "refused" by the checker, or "unfinished".
        reason: why it is not done; empty if it is.
        matches_reference: whether the plan is the scripted workflow's.
        changes: one line per changed row of the database.
        chain_head: of the log after the run; empty if nothing ran.
    """

    request: str
    plan: str
    status: str
    reason: str
    matches_reference: bool
    changes: tuple[str, ...]
    chain_head: str

    def summary(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self) | {"changes": list(self.changes)}


def unseen_request(work: Workspace, seed: int) -> Trace:
    """A request of a composition held out from training, about entities drawn anew.

    Its reference workflow runs on a copy of the service, so the live one is still as it was.
    """
    with service_copy(work) as scratch:
        maker = TraceMaker(scratch.adapters, scratch.auditor, seed)
        return next(iter(maker.make("unseen_compositions", 1)))


def answer_request(
    work: Workspace,
    domain: Domain,
    demo: Demo,
    rail: tuple[Path, Model, DecodeBudget],
    trace: Trace,
    say: Say,
) -> Answer:
    """Decode a plan under the masks, draw it, check it, run it, and show what it changed.

    Args:
        work: its logs get the run's chain.
        domain: the plan's domain.
        demo: the live service.
        rail: folder of the rail, its base, and the budget of the answer.
        trace: the request, and the scripted workflow that the plan is compared with.
        say: prints one line.
    """
    folder, model, budget = rail
    say(f"request: {trace.request}")
    decoded = decode_plans(
        *load_rail(folder, model),
        [trace.request],
        domain,
        max_new_tokens=budget.max_new_tokens,
        batch_size=1,
    )[0]
    say(f"decoded {decoded.tokens} tokens in {decoded.seconds:.1f} s under the masks")
    if not decoded.finished:
        reason = f"no end within {budget.max_new_tokens} tokens"
        return Answer(trace.request, decoded.text, "unfinished", reason, False, (), "")
    return _check_and_run(work, domain, demo, trace, decoded.text, say)


def _check_and_run(
    work: Workspace, domain: Domain, demo: Demo, trace: Trace, text: str, say: Say
) -> Answer:
    plan = parse_plan(text)
    for line in draw_terminal(plan).splitlines():
        say(f"  {line}")
    matches = plan == trace_plan(trace)
    try:
        certificate = check_plan(domain, plan)
    except PlanRefused as refusal:
        say(f"refused: {refusal}")
        return Answer(trace.request, text, "refused", str(refusal), matches, (), "")
    say(f"checked: certificate for plan {certificate.plan_hash[:12]}")
    before = read_rows(database(work))
    log = work.logs / "plans.jsonl"
    with Ledger(log) as ledger:
        execution = execute(
            domain, plan, certificate, demo.adapters, ledger, on_step=lambda o: _say_step(o, say)
        )
    changes = changed_rows(before, read_rows(database(work)))
    say(f"execution: {execution.status} {execution.reason}".rstrip())
    say(f"{len(changes)} rows of the service's database changed" + ":" * bool(changes))
    for line in changes:
        say(f"  {line}")
    _verify(log, execution.head, say)
    _say_match(plan, trace, say)
    return Answer(
        trace.request, text, execution.status, execution.reason, matches, tuple(changes),
        execution.head,
    )  # fmt: skip


def _say_step(outcome: StepOutcome, say: Say) -> None:
    end = "ok" if outcome.ok else f"FAILED: {outcome.reason}"
    say(f"  {outcome.step} {outcome.tool}: {end} ({1000 * outcome.seconds:.0f} ms)")


def _verify(log: Path, head: str, say: Say) -> None:
    found = verify(log, head)
    state = "verified" if found.ok else f"BROKEN: {found.reason}"
    say(f"log chain {log}: {found.entries} entries, {state}, head {found.head[:12]}")


def _say_match(plan: Plan, trace: Trace, say: Say) -> None:
    same = plan == trace_plan(trace)
    say(f"the plan {'equals' if same else 'differs from'} the scripted workflow of this request")
