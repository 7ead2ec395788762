"""`bem learn actions`: preconditions and effects from traces; and the group `bem learn`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from bb_core.cli import JsonOption

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bem_kernel.learning.action_model import ActionModel, ActionModels
    from bem_kernel.learning.action_traces import Attempt

_DEFAULT = "words"


class _Group(TyperGroup):
    """`bem learn FILE` is `bem learn words FILE`; a file called `actions` is `./actions`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args or (args[0] not in self.commands and args[0] != "--help"):
            args = [_DEFAULT, *args]
        return super().parse_args(ctx, args)


def learning_group(words: Callable[..., None]) -> typer.Typer:
    """The group `learn`, in which a command for words is the default."""
    group = typer.Typer(cls=_Group, help="Learn from examples, and prove what was learned.")
    group.command(_DEFAULT)(words)
    group.command("actions")(actions)
    return group


def actions(
    traces: Annotated[Path, typer.Argument(help="Attempts at actions, one a line, as JSON.")],
    width: Annotated[
        int, typer.Option(min=1, max=3, help="Most literals of a clause, until traces refute it.")
    ] = 1,
    held_out: Annotated[
        Path | None, typer.Option("--held-out", help="Other attempts, to try the models on.")
    ] = None,
    pddl_file: Annotated[
        Path | None, typer.Option("--pddl", help="Write a planning domain here.")
    ] = None,
    program_file: Annotated[
        Path | None, typer.Option("--program", help="Write the experts here, as a program record.")
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """Learn when actions are admissible and what they do, never beyond what the traces justify.

    That they justify each model is proved, and the proofs are checked. Exit 1 if the facts do not
    explain an action, or if a model admits a failure among the held-out attempts.

    A line: {"action": "open", "ok": true, "before": {"locked(door)": false, "open(door)": false},
    "after": {"locked(door)": false, "open(door)": true}, "parameters": {"door": "door"}}

    Example: bem learn actions doors.jsonl --pddl doors.pddl --program doors.json
    """
    from bb_core.files import read_text
    from bem_kernel.learning.action_model import learn_actions
    from bem_kernel.learning.action_traces import by_action, read_attempts

    attempts = by_action(read_attempts(read_text(traces), str(traces)))
    found = learn_actions((each for group in attempts.values() for each in group), width)
    record: dict[str, Any] = {"actions": _records(found, attempts)}
    if held_out is not None:
        record["held_out"] = _tried(found, read_attempts(read_text(held_out), str(held_out)))
    _save(found, traces.stem, pddl_file, program_file)
    typer.echo(json.dumps(record, ensure_ascii=False) if json_output else _shown(record))
    if found.unexplained or record.get("held_out", {}).get("unsafe"):
        raise typer.Exit(1)


def _records(
    found: ActionModels, attempts: Mapping[str, list[Attempt]]
) -> dict[str, dict[str, Any]]:
    from bem_kernel.learning.action_proof import justify
    from bem_kernel.learning.action_text import effect_text, expression
    from bem_kernel.learning.explanation import explain_failures

    records: dict[str, dict[str, Any]] = {}
    for action, group in attempts.items():
        if action in found.unexplained:
            records[action] = {"unexplained": found.unexplained[action]}
            continue
        model = found.models[action]
        likely = explain_failures(model.pre).clauses
        records[action] = {
            "successes": model.successes,
            "failures": model.failures,
            "width": model.pre.width,
            "pre": expression(model),
            "effects": [effect_text(model, effect) for effect in model.effects],
            "explains_failures": [" | ".join(map(model.literal, each)) for each in likely],
            "claims_proved": len(justify(model, group).claims),
        }
    return records


def _tried(found: ActionModels, attempts: list[Attempt]) -> dict[str, int]:
    from bem_kernel.learning.action_model import Verdict

    counts = {"attempts": len(attempts), "successes": 0, "admitted": 0, "unsafe": 0}
    for each in attempts:
        model: ActionModel | None = found.models.get(each.action)
        admitted = model is not None and model.verdict(each.before) is Verdict.ADMITTED
        counts["successes"] += each.ok
        counts["admitted"] += admitted and each.ok
        counts["unsafe"] += admitted and not each.ok
    return counts


def _save(
    found: ActionModels, name: str, pddl_file: Path | None, program_file: Path | None
) -> None:
    from bb_core.files import write_atomic
    from bem_kernel.isa.record import program_record
    from bem_kernel.learning.action_circuits import learned_program
    from bem_kernel.learning.action_text import pddl

    models = list(found.models.values())
    if pddl_file is not None:
        write_atomic(pddl_file, pddl(name, models))
    if program_file is not None:
        write_atomic(program_file, json.dumps(program_record(learned_program(models))) + "\n")


def _shown(record: dict[str, Any]) -> str:
    lines: list[str] = []
    for action, each in record["actions"].items():
        if "unexplained" in each:
            lines.append(f"{action}: no model: {each['unexplained']}")
            continue
        lines += [
            f"{action}: {each['successes']} successes, {each['failures']} failures, "
            f"clauses of {each['width']}, {each['claims_proved']} claims proved",
            f"  safe where   {each['pre']}",
            f"  failures by  {' & '.join(each['explains_failures']) or 'none'}",
            f"  effects      {'; '.join(each['effects']) or 'none'}",
        ]
    if tried := record.get("held_out"):
        lines.append(
            f"held out: {tried['admitted']} of {tried['successes']} successes admitted, "
            f"{tried['unsafe']} of {tried['attempts'] - tried['successes']} failures"
        )
    return "\n".join(lines)
