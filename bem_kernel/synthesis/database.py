"""Optimal circuits of all functions of four inputs: one for each NPN class.

Sizes are numbers of two-input gates of any kind; negations are free. The search takes less than a
second, so nothing is stored that could be out of date: each process that asks builds the database
once, and evaluates every entry.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from bem_kernel.compiled import kernel
from bem_kernel.errors import SynthesisError
from bem_kernel.synthesis import chain_search
from bem_kernel.synthesis.network import Network, NetworkBuilder, table_of_op
from bem_kernel.synthesis.npn import (
    INPUT_TABLES,
    N_TABLES,
    PERMUTATIONS,
    Classes,
    npn_classes,
    split_transform,
)

DATABASE_INPUTS = 4
CLASSES_BY_SIZE = (2, 2, 5, 20, 34, 75, 72, 12)


@dataclass(frozen=True, eq=False)
class Database:
    """An optimal circuit of each NPN class of functions of four inputs.

    Attributes:
        classes: the classes, and how each function comes from the name of its class.
        sizes: (222,) int64, fewest gates.
        gates: (222, 7, 3) int64, rows (table, slot a, slot b) of the named function: gate k writes
            slot 4 + k, and bit a + 2 * b of the table is its value. The last gate is the output; a
            class without gates is that of a constant or of an input.
    """

    classes: Classes
    sizes: NDArray[np.int64]
    gates: NDArray[np.int64]

    def size_of(self, table: int) -> int:
        """Fewest gates of any function of four inputs, from its table of 16 bits.

        Raises:
            SynthesisError: the table has more bits.
        """
        if not 0 <= table < N_TABLES:
            raise SynthesisError(
                f"table {table}", where="database", fix="give 16 bits: bit r is the value of row r"
            )
        return int(self.sizes[self.classes.class_of[table]])

    def network_of(self, table: int, n_inputs: int) -> Network:
        """A smallest network of a function.

        Args:
            table: bit r is the value of row r.
            n_inputs: number of inputs, at most 4.
        """
        for i in range(n_inputs, DATABASE_INPUTS):
            table |= table << (1 << i)
        size = self.size_of(table)
        entry, transform = self.classes.class_of[table], int(self.classes.transform_of[table])
        order, negated, flip = split_transform(transform)
        builder = NetworkBuilder(n_inputs)
        literals = []
        for i in range(DATABASE_INPUTS):
            source = 2 * (1 + order[i]) if order[i] < n_inputs else 0
            literals.append(source ^ (negated >> i & 1))
        for kind, a, b in self.gates[entry, :size].tolist():
            literals.append(builder.gate(kind, literals[a], literals[b]))
        if size:
            return builder.build([literals[-1] ^ flip])
        constant = table in (0, N_TABLES - 1)
        return builder.build([table & 1 if constant else literals[0] ^ flip])


@cache
def optimal_database() -> Database:
    """The database, searched and verified once in each process."""
    return build_database()


def build_database() -> Database:
    """Search for the smallest circuit of each class, and evaluate all 65,536 functions.

    Source: Knuth, TAOCP 7.1.2.
    """
    classes = npn_classes()
    count = len(classes.names)
    sizes = np.full(count, -1, dtype=np.int64)
    found = np.zeros((count, chain_search.MAX_GATES, 3), dtype=np.int64)
    for table in (0, INPUT_TABLES[0]):
        sizes[classes.class_of[table]] = 0
    a, b = INPUT_TABLES[:2]
    for op, table in ((chain_search.AND, a & b), (chain_search.XOR, a ^ b)):
        sizes[classes.class_of[table]] = 1
        found[classes.class_of[table], 0] = (op, 0, 1)
    for size in range(2, chain_search.MAX_GATES + 1):
        for first in (chain_search.AND, chain_search.XOR):
            missing = int((sizes < 0).sum())
            if missing:
                scratch = np.zeros((3, 4 + chain_search.MAX_GATES), dtype=np.int64)
                rows = np.zeros((chain_search.MAX_GATES, 3), dtype=np.int64)
                chain_search.search_size(
                    size, first, classes.class_of, sizes, found, missing, scratch, rows
                )
    assert (sizes >= 0).all(), "every class has a circuit of at most seven gates"
    gates = np.zeros_like(found)
    for name in range(count):
        _rename(found[name, : sizes[name]], classes, gates[name])
    tables = np.array([*INPUT_TABLES, *[0] * 11], dtype=np.int64)
    wrong = first_wrong(PERMUTATIONS, classes.class_of, classes.transform_of, sizes, gates, tables)
    assert wrong < 0, f"the circuit of {wrong:#06x} computes another function"
    return Database(classes, sizes, gates)


def _rename(found: NDArray[np.int64], classes: Classes, gates: NDArray[np.int64]) -> None:
    """Turn the circuit of a member of a class into one of the function that names it."""
    if not len(found):
        return
    tables = list(INPUT_TABLES)
    for op, a, b in found.tolist():
        tables.append(_apply(table_of_op(op), tables[a], tables[b]))
    order, negated, _ = split_transform(int(classes.transform_of[tables[-1]]))
    builder = NetworkBuilder(4)
    literals = [0] * 4
    for i in range(4):
        literals[order[i]] = 2 * (1 + i) + (negated >> i & 1)
    for op, a, b in found.tolist():
        literals.append(builder.gate(table_of_op(op), literals[a], literals[b]))
    for k, (table, a, b) in enumerate(builder.gates):
        gates[k] = (table, a - 1, b - 1)


def _apply(table: int, a: int, b: int) -> int:
    """A gate on tables of 16 bits."""
    rows = (~a & ~b, a & ~b, ~a & b, a & b)
    return sum(rows[r] & 0xFFFF for r in range(4) if table >> r & 1)


@kernel("int64(int64[:, ::1], int64[::1], int64[::1], int64[::1], int64[:, :, ::1], int64[::1])")
def first_wrong(orders, class_of, transform_of, sizes, gates, tables):  # type: ignore[no-untyped-def]
    """The first function that its entry does not compute, or -1.

    Args:
        orders: (24, 4) permutations of the transforms.
        class_of: (65536,) class of each function.
        transform_of: (65536,) transform of each function.
        sizes: (222,) gates of each entry.
        gates: (222, 7, 3) the entries.
        tables: (15,) the four inputs, and scratch.
    """
    for function in range(1 << 16):
        entry, transform = class_of[function], transform_of[function]
        for i in range(4):
            flip = np.int64(0xFFFF) * (transform >> (1 + i) & 1)
            tables[4 + i] = tables[orders[transform >> 5, i]] ^ flip
        for k in range(sizes[entry]):
            a, b = tables[4 + gates[entry, k, 1]], tables[4 + gates[entry, k, 2]]
            kind, value = gates[entry, k, 0], np.int64(0)
            for row in range(4):
                if kind >> row & 1:
                    value |= (a if row & 1 else ~a) & (b if row & 2 else ~b)
            tables[8 + k] = value & 0xFFFF
        result = np.int64(0xFFFF) * (transform & 1)
        if sizes[entry] > 0:
            result ^= tables[7 + sizes[entry]]
        elif function != 0 and function != 0xFFFF:
            result ^= tables[4]
        if result != function:
            return np.int64(function)
    return np.int64(-1)
