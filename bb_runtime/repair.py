"""The nearest plan that would pass, for one that was refused.

A search over edits, the fewest first: steps renamed, dropped, moved; tools and arguments replaced
by what comes closest; handles pointed at other objects; order entries taken away. What is edited
comes from what the checker said last, and only what the checker lets through is proposed. Values
that nobody named are never made up: where a further call would need one, the refusal's words say
which call, and there is no plan. Nor is a plan without more than half of its steps a repair.
"""

from __future__ import annotations

import difflib
import heapq
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_DOWN, ROUND_UP, Decimal
from typing import Any

from bb_core.errors import BBError
from bb_core.plan import Plan, Step, plan_text, references, rename_steps, substitute
from bb_domains.domain import Domain
from bb_domains.validate import is_valid
from bb_runtime.check import check_plan
from bb_runtime.errors import PlanRefused

MOST_CHECKS = 96
MOST_EDITS = 4


@dataclass(frozen=True)
class Repair:
    """A plan that passes, and how it came from the one that did not.

    Attributes:
        plan: it passes the checker.
        edits: what was done, in words.
    """

    plan: Plan
    edits: tuple[str, ...]


_Edit = tuple[int, str, Plan]
"""How many steps it changes, in words, and the plan after it."""


def nearest_plan(domain: Domain, plan: Plan, refused: PlanRefused) -> Repair | None:
    """Find the plan that passes and changes the fewest steps.

    Args:
        domain: the plan's domain.
        plan: the plan that was refused.
        refused: why.

    Returns:
        The plan and the edits; None if none was found within `MOST_CHECKS` checks.
    """
    order = itertools.count()
    queue: list[tuple[int, int, Repair]] = []
    seen = {plan_text(plan)}

    def push(spent: int, edits: tuple[str, ...], at: Plan, why: PlanRefused) -> None:
        if len(edits) >= MOST_EDITS:
            return
        for cost, words, after in _edits(domain, at, why):
            text = plan_text(after)
            if text not in seen and 2 * len(after.steps) >= len(plan.steps):
                seen.add(text)
                repair = Repair(after, (*edits, words))
                heapq.heappush(queue, (spent + cost, next(order), repair))

    push(0, (), plan, refused)
    for _ in range(MOST_CHECKS):
        if not queue:
            return None
        spent, _, found = heapq.heappop(queue)
        try:
            check_plan(domain, found.plan, repair=False)
        except PlanRefused as error:
            push(spent, found.edits, found.plan, error)
        else:
            return found
    return None


def _edits(domain: Domain, plan: Plan, refused: PlanRefused) -> Iterator[_Edit]:
    """What might help against a refusal."""
    if refused.rule == "id":
        yield from _renamed(plan)
    if refused.rule == "length":
        limit = domain.schema.limits.max_steps
        words = f"drop the steps after the first {limit}"
        yield len(plan.steps) - limit, words, Plan(plan.steps[:limit])
    at = next((i for i, step in enumerate(plan.steps) if step.id == refused.node), None)
    if at is None:
        return
    if refused.rule == "tool":
        yield from _other_tools(domain, plan, at)
    if refused.rule == "order":
        yield from _without_after(plan, at)
    if refused.rule in ("arguments", "grammar"):
        yield from _other_values(domain, plan, at)
    if refused.rule in ("arguments", "reference", "admissible"):
        yield from _other_handles(domain, plan, at)
    if refused.rule in ("admissible", "reference", "order"):
        yield from _moved(plan, at)
        yield from _merged(domain, plan, at)
    if refused.rule == "cost":  # any step up to this one makes room
        for earlier in range(at):
            yield from _dropped(plan, earlier)
    yield from _dropped(plan, at)


def _renamed(plan: Plan) -> Iterator[_Edit]:
    try:
        yield 1, "name the steps a, b, c, … in their order", rename_steps(plan)
    except BBError:  # more steps than there are names
        return


def _with(plan: Plan, at: int, step: Step) -> Plan:
    return Plan((*plan.steps[:at], step, *plan.steps[at + 1 :]))


def _other_tools(domain: Domain, plan: Plan, at: int) -> Iterator[_Edit]:
    step = plan.steps[at]
    for name in difflib.get_close_matches(step.tool, domain.schema.tools, n=3, cutoff=0.4):
        yield 1, f"call {name} in step {step.id}", _with(plan, at, replace(step, tool=name))


def _without_after(plan: Plan, at: int) -> Iterator[_Edit]:
    step = plan.steps[at]
    known = {other.id for other in plan.steps[:at]}
    kept = tuple(other for other in step.after if other in known)
    if kept != step.after:
        words = f"let step {step.id} wait for earlier steps only"
        yield 1, words, _with(plan, at, replace(step, after=kept))


