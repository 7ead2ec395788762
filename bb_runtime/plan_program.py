"""A checked plan as a program of the Boolean Expert Machine.

    start of a step    LOG        <id> start
                       EXPERT     pre.<tool>[slots]      BAD <- BAD or not precondition
                       TRAP_IF    BAD
                       HOST       <id>.guard             REFUSED <- a guard is broken (if any)
                       TRAP_IF    REFUSED
    its call           HOST       <id>.call              FAILED <- the tool failed
                       TRAP_IF    FAILED
    end of a step      EXPERT     effect.<tool>[slots]
                       EXPERT     invariants             BAD <- BAD or an invariant is violated
                       TRAP_IF    BAD
                       LOG        <id> done
    at the end         HALT

Where steps run together (`schedule`), a call is two: `HOST <id>.start` begins it, and `HOST
<id>.end` waits for the answer; other steps start and end in between. The experts are those of the
domain's compiled schema, bound to the handle slots of the plan; the two bits after the domain's own
are written by host calls.

A compensation takes steps back, the last first; before, it calls anew what the session needs:

    per call anew      HOST       <id>.again             FAILED <- the tool failed
                       TRAP_IF    FAILED
    or, if it reads    HOST       <id>.look              whatever it answers
    per step           HOST       <id>.undo              FAILED <- the tool failed
                       TRAP_IF    FAILED
                       EXPERT     revert.<id>            the state without the step
                       LOG        <id> undone
    at the end         HALT
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from bb_core.plan import Plan, Step
from bb_domains.domain import Domain
from bb_domains.lanes import Lane
from bb_runtime.check import Certificate, verify_certificate
from bb_runtime.schedule import Move, earlier_steps, plan_lanes, schedule
from bem_kernel.circuits.builder import CircuitBuilder
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

    def host(self, name: str, *bits: int) -> None:
        self.ports.append(HostPort(name, bits))
        self.code.append(host(len(self.ports) - 1))

    def call(self, name: str, bit: int, trap: str) -> None:
        self.host(name, bit)
        self.code.append(trap_if(bit, trap))

    def program(self, names: tuple[str, ...]) -> Program:
        self.code.append(halt())
        return Program(
            (*names, FAILED, REFUSED),
            tuple(self.experts.values()),
            tuple(self.ports),
            tuple(self.code),
        )


def plan_program(
    domain: Domain, plan: Plan, certificate: Certificate, at_once: int | None = None
) -> Program:
    """The program that carries a plan out.

    Args:
        domain: the plan's domain.
        plan: the plan.
        certificate: from `check_plan`, for this plan and domain.
        at_once: most calls under way at a time; None for what the domain says.

    Raises:
        ExecutionRefused: the certificate does not fit.
    """
    verify_certificate(certificate, domain, plan)
    earlier = earlier_steps(domain, plan, certificate.order)
    lanes, draft = plan_lanes(domain, plan), _Draft()
    for move in schedule(plan, earlier, at_once or domain.schema.limits.at_once):
        _add_move(draft, domain, move, lanes[move.step.id])
    return draft.program(domain.machine.layout.names)


def _add_move(draft: _Draft, domain: Domain, move: Move, lane: Lane) -> None:
    machine, step = domain.machine, move.step
    bad, failed, refused = _traps(domain)
    if move.act != "end":
        draft.code.append(log(f"{step.id} start"))
        draft.apply(bind(machine.experts.pre[step.tool], _only(domain, step, lane.slots)))
        draft.code.append(trap_if(bad, f"{step.id}: the precondition of {step.tool} is not met"))
        if domain.schema.tools[step.tool].guards:
            draft.call(f"{step.id}.guard", refused, f"{step.id}: a guard of {step.tool} is broken")
    if move.act == "start":
        draft.host(f"{step.id}.start")
        return
    draft.call(f"{step.id}.{move.act}", failed, f"{step.id}: {step.tool} failed")
    draft.apply(bind(machine.experts.effect[step.tool], lane.slots))
    draft.apply(machine.experts.invariants)
    draft.code.append(trap_if(bad, f"{step.id}: an invariant is violated"))
    draft.code.append(log(f"{step.id} done"))


def undo_program(
    domain: Domain,
    plan: Plan,
    certificate: Certificate,
    done: Sequence[str],
    undone: Sequence[str],
    again: Sequence[str] = (),
) -> Program:
    """The program that takes steps of a plan back.

    Args:
        domain: the plan's domain.
        plan: the plan.
        certificate: from `check_plan`, for this plan and domain.
        done: ids of the steps that hold now.
        undone: ids of those to take back, in this order; each tool declares its `undo`.
        again: ids of steps to call anew first.

    Raises:
        ExecutionRefused: the certificate does not fit.
    """
    verify_certificate(certificate, domain, plan)
    lanes, draft = plan_lanes(domain, plan), _Draft()
    _, failed, _ = _traps(domain)
    tools = {step.id: step.tool for step in plan.steps}
    for name in again:
        if domain.schema.tools[tools[name]].effect == "read":
            draft.host(f"{name}.look")
        else:
            draft.call(f"{name}.again", failed, f"{name}: {tools[name]} failed")
    held = [step.id for step in plan.steps if step.id in done]
    for name in undone:
        before = fold(lanes, held)
        held.remove(name)
        draft.call(f"{name}.undo", failed, f"{name}: {tools[name]} cannot be undone")
        if before != fold(lanes, held):
            draft.apply(_revert(name, before, fold(lanes, held)))
        draft.code.append(log(f"{name} undone"))
    return draft.program(domain.machine.layout.names)


def fold(lanes: Mapping[str, Lane], steps: Sequence[str]) -> int:
    """The state bits that these steps, in this order, leave."""
    bits = 0
    for name in steps:
        bits = lanes[name].apply(bits)
    return bits


def _revert(name: str, before: int, after: int) -> Expert:
    """Write the bits in which two states differ."""
    changed = before ^ after
    bits = tuple(i for i in range(changed.bit_length()) if changed >> i & 1)
    builder = CircuitBuilder(0)
    circuit = builder.build([builder.const(bool(after >> i & 1)) for i in bits])
    return Expert(f"revert.{name}", (), circuit, bits)


def _traps(domain: Domain) -> tuple[int, int, int]:
    """The bits BAD, FAILED and REFUSED."""
    names = domain.machine.layout.names
    return domain.machine.layout.bad, len(names), len(names) + 1


def _only(domain: Domain, step: Step, slots: Mapping[str, int]) -> dict[str, int]:
    """The slots of the handle arguments: preconditions know nothing of what the step binds."""
    return {arg: slots[arg] for arg in domain.schema.tools[step.tool].handles}
