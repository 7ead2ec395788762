"""A domain's expressions as circuits and as experts on the lane state."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

from bb_domains.asides import Aside, compile_aside
from bb_domains.errors import ConditionError, SchemaError
from bb_domains.fluents import SELF, Atom, Effect, Vocabulary, expression_atoms, parse_effect
from bb_domains.guards import Guard, parse_guard
from bb_domains.layout import Layout
from bb_domains.schema import Invariant, PlanSchema, Tool
from bem_kernel.circuits.builder import CircuitBuilder
from bem_kernel.circuits.circuit import Circuit
from bem_kernel.circuits.expression import compile_expression
from bem_kernel.experts.expert import Expert
from bem_kernel.experts.template import Address, ExpertTemplate


@dataclass(frozen=True)
class CompiledTool:
    """One tool's logic.

    Attributes:
        tool: its declaration.
        objects: object type per parameter: handle arguments, and `self` if it binds an object.
        pre_atoms: atoms of the precondition, in the order of the circuit's inputs.
        pre: the precondition, one output.
        effects: fluents it sets and clears.
        guards: comparisons for the executor.
        undo: the call that takes it back, if there is one.
        probe: the call that tells whether it happened, if there is one.
    """

    tool: Tool
    objects: Mapping[str, str]
    pre_atoms: tuple[Atom, ...]
    pre: Circuit
    effects: tuple[Effect, ...]
    guards: tuple[Guard, ...]
    undo: Aside | None = None
    probe: Aside | None = None


@dataclass(frozen=True)
class Experts:
    """A domain's logic as experts over the state, for the executor's program.

    Attributes:
        pre: per tool, BAD <- BAD or not precondition; parameters are its handle arguments.
        effect: per tool, writes its effects and the bound bit; parameters also `self`.
        invariants: BAD <- BAD or some invariant is violated.
    """

    pre: Mapping[str, ExpertTemplate]
    effect: Mapping[str, ExpertTemplate]
    invariants: Expert


def compile_tool(schema: PlanSchema, name: str) -> CompiledTool:
    """Compile the precondition, effects and guards of one tool.

    Raises:
        ConditionError: an expression does not parse or names something undeclared.
        SchemaError: an argument is called `self` although the tool binds an object.
    """
    tool, where = schema.tools[name], f"tools.{name}"
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
    effects = _effects(tool, Vocabulary(schema.fluents, objects), f"{where}.effects")
    guards = tuple(
        parse_guard(text, tool.properties, f"{where}.guards.{i}")
        for i, text in enumerate(tool.guards)
    )
    undo = compile_aside(tool, tool.undo, f"{where}.undo") if tool.undo else None
    probe = compile_aside(tool, tool.probe, f"{where}.probe") if tool.probe else None
    return CompiledTool(tool, objects, pre_atoms, pre, effects, guards, undo, probe)


def _effects(tool: Tool, vocabulary: Vocabulary, where: str) -> tuple[Effect, ...]:
    effects = tuple(
        parse_effect(text, vocabulary, f"{where}.{i}") for i, text in enumerate(tool.effects)
    )
    atoms = [effect.atom for effect in effects]
    if len(set(atoms)) != len(atoms):
        raise ConditionError("one fluent is written twice", where=where, fix="keep one")
    return effects


def check_keys(schema: PlanSchema) -> None:
    """Refuse object types whose handles could alias: bound by tools with different keys.

    Raises:
        SchemaError: two tools bind one type of object by different arguments.
    """
    first: dict[str, tuple[str, str]] = {}
    for name, tool in schema.tools.items():
        if tool.binds and tool.binds.key:
            kind = tool.binds.object
            other, key = first.setdefault(kind, (name, tool.binds.key))
            if key != tool.binds.key:
                raise SchemaError(
                    f"{kind} is bound by {key!r} of {other} and by {tool.binds.key!r} of {name}, "
                    "so two handles could be one object",
                    where=f"tools.{name}.binds",
                    fix="let one of the two bind nothing, or another type",
                )


def invariant_circuit(
    layout: Layout, schema: PlanSchema, invariants: tuple[Invariant, ...]
) -> Circuit:
    """One output over all state bits: some invariant is violated by some bound objects.

    As with tools, no object stands for two variables at once.

    Raises:
        ConditionError: an expression does not parse or names something undeclared.
    """
    builder = CircuitBuilder(layout.n_bits)
    violated = builder.const(False)
    for invariant in invariants:
        vocabulary = Vocabulary(schema.fluents, invariant.objects)
        where = f"invariants.{invariant.name}.never"
        atoms = expression_atoms(invariant.never, vocabulary, where)
        circuit = compile_expression(invariant.never, [str(atom) for atom in atoms])
        ranges = [range(layout.slots[kind]) for kind in invariant.objects.values()]
        for slots in itertools.product(*ranges):
            values = dict(zip(invariant.objects, slots, strict=True))
            if len(set(zip(invariant.objects.values(), slots, strict=True))) < len(slots):
                continue
            here = builder.embed(circuit, [layout.bit(atom, values) for atom in atoms])[0]
            for variable, kind in invariant.objects.items():
                here = builder.and_(here, layout.bound_bit(kind, values[variable]))
            violated = builder.or_(violated, here)
    return builder.build([violated])


def make_experts(layout: Layout, tools: Mapping[str, CompiledTool], violated: Circuit) -> Experts:
    """The experts of a domain; `violated` is its invariant circuit."""
    return Experts(
        {name: _pre_expert(layout, name, tool) for name, tool in tools.items()},
        {name: _effect_expert(layout, name, tool) for name, tool in tools.items()},
        _invariant_expert(layout, violated),
    )


def _pre_expert(layout: Layout, name: str, compiled: CompiledTool) -> ExpertTemplate:
    n_atoms, bad = len(compiled.pre_atoms), Address(layout.bad)
    builder = CircuitBuilder(n_atoms + 1)
    holds = builder.embed(compiled.pre, range(n_atoms))[0]
    circuit = builder.build([builder.or_(builder.not_(holds), n_atoms)])
    reads = (*map(layout.address, compiled.pre_atoms), bad)
    return ExpertTemplate(f"pre {name}", reads, circuit, (bad,))


def _effect_expert(layout: Layout, name: str, compiled: CompiledTool) -> ExpertTemplate:
    writes = {layout.address(effect.atom): effect.value for effect in compiled.effects}
    if compiled.tool.binds:
        first = layout.bound_bit(compiled.tool.binds.object, 0)
        writes[Address(first, ((SELF, 1),))] = True
    builder = CircuitBuilder(0)
    circuit = builder.build([builder.const(value) for value in writes.values()])
    return ExpertTemplate(f"effect {name}", (), circuit, tuple(writes))


def _invariant_expert(layout: Layout, violated: Circuit) -> Expert:
    builder = CircuitBuilder(layout.n_bits)
    broken = builder.embed(violated, range(layout.n_bits))[0]
    circuit = builder.build([builder.or_(broken, layout.bad)])
    return Expert("invariants", tuple(range(layout.n_bits)), circuit, (layout.bad,))
