"""Worlds in which plans can be tried, the requests made in them, and the traces that follow.

A domain's package offers `requests` and `simulator` (see `kit`); everything here works with any.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from bb_core.plan import Plan, parse_reference
from bb_core.trace import Trace, TraceStep
from bb_domains.guards import Guard, holds, parse_guard
from bb_domains.schema import PlanSchema
from bb_domains.tools import Adapters, ToolFailed

SPLITS: tuple[str, ...] = (
    "train",
    "dev",
    "unseen_wordings",
    "unseen_layouts",
    "unseen_policies",
    "unseen_compositions",
)
"""Wording, layout and policy vary separately: in each `unseen_` split one of them is held out."""


class Simulator(Adapters, Protocol):
    """A world in memory. What it does is a function of how it was made and of the calls so far."""

    def state(self) -> dict[str, Any]:
        """What matters of the world, as JSON data, for `state_before` and `state_after`."""
        ...

    def incidents(self) -> dict[str, int]:
        """How often each thing happened that must not: the domain's ops metric, by name."""
        ...

    def copy(self) -> Simulator:
        """An independent world in the same state."""
        ...


@dataclass(frozen=True)
class Request:
    """What a user asks for in some world, with a plan that fulfils it there.

    Attributes:
        id: unique in its split.
        split: one of `SPLITS`.
        skin: name of the wording.
        text: what the user says.
        plan: one plan that does it.
        seed: makes the world.
        layout: name of the world's layout, "" where the domain has one only.
        policy: name of the rules in force, "" where the domain has one set only.
        label: the goals, for those who evaluate.
    """

    id: str
    split: str
    skin: str
    text: str
    plan: Plan
    seed: int
    layout: str = ""
    policy: str = ""
    label: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """What became of a plan in a simulator.

    Attributes:
        steps: the calls made, the failed one last.
        done: whether all succeeded.
        incidents: how often each incident happened meanwhile.
    """

    steps: tuple[TraceStep, ...]
    done: bool
    incidents: Mapping[str, int]


def try_plan(simulator: Simulator, plan: Plan) -> Outcome:
    """Carry a plan out in a simulator, unchecked, up to the first call that fails.

    Real plans run in `bb_runtime.execute`, which demands a certificate; this is for worlds in which
    nothing can be harmed.
    """
    before = simulator.incidents()
    results: dict[str, Mapping[str, Any]] = {}
    steps: list[TraceStep] = []
    for step in plan.steps:
        start_s = time.perf_counter()
        try:
            args = {name: _resolved(value, results) for name, value in step.args.items()}
            result, ok = simulator.call(step.tool, args), True
        except ToolFailed as error:
            result, ok = {"status": error.status, "reason": error.reason}, False
        t_s = round(time.perf_counter() - start_s, 6)
        steps.append(TraceStep(step.tool, dict(step.args), result, ok, t_s))
        results[step.id] = result
        if not ok:
            break
    after = simulator.incidents()
    happened = {name: after[name] - before.get(name, 0) for name in after}
    return Outcome(tuple(steps), all(step.ok for step in steps), happened)


@dataclass(frozen=True)
class Trial:
    """Plans tried the way an executor would: with every guard looked at."""

    schema: PlanSchema
    guards: Mapping[str, tuple[Guard, ...]]

    @classmethod
    def of(cls, schema: PlanSchema) -> Trial:
        """Read a schema's guards."""
        guards = {
            name: tuple(parse_guard(text, tool.properties, name) for text in tool.guards)
            for name, tool in schema.tools.items()
        }
        return cls(schema, guards)

    def succeeds(self, simulator: Simulator, plan: Plan) -> bool:
        """Whether a plan fits and runs to its end with every guard holding and no incident."""
        if len(plan.steps) > self.schema.limits.max_steps:
            return False
        results: dict[str, Mapping[str, Any]] = {}
        for step in plan.steps:
            args, known = dict(step.args), dict(step.args)
            for arg in self.schema.tools[step.tool].handles:
                reference = parse_reference(step.args[arg])
                assert reference is not None
                known[arg] = results[reference.step]
                args[arg] = results[reference.step]["id"]
            if not all(holds(guard, known) for guard in self.guards[step.tool]):
                return False
            try:
                results[step.id] = simulator.call(step.tool, args)
            except ToolFailed:
                return False
        return not any(simulator.incidents().values())


def record(domain: str, simulator: Simulator, request: Request) -> Trace:
    """Carry a request's plan out and record it; a call that fails ends the trace."""
    before = simulator.state()
    outcome = try_plan(simulator, request.plan)
    label = {
        "split": request.split,
        "layout": request.layout,
        "policy": request.policy,
        "incidents": dict(outcome.incidents),
        **request.label,
    }
    return Trace(
        request.id,
        domain,
        request.skin,
        request.text,
        outcome.steps,
        before,
        simulator.state(),
        label,
    )


def _resolved(value: Any, results: Mapping[str, Mapping[str, Any]]) -> Any:
    """The value, or what it refers to."""
    reference = parse_reference(value) if isinstance(value, str) else None
    if reference is None:
        return value
    found: Any = results[reference.step]
    for part in reference.path.split("."):
        found = found[part]
    return found
