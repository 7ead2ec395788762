"""Patches that make what is hot smaller: circuits of experts, and straight lines of the program.

Nothing here is believed: the search has proved its circuits already, and `verify` proves the patch
as it proves any other.

Source: BEM core spec 8.4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from bem_kernel.circuits.builder import CircuitBuilder
from bem_kernel.circuits.circuit import Circuit
from bem_kernel.errors import PatchError
from bem_kernel.experts.expert import Expert
from bem_kernel.experts.table import ExpertTable
from bem_kernel.isa.instructions import REGISTERS
from bem_kernel.isa.program import Program
from bem_kernel.logic.proof import Proof
from bem_kernel.patches.liveness import liveness, registers
from bem_kernel.patches.patch import EVERYWHERE, Patch, Scope
from bem_kernel.patches.program import Installed, read_program
from bem_kernel.patches.program_obligations import program_equivalence
from bem_kernel.patches.propose import propose_region, propose_replace
from bem_kernel.patches.region import Region, edited
from bem_kernel.patches.verify import Refuted, counterexample_record, prove
from bem_kernel.proofs.check import Accepted, check_proof
from bem_kernel.synthesis.fusion import Care
from bem_kernel.synthesis.optimise import optimise
from bem_kernel.synthesis.regions import (
    NewCode,
    Span,
    hot_regions,
    optimised_region,
    straight_lines,
)

_PROVENANCE = (("by", "superoptimiser"),)
_MOST_OTHER_BITS = 6


def hot_experts(table: ExpertTable) -> tuple[int, ...]:
    """Identifiers of the experts that ran, those first that evaluated most gates."""
    gates = {
        word: int(table.visits[table.slots.slot(word)]) * len(table.expert(word).circuit.gates)
        for word in table
    }
    return tuple(sorted((w for w in gates if gates[w]), key=lambda word: (-gates[word], word)))


@dataclass(frozen=True)
class HotExpert:
    """An expert whose circuit is to become smaller.

    Attributes:
        expert: as it is.
        budget_ms: milliseconds for the search.
        scope: the states that count.
        seed: of the search.
    """

    expert: Expert
    budget_ms: int
    scope: Scope = EVERYWHERE
    seed: int = 0


def smaller_circuit(hot: HotExpert) -> Circuit | None:
    """A circuit of fewer gates, equal where the expert applies; None if none was found.

    It needs no machine, so it can be a handler of the slow path while the machine runs; a patch is
    made of the result by `propose_replace`.

    Raises:
        SynthesisError: the budget is out of range.
    """
    circuit, care = hot.expert.circuit, _care(hot.expert, hot.scope)
    result = optimise(circuit, hot.budget_ms, seed=hot.seed, care=care).circuit
    return result if len(result.gates) < len(circuit.gates) else None


def propose_smaller(
    table: ExpertTable,
    identifier: int,
    budget_ms: int,
    *,
    scope: Scope = EVERYWHERE,
    seed: int = 0,
) -> Patch | None:
    """Give an expert a circuit of fewer gates, equal where it applies; None if none was found.

    Args:
        table: of the machine.
        identifier: of the expert.
        budget_ms: milliseconds for the search.
        scope: the states that count.
        seed: of the search.

    Raises:
        KernelError: there is no such expert, or the budget is out of range.
    """
    expert = table.expert(identifier)
    circuit = smaller_circuit(HotExpert(expert, budget_ms, scope, seed))
    if circuit is None:
        return None
    return propose_replace(
        table,
        identifier,
        circuit,
        scope=scope,
        reason=f"{len(circuit.gates)} gates in place of {len(expert.circuit.gates)}",
        provenance=_PROVENANCE,
    )


def propose_shorter(
    table: ExpertTable,
    span: Span,
    budget_ms: int,
    *,
    scope: Scope = EVERYWHERE,
    seed: int = 0,
) -> Patch | None:
    """Shorten a straight line of the machine's program; None if nothing was found.

    Args:
        table: of the machine.
        span: within one of `straight_lines` of its program, such as `hot_spans` gives.
        budget_ms: milliseconds for the search.
        scope: the states in which the program comes there.
        seed: of the search.

    Raises:
        KernelError: the machine has no program, the span has other instructions in it, or the
            budget is out of range.
    """
    new = _shorter(read_program(table.memory), span, budget_ms, scope, seed)
    if new is None:
        return None
    gates = "" if new.fusion is None else f", {new.fusion.after} gates for {new.fusion.before}"
    return propose_region(
        table,
        _region(new),
        scope=scope,
        reason=f"{len(new.code)} instructions in place of {span[1] - span[0]}{gates}",
        provenance=_PROVENANCE,
    )


@dataclass(frozen=True, eq=False)
class ShorterProgram:
    """A program that does the same in fewer instructions or gates.

    Attributes:
        program: the result; its new experts come after the others.
        changed: straight lines that were replaced.
        proofs: that each replacement leaves everything alike, accepted by the checker.
    """

    program: Program
    changed: int
    proofs: tuple[Proof, ...]


def shorter_program(program: Program, budget_ms: int, *, seed: int = 0) -> ShorterProgram:
    """Shorten all straight lines of a program that belongs to no machine yet.

    Args:
        program: any.
        budget_ms: milliseconds for the search, shared out by length.
        seed: of the search.

    Raises:
        KernelError: the budget is out of range, or the program reads its own code.
    """
    spans = straight_lines(program)
    length = sum(end - start for start, end in spans)
    proofs: list[Proof] = []
    changed = 0
    for span in reversed(spans):  # so that those before stay where they are
        span_ms = budget_ms * (span[1] - span[0]) // length
        new = _shorter(Installed(program), span, span_ms, EVERYWHERE, seed)
        if new is not None:
            proofs += _proofs(Installed(program), _region(new))
            program, changed = edited(program, _region(new)), changed + 1
    return ShorterProgram(program, changed, tuple(proofs))


def _shorter(
    installed: Installed, span: Span, budget_ms: int, scope: Scope, seed: int
) -> NewCode | None:
    """What can take the place of a straight line, refuted as long as that is possible."""
    program = installed.program
    same = Region(*span, program.code[slice(*span)])

    def refute(new: NewCode) -> dict[int, int] | None:
        found = prove(program_equivalence(installed, _region(new), scope))
        if not isinstance(found, Refuted):
            return None
        values = counterexample_record(found)
        return {r: values[f"r{r}"] for r in range(REGISTERS) if f"r{r}" in values}

    return optimised_region(
        program,
        span,
        budget_ms,
        live=registers(liveness(program, program, same).at[span[1]]),
        care=None if scope.care is None else Care(scope.bits, scope.care),
        seed=seed,
        refute=refute,
    )


def _region(new: NewCode) -> Region:
    return Region(*new.span, new.code, new.experts)


def _proofs(installed: Installed, region: Region) -> tuple[Proof, ...]:
    """Proofs that a region preserves what the program does, accepted by the checker.

    Raises:
        PatchError: there are none.
    """
    owed = program_equivalence(installed, region, EVERYWHERE)
    found = prove(owed)
    accepted = isinstance(found, tuple) and all(
        isinstance(check_proof(o.cnf, proof), Accepted)
        for o, proof in zip(owed, found, strict=True)
    )
    if not isinstance(found, tuple) or not accepted:
        raise PatchError(
            "no proof that what comes does the same",
            where=f"instructions {region.start} to {region.end - 1}",
            fix="report this; the search should not have offered it",
        )
    return found


def hot_spans(table: ExpertTable, counts: Sequence[int]) -> tuple[Span, ...]:
    """The straight lines of the machine's program, those first that took most steps.

    Args:
        table: of the machine.
        counts: how often each instruction ran, as `synthesis.regions.visits` has it.

    Raises:
        PatchError: the machine has no program.
    """
    return hot_regions(read_program(table.memory).program, counts)


def _care(expert: Expert, scope: Scope) -> Circuit | None:
    """The values of inputs that can be met in the scope, where an expert applies; None: all."""
    inputs = {bit: i for i, bit in enumerate(expert.reads)}
    builder = CircuitBuilder(expert.circuit.n_inputs)
    counts = always = builder.const(True)
    others = [bit for bit in scope.bits if bit not in inputs]
    if scope.care is not None and len(others) <= _MOST_OTHER_BITS:
        counts = builder.const(False)
        for values in product((False, True), repeat=len(others)):  # bits that it does not read
            slots = inputs | {b: builder.const(v) for b, v in zip(others, values, strict=True)}
            (slot,) = builder.embed(scope.care, [slots[bit] for bit in scope.bits])
            counts = builder.or_(counts, slot)
    condition = expert.condition
    if condition is not None and condition.bit in inputs:
        applies = inputs[condition.bit]
        counts = builder.and_(counts, applies if condition.value else builder.not_(applies))
    return None if counts == always else builder.build([counts])
