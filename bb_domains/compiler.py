"""The plan machine: a domain compiled, and the one judge of which step may follow which.

The mask, the checker and the executor all ask this machine. States are values (`states`); the
logic is circuits (`logic`, `lanes`); the way to a legal end is a search (`completion`).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from bb_core.plan import Step, parse_reference, references, step_id
from bb_domains.calls import ToolTexts, all_texts
from bb_domains.completion import Completions
from bb_domains.errors import Inadmissible, SchemaError
from bb_domains.explain import explain, explain_cost
from bb_domains.fluents import SELF
from bb_domains.grammar import StepTemplates
from bb_domains.lanes import Admission, Lane, all_lanes, bit_row
from bb_domains.layout import Layout, layout_of
from bb_domains.logic import (
    CompiledTool,
    Experts,
    check_keys,
    compile_tool,
    invariant_circuit,
    make_experts,
)
from bb_domains.numerals import value_text
from bb_domains.schema import PlanSchema, Tool
from bb_domains.states import Bound, Call, PlanState
from bem_kernel.engines.engine import evaluate
from bem_kernel.lanes import pack_bits

__all__ = ["Bound", "Call", "PlanMachine", "PlanState"]

_KEPT_STATES = 1 << 16


class PlanMachine:
    """A domain's logic, compiled. The machine itself never changes.

    Attributes:
        schema: what it was compiled from.
        layout: which state bit means what.
        texts: how each tool's calls are written.
        tools: each tool's logic.
        lanes: every call there could be; other methods speak of lanes by position.
        violation: over all state bits, whether an invariant is violated.
        allowed: admissible lanes by state bits, whatever they cost, remembered.
        costs: what each lane takes from `max_cost`; nothing where there is no limit.
        max_cost: what a plan may cost; 0 where there is no limit.

    Raises:
        ConditionError: an expression does not parse or names something undeclared.
        SchemaError: a tool or invariant contradicts itself.
        LowerError: an argument schema cannot be lowered.
    """

    def __init__(self, schema: PlanSchema) -> None:
        check_keys(schema)
        self.schema = schema
        self.layout: Layout = layout_of(schema)
        self.texts: Mapping[str, ToolTexts] = all_texts(schema)
        self.tools: Mapping[str, CompiledTool] = {t: compile_tool(schema, t) for t in schema.tools}
        self.lanes: tuple[Lane, ...] = all_lanes(self.layout, self.tools, self.texts)
        self.violation = invariant_circuit(self.layout, schema, schema.invariants)
        self._admission = Admission(self.layout, self.tools, self.lanes, self.violation)
        limit = schema.limits.max_cost
        self.max_cost = limit or 0
        self.costs: tuple[int, ...] = tuple(
            0 if limit is None else schema.tools[lane.tool].cost for lane in self.lanes
        )
        self._lane_of = {(n.tool, tuple(n.slots.values())): i for i, n in enumerate(self.lanes)}
        self.allowed = lru_cache(maxsize=_KEPT_STATES)(self._admission.admissible)
        self._completions = Completions(self)
        broken = self.violated(0)
        if broken:
            raise SchemaError(
                "is violated before the first step",
                where=f"invariants.{broken}",
                fix="no fluent holds at the start; mend its expression",
            )

    def initial(self) -> PlanState:
        """The state before the first step: nothing holds, nothing is bound."""
        return PlanState()

    def admissible(self, state: PlanState) -> list[Call]:
        """Calls whose precondition holds, whose handles exist and after which no invariant breaks.

        Whether the plan can still be completed afterwards is not asked here; see `completion`.
        """
        if state.n_steps >= self.schema.limits.max_steps:
            return []
        steps = state.step_of()
        allowed = (i for i in self.allowed(state.bits) if self.affords(state, i))
        return [self.call(i, steps) for i in allowed]

    def affords(self, state: PlanState, lane: int) -> bool:
        """Whether a call keeps the plan within `limits.max_cost`."""
        return state.cost + self.costs[lane] <= self.max_cost

    def apply(self, state: PlanState, step: Step) -> PlanState:
        """The state after a step.

        Argument schemas are not checked here; everything about handles and fluents is.

        Raises:
            Inadmissible: the step may not be taken; names the rule and, if one was found, a repair.
        """
        lane = self.lane(state, step)
        if not self.affords(state, lane):
            raise Inadmissible(step.id, *explain_cost(self, state, lane))
        if lane not in self.allowed(state.bits):
            rule, repair = explain(self, state, lane)
            raise Inadmissible(step.id, rule, repair)
        return self.after(state, lane, _key(self.schema.tools[step.tool], step))

    def after(self, state: PlanState, lane: int, key: str = "") -> PlanState:
        """The state after an admissible lane; `key` names the object it binds.

        It may cost more than the plan may; from such a state no plan ends.
        """
        taken, handles = self.lanes[lane], state.handles
        binds = self.schema.tools[taken.tool].binds
        if binds:
            bound = Bound(step_id(state.n_steps), binds.object, taken.slots[SELF], key)
            handles = (*handles, bound)
        bits = taken.apply(state.bits)
        cost = state.cost + self.costs[lane]
        return PlanState(bits, handles, state.used | taken.uses, state.n_steps + 1, cost)

    def can_end(self, state: PlanState) -> bool:
        """Whether a plan may end here, by the graph rules and the limit on cost."""
        if state.n_steps < self.schema.graph.min_steps or state.cost > self.max_cost:
            return False
        return not self.schema.graph.every_handle_used or not self.unused(state.bits, state.used)

    def unused(self, bits: int, used: int) -> int:
        """Ordinals of the handles that are bound and not used, as a bit mask."""
        objects = (1 << self.layout.n_objects) - 1
        return (bits >> self.layout.bound_base) & objects & ~used

    def completion(self, state: PlanState) -> tuple[int, int] | None:
        """Fewest bytes to a legal end: (steps, bytes) of that way; None for a dead end.

        The bytes are those after the last completed step, `]}` included (of the whole plan for the
        initial state), every call counted at the longest text of its tightest level. Ways with more
        than `limits.max_steps` steps, or that cost more than `limits.max_cost`, do not count.
        """
        found = self._completions.cheapest(state.bits, state.used, state.n_steps, state.cost)
        return found if found is None else (found.steps, found.size)

    def continuation(self, state: PlanState) -> tuple[int, int] | None:
        """Like `completion`, over the ways that take at least one more step."""
        found = self._completions.cheapest_step(state.bits, state.used, state.n_steps, state.cost)
        return found if found is None else (found.steps, found.size)

    def can_go_on(self, state: PlanState, size_bytes: int) -> bool:
        """Whether at least one more step and a legal end fit in this many bytes."""
        at = (state.bits, state.used, state.n_steps, state.cost)
        return self._completions.step_fits(*at, size_bytes)

    def room(self, state: PlanState) -> int | None:
        """Bytes in which at least one more step and a legal end fit; None if there is no way.

        Not always the fewest: with as many or more, `can_go_on` holds.
        """
        return self._completions.room(state.bits, state.used, state.n_steps, state.cost)

    def max_bytes(self, tool: str) -> int:
        """Bytes of the longest text of a call, from after `"tool":"` to the step's last brace."""
        return self.texts[tool].levels[0].most

    def call(self, lane: int, steps: Mapping[tuple[str, int], str]) -> Call:
        """The call of a lane, given the step that bound each (object, slot)."""
        taken = self.lanes[lane]
        handles = self.schema.tools[taken.tool].handles
        return Call(
            taken.tool, {arg: steps[h.object, taken.slots[arg]] for arg, h in handles.items()}
        )

    def step_slots(self, state: PlanState, step: Step) -> Mapping[str, int]:
        """Values of the parameters of a step's experts: slot per handle argument and `self`.

        Raises:
            Inadmissible: the step's handles do not exist.
        """
        return self.lanes[self.lane(state, step)].slots

    @cached_property
    def templates(self) -> StepTemplates:
        """Every call written down for step grammars."""
        return StepTemplates(text for texts in self.texts.values() for text in texts.levels)

    @cached_property
    def experts(self) -> Experts:
        """The same logic as experts on the lane state; `layout` says which bit is which."""
        return make_experts(self.layout, self.tools, self.violation)

    def pre_holds(self, bits: int, lane: int) -> bool:
        """Whether a lane's precondition holds in a state of these bits."""
        return self._admission.pre_holds(bits, lane)

    def violated(self, bits: int) -> str:
        """Name of an invariant that a state of these bits violates; empty if none."""
        planes = pack_bits(bit_row(bits, self.layout.n_bits)[None, :])
        for invariant in self.schema.invariants:
            circuit = invariant_circuit(self.layout, self.schema, (invariant,))
            if evaluate(circuit, planes)[0, 0] & np.uint64(1):
                return invariant.name
        return ""

    def lane(self, state: PlanState, step: Step) -> int:
        """The lane of a step, admissible or not.

        Raises:
            Inadmissible: the step's form, handles or key break a rule.
        """
        tools = self.schema.tools
        _check_position(step, state.n_steps, self.schema.limits.max_steps)
        if step.tool not in tools:
            raise Inadmissible(step.id, f"no tool {step.tool!r}", f"use one of {', '.join(tools)}")
        tool = tools[step.tool]
        slots = _handle_slots(state, step, tool)
        _check_plain(step, tool)
        if tool.binds:
            slots[SELF] = self._free_slot(state, step, tool)
        lane = self._lane_of.get((step.tool, tuple(slots.values())))
        if lane is None:
            rule = f"{step.tool} is given one object twice"
            raise Inadmissible(step.id, rule, "give each argument its own object")
        return lane

    def _free_slot(self, state: PlanState, step: Step, tool: Tool) -> int:
        assert tool.binds is not None
        kind, key = tool.binds.object, _key(tool, step)
        taken = [h for h in state.handles if h.object == kind]
        for other in taken:
            if key and other.key == key:
                rule = f"{kind} {key} is bound already by step {other.step}"
                raise Inadmissible(step.id, rule, f"use the handle of step {other.step} instead")
        most = self.layout.slots[kind]
        n_keys = self.texts[step.tool].n_keys
        most = most if n_keys is None else min(most, n_keys)
        if len(taken) >= most:
            rule = f"a plan binds at most {most} objects of type {kind}"
            raise Inadmissible(step.id, rule, "split the plan")
        return len(taken)


