"""Run a certified plan for a command, and say what happened."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from bb_core.errors import UsageError
from bb_core.plan import Plan, plan_text
from bb_domains.domain import Domain
from bb_domains.kit import open_adapters
from bb_runtime.carrier import Word
from bb_runtime.check import Certificate
from bb_runtime.execute import Execution, StepOutcome, execute, resume
from bb_runtime.fallback import Proposal, Proposer, fulfil
from bb_runtime.journal import open_journal
from bem_kernel.ledger.chain import Ledger


def run_and_report(
    domain: Domain,
    plan: Plan,
    certificate: Certificate,
    log: Path,
    *,
    dry_run: bool = False,
    undo: bool = True,
    as_json: bool = False,
) -> Execution:
    """Run a plan: steps on stderr as they happen, the outcome on stdout.

    Raises:
        BBError: the log or the service's declaration is unusable; nothing was called then.
    """
    with Ledger(log) as ledger, open_adapters(domain) as adapters:
        done = execute(
            domain,
            plan,
            certificate,
            adapters,
            ledger,
            dry_run=dry_run,
            undo=undo,
            on_step=_say,
        )
    typer.echo(json.dumps(as_data(done, plan)) if as_json else _summary(done, log))
    return done


def fulfil_and_report(
    domain: Domain,
    proposers: Sequence[Proposer],
    log: Path,
    *,
    on_plan: Callable[[Proposal], object] | None = None,
    dry_run: bool = False,
    as_json: bool = False,
) -> Execution:
    """Run what is proposed first and stopped by no rule, as `run_and_report`.

    Raises:
        PlanRefused: the last proposal is refused.
        BBError: the log or the service's declaration is unusable; nothing was called then.
    """
    with Ledger(log) as ledger, open_adapters(domain) as adapters:
        proposal, done = fulfil(
            domain, proposers, adapters, ledger, on_plan=on_plan, on_step=_say, dry_run=dry_run
        )
    typer.echo(json.dumps(as_data(done, proposal.plan)) if as_json else _summary(done, log))
    return done


def resume_and_report(
    domain: Domain,
    run: str,
    log: Path,
    words: Mapping[str, Word],
    *,
    give_up: bool = False,
    as_json: bool = False,
) -> Execution:
    """Go on with a run, as `run_and_report`.

    Raises:
        BBError: there is no such run, or it may not go on.
    """
    open_journal(log).close()  # or say that there is none, before a file is made
    with Ledger(log) as ledger, open_adapters(domain) as adapters:
        done = resume(domain, run, adapters, ledger, words=words, give_up=give_up, on_step=_say)
    typer.echo(json.dumps(as_data(done)) if as_json else _summary(done, log))
    return done


def parse_words(happened: Sequence[str], not_happened: Sequence[str]) -> dict[str, Word]:
    """What a command line says of steps in doubt.

    Args:
        happened: `STEP`, or `STEP=JSON` with what it answered.
        not_happened: steps.

    Raises:
        UsageError: no JSON object, or both are said of one step.
    """
    words: dict[str, Word] = dict.fromkeys(not_happened, False)
    for text in happened:
        name, equals, answer = text.partition("=")
        if name in words:
            raise UsageError(f"step {name} did both", where="resume", fix="say one of the two")
        words[name] = _answer(name, answer) if equals else True
    return words


def _answer(name: str, text: str) -> Mapping[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        value = error
    if not isinstance(value, Mapping):
        raise UsageError(f"{text!r} is no JSON object", where=f"step {name}", fix="use {...}")
    return value


def _say(outcome: StepOutcome) -> None:
    mark = "ok" if outcome.ok else f"failed: {outcome.reason}"
    before = " (before)" if outcome.replayed else ""
    typer.echo(f"  {outcome.step}  {outcome.tool}  {mark}{before}", err=True)


def as_data(done: Execution, plan: Plan | None = None) -> dict[str, Any]:
    """An execution as JSON data, with the plan if it is given."""
    shown = {"plan": json.loads(plan_text(plan))["plan"]} if plan else {}
    return {
        "run": done.run,
        "status": done.status,
        "step": done.step,
        "reason": done.reason,
        "rule": done.rule,
        "undone": list(done.undone),
        "stands": list(done.stands),
        "dry_run": done.dry_run,
        **shown,
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
    elif done.status == "in_doubt":
        lines = [f"in doubt{how} at step {done.step}: {done.reason}"]
    elif done.step:
        lines = [f"failed{how} at step {done.step}: {done.reason}"]
    else:
        lines = [f"failed{how}: {done.reason}"]
    if done.undone:
        lines.append(f"taken back: {', '.join(done.undone)}")
    doubts = [outcome.step for outcome in done.outcomes if outcome.in_doubt]
    if doubts:
        lines.append(f"{', '.join(doubts)} may have had its effect; look, then go on:")
        lines.append(f"  bb plan resume {done.run[:12]} --happened STEP or --not-happened STEP")
    return "\n".join([*lines, f"run {done.run}", f"log {log}, head {done.head[:16]}"])
