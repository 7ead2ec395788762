"""`bem optimise --code` and `--together`: whole programs, and what their experts have in common."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from bb_core.errors import UsageError

if TYPE_CHECKING:
    from bem_kernel.experts.expert import Expert
    from bem_kernel.isa.program import Program
    from bem_kernel.synthesis.sharing import Common, Shared


def optimise_code(
    file: Path, budget_ms: int, seed: int, output: Path | None, as_json: bool
) -> None:
    """Shorten the straight lines of a program; write its text, or its record if so named."""
    from bb_core.canonical import canonical_json
    from bb_core.files import write_atomic
    from bem_kernel.isa.disassembler import disassemble
    from bem_kernel.isa.files import load_program
    from bem_kernel.isa.record import program_record
    from bem_kernel.patches.superoptimise import shorter_program

    before = load_program(file)
    result = shorter_program(before, budget_ms, seed=seed)
    after = result.program
    if output is not None and output.suffix == ".json":
        write_atomic(output, canonical_json(program_record(after)) + b"\n")
    elif output is not None:
        write_atomic(output, disassemble(after))
    record = {
        "instructions_before": len(before.code),
        "instructions_after": len(after.code),
        "experts_added": len(after.experts) - len(before.experts),
        "changed": result.changed,
        "proofs": len(result.proofs),
    }
    if as_json:
        typer.echo(json.dumps(record))
        return
    typer.echo(f"{len(before.code)} instructions before, {len(after.code)} after")
    typer.echo(f"{result.changed} straight lines replaced; {len(result.proofs)} proofs accepted")


def optimise_together(file: Path, names: str, budget_ms: int, seed: int, as_json: bool) -> None:
    """Say what some experts of a program have in common."""
    from bem_kernel.isa.files import load_program
    from bem_kernel.synthesis.sharing import shared

    program = load_program(file)
    experts = [_expert(program, file, name) for name in names.split(",")]
    found = shared(experts, budget_ms, seed=seed)
    together = len(found.circuit.gates)
    parts = [(common.gates, *_names(found, common, program)) for common in found.common]
    if as_json:
        common = [{"gates": g, "experts": users, "of": of} for g, users, of in parts]
        typer.echo(json.dumps({"apart": found.apart, "together": together, "common": common}))
        return
    typer.echo(f"{found.apart} gates one by one, {together} together")
    for gates, users, of in parts:
        typer.echo(f"{gates} gates common to {', '.join(users)}: a function of {' '.join(of)}")


def _names(found: Shared, common: Common, program: Program) -> tuple[list[str], list[str]]:
    """Of the experts that need a part, and of the bits that it depends on."""
    from bem_kernel.cli.subject import place_name

    places, _ = found.subcircuit(common)
    users = [found.experts[i].name for i in common.users]
    return users, [place_name(place, program.bit_names) for place in places]


def _expert(program: Program, file: Path, name: str) -> Expert:
    for expert in program.experts:
        if expert.name == name:
            return expert
    known = ", ".join(expert.name for expert in program.experts) or "none"
    raise UsageError(f"no expert {name!r} in {file}", where="--together", fix=f"there are: {known}")
