"""Machine code of hot experts: compiled once interpreting them has cost as much as compiling.

Ski rental: whatever happens later, the cost is at most twice that of the best choice in hindsight.
What a gate costs interpreted and compiled is measured, not assumed. Code belongs to this process:
it is never part of a memory image.

Source: BEM core spec 8.4.
"""

from __future__ import annotations

import time
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bem_kernel.circuits.circuit import Circuit

if TYPE_CHECKING:
    from bem_kernel.engines.llvm import CompiledCircuit

_FIRST_GUESS_NS = 100_000  # per gate compiled, until one has been
_EXTRA_GATES = 40  # a compilation costs as much as these many gates, before the first


class HotCode:
    """Code by slot.

    Attributes:
        addresses: (max_experts,) uint64, of the code of each slot's expert, 0 for none.

    Args:
        max_experts: slots of the table.
    """

    def __init__(self, max_experts: int) -> None:
        self.addresses: NDArray[np.uint64] = np.zeros(max_experts, dtype=np.uint64)
        self._code: dict[int, CompiledCircuit] = {}
        self._before: NDArray[np.int64] | None = None
        self._gate_ns = _FIRST_GUESS_NS

    def __len__(self) -> int:
        """Number of experts that run as machine code."""
        return len(self._code)

    def due(self, visits: NDArray[np.int64], gates: NDArray[np.int64], words: int) -> list[int]:
        """The slots whose experts have earned their code, the hottest first.

        Args:
            visits: (max_experts,) int64, runs of each expert.
            gates: (max_experts,) int64, of its circuit.
            words: words of a plane.
        """
        if self._before is None:  # heat counts from when this process took the table up
            self._before = visits.copy()
        runs = np.maximum(visits - self._before, 0)
        # In units of 1/1024 ns, which a billion runs of a million gates do not overflow.
        spent = runs * ((gates * _interpreted_gate_q10(words)) >> 10)
        price = (gates + _EXTRA_GATES) * self._gate_ns
        earned = np.flatnonzero((spent >= price) & (self.addresses == 0) & (gates > 0))
        order = np.argsort(-(spent[earned] - price[earned]), kind="stable")
        return [int(slot) for slot in earned[order]]

    def compile(self, slot: int, circuit: Circuit) -> None:
        """Compile the circuit of a slot's expert, and learn what that costs.

        Raises:
            EngineError: LLVM refuses the code.
        """
        from bem_kernel.engines.llvm import compile_circuit

        start_ns = time.perf_counter_ns()
        code = compile_circuit(circuit)
        took_ns = time.perf_counter_ns() - start_ns
        found = took_ns // (len(circuit.gates) + _EXTRA_GATES)
        self._gate_ns = (3 * self._gate_ns + found) // 4
        self._code[slot] = code
        self.addresses[slot] = code.address

    def drop(self, slot: int) -> None:
        """Forget a slot whose expert has gone."""
        self.addresses[slot] = 0
        self._code.pop(slot, None)
        if self._before is not None:
            self._before[slot] = 0

    def move(self, source: NDArray[np.int64]) -> None:
        """Follow a rebalancing of slots; see `ExpertTable.rebalance`."""
        self.addresses[:] = self.addresses[source]
        was = self._code
        self._code = {new: was[old] for new, old in enumerate(source.tolist()) if old in was}
        if self._before is not None:
            self._before = self._before[source]


@cache
def _interpreted_gate_q10(words: int) -> int:
    """What a gate costs the interpreter over a plane, in 1/1024 ns, at least 1; measured once."""
    from bem_kernel.engines.interpreter import run_gates
    from bem_kernel.experts.scratch import BLOCK, make_scratch

    n_gates, calls = 256, 16
    length = min(words, BLOCK)
    slots = make_scratch(2 + n_gates, 1, 1, max_experts=1, words=1).slots
    gates = np.zeros((n_gates, 3), dtype=np.int32)
    gates[:, 1] = np.arange(n_gates)
    best_ns = 1 << 62
    for _ in range(3):
        start_ns = time.perf_counter_ns()
        for _ in range(calls):
            run_gates(gates, np.int64(2), slots, np.int64(length))
        best_ns = min(best_ns, time.perf_counter_ns() - start_ns)
    blocks = -(-words // BLOCK)
    return max(1, (best_ns * blocks << 10) // (calls * n_gates))
