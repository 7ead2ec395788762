"""Sequential machines: one circuit stepped over a sequence, all lanes at once.

The circuit maps (state, input) to (next state, output): its first n_state inputs and outputs are
the state, the rest are the input and output of a step. A lane is one sequence.
"""

from __future__ import annotations

import time
from functools import cache

import numpy as np
from numpy.typing import NDArray

from bem_kernel.circuits.circuit import Circuit
from bem_kernel.engines.engine import HEATS
from bem_kernel.engines.heat import Heat
from bem_kernel.engines.integer import compile_integer, integers_to_planes, planes_to_integers
from bem_kernel.errors import ShapeError
from bem_kernel.lanes import WORD_BITS, Planes, check_planes

Steps = NDArray[np.uint64]
"""(T, bits, words) uint64, bit planes of every step."""


def scan(circuit: Circuit, state0: Planes, inputs: Steps) -> Steps:
    """Run a sequential machine over T steps and return its outputs.

    Args:
        circuit: n_state + n_in inputs, n_state + n_out outputs, the state first in both.
        state0: (n_state, words) uint64, the state before the first step.
        inputs: (T, n_in, words) uint64.

    Returns:
        (T, n_out, words) uint64; n_out = circuit.n_outputs - n_state.

    Raises:
        ShapeError: the shapes do not fit the circuit or each other.
    """
    return scan_with_state(circuit, state0, inputs)[0]


def scan_with_state(circuit: Circuit, state0: Planes, inputs: Steps) -> tuple[Steps, Planes]:
    """As `scan`, and also return the state after the last step.

    Returns:
        Outputs (T, n_out, words) uint64 and state (n_state, words) uint64. A sequence cut in two
        and run in two calls gives the same as in one.

    Raises:
        ShapeError: the shapes do not fit the circuit or each other.
    """
    _check_shapes(circuit, state0, inputs)
    heat = HEATS.of(circuit)
    run = _scan_integers if heat.program is None else _scan_compiled
    if run is _scan_compiled:
        _load_kernel()
    began_ns = time.perf_counter_ns()
    found = run(heat, state0, inputs)
    heat.note(time.perf_counter_ns() - began_ns)
    return found


def _check_shapes(circuit: Circuit, state0: Planes, inputs: Steps) -> None:
    check_planes(state0, where="scan: state0")
    n_state, words = state0.shape
    n_in = circuit.n_inputs - n_state
    if n_in < 0 or circuit.n_outputs < n_state:
        raise ShapeError(
            f"a state of {n_state} bits for a circuit of {circuit.n_inputs} inputs and "
            f"{circuit.n_outputs} outputs",
            where="scan",
            fix="put the state first among inputs and outputs",
        )
    if inputs.dtype != np.uint64 or inputs.ndim != 3 or inputs.shape[1:] != (n_in, words):
        raise ShapeError(
            f"inputs are {inputs.dtype} of shape {inputs.shape}",
            where="scan",
            fix=f"give (T, {n_in}, {words}) uint64",
        )


def _scan_integers(heat: Heat, state0: Planes, inputs: Steps) -> tuple[Steps, Planes]:
    circuit = heat.circuit
    n_state, words = state0.shape
    steps, n_in, _ = inputs.shape
    step = compile_integer(circuit)
    ones = (1 << (WORD_BITS * words)) - 1
    state = tuple(planes_to_integers(state0))
    symbols = planes_to_integers(inputs.reshape(steps * n_in, words))
    outputs: list[int] = []
    for start in range(0, steps * n_in, n_in) if n_in else [0] * steps:
        results = step((*state, *symbols[start : start + n_in]), ones)
        state = results[:n_state]
        outputs.extend(results[n_state:])
    planes = integers_to_planes(outputs, words)
    n_out = circuit.n_outputs - n_state
    return planes.reshape(steps, n_out, words), integers_to_planes(state, words)


@cache
def _load_kernel() -> None:
    """Load the scan's kernel, once a process, so that its price is no circuit's."""
    from bem_kernel.compiled import load
    from bem_kernel.engines.scan_kernel import scan_steps

    load(scan_steps)


def _scan_compiled(heat: Heat, state0: Planes, inputs: Steps) -> tuple[Steps, Planes]:
    from bem_kernel.engines.scan_kernel import scan_steps

    code = heat.code  # kept here, since another thread may drop the heat
    address = 0 if code is None else code.address
    state = np.array(state0, order="C")
    shape = (len(inputs), heat.circuit.n_outputs - len(state0), state0.shape[1])
    outputs = np.empty(shape, dtype=np.uint64)
    try:
        scan_steps(heat.program, address, state, inputs, outputs)
    except TypeError:  # strided or read-only: kernels take neither
        scan_steps(heat.program, address, state, np.array(inputs, order="C"), outputs)
    return outputs, state
