"""Circuits of 3-input look-up tables, what one LOP3 of a GPU or one `vpternlog` of a CPU computes.

Slots are numbered as in `circuit.Circuit`: inputs first, LUT i writes slot n_inputs + i. Bit
x0 + 2*x1 + 4*x2 of a table is the LUT's value where its operands are x0, x1, x2, so operand 0 is
0xAA, operand 1 is 0xCC and operand 2 is 0xF0. A LUT may have fewer operands; its table ignores the
missing ones, so that any slot can stand in for them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bem_kernel.errors import CircuitError
from bem_kernel.lanes import Planes, Word, check_planes

OPERAND_TABLES = (0xAA, 0xCC, 0xF0)
"""The table of a LUT that passes on operand 0, 1 or 2."""


@dataclass(frozen=True, slots=True)
class Lut:
    """One look-up table: its 8 values as bits, and the slots of its 0 to 3 operands."""

    table: int
    operands: tuple[int, ...]


@dataclass(frozen=True)
class LutCircuit:
    """A function {0,1}^n_inputs -> {0,1}^len(outputs) as a list of look-up tables.

    Attributes:
        n_inputs: number of input bits.
        luts: in order of evaluation; LUT i writes slot n_inputs + i.
        outputs: the slot of each output bit.

    Raises:
        CircuitError: a LUT reads a slot not yet written, has more than 3 operands or a table
            that is no byte or depends on an operand it lacks, or an output does not exist.
    """

    n_inputs: int
    luts: tuple[Lut, ...]
    outputs: tuple[int, ...]

    def __post_init__(self) -> None:
        for i, lut in enumerate(self.luts):
            _check_lut(i, lut, self.n_inputs + i)
        n_slots = self.n_inputs + len(self.luts)
        for j, slot in enumerate(self.outputs):
            if not 0 <= slot < n_slots:
                raise CircuitError(
                    f"output {j} is slot {slot}, which does not exist",
                    where="lut circuit",
                    fix=f"use slots 0 to {n_slots - 1}",
                )


def _check_lut(index: int, lut: Lut, n_earlier: int) -> None:
    where = f"lut circuit: LUT {index}"
    if not 0 <= lut.table <= 0xFF or len(lut.operands) > len(OPERAND_TABLES):
        raise CircuitError(
            f"table {lut.table} with {len(lut.operands)} operands",
            where=where,
            fix="use a table of 8 bits and at most 3 operands",
        )
    for slot in lut.operands:
        if not 0 <= slot < n_earlier:
            raise CircuitError(
                f"slot {slot} is not written before it",
                where=where,
                fix=f"read slots below {n_earlier}",
            )
    for operand in range(len(lut.operands), len(OPERAND_TABLES)):
        if depends_on(lut.table, operand):
            raise CircuitError(
                f"table 0x{lut.table:02x} depends on operand {operand}, which is missing",
                where=where,
                fix="give the operand, or a table that ignores it",
            )


def depends_on(table: int, operand: int) -> bool:
    """Whether a table's value ever changes with operand 0, 1 or 2."""
    ones = OPERAND_TABLES[operand]
    return (table & ones) >> (1 << operand) != table & ~ones & 0xFF


def evaluate_luts(circuit: LutCircuit, planes: Planes) -> Planes:
    """Evaluate in every lane with numpy: the sum of the minterms of each table, plainly.

    Args:
        circuit: the look-up tables.
        planes: (n_inputs, words) uint64.

    Returns:
        (n_outputs, words) uint64, a new array.

    Raises:
        ShapeError: `planes` does not have one plane per input.
    """
    check_planes(planes, where="lut.evaluate_luts", n_bits=circuit.n_inputs)
    rows: list[Word] = list(planes)
    for lut in circuit.luts:
        value = np.zeros(planes.shape[1], dtype=np.uint64)
        for minterm in range(1 << len(lut.operands)):
            if lut.table >> minterm & 1:
                term = np.full(planes.shape[1], ~np.uint64(0))
                for i, slot in enumerate(lut.operands):
                    term &= rows[slot] if minterm >> i & 1 else ~rows[slot]
                value |= term
        rows.append(value)
    outputs = [rows[slot] for slot in circuit.outputs]
    return np.stack(outputs) if outputs else np.zeros((0, planes.shape[1]), dtype=np.uint64)
