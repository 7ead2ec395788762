"""How runs stand, by what the log says of them: private values are keyed hashes there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from bb_core.errors import BBError
from bb_core.plan import Plan, Step
from bb_runtime.carrier import UNDO
from bb_runtime.draw import draw_terminal
from bem_kernel.ledger.chain import read_entries

StepStatus = Literal["waiting", "called", "ok", "failed", "in doubt", "undone"]


@dataclass
class RunView:
    """A run as the log tells it.

    Attributes:
        run: its identifier.
        at: when it began.
        domain: name of its domain.
        plan: its plan, private values replaced.
        dry_run: whether no tool was called.
        status: as in `execute`; "running" if the log does not say how it ended.
        step: where it stopped.
        reason: why.
        steps: how each step stands.
    """

    run: str
    at: str
    domain: str
    plan: Plan
    dry_run: bool
    status: str = "running"
    step: str = ""
    reason: str = ""
    steps: dict[str, StepStatus] = field(default_factory=dict)


def run_views(log: Path) -> list[RunView]:
    """All runs of a log, the oldest first.

    Raises:
        LedgerError: the log cannot be read, or is damaged.
    """
    return list(_views(read_entries(log)).values())


def find_view(views: Iterable[RunView], name: str, log: Path) -> RunView:
    """The run of this identifier, or that begins so.

    Raises:
        BBError: there is none, or several begin so.
    """
    found = [view for view in views if view.run.startswith(name)]
    if len(found) != 1:
        what = f"{len(found) or 'no'} runs begin with {name}"
        raise BBError(what, where=str(log), fix="look at bb plan status")
    return found[0]


def view_text(view: RunView, width: int | None = None) -> str:
    """A run in one line; with its steps drawn if a width in columns is given."""
    where = f" at step {view.step}: {view.reason}" if view.reason else ""
    dry = " (dry run)" if view.dry_run else ""
    line = f"{view.run[:12]}  {view.at}  {view.domain}  {view.status}{dry}{where}"
    if width is None:
        return line
    return f"{line}\n{draw_terminal(view.plan, notes=view.steps, width=width)}"


def view_data(view: RunView) -> dict[str, Any]:
    """A run as JSON data."""
    steps = [
        {"id": step.id, "tool": step.tool, "args": step.args, "status": view.steps[step.id]}
        for step in view.plan.steps
    ]
    return {
        "run": view.run,
        "at": view.at,
        "domain": view.domain,
        "dry_run": view.dry_run,
        "status": view.status,
        "step": view.step,
        "reason": view.reason,
        "steps": steps,
    }


def _views(entries: Iterable[Mapping[str, Any]]) -> dict[str, RunView]:
    views: dict[str, RunView] = {}
    for entry in entries:
        run, event = entry.get("run", ""), entry.get("event")
        if event == "plan":
            views[run] = _new_view(entry)
        elif run in views:
            _follow(views[run], entry)
    return views


def _new_view(entry: Mapping[str, Any]) -> RunView:
    steps = tuple(
        Step(step["id"], step["tool"], _args(step["args"]), tuple(step.get("after", ())))
        for step in entry["plan"]
    )
    waiting: dict[str, StepStatus] = {step.id: "waiting" for step in steps}
    return RunView(
        entry["run"],
        entry["at"],
        entry["domain"],
        Plan(steps),
        entry["dry_run"],
        steps=waiting,
    )


def _args(shown: Any) -> Mapping[str, Any]:
    """Arguments as the log shows them; as a whole where they have no canonical form."""
    return shown if isinstance(shown, Mapping) else {"": shown}


def _follow(view: RunView, entry: Mapping[str, Any]) -> None:
    event, step = entry["event"], entry.get("step", "")
    if event == "resume":
        view.status = "running"
    elif event == "end":
        view.status, view.step, view.reason = entry["status"], step, entry["reason"]
        if entry["in_doubt"]:
            view.steps |= {n: "in doubt" for n, found in view.steps.items() if found == "called"}
    elif event in ("call", "result", "word", "probe"):
        status = _step_status(entry)
        name = step.removeprefix(UNDO)
        if status and name == step:
            view.steps[step] = status
        elif status == "ok":
            view.steps[name] = "undone"


def _step_status(entry: Mapping[str, Any]) -> StepStatus | None:
    match entry["event"]:
        case "call":
            return "called"
        case "result" if entry["ok"]:
            return "ok"
        case "result":
            return "in doubt" if entry["in_doubt"] else "failed"
        case _:
            return "ok" if entry["happened"] else None
