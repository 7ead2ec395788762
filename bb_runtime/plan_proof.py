"""The proof of the executor's program: what it does between its first instruction and HALT.

The checker proves a plan (`bb_domains.interleavings`); this proves the program that was made of it,
by the kernel's Hoare checker on the instructions themselves: from a state in which nothing holds,
BAD is never set, whatever the tools and the guards answer. A failed call or a broken guard is a
good end. It takes some tens of milliseconds a step, so it is asked for where that is worth it, and
the solver's work is bounded: what it does not decide is not proved.

Source: BEM core spec 9.2, HOARE_CHECK.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bb_core.errors import UsageError
from bb_core.files import write_atomic
from bb_core.plan import Plan
from bb_domains.domain import Domain
from bb_domains.layout import BAD
from bb_runtime.check import Certificate
from bb_runtime.errors import PlanRefused
from bb_runtime.plan_program import plan_program
from bem_kernel.hoare.annotations import parse_annotations
from bem_kernel.hoare.check import Edge, Report, hoare_check
from bem_kernel.hoare.report import refutation_lines
from bem_kernel.isa.disassembler import disassemble
from bem_kernel.isa.program import Program

MOST_CONFLICTS = 200_000
"""Of the solver, for each claim; those of plans take a few."""


def prove_plan(domain: Domain, plan: Plan, certificate: Certificate) -> Report:
    """Prove the program that carries a plan out.

    Args:
        domain: the plan's domain.
        plan: the plan.
        certificate: from `check_plan`, for this plan and domain.

    Returns:
        The verdict, with the number of proofs followed.

    Raises:
        ExecutionRefused: the certificate does not fit.
        PlanRefused: the program does not do what the plan says; names the step.
    """
    report = prove_program(plan_program(domain, plan, certificate))
    if report.accepted:
        return report
    steps = [step for found in report.refutations for step in found.steps]
    said = f"may come to BAD: {steps[-1].text}" if steps else "is not proved: the solver gave up"
    raise PlanRefused("", "proof", f"its program {said}", "report this")


def prove_program(program: Program) -> Report:
    """Prove that a plan's program never sets BAD.

    Raises:
        HoareError: the program is no plan's, or too large for the model.
    """
    claims = parse_annotations(claims_text(program), program, "claims")
    return hoare_check(program, claims, budget=MOST_CONFLICTS, hand_over=False)


def claims_text(program: Program) -> str:
    """What is claimed of a plan's program, as `bem prove` reads it."""
    nothing = " & ".join(f"!{name}" for name in program.bit_names)
    return f"allow RAISED\nalways !{BAD}\nat entry: {nothing}\n"


def claim_name(edge: Edge, program: Program) -> str:
    """What a claim says: which trap is never met, with the step that it belongs to."""
    if edge.target != "always":
        return f"comes to {edge.target}"
    if not edge.path:
        return f"!{BAD} at the start"
    after = (one.text for one in program.code[edge.path[-1] :])
    return f"never {next(text for text in after if ': ' in text)}"


def proof_lines(report: Report, program: Program) -> Iterator[str]:
    """A line for each claim; below one that does not hold the run that breaks it."""
    refutations = iter(report.refutations)
    for edge in report.edges:
        verdict = {True: "holds", False: "REFUTED", None: "UNDECIDED"}[edge.holds]
        yield f"{claim_name(edge, program)}: {verdict}"
        if edge.holds is False:
            yield from refutation_lines(next(refutations), program)
    holding = sum(edge.holds is True for edge in report.edges)
    ended = "accepted" if report.accepted else "rejected"
    yield f"{ended}: {holding} of {len(report.edges)} hold, {report.proofs} proofs checked"


def save_claims(program: Program, out: Path) -> Path:
    """Write a program, and beside it its claims, for `bem prove`.

    Returns:
        The file of the claims.

    Raises:
        UsageError: the name does not end in .bem.
        BBError: the place cannot be written.
    """
    if out.suffix != ".bem":
        raise UsageError(f"{out} does not end in .bem", where="--out", fix="name it so")
    claims = out.with_suffix(".hoare")
    write_atomic(out, disassemble(program))
    write_atomic(claims, claims_text(program))
    return claims
