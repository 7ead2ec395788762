"""Running a program on the lane state.

Source: BEM core spec 3.1, 6.5, 10.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bem_kernel.errors import MachineError
from bem_kernel.experts.expert import step
from bem_kernel.isa.program import Opcode, Program
from bem_kernel.lanes import Planes, Word, broadcast_bits, check_planes, lane_mask, words_for

HostFunction = Callable[[Planes], Planes | Sequence[int | bool]]
"""Called with the state, (N, words) uint64 and read-only.

Returns one 0/1 value per result bit of its port, the same for every lane, or planes of shape
(result bits, words) uint64. What it raises ends the run and passes through `Machine.run`
unchanged, with `Machine.pc` still at the call.
"""

LogFunction = Callable[[int, str], object]
"""Called with the program counter and the text of a LOG instruction."""


@dataclass(frozen=True)
class Trap:
    """Why a run stopped early.

    Attributes:
        pc: the TRAP_IF instruction.
        bit: its state bit.
        text: its message.
        lanes: (words,) uint64, the lanes in which the bit is 1.
    """

    pc: int
    bit: int
    text: str
    lanes: Word


@dataclass(frozen=True)
class RunResult:
    """What a run left.

    Attributes:
        state: (N, words) uint64.
        pc: the next instruction; at a trap, the TRAP_IF itself.
        halted: whether the program ended; False at a trap or without fuel.
        trap: the trap, if one was taken.
        steps: instructions executed in this run, the trapping one included.
    """

    state: Planes
    pc: int
    halted: bool
    trap: Trap | None
    steps: int


def initial_state(program: Program, lanes: int = 1) -> Planes:
    """All bits 0 in `lanes` lanes: (N, words) uint64."""
    return np.zeros((program.n_bits, words_for(lanes)), dtype=np.uint64)


class Machine:
    """A program, its state and its host functions; `run` may be called again to go on.

    Args:
        program: what to run.
        state: (N, words) uint64, one plane per state bit; copied.
        host: a function per port name of the program.
        lanes: lanes in use. Padding lanes never change, trap or decide a jump.
        log: called at LOG instructions; None drops their text.

    Raises:
        MachineError: the state does not have the program's bits or the lanes' words, or a port
            has no function.
    """

    def __init__(
        self,
        program: Program,
        state: Planes,
        host: Mapping[str, HostFunction] | None = None,
        *,
        lanes: int = 1,
        log: LogFunction | None = None,
    ) -> None:
        check_planes(state, where="machine", n_bits=program.n_bits)
        if state.shape[1] != words_for(lanes):
            raise MachineError(
                f"the state has {state.shape[1]} words, {lanes} lanes need {words_for(lanes)}",
                where="machine",
                fix="pass the number of lanes in use",
            )
        table = host or {}
        missing = [port.name for port in program.ports if port.name not in table]
        if missing:
            raise MachineError(
                f"no host function {missing[0]!r}", where="machine", fix="add it to the host table"
            )
        self.program = program
        self.pc = 0
        self._active = lane_mask(lanes)
        self._host = [table[port.name] for port in program.ports]
        self._log = log
        self._state = state.copy()

    @property
    def state(self) -> Planes:
        """The state now: (N, words) uint64, a copy."""
        return self._state.copy()

    def run(self, fuel: int) -> RunResult:
        """Execute until the program ends, traps, or `fuel` instructions are spent.

        Args:
            fuel: the most instructions to execute.

        Raises:
            MachineError: a host function returned something of another shape.
        """
        code = self.program.code
        for spent in range(fuel):
            if self.pc >= len(code):
                return self._result(spent, halted=True)
            trap = self._execute()
            if trap is not None:
                return self._result(spent + 1, halted=False, trap=trap)
        return self._result(fuel, halted=self.pc >= len(code))

    def _result(self, steps: int, halted: bool, trap: Trap | None = None) -> RunResult:
        return RunResult(self.state, self.pc, halted, trap, steps)

    def _execute(self) -> Trap | None:
        """Execute one instruction; on a trap or an exception the counter stays where it is."""
        program, instruction = self.program, self.program.code[self.pc]
        following = self.pc + 1
        match instruction.opcode:
            case Opcode.EXPERT:
                chosen = program.experts[instruction.operand]
                self._state = step(chosen, self._state, self._active)
            case Opcode.TRAP_IF:
                raised = self._state[instruction.operand] & self._active
                if raised.any():
                    return Trap(self.pc, instruction.operand, instruction.text, raised)
            case Opcode.HOST:
                self._call_host(instruction.operand)
            case Opcode.JZ:
                if not (self._state[instruction.operand] & self._active).any():
                    following = instruction.target
            case Opcode.JMP:
                following = instruction.operand
            case Opcode.LOG:
                if self._log is not None:
                    self._log(self.pc, instruction.text)
            case Opcode.HALT:
                following = len(program.code)
        self.pc = following
        return None

    def _call_host(self, index: int) -> None:
        port = self.program.ports[index]
        view = self._state.view()
        view.flags.writeable = False
        answer = self._host[index](view)
        words = self._state.shape[1]
        planes = answer if isinstance(answer, np.ndarray) else broadcast_bits(answer, words)
        if planes.shape != (len(port.writes), words) or planes.dtype != np.uint64:
            raise MachineError(
                f"returned {planes.dtype} of shape {planes.shape}",
                where=f"host function {port.name}",
                fix=f"return {len(port.writes)} bits or ({len(port.writes)}, {words}) uint64",
            )
        rows = list(port.writes)
        self._state[rows] = (self._state[rows] & ~self._active) | (planes & self._active)
