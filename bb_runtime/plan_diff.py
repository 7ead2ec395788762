"""What distinguishes two plans, step by step.

Steps are paired in their order so that as little as possible changes; two steps can be a pair if
they call the same tool. A reference counts as the same if it refers to the pair's other half.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from bb_core.plan import Plan, Step, parse_reference, substitute

Kind = Literal["same", "changed", "removed", "added"]


@dataclass(frozen=True)
class Change:
    """A pair of steps, or one without a partner.

    Attributes:
        kind: what became of it.
        old: the step of the first plan; None if it was added.
        new: the step of the second plan; None if it was removed.
        details: what changed, as `name: old -> new`.
    """

    kind: Kind
    old: Step | None
    new: Step | None
    details: tuple[str, ...] = ()


def diff_plans(first: Plan, second: Plan) -> tuple[Change, ...]:
    """The changes that make `first` into `second`, in the order of the steps."""
    pairs = _pairs(first, second)
    names = {old.id: new.id for old, new in pairs if old and new}
    return tuple(_change(old, new, names) for old, new in pairs)


def diff_text(changes: tuple[Change, ...]) -> str:
    """The changes as lines: `  ` same, `~ ` changed, `- ` removed, `+ ` added."""
    lines = []
    for change in changes:
        step = change.old if change.kind == "removed" else change.new
        assert step is not None
        mark = {"same": " ", "changed": "~", "removed": "-", "added": "+"}[change.kind]
        shown = "; ".join(change.details) or _shown(dict(step.args))
        lines.append(f"{mark} {step.id}  {step.tool}  {shown}".rstrip())
    return "\n".join(lines)


def _pairs(first: Plan, second: Plan) -> list[tuple[Step | None, Step | None]]:
    """Pair steps at the least cost: 2 for one left alone, up to 1 for a pair that differs."""
    tools = [{step.id: step.tool for step in plan.steps} for plan in (first, second)]

    @cache
    def best(i: int, j: int) -> tuple[float, tuple[tuple[Step | None, Step | None], ...]]:
        if i == len(first.steps) and j == len(second.steps):
            return 0.0, ()
        found = []
        if i < len(first.steps):
            cost, rest = best(i + 1, j)
            found.append((cost + 2.0, ((first.steps[i], None), *rest)))
        if j < len(second.steps):
            cost, rest = best(i, j + 1)
            found.append((cost + 2.0, ((None, second.steps[j]), *rest)))
        if i < len(first.steps) and j < len(second.steps):
            old, new = first.steps[i], second.steps[j]
            if old.tool == new.tool:
                cost, rest = best(i + 1, j + 1)
                found.append((cost + _distance(old, new, *tools), ((old, new), *rest)))
        return min(found, key=lambda pair: pair[0])

    return list(best(0, 0)[1])


def _distance(old: Step, new: Step, *tools: Mapping[str, str]) -> float:
    """Share of the arguments that differ, references known by the tool they refer to."""
    names = old.args.keys() | new.args.keys()
    left, right = (
        {key: _blank(value, known) for key, value in step.args.items()}
        for step, known in zip((old, new), tools, strict=True)
    )
    differing = [name for name in names if left.get(name) != right.get(name)]
    return len(differing) / max(len(names), 1)


def _blank(value: Any, tools: Mapping[str, str]) -> Any:
    ref = parse_reference(value) if isinstance(value, str) else None
    return (tools.get(ref.step), ref.path) if ref else value


def _change(old: Step | None, new: Step | None, names: Mapping[str, str]) -> Change:
    if old is None or new is None:
        return Change("added" if old is None else "removed", old, new)
    before = {key: substitute(value, names) for key, value in old.args.items()}
    details = [
        f"{key}: {_value(before, key)} -> {_value(new.args, key)}"
        for key in dict.fromkeys((*before, *new.args))
        if _value(before, key) != _value(new.args, key)
    ]
    after = sorted(names.get(other, other) for other in old.after)
    if after != sorted(new.after):
        details.append(f"after: {', '.join(after) or '-'} -> {', '.join(sorted(new.after)) or '-'}")
    return Change("changed" if details else "same", old, new, tuple(details))


def _value(args: Mapping[str, Any], key: str) -> str:
    return _shown(args[key]) if key in args else "-"


def _shown(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