def _check_position(step: Step, n_steps: int, max_steps: int) -> None:
    if n_steps >= max_steps:
        raise Inadmissible(
            step.id, f"a plan has at most {max_steps} steps", "end the plan before it"
        )
    if step.id != step_id(n_steps):
        rule = f"step {n_steps + 1} must have id {step_id(n_steps)!r}"
        raise Inadmissible(step.id, rule, "name the steps a, b, c, … in order")
    earlier = {step_id(i) for i in range(n_steps)}
    for other in step.after:
        if other not in earlier:
            rule = f"'after' names {other!r}, which is no earlier step"
            raise Inadmissible(step.id, rule, "name earlier steps")


def _handle_slots(state: PlanState, step: Step, tool: Tool) -> dict[str, int]:
    """Slot per handle argument."""
    bound = {h.step: h for h in state.handles}
    slots: dict[str, int] = {}
    for arg, handle in tool.handles.items():
        value = step.args.get(arg)
        ref = parse_reference(value) if isinstance(value, str) else None
        found = bound.get(ref.step) if ref and ref.path == handle.path else None
        if found is None or found.object != handle.object:
            known = [f"${h.step}.{handle.path}" for h in state.handles if h.object == handle.object]
            raise Inadmissible(
                step.id,
                f"argument {arg!r} must be a handle of type {handle.object}, not {value!r}",
                f"use {' or '.join(known)}"
                if known
                else f"bind an object of type {handle.object} first",
            )
        slots[arg] = found.slot
    return slots


def _check_plain(step: Step, tool: Tool) -> None:
    """Refuse references where the tool takes values."""
    plain: Any = {arg: value for arg, value in step.args.items() if arg not in tool.handles}
    for found in references(plain):
        rule = f"the argument at {found.pointer} may not be a reference"
        raise Inadmissible(step.id, rule, "write the value itself")


def _key(tool: Tool, step: Step) -> str:
    """The text of the key that names the object a step binds; empty if it binds none by key."""
    if not tool.binds or not tool.binds.key:
        return ""
    if tool.binds.key not in step.args:
        raise Inadmissible(step.id, f"argument {tool.binds.key!r} is missing", "add it")
    value = step.args[tool.binds.key]
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # 1042.0 names the same object as 1042
    return value_text(value)
