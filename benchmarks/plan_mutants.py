"""Twelve ways to spoil a plan, and a plain reading of plan schemas that knows what is spoilt.

The reading (`is_valid`) shares nothing with the compiled plan machine: facts are a set of tuples,
expressions are evaluated as they stand. It says of plans whose form is right whether their steps
may follow one another; mutants of form are wrong by the way they are made.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING, Any

from bb_core.plan import STEP_IDS, Plan, Step, parse_reference, rename_steps, step_id

if TYPE_CHECKING:
    from bb_domains.schema import PlanSchema, Tool

_ATOM = re.compile(r"([A-Za-z_]\w*)(?:\(([\w\s,]*)\))?")
Fact = tuple[str, ...]
Mutate = Callable[["PlanSchema", Plan, Random], Plan | None]


def is_valid(schema: PlanSchema, plan: Plan) -> bool:
    """Whether the steps of a well-formed plan may follow one another, and the plan may end."""
    facts: set[Fact] = set()
    bound: dict[str, tuple[str, Any]] = {}
    used: set[str] = set()
    for step in plan.steps:
        tool = schema.tools[step.tool]
        given = {arg: _object(step.args[arg], bound, h.object) for arg, h in tool.handles.items()}
        if None in given.values() or len(set(given.values())) < len(given):
            return False
        if not _holds(tool.pre, facts, given):
            return False
        if tool.binds is not None and not _bind(schema, tool, step, bound):
            return False
        used |= set(given.values())
        for effect in tool.effects:
            _write(effect, facts, {**given, "self": step.id})
        if any(_broken(schema, bound, facts)):
            return False
    if schema.graph.every_handle_used and set(bound) - used:
        return False
    return schema.graph.min_steps <= len(plan.steps) <= schema.limits.max_steps


def _object(value: Any, bound: Mapping[str, tuple[str, Any]], kind: str) -> Any:
    ref = parse_reference(value) if isinstance(value, str) else None
    return ref.step if ref and bound.get(ref.step, ("",))[0] == kind else None


def _bind(schema: PlanSchema, tool: Tool, step: Step, bound: dict[str, tuple[str, Any]]) -> bool:
    assert tool.binds is not None
    kind, key = tool.binds.object, step.args[tool.binds.key] if tool.binds.key else object()
    of_kind = [other for found, other in bound.values() if found == kind]
    if key in of_kind or len(of_kind) >= schema.objects[kind].slots:
        return False
    bound[step.id] = (kind, key)
    return True


def _fact(text: str, given: Mapping[str, Any]) -> Fact:
    found = _ATOM.fullmatch(text.strip())
    assert found is not None
    return (found[1], *(given[name.strip()] for name in (found[2] or "").split(",") if name))


def _holds(expression: str, facts: set[Fact], given: Mapping[str, Any]) -> bool:
    def value(found: re.Match[str]) -> str:
        text = found[0]
        return text.capitalize() if text in ("true", "false") else str(_fact(text, given) in facts)

    shown = _ATOM.sub(value, expression)
    for sign, word in (("!", " not "), ("&", " and "), ("|", " or ")):
        shown = shown.replace(sign, word)
    assert re.fullmatch(r"(True|False|not|and|or|[()\s])*", shown), shown
    return bool(eval(shown))  # made of six words, just above


def _write(effect: str, facts: set[Fact], given: Mapping[str, Any]) -> None:
    fact = _fact(effect.strip().removeprefix("!"), given)
    (facts.discard if effect.strip().startswith("!") else facts.add)(fact)


def _broken(
    schema: PlanSchema, bound: Mapping[str, tuple[str, Any]], facts: set[Fact]
) -> Iterator[bool]:
    for invariant in schema.invariants:
        of_kind = [[s for s, (k, _) in bound.items() if k == kind]
                   for kind in invariant.objects.values()]  # fmt: skip
        for chosen in itertools.product(*of_kind):
            if len(set(chosen)) == len(chosen):
                given = dict(zip(invariant.objects, chosen, strict=True))
                yield _holds(invariant.never, facts, given)


def _with(plan: Plan, at: int, **changes: Any) -> Plan:
    step = replace(plan.steps[at], **changes)
    return Plan((*plan.steps[:at], step, *plan.steps[at + 1 :]))


def _args(schema: PlanSchema, plan: Plan, rng: Random, *, plain: bool) -> tuple[int, str] | None:
    """A step's position and one of its arguments, a handle or (`plain`) a value."""
    found = [
        (at, arg)
        for at, step in enumerate(plan.steps)
        for arg in step.args
        if (arg not in schema.tools[step.tool].handles) == plain
    ]
    return rng.choice(found) if found else None


def unknown_tool(schema: PlanSchema, plan: Plan, rng: Random) -> Plan | None:
    """A tool that the domain does not have."""
    at = rng.randrange(len(plan.steps))
    return _with(plan, at, tool=plan.steps[at].tool + "_now")


def wrong_id(schema: PlanSchema, plan: Plan, rng: Random) -> Plan | None:
    """A step with another's place in the alphabet."""
    at = rng.randrange(len(plan.steps))
    return _with(plan, at, id=rng.choice([other for other in STEP_IDS if other != step_id(at)]))


