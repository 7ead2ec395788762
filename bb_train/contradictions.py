"""Plans that a latent graph says cannot be as good: the chosen one with something taken away."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from bb_core.plan import Plan, Step, parse_reference, plan_text, references, rename_steps
from bb_domains.domain import Domain
from bb_domains.schema import PlanSchema
from bb_nn.call_graph import AtMost, GraphRules

if TYPE_CHECKING:
    import networkx as nx


def contradictions(domain: Domain, plan: Plan, graph: nx.DiGraph) -> tuple[Plan, ...]:
    """The plan with one thing taken away that a latent graph says of it.

    For each edge of the graph that the plan has: the later step given another object of the same
    type, where the plan has one. For each step: the plan without it, without what refers to it,
    and without look-ups that nobody needs then. None is the plan itself.

    Args:
        domain: of the plan.
        plan: that was chosen.
        graph: that was said to be its own.
    """
    made = (*_redirected(domain, plan, graph), *_dropped(domain, plan, graph))
    found = {plan_text(other): other for other in made if other.steps}
    return tuple(other for text, other in found.items() if text != plan_text(plan))


def _redirected(domain: Domain, plan: Plan, graph: nx.DiGraph) -> Iterator[Plan]:
    tools = domain.schema.tools
    for at, step in enumerate(plan.steps):
        for arg, handle in tools[step.tool].handles.items():
            reference = parse_reference(step.args[arg])
            if reference is None or not graph.has_edge(reference.step, step.id):
                continue
            for other in plan.steps[:at]:
                binds = tools[other.tool].binds
                if binds and binds.object == handle.object and other.id != reference.step:
                    args = {**step.args, arg: f"${other.id}.{reference.path}"}
                    moved = Step(step.id, step.tool, args, step.after)
                    yield _tidy(domain, (*plan.steps[:at], moved, *plan.steps[at + 1 :]), set())


def _dropped(domain: Domain, plan: Plan, graph: nx.DiGraph) -> Iterator[Plan]:
    for step in plan.steps:
        if step.id in graph and graph.nodes[step.id]["tool"] == step.tool:
            yield _tidy(domain, plan.steps, {step.id})


def _tidy(domain: Domain, steps: Sequence[Step], gone: set[str]) -> Plan:
    """Steps without those that are gone, what refers to these, and look-ups nobody uses."""
    for step in steps:
        if any(ref.step in gone for ref in references(step.args)):
            gone.add(step.id)
    used = {ref.step for step in steps if step.id not in gone for ref in references(step.args)}
    idle = {s.id for s in steps if domain.schema.tools[s.tool].binds and s.id not in used}
    kept = [step for step in steps if step.id not in gone | idle]
    left = [
        Step(s.id, s.tool, s.args, tuple(o for o in s.after if o not in gone | idle)) for s in kept
    ]
    return rename_steps(Plan(tuple(left)))


def graph_rules(schema: PlanSchema, slots: int | None = None) -> GraphRules:
    """What graphs of a domain's plans may be, for a call-graph head.

    Args:
        schema: of the domain.
        slots: most steps; None for the domain's own limit.
    """
    names = tuple(schema.tools)
    binds = {name: tool.binds.object for name, tool in schema.tools.items() if tool.binds}
    at_most = tuple(
        AtMost(frozenset(i for i, n in enumerate(names) if binds.get(n) == kind), objects.slots)
        for kind, objects in schema.objects.items()
    )
    arity = tuple(len(schema.tools[name].handles) for name in names)
    return GraphRules(names, arity, slots or schema.limits.max_steps, at_most)
