"""How hot a circuit is, and the code it has earned by that.

Each circuit starts cold: without numba, whose import takes half a second, as generated Python over
integers or as numpy calls. The time spent so is added up, and once it has reached the price of the
next engine, that price is paid: ski rental, which never costs more than twice what the best choice
in hindsight would have.

1. cold, until the whole process has spent the price of loading the interpreter;
2. interpreted, until the circuit has spent the price of compiling it, which is estimated from the
   compilations so far;
3. compiled.

Source: Karlin, Manasse, Rudolph and Sleator 1988 (competitive snoopy caching); BEM core spec 8.4.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

from bem_kernel.circuits.circuit import Circuit
from bem_kernel.engines import reference
from bem_kernel.engines.integer import IntegerFunction, compile_integer, run_integers
from bem_kernel.lanes import Planes

if TYPE_CHECKING:
    from bem_kernel.engines.interpreter import PackedProgram
    from bem_kernel.engines.llvm import CompiledCircuit

Runner = Callable[[Planes], Planes]
"""Evaluates one circuit on checked planes."""

KEPT_CIRCUITS = 1024
_INTEGER_WORDS = 64  # above this many words a numpy call per gate is ahead of Python's integers
_LOAD_NS = 500_000_000  # importing numba, and its first kernel from the cache on disk
_LOAD_NS_AFTER_NUMBA = 50_000_000  # the same in a process that has numba already
_NEVER_NS = 2**63
_DEPOSIT_NS = 250_000  # cold circuits pay into the process's purse in coins of this size
_INTERPRETER = "bem_kernel.engines.interpreter"
_COMPILE_EXTRA_GATES = 40  # a compilation costs as much as these many gates, before the first


class Stage(IntEnum):
    """What a circuit runs on."""

    COLD = 0
    INTERPRETED = 1
    COMPILED = 2


@dataclass(frozen=True)
class HeatRecord:
    """What one circuit has cost so far.

    Attributes:
        circuit: which one.
        stage: what it runs on now.
        calls: evaluations, and scans of any length, chosen by heat; forced ones do not count.
        spent_ns: time in them by stage, in nanoseconds.
        compile_ns: time taken to compile it, 0 if it has not been.
    """

    circuit: Circuit
    stage: Stage
    calls: int
    spent_ns: tuple[int, int, int]
    compile_ns: int


class _Prices:
    """What the next stage costs, learned as the process runs."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.cold_ns = 0
        self.gate_ns = 100_000

    def add_cold(self, took_ns: int) -> None:
        with self.lock:
            self.cold_ns += took_ns

    def interpreter_is_due(self) -> bool:
        """Whether the interpreter is loaded, or has been paid for."""
        if _INTERPRETER in sys.modules:
            return True
        price_ns = _LOAD_NS_AFTER_NUMBA if "numba" in sys.modules else _LOAD_NS
        return self.cold_ns >= price_ns

    def compile_ns(self, circuit: Circuit) -> int:
        """Estimated time to compile a circuit."""
        return (len(circuit.gates) + _COMPILE_EXTRA_GATES) * self.gate_ns

    def note_compilation(self, circuit: Circuit, took_ns: int) -> None:
        """Move the estimate a quarter of the way to what a compilation took."""
        found = took_ns // (len(circuit.gates) + _COMPILE_EXTRA_GATES)
        with self.lock:
            self.gate_ns = (3 * self.gate_ns + found) // 4


_prices = _Prices()


