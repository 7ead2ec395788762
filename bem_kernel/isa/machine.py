"""Running a program on the lane state.

Source: BEM core spec 3.1, 6.5, 10.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from bem_kernel.errors import KernelError, MachineError
from bem_kernel.isa import plain
from bem_kernel.isa.core import DEPTH, DETAIL, HOST, PC, SPENT, Stop, load, signed
from bem_kernel.isa.expert_unit import ExpertUnit
from bem_kernel.isa.instructions import (
    MAILBOX_WORDS,
    REGISTERS,
    STACK_DEPTH,
    Instruction,
    Opcode,
)
from bem_kernel.isa.program import HostPort, Program
from bem_kernel.isa.traps import Trap, trap_of
from bem_kernel.isa.units import AccessFault, Request, Unit, UnitStatistics
from bem_kernel.lanes import Planes, Word, check_planes, words_for
from bem_kernel.memory.memory import Memory
from bem_kernel.memory.segments import Segment

if TYPE_CHECKING:
    from bem_kernel.isa.loop import Loop

Interpreter = Literal["plain", "compiled"]

WARM_NS = 250_000_000
"""Time in the plain interpreter after which a machine goes on in the compiled loop, which takes
about as long to import; so no run takes much more than twice its best time. (Where no compiled
loop is on disk yet, the first machine to get this far waits some seconds for it.)"""

_SLICE_STEPS = 4096
_NO_LANES = np.uint64(0)
_COMPILED_SLICE_STEPS = 1 << 25  # about a tenth of a second, so that Ctrl-C is heard


@dataclass(frozen=True)
class HostCall:
    """A call of a host function.

    Attributes:
        state: (N, words) uint64, read-only.
        argument: the number that was stored to the port's doorbell.
        mailbox: (15,) int64, the words of the port's window after the doorbell. The function may
            write them; the program reads them at HOST[port + 1] and on.
    """

    state: Planes
    argument: int
    mailbox: NDArray[np.int64]


HostFunction = Callable[[HostCall], Planes | Sequence[int | bool]]
"""Called when a program stores to a port's doorbell.