def missing_argument(schema: PlanSchema, plan: Plan, rng: Random) -> Plan | None:
    """A required argument is left out."""
    found = [
        (at, arg)
        for at, step in enumerate(plan.steps)
        for arg in schema.tools[step.tool].plan_args()["required"]
    ]
    if not found:
        return None
    at, arg = rng.choice(found)
    return _with(plan, at, args={k: v for k, v in plan.steps[at].args.items() if k != arg})


def extra_argument(schema: PlanSchema, plan: Plan, rng: Random) -> Plan | None:
    """An argument that the tool does not have."""
    at = rng.randrange(len(plan.steps))
    return _with(plan, at, args={**plan.steps[at].args, "zz_more": 1})


def wrong_type(schema: PlanSchema, plan: Plan, rng: Random) -> Plan | None:
    """A value of a type that no argument has."""
    return _replaced(schema, plan, rng, None, plain=True)


def out_of_range(schema: PlanSchema, plan: Plan, rng: Random) -> Plan | None:
    """A number too large for any plan, a text too long."""
    chosen = _args(schema, plan, rng, plain=True)
    if chosen is None:
        return None
    value = plan.steps[chosen[0]].args[chosen[1]]
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    far: Any = "x" * 600 if isinstance(value, str) else 10**15 + 1
    return _with(plan, chosen[0], args={**plan.steps[chosen[0]].args, chosen[1]: far})


def _replaced(
    schema: PlanSchema, plan: Plan, rng: Random, value: Any, *, plain: bool
) -> Plan | None:
    chosen = _args(schema, plan, rng, plain=plain)
    if chosen is None:
        return None
    return _with(plan, chosen[0], args={**plan.steps[chosen[0]].args, chosen[1]: value})


def later_reference(schema: PlanSchema, plan: Plan, rng: Random) -> Plan | None:
    """A handle to what a later step binds, or the step itself."""
    chosen = _args(schema, plan, rng, plain=False)
    if chosen is None:
        return None
    at, arg = chosen
    later = step_id(rng.randrange(at, len(plan.steps)))
    path = schema.tools[plan.steps[at].tool].handles[arg].path
    return _with(plan, at, args={**plan.steps[at].args, arg: f"${later}.{path}"})


def wrong_object(schema: PlanSchema, plan: Plan, rng: Random) -> Plan | None:
    """A handle to a step that binds no object of its type."""
    chosen = _args(schema, plan, rng, plain=False)
    if chosen is None:
        return None
    at, arg = chosen
    handle = schema.tools[plan.steps[at].tool].handles[arg]
    others = [
        step.id
        for step in plan.steps[:at]
        if (b := schema.tools[step.tool].binds) is None or b.object != handle.object
    ]
    if not others:
        return None
    ref = f"${rng.choice(others)}.{handle.path}"
    return _with(plan, at, args={**plan.steps[at].args, arg: ref})


def wrong_path(schema: PlanSchema, plan: Plan, rng: Random) -> Plan | None:
    """A handle that takes another field of the result."""
    chosen = _args(schema, plan, rng, plain=False)
    if chosen is None:
        return None
    at, arg = chosen
    ref = parse_reference(plan.steps[at].args[arg])
    assert ref is not None
    return _with(plan, at, args={**plan.steps[at].args, arg: f"${ref.step}.{ref.path}_0"})


def _spoilt(schema: PlanSchema, steps: list[Step]) -> Plan | None:
    """The steps as a plan, if the plain reading refuses it."""
    plan = rename_steps(Plan(tuple(steps)))
    return None if is_valid(schema, plan) else plan


def dropped_step(schema: PlanSchema, plan: Plan, rng: Random) -> Plan | None:
    """A step is left out that others need, or the only one that uses a handle."""
    for at in rng.sample(range(len(plan.steps)), len(plan.steps)):
        if found := _spoilt(schema, [*plan.steps[:at], *plan.steps[at + 1 :]]):
            return found
    return None


def swapped_steps(schema: PlanSchema, plan: Plan, rng: Random) -> Plan | None:
    """Two steps have changed places that may not."""
    pairs = list(itertools.combinations(range(len(plan.steps)), 2))
    for i, j in rng.sample(pairs, len(pairs)):
        steps = list(plan.steps)
        steps[i], steps[j] = steps[j], steps[i]
        if found := _spoilt(schema, steps):
            return found
    return None


def repeated_step(schema: PlanSchema, plan: Plan, rng: Random) -> Plan | None:
    """A step is done twice that may be done once."""
    for at in rng.sample(range(len(plan.steps)), len(plan.steps)):
        again = replace(plan.steps[at], id=f"{plan.steps[at].id}_again")
        if len(plan.steps) < 26 and (
            found := _spoilt(schema, [*plan.steps[: at + 1], again, *plan.steps[at + 1 :]])
        ):
            return found
    return None


KINDS: tuple[Mutate, ...] = (
    unknown_tool,
    wrong_id,
    missing_argument,
    extra_argument,
    wrong_type,
    out_of_range,
    later_reference,
    wrong_object,
    wrong_path,
    dropped_step,
    swapped_steps,
    repeated_step,
)
