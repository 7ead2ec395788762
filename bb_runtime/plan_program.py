"""A checked plan as a program of the Boolean Expert Machine.

    per step     LOG        <id> start
                 EXPERT     pre.<tool>[slots]      BAD <- BAD or not precondition
                 TRAP_IF    BAD
                 HOST       <id>.guard             REFUSED <- a guard is broken (if it has any)
                 TRAP_IF    REFUSED
                 HOST       <id>.call              FAILED <- the tool failed
                 TRAP_IF    FAILED
                 EXPERT     effect.<tool>[slots]
                 EXPERT     invariants             BAD <- BAD or an invariant is violated
                 TRAP_IF    BAD
                 LOG        <id> done
    at the end   HALT

The experts are those of the domain's compiled schema, bound to the handle slots of the plan; the
two bits after the domain's own are written by host calls.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from bb_core.plan import Plan, Step
from bb_domains.domain import Domain
from bb_runtime.check import Certificate, verify_certificate
from bem_kernel.experts.expert import Expert
from bem_kernel.experts.template import bind
from bem_kernel.isa.instructions import Instruction, expert, halt, host, log, trap_if
from bem_kernel.isa.program import HostPort, Program

FAILED, REFUSED = "FAILED", "REFUSED"


@dataclass
class _Draft:
    """A program in the making; tables keep each name once."""

    experts: dict[str, Expert] = field(default_factory=dict)
    ports: list[HostPort] = field(default_factory=list)
    code: list[Instruction] = field(default_factory=list)

    def apply(self, chosen: Expert) -> None:
        name = chosen.name.replace(", ", ",").replace(" ", ".")
        self.experts.setdefault(name, replace(chosen, name=name))
        self.code.append(expert(list(self.experts).index(name)))

    def call(self, name: str, bit: int, trap: str) -> None:
        self.ports.append(HostPort(name, (bit,)))
        self.code += [host(len(self.ports) - 1), trap_if(bit, trap)]


def plan_program(domain: Domain, plan: Plan, certificate: Certificate) -> Program:
    """The program that carries a plan out.

    Args:
        domain: the plan's domain.
        plan: the plan.
        certificate: from `check_plan`, for this plan and domain.

    Raises:
        ExecutionRefused: the certificate does not fit.
    """
    verify_certificate(certificate, domain, plan)
    machine = domain.machine
    names = machine.layout.names
    failed, refused, bad = len(names), len(names) + 1, machine.layout.bad
    draft = _Draft()
    state = machine.initial()
    for step in plan.steps:
        slots = machine.step_slots(state, step)
        draft.code.append(log(f"{step.id} start"))
        draft.apply(bind(machine.experts.pre[step.tool], _only(domain, step, dict(slots))))
        draft.code.append(trap_if(bad, f"{step.id}: the precondition of {step.tool} is not met"))
        if domain.schema.tools[step.tool].guards:
            draft.call(f"{step.id}.guard", refused, f"{step.id}: a guard of {step.tool} is broken")
        draft.call(f"{step.id}.call", failed, f"{step.id}: {step.tool} failed")
        draft.apply(bind(machine.experts.effect[step.tool], slots))
        draft.apply(machine.experts.invariants)
        draft.code.append(trap_if(bad, f"{step.id}: an invariant is violated"))
        draft.code.append(log(f"{step.id} done"))
        state = machine.apply(state, step)
    draft.code.append(halt())
    return Program(
        (*names, FAILED, REFUSED),
        tuple(draft.experts.values()),
        tuple(draft.ports),
        tuple(draft.code),
    )


def _only(domain: Domain, step: Step, slots: dict[str, int]) -> dict[str, int]:
    """The slots of the handle arguments: preconditions know nothing of what the step binds."""
    return {arg: slots[arg] for arg in domain.schema.tools[step.tool].handles}
