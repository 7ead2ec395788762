"""What is legal in a domain and still looks like a mistake."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from bb_domains.compiler import PlanMachine
from bb_domains.domain import Domain, schema_path
from bb_domains.fluents import Vocabulary, expression_atoms
from bb_domains.marks import Marked, read_marked
from bb_domains.outgoing import looks_private
from bb_domains.schema import PlanSchema

MOST_STATES = 3000


@dataclass(frozen=True)
class Finding:
    """Something to look at: the place in the schema, with line and column where there is a file."""

    where: str
    what: str


def lint(domain: Domain) -> list[Finding]:
    """Return what looks like a mistake in a domain, in the order of its schema."""
    machine = domain.machine
    found = [
        *_service(machine.schema),
        *_fluents(machine),
        *_objects(machine),
        *_tools(machine),
        *_costs(machine),
        *_reachability(machine),
        *_channels(machine),
    ]
    return _placed(found, domain)


def lint_service(domain: Domain) -> list[Finding]:
    """Return what looks like a mistake in where a domain's tools live."""
    return _placed(_service(domain.schema), domain)


def _placed(found: Iterable[Finding], domain: Domain) -> list[Finding]:
    places = _places(domain)
    return [Finding(places.where(finding.where.split(".")), finding.what) for finding in found]


def _places(domain: Domain) -> Marked:
    """Where the schema is written down; nowhere for one made in memory."""
    if domain.root is None or not schema_path(domain.root).exists():
        return Marked({}, "")
    return read_marked(schema_path(domain.root))


def _service(schema: PlanSchema) -> Iterator[Finding]:
    service = schema.service
    for host in service.hosts if service and not service.networks else ():
        if looks_private(host):
            what = (
                "looks private; an address that is not public is reached only in a listed network"
            )
            yield Finding("service.hosts", f'{host} {what}: networks: ["10.1.2.0/24"]')


def _fluents(machine: PlanMachine) -> Iterator[Finding]:
    schema = machine.schema
    written = {e.atom.fluent for tool in machine.tools.values() for e in tool.effects}
    read = {a.fluent for tool in machine.tools.values() for a in tool.pre_atoms}
    for invariant in schema.invariants:
        vocabulary = Vocabulary(schema.fluents, invariant.objects)
        read |= {a.fluent for a in expression_atoms(invariant.never, vocabulary, invariant.name)}
    for fluent in schema.fluents:
        if fluent not in written:
            yield Finding(f"fluents.{fluent}", "no tool sets it, so it never holds")
        elif fluent not in read:
            yield Finding(f"fluents.{fluent}", "no precondition or invariant asks for it")


def _objects(machine: PlanMachine) -> Iterator[Finding]:
    schema = machine.schema
    bound = {tool.binds.object for tool in schema.tools.values() if tool.binds}
    used = {h.object for tool in schema.tools.values() for h in tool.handles.values()}
    for kind in schema.objects:
        if kind not in bound:
            yield Finding(f"objects.{kind}", "no tool binds it")
        elif kind not in used:
            dead = ", and graph.every_handle_used forbids that" * schema.graph.every_handle_used
            yield Finding(f"objects.{kind}", f"no tool takes a handle of it{dead}")


def _tools(machine: PlanMachine) -> Iterator[Finding]:
    for what, names in _odd_tools(machine).items():
        if names:
            yield Finding("tools", f"{', '.join(names)}: {what}")


def _odd_tools(machine: PlanMachine) -> dict[str, list[str]]:
    tools = machine.schema.tools.items()
    return {
        "no operation, so an adapter must know it by name": [
            name for name, tool in tools if tool.operation is None
        ],
        "writes without an idempotency key, so in doubt after a crash": [
            name for name, tool in tools if tool.effect == "write" and not tool.idempotent
        ],
    }


def _costs(machine: PlanMachine) -> Iterator[Finding]:
    limit = machine.schema.limits.max_cost
    for name, tool in machine.schema.tools.items():
        if limit is not None and tool.cost > limit:
            what = f"is above limits.max_cost, {limit}, so it can never be called"
            yield Finding(f"tools.{name}.cost", f"{tool.cost} {what}")


def _channels(machine: PlanMachine) -> Iterator[Finding]:
    for name, channel in machine.schema.channels.items():
        unread = {"soft": (), "hard": ("weight",), "off": ("weight", "grammar", "start")}
        for key in unread[channel.mode]:
            if key in channel.model_fields_set:
                yield Finding(f"channels.{name}.{key}", f"means nothing while {channel.mode}")


def _reachability(machine: PlanMachine) -> Iterator[Finding]:
    """Tools that no state reached makes admissible; every state if there are few enough."""
    missing, complete = unreached(machine)
    for tool in missing:
        doubt = "" if complete else f" among the first {MOST_STATES} states"
        yield Finding(f"tools.{tool}.pre", f"it is never admissible{doubt}")
    if machine.completion(machine.initial()) is None:
        yield Finding("graph", "no plan can be completed")


def unreached(machine: PlanMachine) -> tuple[list[str], bool]:
    """Tools never seen admissible, and whether every reachable state was looked at.

    States in which a tool was seen for the first time are expanded first.
    """
    order = itertools.count()
    queue: list[tuple[bool, int, int]] = [(False, next(order), 0)]
    seen, tools = {0}, set[str]()
    while queue and len(seen) < MOST_STATES and len(tools) < len(machine.tools):
        _, _, bits = heapq.heappop(queue)
        for i in machine.allowed(bits):
            lane = machine.lanes[i]
            after = lane.apply(bits)
            if after not in seen:
                seen.add(after)
                heapq.heappush(queue, (lane.tool in tools, next(order), after))
            tools.add(lane.tool)
    return [tool for tool in machine.tools if tool not in tools], not queue
