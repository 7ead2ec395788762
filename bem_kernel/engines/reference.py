"""The plain twin of every engine: one Python integer per plane, one gate at a time.

Slow and obvious; the other engines must agree with it bit for bit on every circuit.
"""

from __future__ import annotations

import numpy as np

from bem_kernel.circuits.circuit import Circuit, Gate, Op
from bem_kernel.lanes import WORD_BITS, Planes, check_planes


def evaluate(circuit: Circuit, planes: Planes) -> Planes:
    """Evaluate `circuit` in every lane.

    Args:
        circuit: the gates.
        planes: (n_inputs, words) uint64.

    Returns:
        (n_outputs, words) uint64.

    Raises:
        ShapeError: `planes` does not have one plane per input.
    """
    check_planes(planes, where="engine_reference.evaluate", n_bits=circuit.n_inputs)
    words = planes.shape[1]
    ones = (1 << (WORD_BITS * words)) - 1
    slots = planes_to_integers(planes)
    for gate in circuit.gates:
        slots.append(_apply(gate, slots, ones))
    return integers_to_planes([slots[s] for s in circuit.outputs], words)


def _apply(gate: Gate, slots: list[int], ones: int) -> int:
    match gate.op:
        case Op.AND:
            return slots[gate.a] & slots[gate.b]
        case Op.OR:
            return slots[gate.a] | slots[gate.b]
        case Op.XOR:
            return slots[gate.a] ^ slots[gate.b]
        case Op.NOT:
            return slots[gate.a] ^ ones
        case Op.ANDN:
            return slots[gate.a] & (slots[gate.b] ^ ones)
        case Op.CONST0:
            return 0
        case Op.CONST1:
            return ones


def planes_to_integers(planes: Planes) -> list[int]:
    """One integer per plane; bit l is lane l.

    Args:
        planes: (bits, words) uint64.

    Returns:
        `bits` integers of 64 * words bits.
    """
    if planes.shape[1] == 1:
        column: list[int] = planes[:, 0].tolist()
        return column
    stored = np.ascontiguousarray(planes).astype("<u8", copy=False)
    return [int.from_bytes(row.tobytes(), "little") for row in stored]


def integers_to_planes(integers: list[int] | tuple[int, ...], words: int) -> Planes:
    """Inverse of `planes_to_integers`.

    Args:
        integers: one per plane, below 2 ** (64 * words).
        words: words per plane.

    Returns:
        (len(integers), words) uint64.
    """
    if words == 1:
        return np.array(integers, dtype=np.uint64).reshape(len(integers), 1)
    size = words * WORD_BITS // 8
    octets = b"".join(value.to_bytes(size, "little") for value in integers)
    stored = np.frombuffer(octets, dtype="<u8").reshape(len(integers), words)
    return stored.astype(np.uint64)
