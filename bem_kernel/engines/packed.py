"""Circuits as the arrays that kernels read."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bem_kernel.circuits.circuit import Circuit
from bem_kernel.errors import CircuitError

_MOST_SLOTS = 2**31  # slots are int32 in a packed gate


def pack_gates(circuit: Circuit) -> NDArray[np.int32]:
    """The gates of a circuit as an array that `interpreter.run_gates` reads.

    Args:
        circuit: the gates.

    Returns:
        (gates, 3) int32, rows (operation, slot a, slot b); operations are the values of
        `circuit.Op`, and gate i writes slot n_inputs + i. A new array.

    Raises:
        CircuitError: the circuit has 2**31 slots or more.
    """
    if circuit.n_slots >= _MOST_SLOTS:
        raise CircuitError(
            f"{circuit.n_slots} slots", where="packed.pack_gates", fix="split the circuit"
        )
    rows = [(int(gate.op), gate.a, gate.b) for gate in circuit.gates]
    return np.array(rows, dtype=np.int32).reshape(len(rows), 3)


def pack_outputs(circuit: Circuit) -> NDArray[np.int64]:
    """The slot of each output, (n_outputs,) int64, a new array."""
    return np.array(circuit.outputs, dtype=np.int64)