class Heat:
    """One circuit's time so far and the code it runs on; any thread may use it.

    Attributes:
        circuit: which one.
        run: evaluates it on checked planes.
        stage: what `run` runs on.
        program: the circuit packed for the interpreter, None while cold.
        code: its machine code, None before it is compiled.
    """

    __slots__ = (
        "_calls",
        "_compile_ns",
        "_earlier_ns",
        "_lock",
        "_price_ns",
        "_promoting",
        "_spent_ns",
        "_swept_ns",
        "circuit",
        "code",
        "program",
        "run",
        "stage",
    )

    def __init__(self, circuit: Circuit) -> None:
        self.circuit = circuit
        self.stage = Stage.COLD
        self.run: Runner = _cold_runner(circuit)
        self.program: PackedProgram | None = None
        self.code: CompiledCircuit | None = None
        self._calls = 0
        self._spent_ns = 0  # in this stage
        self._price_ns = _DEPOSIT_NS  # of the next stage, or when a cold circuit asks again
        self._earlier_ns = (0, 0)  # in the stages before, cold and interpreted
        self._compile_ns = 0
        self._swept_ns = 0
        self._lock = threading.Lock()
        self._promoting = threading.Lock()
        if _prices.interpreter_is_due():
            self._interpret()

    def note(self, took_ns: int) -> None:
        """Add a call that took so long, and pay for the next stage once it is due."""
        with self._lock:
            self._calls += 1
            self._spent_ns += took_ns
        if self._spent_ns >= self._price_ns:
            self._consider()

    def record(self) -> HeatRecord:
        """The statistics as they are now."""
        with self._lock:
            spent = [*self._earlier_ns, 0]
            spent[self.stage] += self._spent_ns
            times_ns = (spent[0], spent[1], spent[2])
            return HeatRecord(self.circuit, self.stage, self._calls, times_ns, self._compile_ns)

    def since_sweep_ns(self) -> int:
        """Time spent since this was last asked."""
        total_ns = sum(self.record().spent_ns)
        since_ns, self._swept_ns = total_ns - self._swept_ns, total_ns
        return since_ns

    def _consider(self) -> None:
        """Go to the next stage, if it is due and no other thread is at it."""
        if self.stage is Stage.COLD:
            with self._lock:  # one call may be worth many coins
                due_ns = self._spent_ns - self._price_ns + _DEPOSIT_NS
                paid_ns = due_ns // _DEPOSIT_NS * _DEPOSIT_NS
                self._price_ns += paid_ns
            _prices.add_cold(paid_ns)
            if not _prices.interpreter_is_due():
                return
        if not self._promoting.acquire(blocking=False):
            return  # and go on as before meanwhile
        try:
            if self.stage is Stage.COLD:
                self._interpret()
            elif self._spent_ns >= self._price_ns:
                self._compile()
        finally:
            self._promoting.release()

    def _interpret(self) -> None:
        from bem_kernel.compiled import load
        from bem_kernel.engines.interpreter import interpret, pack_program, runner

        load(interpret)  # once a process; its price is not this circuit's
        self.program = pack_program(self.circuit)
        self.run = runner(self.program, self.circuit.n_outputs)
        with self._lock:
            self._earlier_ns, self._spent_ns = (self._spent_ns, 0), 0
            self._price_ns = _prices.compile_ns(self.circuit)
            self.stage = Stage.INTERPRETED

    def _compile(self) -> None:
        from bem_kernel.compiled import load
        from bem_kernel.engines.llvm import compile_circuit, fits_stack, runner
        from bem_kernel.engines.native import call_planes

        if not fits_stack(self.circuit):
            with self._lock:
                self._price_ns = _NEVER_NS
            return
        load(call_planes)
        began_ns = time.perf_counter_ns()
        code = compile_circuit(self.circuit)
        took_ns = time.perf_counter_ns() - began_ns
        _prices.note_compilation(self.circuit, took_ns)
        self.code = code
        self.run = runner(code)
        with self._lock:
            self._earlier_ns, self._spent_ns = (self._earlier_ns[0], self._spent_ns), 0
            self._compile_ns, self._price_ns = took_ns, _NEVER_NS
            self.stage = Stage.COMPILED


def _cold_runner(circuit: Circuit) -> Runner:
    """Evaluate without numba, on planes that have been checked."""
    function: IntegerFunction | None = None

    def run(planes: Planes) -> Planes:
        nonlocal function
        if planes.shape[1] > _INTEGER_WORDS:
            return reference.evaluate(circuit, planes)
        if function is None:
            function = compile_integer(circuit)
        return run_integers(function, planes)

    return run


class HeatMap:
    """The heat of the circuits in use, the hottest kept; any thread may use it."""

    def __init__(self, kept: int = KEPT_CIRCUITS) -> None:
        self._kept = kept
        self._heats: dict[Circuit, Heat] = {}
        # id(circuit) -> the circuit and its heat, since hashing and comparing circuits costs more
        # than dispatching them. An entry holds its circuit, so its id is not used again meanwhile.
        self._by_id: dict[int, tuple[Circuit, Heat]] = {}
        self._lock = threading.Lock()

    def of(self, circuit: Circuit) -> Heat:
        """The heat of a circuit, from zero if it is new."""
        known = self._by_id.get(id(circuit))
        if known is not None:
            return known[1]
        with self._lock:
            heat = self._heats.get(circuit)
            if heat is not None:
                self._remember(circuit, heat)
                return heat
        return self._add(circuit)

    def records(self) -> list[HeatRecord]:
        """The statistics of all circuits kept, the hottest first."""
        records = [heat.record() for heat in list(self._heats.values())]
        return sorted(records, key=lambda record: -sum(record.spent_ns))

    def clear(self) -> None:
        """Forget everything; code in use lives on until its calls return."""
        with self._lock:
            self._heats, self._by_id = {}, {}

    def _add(self, circuit: Circuit) -> Heat:
        heat = Heat(circuit)
        with self._lock:
            if len(self._heats) >= self._kept:
                self._sweep()
            heat = self._heats.setdefault(circuit, heat)
            self._remember(circuit, heat)
            return heat

    def _remember(self, circuit: Circuit, heat: Heat) -> None:
        if len(self._by_id) >= 2 * self._kept:  # many equal circuits, each made anew
            self._by_id = {}
        self._by_id[id(circuit)] = (circuit, heat)

    def _sweep(self) -> None:
        """Forget the half that has been used least since the last sweep."""
        used = [(heat.since_sweep_ns(), circuit) for circuit, heat in self._heats.items()]
        used.sort(key=lambda pair: -pair[0])
        self._heats = {circuit: self._heats[circuit] for _, circuit in used[: self._kept // 2]}
        self._by_id = {}
