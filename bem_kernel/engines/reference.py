"""The plain twin of every engine: numpy, one gate at a time.

Slow and obvious; the other engines must agree with it bit for bit on every circuit.
"""

from __future__ import annotations

import numpy as np

from bem_kernel.circuits.circuit import Circuit, Gate, Op
from bem_kernel.lanes import Planes, Word, check_planes

_ONES = np.uint64(0xFFFF_FFFF_FFFF_FFFF)


def evaluate(circuit: Circuit, planes: Planes) -> Planes:
    """Evaluate `circuit` in every lane.

    Args:
        circuit: the gates.
        planes: (n_inputs, words) uint64; not changed.

    Returns:
        (n_outputs, words) uint64, a new array.

    Raises:
        ShapeError: `planes` does not have one plane per input.
    """
    check_planes(planes, where="reference.evaluate", n_bits=circuit.n_inputs)
    slots = list(planes)
    for gate in circuit.gates:
        slots.append(_apply(gate, slots, planes.shape[1]))
    results = np.empty((circuit.n_outputs, planes.shape[1]), dtype=np.uint64)
    for output, slot in enumerate(circuit.outputs):
        results[output] = slots[slot]
    return results


def _apply(gate: Gate, slots: list[Word], words: int) -> Word:
    match gate.op:
        case Op.AND:
            return slots[gate.a] & slots[gate.b]
        case Op.OR:
            return slots[gate.a] | slots[gate.b]
        case Op.XOR:
            return slots[gate.a] ^ slots[gate.b]
        case Op.NOT:
            return ~slots[gate.a]
        case Op.ANDN:
            return slots[gate.a] & ~slots[gate.b]
        case Op.CONST0:
            return np.zeros(words, dtype=np.uint64)
        case Op.CONST1:
            return np.full(words, _ONES)
