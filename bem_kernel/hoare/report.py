"""Verdicts for people and for machines: edges, counterexamples as a state and a trace."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bem_kernel.hoare.check import Edge, Refutation, Report
from bem_kernel.hoare.replay import Counterexample
from bem_kernel.hoare.state import layout_of
from bem_kernel.isa.core import signed
from bem_kernel.isa.program import Program


def report_lines(report: Report, program: Program) -> Iterator[str]:
    """The verdict, a line for each edge; below an edge that does not hold its counterexample."""
    refutations = iter(report.refutations)
    for edge in report.edges:
        yield f"{edge.source} -> {edge.target}: {_verdict(edge)}{_lines(edge, program)}"
        if edge.holds is False:
            yield from refutation_lines(next(refutations), program)
    for name in (name for name, weakest in report.exact.items() if weakest):
        yield f"{name}: the weakest annotation that does"
    for name in report.unreached:
        yield f"{name}: no path comes here"
    holding = sum(edge.holds is True for edge in report.edges)
    ended = "accepted" if report.accepted else "rejected"
    yield f"{ended}: {holding} of {len(report.edges)} hold, {report.proofs} proofs checked"


def refutation_lines(refutation: Refutation, program: Program) -> Iterator[str]:
    """The state a counterexample starts in, then each step of its replay."""
    yield f"    from {start_text(refutation.example, program)}"
    for step in refutation.steps:
        yield f"    {step.line or '':>5} {step.pc:>5}  {step.text}  {step.changes}".rstrip()


def start_text(example: Counterexample, program: Program) -> str:
    """The state that a counterexample starts in: what is not 0."""
    start = start_record(example, program)
    parts = [" ".join(start["ones"])] if start["ones"] else []
    for kind in ("registers", "data"):
        numbers = " ".join(f"{name}={value}" for name, value in start[kind].items())
        parts += [numbers] if numbers else []
    return "; ".join(parts) or "all zero"


def start_record(example: Counterexample, program: Program) -> dict[str, Any]:
    """The same as JSON: ones, registers, words of data, all that are not 0."""
    layout = layout_of(program)
    bits = enumerate(program.bit_names)
    ones = [name for bit, name in bits if example.words[layout.plane(bit)] & 1]
    registers = {f"r{i}": value for i, value in enumerate(example.registers) if value}
    data: dict[str, int] = {}
    for entry in program.data:
        for index, place in enumerate(layout.data(entry.name)):
            value = signed(example.words[place])
            if value:
                data[f"{entry.name}[{index}]"] = value
    return {"ones": ones, "registers": registers, "data": data}


def report_record(report: Report, program: Program) -> dict[str, Any]:
    """The verdict as JSON."""
    return {
        "accepted": report.accepted,
        "proofs": report.proofs,
        "unreached": list(report.unreached),
        "exact": dict(report.exact),
        "edges": [
            {
                "source": edge.source,
                "target": edge.target,
                "path": list(edge.path),
                "holds": edge.holds,
                "equal": edge.equal,
            }
            for edge in report.edges
        ],
        "counterexamples": [refutation_record(r, program) for r in report.refutations],
    }


def refutation_record(refutation: Refutation, program: Program) -> dict[str, Any]:
    """A violation as JSON: the state it starts in and each step of its replay."""
    example = refutation.example
    return {
        "source": example.source,
        "claim": example.claim,
        "start": start_record(example, program),
        "steps": [
            {"pc": s.pc, "line": s.line, "instruction": s.text, "changes": s.changes}
            for s in refutation.steps
        ],
    }


def _verdict(edge: Edge) -> str:
    if edge.holds is None:
        return "UNDECIDED"
    if not edge.holds:
        return "REFUTED"
    return "holds, and equals" if edge.equal else "holds"


def _lines(edge: Edge, program: Program) -> str:
    """Where the path goes, by line."""
    lines = [program.code[pc].line for pc in edge.path]
    if not lines or not lines[0]:
        return ""
    return f" (lines {' '.join(str(line) for line in dict.fromkeys(lines))})"
