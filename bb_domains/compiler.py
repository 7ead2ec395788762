"""The plan machine: preconditions, effects and invariants of a domain as Boolean circuits.

A plan state is a vector of bits (`layout`). Every call there could ever be (a tool with handle
slots) is a lane: the preconditions of all calls are one circuit over gathered atoms, their effects
are set and clear masks, and the invariants are one circuit over the states that follow. Which calls
are admissible in a state is therefore two circuit evaluations, whatever the number of tools.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from bb_core.plan import Step, parse_reference, references, step_id
from bb_domains.calls import ToolTexts, all_texts
from bb_domains.completion import Completions
from bb_domains.errors import ExpressionFault, Inadmissible, SchemaError
from bb_domains.explain import explain
from bb_domains.fluents import SELF, Atom, Effect, Vocabulary, expression_atoms, parse_effect
from bb_domains.layout import Layout, layout_of
from bb_domains.lower import value_text
from bb_domains.schema import PlanSchema, Tool
from bem_kernel.builder import CircuitBuilder
from bem_kernel.circuit import Circuit
from bem_kernel.engine import evaluate
from bem_kernel.expert import Address, Expert, ExpertTemplate
from bem_kernel.expression import compile_expression
from bem_kernel.lanes import pack_bits, unpack_bits, words_for

_KEPT_STATES = 1 << 16
_NO_BITS = 0


@dataclass(frozen=True)
class Bound:
    """An object bound by a step: its type, its slot, and the text of the key that names it."""

    step: str
    object: str
    slot: int
    key: str = ""


@dataclass(frozen=True)
class PlanState:
    """Where a plan stands.

    Attributes:
        bits: the state bits, bit i of the integer is bit i of the layout.
        handles: the objects bound so far, in order of binding.
        used: which of them a later step uses, bit `Layout.ordinal(object, slot)`.
        n_steps: steps taken.
    """

    bits: int = _NO_BITS
    handles: tuple[Bound, ...] = ()
    used: int = 0
    n_steps: int = 0


@dataclass(frozen=True)
class Call:
    """A tool with the steps whose handles it is given, by argument."""

    tool: str
    handles: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Lane:
    """A call in terms of slots: what it needs bound, what it writes.

    Attributes:
        tool: name of the tool.
        slots: slot per handle argument, and of `self` if the tool binds an object.
        needs, forbids: bound bits that must be 1, and that must be 0.
        sets, clears: state bits that the step writes.
        uses: ordinals of the handles it is given.
    """

    tool: str
    slots: Mapping[str, int] = field(hash=False)
    needs: int
    forbids: int
    sets: int
    clears: int
    uses: int


@dataclass(frozen=True)
class CompiledTool:
    """One tool's logic: atoms and circuit of its precondition, and its effects."""

    tool: Tool
    objects: Mapping[str, str]
    pre_atoms: tuple[Atom, ...]
    pre: Circuit
    effects: tuple[Effect, ...]


@dataclass(frozen=True)
class Experts:
    """The domain's logic as experts over the state, for the executor's program.

    Attributes:
        pre: per tool, BAD <- BAD or not precondition; parameters are handle arguments.
        effect: per tool, writes its effects and the bound bit; parameters also `self`.
        invariants: BAD <- BAD or some invariant is violated.
    """

    pre: Mapping[str, ExpertTemplate]
    effect: Mapping[str, ExpertTemplate]
    invariants: Expert


