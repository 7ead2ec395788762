"""The proof of the executor's program: what it does between its first instruction and HALT.

The checker proves a plan (`bb_domains.interleavings`); this proves the program that was made of it,
by the kernel's Hoare checker on the instructions themselves: from a state in which nothing holds,
BAD is never set, whatever the tools and the guards answer. A failed call or a broken guard is a
good end. It takes some tens of milliseconds a step, so it is asked for where that is worth it.

Source: BEM core spec 9.2, HOARE_CHECK.
"""

from __future__ import annotations

from bb_core.plan import Plan
from bb_domains.domain import Domain
from bb_domains.layout import BAD
from bb_runtime.check import Certificate
from bb_runtime.errors import PlanRefused
from bb_runtime.plan_program import plan_program
from bem_kernel.hoare.annotations import Annotations
from bem_kernel.hoare.check import Report, hoare_check
from bem_kernel.isa.core import Stop
from bem_kernel.isa.program import Program


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
    said = steps[-1].text if steps else "the solver gave up"
    raise PlanRefused("", "proof", f"its program may come to BAD: {said}", "report this")


def prove_program(program: Program) -> Report:
    """Prove that a plan's program never sets BAD.

    Raises:
        HoareError: the program is no plan's, or too large for the model.
    """
    nothing = " & ".join(f"!{name}" for name in program.bit_names)
    claims = Annotations(
        at={"entry": (nothing,)}, always=(f"!{BAD}",), allowed=frozenset({Stop.RAISED})
    )
    return hoare_check(program, claims)