def _other_values(domain: Domain, plan: Plan, at: int) -> Iterator[_Edit]:
    """The arguments with every value of the wrong form replaced by the nearest one."""
    step = plan.steps[at]
    schema = domain.schema.tools[step.tool].plan_args()
    args: dict[str, Any] = {}
    changed: list[str] = []
    for name, rule in schema["properties"].items():
        if name not in step.args:
            if name in schema["required"] and "const" in rule:
                args[name] = rule["const"]
                changed.append(name)
            continue
        value = step.args[name]
        if not is_valid(value, rule) or (isinstance(value, str) and not value.isprintable()):
            value = _nearest_value(value, rule)
            changed.append(name)
        args[name] = value
    gone = [name for name in step.args if name not in schema["properties"]]
    if changed or gone:
        words = [f"{name}={args[name]!r}" for name in changed] + [f"no {name}" for name in gone]
        after = _with(plan, at, replace(step, args=args))
        yield 1, f"write {', '.join(words)} in step {step.id}", after


def _nearest_value(value: Any, rule: Mapping[str, Any]) -> Any:
    """The value closest to one that a schema refuses; the value itself where none is at hand."""
    if "const" in rule:
        return rule["const"]
    if "enum" in rule:
        texts = {str(item): item for item in rule["enum"]}
        close = difflib.get_close_matches(str(value), texts, n=1, cutoff=0.0)
        return texts[close[0]] if close else value
    if rule.get("type") in ("integer", "number"):
        return _nearest_number(value, rule)
    if rule.get("type") == "string" and isinstance(value, str):
        shown = "".join(c if c.isascii() and c.isprintable() else "" for c in value)
        return shown[: rule.get("maxLength", len(shown))]
    return value


def _nearest_number(value: Any, rule: Mapping[str, Any]) -> Any:
    try:
        number = Decimal(str(value))
    except ArithmeticError:
        return value
    if not number.is_finite():
        return value
    low, high = rule.get("minimum"), rule.get("maximum")
    rounding = ROUND_DOWN
    if high is not None:
        number = min(number, Decimal(str(high)))
    if low is not None and number < Decimal(str(low)):
        number, rounding = Decimal(str(low)), ROUND_UP
    step = Decimal(str(rule.get("multipleOf", 1 if rule["type"] == "integer" else "0.01")))
    number = (number / step).to_integral_value(rounding) * step
    return int(number) if number == number.to_integral_value() else float(number)


def _other_handles(domain: Domain, plan: Plan, at: int) -> Iterator[_Edit]:
    """One handle argument pointed at another object of its type."""
    step = plan.steps[at]
    for arg, handle in domain.schema.tools[step.tool].handles.items():
        for other in reversed(plan.steps[:at]):
            tool = domain.schema.tools.get(other.tool)
            value = f"${other.id}.{handle.path}"
            if tool is None or tool.binds is None or tool.binds.object != handle.object:
                continue
            if step.args.get(arg) != value:
                args = {**step.args, arg: value}
                ordered = {k: args[k] for k in _order(domain, step.tool, args)}
                words = f"write {arg}={value!r} in step {step.id}"
                yield 1, words, _with(plan, at, replace(step, args=ordered))


def _order(domain: Domain, tool: str, args: Mapping[str, Any]) -> list[str]:
    declared = [name for name in domain.schema.tools[tool].properties if name in args]
    return declared + [name for name in args if name not in declared]


def _moved(plan: Plan, at: int) -> Iterator[_Edit]:
    """The step put behind each later one, or one that it needs put before it."""
    step = plan.steps[at]
    for to in range(at + 1, len(plan.steps)):
        steps = [*plan.steps[:at], *plan.steps[at + 1 : to + 1], step, *plan.steps[to + 1 :]]
        words = f"move step {step.id} behind step {plan.steps[to].id}"
        yield from _reordered(steps, words)
        other = plan.steps[to]
        steps = [*plan.steps[:at], other, *plan.steps[at:to], *plan.steps[to + 1 :]]
        yield from _reordered(steps, f"move step {other.id} before step {step.id}")


def _reordered(steps: Sequence[Step], words: str) -> Iterator[_Edit]:
    yield 1, words, rename_steps(Plan(tuple(steps)))


def _merged(domain: Domain, plan: Plan, at: int) -> Iterator[_Edit]:
    """A second look-up of one object: drop it and use the handle of the first."""
    step = plan.steps[at]
    for other in plan.steps[:at]:
        if other.tool == step.tool and other.args == step.args:
            kept = [*plan.steps[:at], *plan.steps[at + 1 :]]
            steps = tuple(_redirected(one, step.id, other.id) for one in kept)
            words = f"drop step {step.id} and use step {other.id}"
            yield 1, words, rename_steps(Plan(steps))


def _redirected(step: Step, old: str, new: str) -> Step:
    args = {name: substitute(value, {old: new}) for name, value in step.args.items()}
    return replace(step, args=args, after=tuple(new if o == old else o for o in step.after))


def _dropped(plan: Plan, at: int) -> Iterator[_Edit]:
    """The plan without a step and all that refers to it."""
    gone = {plan.steps[at].id}
    for step in plan.steps[at + 1 :]:
        if any(ref.step in gone for ref in references(step.args)):
            gone.add(step.id)
    kept = tuple(
        replace(step, after=tuple(o for o in step.after if o not in gone))
        for step in plan.steps
        if step.id not in gone
    )
    words = f"drop step {', '.join(step.id for step in plan.steps if step.id in gone)}"
    yield 1 + len(gone), words, rename_steps(Plan(kept))
