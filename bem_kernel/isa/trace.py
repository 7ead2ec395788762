"""A run step by step: what each instruction changed, as text or as a picture.

Source: BEM core spec 2.1 (TRACE), 8.1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from bem_kernel.circuits.plane_drawing import draw_planes
from bem_kernel.errors import MachineError
from bem_kernel.isa.disassembler import instruction_text
from bem_kernel.isa.machine import Machine, RunResult
from bem_kernel.isa.program import Program
from bem_kernel.lanes import Planes


@dataclass(frozen=True)
class Step:
    """One executed instruction.

    Attributes:
        pc: its number.
        line: its line in the source, 0 if there is none.
        text: the instruction.
        state: (N, words) uint64 afterwards.
        set_bits: names of the bits that became 1 in some lane.
        cleared_bits: names of the bits that became 0 in some lane.
        registers: new values of the registers that changed, by number.
        result: of the run of this one instruction; its trap is why a trace ends.
    """

    pc: int
    line: int
    text: str
    state: Planes
    set_bits: tuple[str, ...]
    cleared_bits: tuple[str, ...]
    registers: dict[int, int]
    result: RunResult

    @property
    def changes(self) -> str:
        """What it did, for people: `+knocked -closed r1=4`."""
        bits = [f"+{name}" for name in self.set_bits] + [f"-{name}" for name in self.cleared_bits]
        numbers = [f"r{number}={value}" for number, value in self.registers.items()]
        trap = [f"trap: {self.result.trap.text}"] if self.result.trap else []
        return " ".join(bits + numbers + trap)


def trace(machine: Machine, fuel: int) -> Iterator[Step]:
    """Run a machine one instruction at a time, until it ends, traps, or the fuel is spent.

    Args:
        machine: goes on from where it stands.
        fuel: the most instructions to execute.
    """
    program = machine.program
    before, registers = machine.state, machine.registers
    for _ in range(fuel):
        pc = machine.pc
        if pc >= len(program.code):
            return
        result = machine.run(1)
        yield Step(
            pc,
            program.code[pc].line,
            instruction_text(program.code[pc], program),
            result.state,
            _named(program, ~before & result.state),
            _named(program, before & ~result.state),
            {
                number: value
                for number, value in enumerate(result.registers)
                if value != registers[number]
            },
            result,
        )
        if result.trap is not None:
            return
        before, registers = result.state, result.registers


def _named(program: Program, changed: Planes) -> tuple[str, ...]:
    return tuple(program.bit_names[bit] for bit in np.flatnonzero(changed.any(axis=1)))


def draw_trace(program: Program, start: Planes, steps: list[Step], lanes: int) -> str:
    """A picture of the state over the steps, the start first, as an SVG document.

    Args:
        program: names the rows.
        start: (N, words) uint64, the state before the first step.
        steps: what `trace` gave, or those of it that shall be columns.
        lanes: lanes in use.

    Raises:
        MachineError: the program has no state bits.
        ShapeError: there are more steps or bits than a picture shows.
    """
    if not program.bit_names:
        raise MachineError(
            "the program has no state bits", where="trace", fix="read the trace as text"
        )
    history = np.stack([start, *(step.state for step in steps)])
    names = ["start", *(f"{step.pc}: {step.text}" for step in steps)]
    return draw_planes(history, program.bit_names, lanes, names)
