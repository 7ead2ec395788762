"""The graph of a domain: which tool needs which fluents, and which it sets.

tool -> fluent    an effect ("sets" or "clears")
fluent -> tool    a precondition: "needs" it, "forbids" it, or "asks" for it (either may do)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from bb_domains.compiler import PlanMachine
from bb_domains.fluents import Atom
from bb_domains.logic import CompiledTool
from bem_kernel.engines.engine import evaluate
from bem_kernel.lanes import pack_bits, unpack_bits

Kind = Literal["needs", "forbids", "asks", "sets", "clears"]
_MOST_ATOMS = 16


@dataclass(frozen=True)
class Edge:
    """An edge between a tool and a fluent, named by the fluent's name with its object types."""

    source: str
    target: str
    kind: Kind


@dataclass(frozen=True)
class DomainGraph:
    """Nodes by name and the edges between them, each in declared order."""

    domain: str
    tools: tuple[str, ...]
    fluents: tuple[str, ...]
    edges: tuple[Edge, ...]


def domain_graph(machine: PlanMachine) -> DomainGraph:
    """Return the graph of a compiled domain; fluents that no tool mentions are left out."""
    edges: list[Edge] = []
    for name, tool in machine.tools.items():
        for atom, kind in _asked(tool).items():
            edges.append(Edge(_label(atom, tool.objects), name, kind))
        for effect in tool.effects:
            kind = "sets" if effect.value else "clears"
            edges.append(Edge(name, _label(effect.atom, tool.objects), kind))
    ends = {end for edge in edges for end in (edge.source, edge.target)}
    labels = (f"{f}({', '.join(t)})" if t else f for f, t in machine.schema.fluents.items())
    fluents = tuple(label for label in labels if label in ends)
    return DomainGraph(machine.schema.domain, tuple(machine.tools), fluents, tuple(edges))


def dot_text(graph: DomainGraph) -> str:
    """Return the graph in Graphviz's DOT language."""
    styles = {
        "needs": "",
        "asks": ' [style="dotted"]',
        "forbids": ' [style="dashed", arrowhead="tee"]',
        "sets": ' [color="#1a7f37"]',
        "clears": ' [color="#b42318", style="dashed"]',
    }
    lines = [f'digraph "{graph.domain}" {{', "  rankdir=LR;"]
    lines += [f'  "{tool}" [shape=box];' for tool in graph.tools]
    lines += [f'  "{fluent}" [shape=ellipse];' for fluent in graph.fluents]
    lines += [f'  "{e.source}" -> "{e.target}"{styles[e.kind]};' for e in graph.edges]
    return "\n".join([*lines, "}"]) + "\n"


def _label(atom: Atom, objects: Mapping[str, str]) -> str:
    types = ", ".join(objects[param] for param in atom.params)
    return f"{atom.fluent}({types})" if types else atom.fluent


def _asked(tool: CompiledTool) -> dict[Atom, Kind]:
    """How the precondition depends on each of its atoms, from its truth table."""
    n = len(tool.pre_atoms)
    if n > _MOST_ATOMS:
        return dict.fromkeys(tool.pre_atoms, "asks")
    rows = (np.arange(2**n)[:, None] >> np.arange(n)) & 1
    true = unpack_bits(evaluate(tool.pre, pack_bits(rows.astype(np.bool_))), 2**n)[:, 0]
    kinds: dict[Atom, Kind] = {}
    for i, atom in enumerate(tool.pre_atoms):
        with_it, without = bool(true[rows[:, i] == 1].any()), bool(true[rows[:, i] == 0].any())
        if with_it != without:
            kinds[atom] = "needs" if with_it else "forbids"
        else:
            kinds[atom] = "asks"
    return kinds
