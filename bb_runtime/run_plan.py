"""Run a certified plan for a command, and say what happened."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typer

from bb_core.plan import Plan, plan_text
from bb_domains.domain import Domain
from bb_domains.kit import open_adapters
from bb_runtime.check import Certificate
from bb_runtime.execute import Execution, StepOutcome, execute
from bem_kernel.ledger.chain import Ledger


def run_and_report(
    domain: Domain,
    plan: Plan,
    certificate: Certificate,
    log: Path,
    *,
    dry_run: bool = False,
    as_json: bool = False,
) -> Execution:
    """Run a plan: steps on stderr as they happen, the outcome on stdout.

    Raises:
        BBError: the log or the service's declaration is unusable; nothing was called then.
    """

    def say(outcome: StepOutcome) -> None:
        mark = "ok" if outcome.ok else f"failed: {outcome.reason}"
        typer.echo(f"  {outcome.step}  {outcome.tool}  {mark}", err=True)

    with Ledger(log) as ledger, open_adapters(domain) as adapters:
        done = execute(domain, plan, certificate, adapters, ledger, dry_run=dry_run, on_step=say)
    typer.echo(json.dumps(as_data(done, plan)) if as_json else _summary(done, log))
    return done


def as_data(done: Execution, plan: Plan) -> dict[str, Any]:
    """An execution as JSON data."""
    return {
        "run": done.run,
        "status": done.status,
        "step": done.step,
        "reason": done.reason,
        "rule": done.rule,
        "undone": list(done.undone),
        "dry_run": done.dry_run,
        "plan": json.loads(plan_text(plan))["plan"],
        "outcomes": [
            {
                "step": outcome.step,
                "tool": outcome.tool,
                "ok": outcome.ok,
                "result": outcome.result,
                "reason": outcome.reason,
                "in_doubt": outcome.in_doubt,
                "seconds": round(outcome.seconds, 6),
            }
            for outcome in done.outcomes
        ],
        "facts": list(done.facts),
        "head": done.head,
    }


def _summary(done: Execution, log: Path) -> str:
    how = " (dry run)" if done.dry_run else ""
    if done.status == "done":
        lines = [f"done{how}: {len(done.outcomes)} steps"]
    else:
        lines = [f"failed{how} at step {done.step}: {done.reason}"]
    if any(outcome.in_doubt for outcome in done.outcomes):
        lines.append("in doubt: the last call may have had its effect; look before trying again")
    return "\n".join([*lines, f"log {log}, head {done.head[:16]}"])
