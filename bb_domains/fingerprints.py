"""What a domain means, tool by tool, in a form that only a change of meaning changes.

Preconditions and invariants are written as all their prime implicates in alphabetical order (Blake
1937), so `a & b` and `b & (a | !b)` are one. Descriptions, the order of tools, and costs
that nothing limits are left out. The grammar's fingerprint changes with any byte, since masks
decode it byte by byte.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from bb_core.canonical import fingerprint, sha256_hex
from bb_domains.domain import Domain
from bb_domains.fluents import Vocabulary, expression_atoms
from bb_domains.profile.channels import channel_grammar
from bb_domains.profile.lowering import mask_grammar
from bb_domains.schema import PlanSchema, Tool
from bem_kernel.circuits.expression import compile_expression
from bem_kernel.forms.truth_table import truth_table

MOST_ATOMS = 10
"""An expression of more atoms is kept as it is written."""

_NOTES = frozenset({"title", "description", "examples", "default", "$comment", "deprecated"})
_Cube = tuple[int, int]  # values, and which inputs do not matter


def meaning(domain: Domain) -> dict[str, Any]:
    """What a domain means, as JSON data: `grammar` and `meaning` are fingerprints of the rest."""
    schema = domain.schema
    tools = {name: _tool(domain, name, tool) for name, tool in sorted(schema.tools.items())}
    whole = _whole(schema) | _channels(domain)
    return {
        "domain": schema.domain,
        "grammar": sha256_hex(domain.grammar.encode()),
        "meaning": fingerprint({"tools": tools, "whole": whole}),
        "tools": tools,
        "whole": whole,
    }


def normal_form(text: str, names: Sequence[str]) -> str:
    """An expression as the conjunction of all its prime implicates.

    Args:
        text: the expression.
        names: its atoms.
    """
    if len(names) > MOST_ATOMS:
        return " ".join(text.split())
    ordered = sorted(names)
    table = truth_table(compile_expression(text, ordered))[:, 0]
    false = [row for row, value in enumerate(table.tolist()) if not value]
    clauses = sorted(_clause(cube, ordered) for cube in _primes(false, len(ordered)))
    return " & ".join(clauses) or "true"


def _primes(minterms: Collection[int], n: int) -> set[_Cube]:
    """The prime implicants of a function, by merging neighbours (Quine 1952, McCluskey 1956)."""
    level: set[_Cube] = {(value, 0) for value in minterms}
    primes: set[_Cube] = set()
    while level:
        merged: set[_Cube] = set()
        used: set[_Cube] = set()
        for value, free in level:
            for i in range(n):
                bit = 1 << i
                if not (free | value) & bit and (value | bit, free) in level:
                    merged.add((value, free | bit))
                    used |= {(value, free), (value | bit, free)}
        primes |= level - used
        level = merged
    return primes


def _clause(cube: _Cube, names: Sequence[str]) -> str:
    """The clause that is false in a cube."""
    value, free = cube
    literals = [
        ("!" if value >> i & 1 else "") + name for i, name in enumerate(names) if not free >> i & 1
    ]
    return (
        literals[0] if len(literals) == 1 else f"({' | '.join(literals)})" if literals else "false"
    )


def _tool(domain: Domain, name: str, tool: Tool) -> dict[str, Any]:
    compiled = domain.machine.tools[name]
    told: dict[str, Any] = {
        "args": fingerprint(_without_notes(tool.plan_args())),
        "pre": normal_form(tool.pre, [str(atom) for atom in compiled.pre_atoms]),
        "effects": sorted(("" if e.value else "!") + str(e.atom) for e in compiled.effects),
        "effect": tool.effect,
        "idempotent": tool.idempotent,
        "guards": sorted(" ".join(guard.split()) for guard in tool.guards),
        "handles": {arg: [h.object, h.path] for arg, h in sorted(tool.handles.items())},
        "private": sorted(tool.private),
    }
    if domain.schema.limits.max_cost is not None:
        told["cost"] = tool.cost
    if tool.binds:
        told["binds"] = [tool.binds.object, tool.binds.key]
    return {key: value for key, value in told.items() if value not in ([], {}, False)}


def _whole(schema: PlanSchema) -> dict[str, Any]:
    invariants = {}
    for invariant in schema.invariants:
        vocabulary = Vocabulary(schema.fluents, invariant.objects)
        atoms = expression_atoms(invariant.never, vocabulary, invariant.name)
        never = normal_form(invariant.never, [str(atom) for atom in atoms])
        invariants[invariant.name] = {"never": never, "for": dict(invariant.objects)}
    return {
        "objects": {name: kind.slots for name, kind in sorted(schema.objects.items())},
        "invariants": dict(sorted(invariants.items())),
        "limits": schema.limits.model_dump(mode="json", exclude_none=True),
        "graph": schema.graph.model_dump(mode="json"),
    }


def _channels(domain: Domain) -> dict[str, Any]:
    """Channels, each with the fingerprint of the grammar that its mask or its price goes by."""
    told: dict[str, Any] = {}
    for name, channel in sorted(domain.schema.channels.items()):
        told[name] = {"mode": channel.mode}
        if channel.mode != "off":
            grammar = mask_grammar(channel_grammar(domain, name))
            told[name]["grammar"] = sha256_hex(grammar.encode())
        if channel.mode == "soft":
            told[name]["weight"] = channel.weight
    return {"channels": told} if told else {}


def _without_notes(value: Any) -> Any:
    """An argument schema without what does not constrain; names of properties are kept."""
    if isinstance(value, list):
        return [_without_notes(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: {name: _without_notes(part) for name, part in item.items()}
        if key == "properties"
        else _without_notes(item)
        for key, item in value.items()
        if key not in _NOTES
    }
