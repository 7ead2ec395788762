"""Runs that ended without a word: found when the log is opened next, and written down as such."""

from __future__ import annotations

from collections.abc import Mapping

from bb_domains.domain import Domain
from bb_runtime.journal import Journal, Status, journal_path
from bb_runtime.run_log import now
from bb_runtime.run_status import RunView, run_views
from bem_kernel.ledger.chain import Ledger

ENDED: Mapping[str, Status] = {s: s for s in ("done", "undone", "failed", "in_doubt")}


def note_crashes(ledger: Ledger, domains: Mapping[str, Domain]) -> list[str]:
    """Write down which runs a crash has interrupted.

    Whoever holds the log knows that no other process carries a run out; this process must not
    either. What a run had written to the log and not yet to the journal is made good: a run that
    ended well leaves nothing in the journal.

    Args:
        ledger: the log, opened for appending.
        domains: by name; a call of a domain that is not among them counts as a write.

    Returns:
        The runs that were interrupted and can go on.

    Raises:
        BBError: log or journal cannot be used.
    """
    views = run_views(ledger.path)
    with Journal(journal_path(ledger.path)) as journal:
        records = {record.run: record for record in journal.runs()}
        for view in views:
            record = records.get(view.run)
            if record is not None and record.status == "running" and view.status in ENDED:
                journal.settle(view.run, ENDED[view.status], view.step)
        found = [view for view in views if view.status == "running"]
        for view in found:
            record = records.get(view.run)
            step = _note(ledger, view, domains.get(view.domain), has_begun=record is not None)
            if record is not None and record.status == "running":
                journal.settle(view.run, "interrupted", step)
    return [view.run for view in found if view.run in records]


def _note(ledger: Ledger, view: RunView, domain: Domain | None, *, has_begun: bool) -> str:
    """Write one down; the step that was being called."""
    called = [step for step in view.plan.steps if view.steps[step.id] == "called"]
    tools = {} if domain is None else domain.schema.tools
    writes = [s for s in called if s.tool not in tools or tools[s.tool].effect == "write"]
    step = next((s.id for s in [*writes, *called]), "")
    ledger.append(
        {
            "event": "end",
            "run": view.run,
            "at": now(),
            "status": "interrupted" if has_begun else "failed",
            "step": step,
            "reason": "the process ended" if has_begun else "the process ended before any call",
            "in_doubt": bool(writes),
        }
    )
    return step