Returns one 0/1 value per result bit of its port, the same for every lane, or planes of shape
(result bits, words) uint64. What it raises ends the run and passes through `Machine.run`
unchanged, with `Machine.pc` still at the call.
"""

LogFunction = Callable[[int, str], object]
"""Called with the program counter and the text of a LOG instruction."""


@dataclass(frozen=True)
class RunResult:
    """What a run left.

    Attributes:
        state: (N, words) uint64.
        registers: 32 signed numbers.
        pc: the next instruction; at a trap, the one that trapped.
        halted: whether the program ended; False at a trap or without fuel.
        trap: the trap, if one was taken.
        steps: instructions executed in this run, the trapping one included.
    """

    state: Planes
    registers: tuple[int, ...]
    pc: int
    halted: bool
    trap: Trap | None
    steps: int


def initial_state(program: Program, lanes: int = 1) -> Planes:
    """All bits 0 in `lanes` lanes: (N, words) uint64."""
    return np.zeros((program.n_bits, words_for(lanes)), dtype=np.uint64)


class Machine:
    """A program in a memory, and its host functions; `run` may be called again to go on.

    Args:
        program: what to run.
        state: (N, words) uint64, one plane per state bit, copied into the memory; None leaves
            the memory's own.
        host: a function per port name of the program.
        lanes: lanes in use. Padding lanes never change, trap or decide a jump.
        log: called at LOG instructions; None drops their text.
        memory: where it runs; None makes one that just fits.
        units: co-processors by instruction; see `attach.units_for`. BEM_EXPERT_BATCH applies the
            program's own experts if it has none.
        interpreter: "plain" or "compiled" forces one; None starts plain and goes on compiled
            once the program turns out to run for long.

    Raises:
        MachineError: state or memory do not have the program's bits or the lanes' words, or a
            port has no function.
    """

    def __init__(
        self,
        program: Program,
        state: Planes | None = None,
        host: Mapping[str, HostFunction] | None = None,
        *,
        lanes: int = 1,
        log: LogFunction | None = None,
        memory: Memory | None = None,
        units: Mapping[Opcode, Unit] | None = None,
        interpreter: Interpreter | None = None,
    ) -> None:
        self.program = program
        self._host = _host_functions(program, host or {})
        if state is not None:
            _check_state(program, state, lanes)
        self._core = load(program, lanes, memory)
        words = words_for(lanes)
        self._state: Planes = self._core.memory.planes[: program.n_bits]
        self._shown = self._state.view()
        self._shown.flags.writeable = False
        self._active: Word = self._core.active[:words]
        windows = self._core.memory.region(Segment.SHARED, HOST).view(np.int64)
        self._windows = windows.reshape(len(program.ports), MAILBOX_WORDS)
        if state is not None:
            self._state[:] = state
        self._log = log
        self._units = dict(units or {})
        self._statistics: dict[Opcode, UnitStatistics] = {}
        self._interpreter = interpreter
        self._plain_ns = 0
        self._loop: Loop | None = None

    @property
    def state(self) -> Planes:
        """The state now: (N, words) uint64, a copy."""
        return self._state.copy()

    @property
    def memory(self) -> Memory:
        """Where the program runs."""
        return self._core.memory

    @property
    def lanes(self) -> int:
        """Lanes in use."""
        return self._core.lanes

    @property
    def active(self) -> Word:
        """(words,) uint64, one bit per lane in use; a copy."""
        return self._active.copy()

    @property
    def pc(self) -> int:
        """The next instruction; len(code) after the end."""
        return int(self._core.control[PC])

    @property
    def statistics(self) -> Mapping[Opcode, UnitStatistics]:
        """What each co-processor did so far."""
        return {opcode: replace(entry) for opcode, entry in self._statistics.items()}

    @property
    def registers(self) -> tuple[int, ...]:
        """The 32 registers now, signed."""
        return tuple(self._core.registers.tolist())

    def set_register(self, number: int, value: int) -> None:
        """Give a register a value before or between runs.

        Raises:
            MachineError: there is no such register, r0 is not changed, or the value has more than
                64 bits.
        """
        if not 1 <= number < REGISTERS or not -(1 << 63) <= value < 1 << 63:
            raise MachineError(
                f"r{number} = {value}",
                where="machine",
                fix=f"use r1 to r{REGISTERS - 1} and signed numbers of 64 bits",
            )
        self._core.registers[number] = value

    def go_to(self, pc: int, calls: Sequence[int] = ()) -> None:
        """Go on at an instruction, inside calls that have not returned.

        Args:
            pc: 0 to len(code).
            calls: where each of the calls goes on, the innermost last.

        Raises:
            MachineError: there is no such instruction, or there are too many calls.
        """
        length = len(self.program.code)
        if not all(0 <= target <= length for target in (pc, *calls)) or len(calls) > STACK_DEPTH:
            raise MachineError(
                f"instruction {pc} in {len(calls)} calls",
                where="machine",
                fix=f"use instructions 0 to {length} and at most {STACK_DEPTH} calls",
            )
        self._core.stack[: len(calls)] = calls
        self._core.control[PC], self._core.control[DEPTH] = pc, len(calls)

    def run(self, fuel: int) -> RunResult:
        """Execute until the program ends, traps, or `fuel` instructions are spent.

        Args:
            fuel: the most instructions to execute.

        Raises:
            MachineError: a host function returned something of another shape.
        """
        spent = 0
        while True:
            stop = self._execute(fuel - spent)
            spent += int(self._core.control[SPENT])
            if stop is Stop.END or spent >= fuel:
                return self._result(spent, None)
            if stop is Stop.FUEL:  # the end of a slice
                continue
            trap = self._serve(stop)
            spent += 1
            if trap is not None:
                return self._result(spent, trap)
            self._core.control[PC] += 1

    def _execute(self, fuel: int) -> Stop:
        """Run instructions until one needs serving, the end, or at most `fuel`."""
        fuel = max(0, fuel)
        if self._interpreter == "plain":
            return plain.execute(self._core, fuel)
        if self._interpreter is None and self._plain_ns < WARM_NS:
            start = time.perf_counter_ns()
            stop = plain.execute(self._core, min(fuel, _SLICE_STEPS))
            self._plain_ns += time.perf_counter_ns() - start
            return stop
        return self._ready_loop().execute(self._core, min(fuel, _COMPILED_SLICE_STEPS))

    def _ready_loop(self) -> Loop:
        if self._loop is None:
            from bem_kernel.isa.loop import Loop

            self._loop = Loop.ready(self._core)
        return self._loop

    def _serve(self, stop: Stop) -> Trap | None:
        """Do what an interpreter stopped for; a trap if it is one."""
        if stop is Stop.HOST:
            self._call_host(int(self._core.control[DETAIL]))
        elif stop is Stop.LOG:
            if self._log is not None:
                self._log(self.pc, self.program.code[self.pc].text)
        elif stop is Stop.UNIT:
            return self._call_unit(self.program.code[self.pc])
        else:
            return trap_of(self._core, stop)
        return None

    def _call_unit(self, instruction: Instruction) -> Trap | None:
        opcode, core = instruction.opcode, self._core
        if opcode is Opcode.BEM_EXPERT_BATCH and opcode not in self._units:
            self._units[opcode] = ExpertUnit(self._ready_loop())
        unit = self._units.get(opcode)
        if unit is None:
            return trap_of(core, Stop.NO_UNIT)
        try:
            answer = unit.call(Request(core, instruction))
        except AccessFault as fault:
            core.control[DETAIL] = signed(fault.address)
            return trap_of(core, fault.stop)
        except KernelError as error:
            return trap_of(core, Stop.REFUSED, str(error))
        self._statistics.setdefault(opcode, UnitStatistics()).add(answer.work)
        if answer.work > unit.bound:
            core.control[DETAIL] = answer.work
            return trap_of(core, Stop.LATENCY)
        if instruction.rd:
            core.registers[instruction.rd] = answer.value
        return None

    def _result(self, steps: int, trap: Trap | None) -> RunResult:
        halted = trap is None and self.pc >= len(self.program.code)
        return RunResult(self.state, self.registers, self.pc, halted, trap, steps)

    def _call_host(self, index: int) -> None:
        port, window = self.program.ports[index], self._windows[index]
        argument = int(self._core.registers[self.program.code[self.pc].rd])
        answer = self._host[index](HostCall(self._shown, argument, window[1:]))
        window[0] = argument
        _check_answer(port, answer, self._state.shape[1])
        full = self._active
        for bit, value in zip(port.writes, answer, strict=True):
            lanes = value & full if isinstance(value, np.ndarray) else full if value else _NO_LANES
            self._state[bit] = (self._state[bit] & ~full) | lanes


def _host_functions(program: Program, table: Mapping[str, HostFunction]) -> list[HostFunction]:
    """The function of each port.

    Raises:
        MachineError: a port has none.
    """
    for port in program.ports:
        if port.name not in table:
            raise MachineError(
                f"no host function {port.name!r}", where="machine", fix="add it to the host table"
            )
    return [table[port.name] for port in program.ports]


def _check_state(program: Program, state: Planes, lanes: int) -> None:
    """Refuse planes that are not the program's bits in so many lanes.

    Raises:
        ShapeError, MachineError: they are not.
    """
    check_planes(state, where="machine", n_bits=program.n_bits)
    if state.shape[1] != words_for(lanes):
        raise MachineError(
            f"the state has {state.shape[1]} words, {lanes} lanes need {words_for(lanes)}",
            where="machine",
            fix="pass the number of lanes in use",
        )


def _check_answer(port: HostPort, answer: Planes | Sequence[int | bool], words: int) -> None:
    """Refuse what a host function returned if it is neither bits nor planes for its port.

    Raises:
        MachineError: it has another shape or type.
    """
    is_planes = isinstance(answer, np.ndarray)
    shape = answer.shape if isinstance(answer, np.ndarray) else (len(answer),)
    wanted = (len(port.writes), words) if is_planes else (len(port.writes),)
    kind = str(answer.dtype) if isinstance(answer, np.ndarray) else "bits"
    if shape != wanted or kind not in ("uint64", "bits"):
        raise MachineError(
            f"returned {kind} of shape {shape}",
            where=f"host function {port.name}",
            fix=f"return {len(port.writes)} bits or ({len(port.writes)}, {words}) uint64",
        )
