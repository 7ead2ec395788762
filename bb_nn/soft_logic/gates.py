"""Gates between the 16 functions of two bits.

A gate is its truth table with four entries in [0, 1]: p_00, p_01, p_10, p_11. On real inputs it is
the multilinear extension of that table,

    f(a, b) = p_00 (1−a)(1−b) + p_01 (1−a) b + p_10 a (1−b) + p_11 a b

which at corners of the cube is one of the 16 functions. Difflogic mixes the 16 functions by a
softmax of 16 logits; the mixtures of the 16 corners of a cube are the cube, so four logits express
the same gates with a quarter of the parameters, and no logit has to be lowered in 8 functions at
once for one entry of the table to change.

Sources: Petersen, Borgelt, Kuehne, Deussen: Deep Differentiable Logic Gate Networks, 2022; the
multilinear extension of Boolean functions, Owen 1972.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bem_kernel.circuits.builder import CircuitBuilder

ENTRIES = 4
"""Of a truth table; entry 2a + b is the value on (a, b)."""

_NAND = 0b0111


def soft_gate(a: Tensor, b: Tensor, table: Tensor) -> Tensor:
    """The multilinear extension of a truth table.

    Args:
        a: (…, gates, N) in [0, 1].
        b: (…, gates, N) in [0, 1].
        table: (…, gates, 4) in [0, 1].

    Returns:
        (…, gates, N) in [0, 1].
    """
    p00, p01, p10, p11 = (entry[..., None] for entry in table.unbind(-1))
    low = p00 + (p01 - p00) * b
    high = p10 + (p11 - p10) * b
    return torch.lerp(low, high, a)


def build_gate(builder: CircuitBuilder, a: int, b: int, table: int) -> int:
    """The slot of one of the 16 functions of two slots, in as few gates as the builder has.

    Args:
        builder: of the circuit.
        a: first slot.
        b: second slot.
        table: the function's number, 0 to 15; bit 2a + b is its value on (a, b).
    """
    if table == _NAND:
        return builder.not_(builder.and_(a, b))
    low, high = (_of_b(builder, b, table >> shift & 3) for shift in (0, 2))
    if table >> 2 == 3 - (table & 3):  # the halves are complements of each other
        return builder.xor(a, low)
    return builder.mux(a, low, high)


def _of_b(builder: CircuitBuilder, b: int, half: int) -> int:
    """A function of b alone: bit b of `half` is its value."""
    match half:
        case 0 | 3:
            return builder.const(half == 3)
        case 1:
            return builder.not_(b)
        case _:
            return b