class PlanMachine:
    """A domain's logic, compiled. States are values; the machine itself never changes.

    Raises:
        ExpressionFault: an expression does not parse or names something undeclared.
        SchemaError: a tool or invariant contradicts itself.
        LowerError: an argument schema cannot be lowered.
    """

    def __init__(self, schema: PlanSchema) -> None:
        self.schema = schema
        self.layout: Layout = layout_of(schema)
        self.texts: Mapping[str, ToolTexts] = all_texts(schema)
        self.tools = {name: _compile_tool(schema, name) for name in schema.tools}
        self.lanes: tuple[Lane, ...] = tuple(self._lanes())
        self._lane_of = {(n.tool, tuple(n.slots.values())): i for i, n in enumerate(self.lanes)}
        self._violated = _invariant_circuit(schema, self.layout)
        self._pre = _BatchedPre(self)
        self.allowed = lru_cache(maxsize=_KEPT_STATES)(self._allowed)
        if schema.invariants and self._violations(np.zeros((self.layout.n_bits, 1), np.uint64))[0]:
            raise SchemaError(
                "an invariant is violated before the first step",
                where="invariants",
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
        names = self._step_names(state)
        return [self.call(i, names) for i in self.allowed(state.bits)]

    def apply(self, state: PlanState, step: Step) -> PlanState:
        """The state after a step.

        Argument schemas are not checked here; everything about handles and fluents is.

        Raises:
            Inadmissible: the step may not be taken; names the rule and, if one was found, a repair.
        """
        lane = self._lane(state, step)
        if lane not in self.allowed(state.bits):
            rule, repair = explain(self, state, lane)
            raise Inadmissible(step.id, rule, repair)
        return self.after(state, lane, self._key(state, step))

    def after(self, state: PlanState, lane: int, key: str = "") -> PlanState:
        """The state after an admissible lane; `key` names the object it binds."""
        taken = self.lanes[lane]
        handles = state.handles
        binds = self.schema.tools[taken.tool].binds
        if binds:
            bound = Bound(step_id(state.n_steps), binds.object, taken.slots[SELF], key)
            handles = (*handles, bound)
        bits = state.bits & ~taken.clears | taken.sets
        return PlanState(bits, handles, state.used | taken.uses, state.n_steps + 1)

    def can_end(self, state: PlanState) -> bool:
        """Whether a plan may end here, by the graph rules."""
        if state.n_steps < self.schema.graph.min_steps:
            return False
        return not self.schema.graph.every_handle_used or not self.unused(state.bits, state.used)

    def unused(self, bits: int, used: int) -> int:
        """Ordinals of the handles that are bound and not used, as a bit mask."""
        objects = (1 << self.layout.n_objects) - 1
        return (bits >> self.layout.bound_base) & objects & ~used

    def completion(self, state: PlanState) -> tuple[int, int] | None:
        """Fewest bytes to a legal end: (steps, bytes) of that way; None for a dead end.

        The bytes are those after the last completed step, `]}` included (after nothing at all for
        the initial state), every call written at its shortest level's longest. Ways with more than
        `limits.max_steps` steps do not count.
        """
        found = self._completions.cheapest(state.bits, state.used, state.n_steps)
        return found if found is None else (found.steps, found.size)

    def continuation(self, state: PlanState) -> tuple[int, int] | None:
        """Like `completion`, over the ways that take at least one more step."""
        found = self._completions.cheapest_step(state.bits, state.used, state.n_steps)
        return found if found is None else (found.steps, found.size)

    def max_bytes(self, tool: str) -> int:
        """Bytes of the longest text of a call of `tool`, from after `"tool":"` to its last brace."""
        return self.texts[tool].levels[0].most

    def call(self, lane: int, names: Mapping[tuple[str, int], str]) -> Call:
        """The call of a lane, given the step that bound each (object, slot)."""
        taken = self.lanes[lane]
        handles = self.schema.tools[taken.tool].handles
        return Call(
            taken.tool, {arg: names[h.object, taken.slots[arg]] for arg, h in handles.items()}
        )

    def step_slots(self, state: PlanState, step: Step) -> Mapping[str, int]:
        """Values of the parameters of a step's experts: slot per handle argument and `self`.

        Raises:
            Inadmissible: the step's handles do not exist.
        """
        return self.lanes[self._lane(state, step)].slots

    @cached_property
    def experts(self) -> Experts:
        """The same logic as experts on the lane state; `layout` says which bit is which."""
        return Experts(
            {name: self._pre_expert(name) for name in self.tools},
            {name: self._effect_expert(name) for name in self.tools},
            self._invariant_expert(),
        )

    @cached_property
    def _completions(self) -> Completions:
        return Completions(self)

    def _lanes(self) -> Iterable[Lane]:
        for name, compiled in self.tools.items():
            ranges = [range(self.layout.slots[kind]) for kind in compiled.objects.values()]
            for slots in itertools.product(*ranges):
                lane = self._make_lane(name, compiled, dict(zip(compiled.objects, slots, strict=True)))
                if lane is not None:
                    yield lane

    def _make_lane(
        self, name: str, compiled: CompiledTool, slots: Mapping[str, int]
    ) -> Lane | None:
        """One lane, or None if it would be given one object twice or more objects than keys."""
        layout, tool = self.layout, compiled.tool
        needs = uses = forbids = sets = clears = 0
        for arg, handle in tool.handles.items():
            bit = 1 << layout.ordinal(handle.object, slots[arg])
            if uses & bit:
                return None
            uses |= bit
            needs |= 1 << layout.bound_bit(handle.object, slots[arg])
        if tool.binds:
            kind, slot, n_keys = tool.binds.object, slots[SELF], self.texts[name].n_keys
            if n_keys is not None and slot >= n_keys:
                return None
            sets = forbids = 1 << layout.bound_bit(kind, slot)
            if slot:
                needs |= 1 << layout.bound_bit(kind, slot - 1)
        for effect in compiled.effects:
            bit = 1 << layout.bit(effect.atom, slots)
            sets, clears = (sets | bit, clears) if effect.value else (sets, clears | bit)
        return Lane(name, slots, needs, forbids, sets, clears & ~sets, uses)

    def _allowed(self, bits: int) -> tuple[int, ...]:
        """Lanes admissible in a state of these bits, in lane order."""
        lanes = self.lanes
        row = _bit_row(bits, self.layout.n_bits)
        holds = self._pre.holds(row)
        if self.schema.invariants:
            planes = np.where(row[:, None], ~np.uint64(0), np.uint64(0))
            after = (planes & ~self._clear_planes) | self._set_planes
            holds &= ~self._violations(after)[: len(lanes)]
        return tuple(
            i
            for i in np.flatnonzero(holds).tolist()
            if bits & lanes[i].needs == lanes[i].needs and not bits & lanes[i].forbids
        )

    def pre_holds(self, bits: int, lane: int) -> bool:
        """Whether a lane's precondition holds in a state of these bits."""
        return bool(self._pre.holds(_bit_row(bits, self.layout.n_bits))[lane])

    def violated_after(self, bits: int, lane: int) -> str:
        """Name of an invariant that a lane would break."""
        taken = self.lanes[lane]
        row = _bit_row(bits & ~taken.clears | taken.sets, self.layout.n_bits)
        for invariant in self.schema.invariants:
            alone = self.schema.model_copy(update={"invariants": (invariant,)})
            if evaluate(_invariant_circuit(alone, self.layout), pack_bits(row[None, :]))[0, 0] & 1:
                return f"{invariant.name} (never {invariant.never})"
        return "of the handles"

    def _violations(self, planes: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """(lanes,) bool: some invariant is violated in the lane's state."""
        result = evaluate(self._violated, planes)
        return unpack_bits(result, 64 * planes.shape[1])[:, 0]

    @cached_property
    def _set_planes(self) -> NDArray[np.uint64]:
        return self._lane_planes([lane.sets for lane in self.lanes])

    @cached_property
    def _clear_planes(self) -> NDArray[np.uint64]:
        return self._lane_planes([lane.clears for lane in self.lanes])

    def _lane_planes(self, masks: Sequence[int]) -> NDArray[np.uint64]:
        return pack_bits(np.array([_bit_row(mask, self.layout.n_bits) for mask in masks]))

    def _step_names(self, state: PlanState) -> dict[tuple[str, int], str]:
        return {(h.object, h.slot): h.step for h in state.handles}

    def _lane(self, state: PlanState, step: Step) -> int:
        """The lane of a step.

        Raises:
            Inadmissible: its form, handles or key break a rule.
        """
        limits, tools = self.schema.limits, self.schema.tools
        if state.n_steps >= limits.max_steps:
            rule = f"a plan has at most {limits.max_steps} steps"
            raise Inadmissible(step.id, rule, "end the plan before it")
        if step.id != step_id(state.n_steps):
            rule = f"step {state.n_steps + 1} must have id {step_id(state.n_steps)!r}"
            raise Inadmissible(step.id, rule, "name steps a, b, c, … in order")
        if step.tool not in tools:
            raise Inadmissible(step.id, f"no tool {step.tool!r}", f"use one of {', '.join(tools)}")
        slots = self._slots(state, step, tools[step.tool])
        lane = self._lane_of.get((step.tool, tuple(slots.values())))
        if lane is None:
            rule = f"{step.tool} is given one object twice, or binds more than there are keys"
            raise Inadmissible(step.id, rule, "give each argument its own object")
        return lane

    def _slots(self, state: PlanState, step: Step, tool: Tool) -> dict[str, int]:
        bound = {h.step: h for h in state.handles}
        _check_order(step, state.n_steps)
        slots: dict[str, int] = {}
        for arg, handle in tool.handles.items():
            value = step.args.get(arg)
            ref = parse_reference(value) if isinstance(value, str) else None
            found = bound.get(ref.step) if ref and ref.path == handle.path else None
            if found is None or found.object != handle.object:
                known = [f"${h.step}.{handle.path}" for h in bound.values() if h.object == handle.object]
                raise Inadmissible(
                    step.id,
                    f"argument {arg!r} must be a handle of type {handle.object}, not {value!r}",
                    f"use {' or '.join(known)}" if known else f"bind a {handle.object} first",
                )
            slots[arg] = found.slot
        plain = {arg: value for arg, value in step.args.items() if arg not in tool.handles}
        if references(plain):
            rule = f"argument at {references(plain)[0].pointer} may not be a reference"
            raise Inadmissible(step.id, rule, "write the value itself")
        if tool.binds:
            self._check_key(state, step, tool)
            slots[SELF] = sum(h.object == tool.binds.object for h in state.handles)
            if slots[SELF] >= self.layout.slots[tool.binds.object]:
                rule = f"a plan binds at most {slots[SELF]} objects of type {tool.binds.object}"
                raise Inadmissible(step.id, rule, "split the plan")
        return slots

    def _check_key(self, state: PlanState, step: Step, tool: Tool) -> None:
        assert tool.binds is not None
        key = self._key(state, step)
        for other in state.handles:
            if key and other.object == tool.binds.object and other.key == key:
                rule = f"{tool.binds.object} {key} is bound already by step {other.step}"
                raise Inadmissible(step.id, rule, f"use ${other.step} and drop this step")

    def _key(self, state: PlanState, step: Step) -> str:
        """The text of the key that names the object a step binds; empty if it has none."""
        binds = self.schema.tools[step.tool].binds
        if not binds or not binds.key:
            return ""
        if binds.key not in step.args:
            raise Inadmissible(step.id, f"argument {binds.key!r} is missing", "add it")
        return value_text(step.args[binds.key])

    def _pre_expert(self, name: str) -> ExpertTemplate:
        compiled, bad = self.tools[name], Address(self.layout.bad)
        builder = CircuitBuilder(len(compiled.pre_atoms) + 1)
        holds = builder.embed(compiled.pre, range(len(compiled.pre_atoms)))[0]
        result = builder.or_(builder.not_(holds), len(compiled.pre_atoms))
        reads = (*map(self.layout.address, compiled.pre_atoms), bad)
        return ExpertTemplate(f"pre {name}", reads, builder.build([result]), (bad,))

    def _effect_expert(self, name: str) -> ExpertTemplate:
        compiled, layout = self.tools[name], self.layout
        writes = {layout.address(effect.atom): effect.value for effect in compiled.effects}
        if compiled.tool.binds:
            kind = compiled.tool.binds.object
            writes[Address(layout.bound_bit(kind, 0), ((SELF, 1),))] = True
        builder = CircuitBuilder(0)
        outputs = [builder.const(value) for value in writes.values()]
        return ExpertTemplate(f"effect {name}", (), builder.build(outputs), tuple(writes))

    def _invariant_expert(self) -> Expert:
        n = self.layout.n_bits
        builder = CircuitBuilder(n)
        violated = builder.embed(self._violated, range(n))[0]
        circuit = builder.build([builder.or_(violated, self.layout.bad)])
        return Expert("invariants", tuple(range(n)), circuit, (self.layout.bad,))


class _BatchedPre:
    """The preconditions of all lanes as one circuit.

    Inputs are the k-th atom of each lane's precondition, gathered per lane, and one selector plane
    per tool; the output is OR over tools of selector AND precondition.
    """

    def __init__(self, machine: PlanMachine) -> None:
        tools = list(machine.tools.values())
        n_atoms = max(len(tool.pre_atoms) for tool in tools)
        builder = CircuitBuilder(n_atoms + len(tools))
        holds = builder.const(False)
        for i, tool in enumerate(tools):
            pre = builder.embed(tool.pre, range(len(tool.pre_atoms)))[0]
            holds = builder.or_(holds, builder.and_(n_atoms + i, pre))
        self.circuit = builder.build([holds])
        names = list(machine.tools)
        chosen = np.array([[lane.tool == name for name in names] for lane in machine.lanes])
        self.n_lanes = len(machine.lanes)
        self.gather = np.zeros((self.n_lanes, n_atoms), dtype=np.intp)
        for i, lane in enumerate(machine.lanes):
            for k, atom in enumerate(machine.tools[lane.tool].pre_atoms):
                self.gather[i, k] = machine.layout.bit(atom, lane.slots)
        self.planes = np.zeros((n_atoms + len(tools), words_for(self.n_lanes)), dtype=np.uint64)
        self.planes[n_atoms:] = pack_bits(chosen)
        self.n_atoms = n_atoms

    def holds(self, row: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """(lanes,) bool: the precondition holds in the state with these (bits,) bool."""
        planes = self.planes.copy()
        if self.n_atoms:
            planes[: self.n_atoms] = pack_bits(row[self.gather])
        return unpack_bits(evaluate(self.circuit, planes), self.n_lanes)[:, 0]


def _bit_row(bits: int, n_bits: int) -> NDArray[np.bool_]:
    """(n_bits,) bool of the low bits of an integer."""
    octets = np.frombuffer(bits.to_bytes((n_bits + 7) // 8, "little"), dtype=np.uint8)
    return np.unpackbits(octets, bitorder="little")[:n_bits].astype(np.bool_)


def _check_order(step: Step, n_steps: int) -> None:
    for other in step.after:
        if other not in {step_id(i) for i in range(n_steps)}:
            rule = f"'after' names {other!r}, which is no earlier step"
            raise Inadmissible(step.id, rule, "name earlier steps")


def _compile_tool(schema: PlanSchema, name: str) -> CompiledTool:
    tool = schema.tools[name]
    where = f"tools.{name}"
    objects = {arg: handle.object for arg, handle in tool.handles.items()}
    vocabulary = Vocabulary(schema.fluents, objects)
    pre_atoms = expression_atoms(tool.pre, vocabulary, f"{where}.pre")
    pre = compile_expression(tool.pre, [str(atom) for atom in pre_atoms])
    if tool.binds:
        if SELF in tool.properties:
            raise SchemaError(
                f"argument {SELF!r} is the object a step binds", where=where, fix="rename it"
            )
        objects = {**objects, SELF: tool.binds.object}
        vocabulary = Vocabulary(schema.fluents, objects)
    effects = tuple(
        parse_effect(text, vocabulary, f"{where}.effects.{i}")
        for i, text in enumerate(tool.effects)
    )
    atoms = [effect.atom for effect in effects]
    if len(set(atoms)) != len(atoms):
        raise ExpressionFault("one fluent is written twice", where=f"{where}.effects", fix="keep one")
    return CompiledTool(tool, objects, pre_atoms, pre, effects)


def _invariant_circuit(schema: PlanSchema, layout: Layout) -> Circuit:
    """One output over all state bits: some invariant is violated by some bound objects."""
    builder = CircuitBuilder(layout.n_bits)
    violated = builder.const(False)
    for i, invariant in enumerate(schema.invariants):
        vocabulary = Vocabulary(schema.fluents, invariant.objects)
        atoms = expression_atoms(invariant.never, vocabulary, f"invariants.{i}.never")
        circuit = compile_expression(invariant.never, [str(atom) for atom in atoms])
        ranges = [range(layout.slots[kind]) for kind in invariant.objects.values()]
        for slots in itertools.product(*ranges):
            values = dict(zip(invariant.objects, slots, strict=True))
            here = builder.embed(circuit, [layout.bit(atom, values) for atom in atoms])[0]
            for variable, kind in invariant.objects.items():
                here = builder.and_(here, layout.bound_bit(kind, values[variable]))
            violated = builder.or_(violated, here)
    return builder.build([violated])

