"""Instrumented traces: the scripted workflow driven against the running service, call by call.

Everything in a trace is a function of the seeds of service and planner, but for `t_s`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

from bb_core.plan import Plan, parse_reference
from bb_core.trace import Trace, TraceStep
from bb_domains.api_json.planner import Auditor, PlannedRequest, RequestPlanner, World
from bb_domains.api_json.workflows import plan_for
from bb_domains.tools import Adapters

DOMAIN = "api_json"


class TraceMaker:
    """Plans requests and carries them out against a service, in that order.

    The requests of all splits that one maker makes are distinct.

    Args:
        adapters: call the service's tools.
        auditor: reads the state of what a request touches.
        seed: makes the requests.
    """

    def __init__(self, adapters: Adapters, auditor: Auditor, seed: int) -> None:
        self._adapters = adapters
        self._auditor = auditor
        self._planner = RequestPlanner(World.read(auditor), seed)

    def make(self, split: str, n: int) -> Iterator[Trace]:
        """`n` traces of a split, one of `planner.SPLITS`.

        Raises:
            BBError: unknown split, or the service has no suitable order left.
            ToolFailed: the service refused a call: its rules and the workflow disagree.
        """
        for i, request in enumerate(self._planner.plan(split, n)):
            yield record(self._adapters, self._auditor, request, f"{split}-{i:05d}")


def record(adapters: Adapters, auditor: Auditor, request: PlannedRequest, trace_id: str) -> Trace:
    """Carry one request out by its scripted workflow and record it."""
    before = auditor.state(request.numbers, request.customers)
    steps = _call_all(adapters, plan_for(request.goals))
    after = auditor.state(request.numbers, request.customers)
    label = {"split": request.split, "goals": [goal.as_label() for goal in request.goals]}
    return Trace(trace_id, DOMAIN, request.skin, request.text, steps, before, after, label)


def _call_all(adapters: Adapters, plan: Plan) -> tuple[TraceStep, ...]:
    results: dict[str, dict[str, Any]] = {}
    steps = []
    for step in plan.steps:
        args = {name: _resolve(value, results) for name, value in step.args.items()}
        start_s = time.perf_counter()
        results[step.id] = adapters.call(step.tool, args)
        t_s = round(time.perf_counter() - start_s, 6)
        steps.append(TraceStep(step.tool, dict(step.args), results[step.id], True, t_s))
    return tuple(steps)


def _resolve(value: Any, results: Mapping[str, Mapping[str, Any]]) -> Any:
    reference = parse_reference(value) if isinstance(value, str) else None
    return value if reference is None else results[reference.step][reference.path]
