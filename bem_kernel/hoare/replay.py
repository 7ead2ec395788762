"""Counterexamples: a state of the machine, a path to the violation, and its replay.

The machine itself is put into the state and runs; it must take the path and end in the violation.
Host functions and co-processors answer what the counterexample says.

Source: BEM core spec 9.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bem_kernel.errors import HoareError, MachineError
from bem_kernel.hoare.moment import Predicate
from bem_kernel.hoare.state import Layout, exact_state
from bem_kernel.hoare.words import WIDTH, WordBuilder
from bem_kernel.isa.core import Stop, signed
from bem_kernel.isa.instructions import MAILBOX_WORDS, Opcode, Space
from bem_kernel.isa.machine import HostCall, HostFunction, Machine
from bem_kernel.isa.trace import Step, trace
from bem_kernel.isa.units import AccessFault, Answer, Request, Unit

_MASK = (1 << WIDTH) - 1


@dataclass(frozen=True)
class Reply:
    """What a host function or a co-processor answers.

    Attributes:
        words: new words by place; of a plane only bit 0 counts.
        value: what a co-processor returns.
    """

    words: Mapping[int, int]
    value: int


@dataclass(frozen=True)
class Counterexample:
    """A state that the annotations admit, and a run from it that violates one.

    Attributes:
        source: the node where it starts; `entry` is the start of the program.
        claim: what is violated, for people.
        pc: the first instruction.
        calls: return addresses, the innermost last.
        registers: 32 signed numbers.
        words: by place of memory.
        path: the instructions that are executed, in order.
        end: the next instruction after the path; the one that traps if `stop` is given.
        replies: answers from outside, by index in the path.
        stop: the trap that must not be; None if a condition is violated.
    """

    source: str
    claim: str
    pc: int
    calls: tuple[int, ...]
    registers: tuple[int, ...]
    words: Mapping[int, int]
    path: tuple[int, ...]
    end: int
    replies: Mapping[int, Reply]
    stop: Stop | None = None


class _Script:
    """Plays host and co-processors."""

    bound = 0

    def __init__(self, layout: Layout, example: Counterexample) -> None:
        self.layout, self.example = layout, example
        self.step = 0

    def host(self, port: int) -> HostFunction:
        """The function of a port."""

        def answer(call: HostCall) -> list[int]:
            words = self.example.replies[self.step].words
            first = self.layout.bases[Space.HOST] + MAILBOX_WORDS * port
            call.mailbox[:] = [signed(words[first + k]) for k in range(1, MAILBOX_WORDS)]
            writes = self.layout.program.ports[port].writes
            return [words[self.layout.plane(bit)] & 1 for bit in writes]

        return answer

    def call(self, request: Request) -> Answer:
        """Answer as a co-processor, or trap as one."""
        stop = self.example.stop if self.step == len(self.example.path) - 1 else None
        if stop is Stop.LATENCY:
            return Answer(0, self.bound + 1)
        if stop is Stop.REFUSED:
            raise MachineError("refused", where="replay", fix="allow the trap REFUSED")
        if stop is not None:
            raise AccessFault(stop, request.address)
        reply = self.example.replies[self.step]
        memory = request.core.memory
        for place, word in reply.words.items():
            memory.arrays.words[place] = np.uint64(word)
        return Answer(signed(reply.value), 0)


def prepare(layout: Layout, example: Counterexample) -> tuple[Machine, _Script]:
    """A machine in the state of a counterexample, and who answers it."""
    script = _Script(layout, example)
    program = layout.program
    host = {port.name: script.host(i) for i, port in enumerate(program.ports)}
    attached = example.stop is not Stop.NO_UNIT
    units: dict[Opcode, Unit] = {
        opcode: script
        for opcode in Opcode
        if opcode.name.startswith("BEM_")
        and opcode not in (Opcode.BEM_LOAD_STATE, Opcode.BEM_STORE_STATE)
        and (attached or program.code[example.path[-1]].opcode is not opcode)
    }
    machine = Machine(program, host=host, units=units, interpreter="plain")
    for place, word in example.words.items():
        machine.memory.arrays.words[place] = np.uint64(word & _MASK)
    for number, value in enumerate(example.registers):
        if number:
            machine.set_register(number, value)
    machine.go_to(example.pc, example.calls)
    return machine, script


def replay(layout: Layout, example: Counterexample, claim: Predicate | None) -> tuple[Step, ...]:
    """Run the machine from the state of a counterexample to the violation.

    Args:
        layout: of the program.
        example: what to replay.
        claim: the condition that must be violated at the end; None if `example.stop` is the
            violation.

    Returns:
        What each instruction did.

    Raises:
        HoareError: the machine does something else, which is a defect of the model.
    """
    machine, script = prepare(layout, example)
    steps: list[Step] = []
    for index, pc in enumerate(example.path):
        script.step = index
        if machine.pc != pc:
            raise _differs(f"it is at instruction {machine.pc}, not at {pc}")
        steps += trace(machine, 1)
    trap = steps[-1].result.trap if steps else None
    found = None if trap is None else trap.kind
    if found is not example.stop or machine.pc != example.end:
        raise _differs(f"it ends at instruction {machine.pc} with {found}")
    if claim is not None:
        builder = WordBuilder()
        if claim(builder, exact_state(builder, layout, machine)) != builder.zero:
            raise _differs("the condition holds")
    return tuple(steps)


def _differs(what: str) -> HoareError:
    return HoareError(
        f"the machine does not follow the counterexample: {what}",
        where="hoare",
        fix="report the program: model and machine differ",
    )
