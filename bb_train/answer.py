"""Step 7: one request from decoding to the changed rows of the service's database."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bb_core.plan import Plan, parse_plan
from bb_core.workspace import Workspace
from bb_domains.api_json.demo import Demo
from bb_domains.api_json.planner import RequestPlanner, World
from bb_domains.api_json.workflows import plan_for
from bb_domains.domain import Domain
from bb_runtime.check import check_plan
from bb_runtime.decode import decode_plans
from bb_runtime.draw import draw_terminal
from bb_runtime.errors import PlanRefused
from bb_runtime.execute import StepOutcome, execute
from bb_train.evaluate import DecodeBudget
from bb_train.promotion import load_rail
from bb_train.service import changed_rows, database, read_rows
from bb_train.study import Model
from bem_kernel.ledger.chain import Ledger, verify

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


def unseen_request(demo: Demo, seed: int) -> tuple[str, Plan]:
    """A request of a composition held out from training, and its scripted workflow.

    It is about orders and customers drawn anew from the live service.
    """
    planner = RequestPlanner(World.read(demo.auditor), seed)
    request = next(planner.plan("unseen_compositions", 1))
    return request.text, plan_for(request.goals)


def answer_request(
    work: Workspace,
    domain: Domain,
    demo: Demo,
    rail: tuple[Path, Model, DecodeBudget],
    wanted: tuple[str, Plan],
    say: Say,
) -> Answer:
    """Decode a plan under the masks, draw it, check it, run it, and show what it changed.

    Args:
        work: its logs get the run's chain.
        domain: the plan's domain.
        demo: the live service.
        rail: folder of the rail, its base, and the budget of the answer.
        wanted: the request, and the scripted workflow that the plan is compared with.
        say: prints one line.
    """
    folder, model, budget = rail
    request = wanted[0]
    say(f"request: {request}")
    decoded = decode_plans(
        *load_rail(folder, model),
        [request],
        domain,
        max_new_tokens=budget.plan_bytes,
        batch_size=1,
    )[0]
    say(f"decoded {decoded.tokens} tokens in {decoded.seconds:.1f} s under the masks")
    if not decoded.finished:
        reason = f"no end within {budget.plan_bytes} tokens"
        return Answer(request, decoded.text, "unfinished", reason, False, (), "")
    return _check_and_run(work, domain, demo, (wanted, decoded.text), say)


def _check_and_run(
    work: Workspace,
    domain: Domain,
    demo: Demo,
    decoded: tuple[tuple[str, Plan], str],
    say: Say,
) -> Answer:
    (request, reference), text = decoded
    plan = parse_plan(text)
    for line in draw_terminal(plan).splitlines():
        say(f"  {line}")
    same = plan == reference
    try:
        certificate = check_plan(domain, plan)
    except PlanRefused as refusal:
        say(f"refused: {refusal}")
        return Answer(request, text, "refused", str(refusal), same, (), "")
    say(f"checked: certificate for plan {certificate.plan_hash[:12]}")
    before = read_rows(database(work))
    log = work.logs / "plans.ledger"
    with Ledger(log) as ledger:
        done = execute(
            domain, plan, certificate, demo.adapters, ledger, on_step=lambda o: _say_step(o, say)
        )
    changes = changed_rows(before, read_rows(database(work)))
    say(f"execution: {done.status} {done.reason}".rstrip())
    say(f"{len(changes)} rows of the service's database changed" + ":" * bool(changes))
    for line in changes:
        say(f"  {line}")
    _verify(log, done.head, say)
    say(f"the plan {'equals' if same else 'differs from'} the scripted workflow of this request")
    return Answer(request, text, done.status, done.reason, same, tuple(changes), done.head)


def _say_step(outcome: StepOutcome, say: Say) -> None:
    end = "ok" if outcome.ok else f"FAILED: {outcome.reason}"
    say(f"  {outcome.step} {outcome.tool}: {end} ({1000 * outcome.seconds:.0f} ms)")


def _verify(log: Path, head: str, say: Say) -> None:
    found = verify(log, head)
    state = "verified" if found.ok else f"BROKEN: {found.reason}"
    say(f"log chain {log}: {found.entries} entries, {state}, head {found.head[:12]}")
