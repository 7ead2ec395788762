"""NPN classes: Boolean functions of four inputs up to negations and the order of inputs.

A function is a table of 16 bits: bit r is its value where input i is bit i of r. Member g of the
class of f is `g(x) = o ^ f(y)` with `y[i] = x[p[i]] ^ m[i]`; the transform (p, m, o) is stored as
`32 * index of p + 2 * m + o`. Each class is named by its smallest member that is 0 at r = 0. The
65,536 functions fall into 222 classes.

Source: Harrison 1965; Knuth, TAOCP 7.1.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from bem_kernel.compiled import kernel

INPUT_TABLES = (0xAAAA, 0xCCCC, 0xF0F0, 0xFF00)
N_TABLES = 1 << 16
PERMUTATIONS = np.array(list(permutations(range(4))), dtype=np.int64)
"""(24, 4) int64: p of each index."""


@kernel("int64(int64, int64[:, ::1], int64)")
def transformed(table, orders, transform):  # type: ignore[no-untyped-def]
    """The member that a transform makes of a function."""
    order = transform >> 5
    result = np.int64(0)
    for row in range(16):
        source = np.int64(0)
        for i in range(4):
            bit = (row >> orders[order, i] & 1) ^ (transform >> (1 + i) & 1)
            source |= bit << i
        result |= ((table >> source & 1) ^ (transform & 1)) << row
    return result


@kernel("int64(int64[:, ::1], int64[::1], int64[::1], int64[::1])")
def find_classes(orders, class_of, transform_of, names):  # type: ignore[no-untyped-def]
    """Fill in the class and the transform of every function; returns the number of classes.

    Args:
        orders: (24, 4) permutations.
        class_of: (65536,) out: number of the class, in the order of their names.
        transform_of: (65536,) out: the first transform that makes the function of its name.
        names: (at least 222,) out: the name of each class.
    """
    for table in range(1 << 16):
        class_of[table] = -1
    count = np.int64(0)
    for name in range(0, 1 << 16, 2):
        if class_of[name] < 0:
            names[count] = name
            for transform in range(24 * 32):
                member = transformed(np.int64(name), orders, np.int64(transform))
                if class_of[member] < 0:
                    class_of[member] = count
                    transform_of[member] = transform
            count += 1
    return count


@dataclass(frozen=True, eq=False)
class Classes:
    """The NPN classes.

    Attributes:
        names: (222,) int64, the table that names each class.
        class_of: (65536,) int64, the class of each table.
        transform_of: (65536,) int64, what makes the table of its class's name.
    """

    names: NDArray[np.int64]
    class_of: NDArray[np.int64]
    transform_of: NDArray[np.int64]


@cache
def npn_classes() -> Classes:
    """All classes of functions of four inputs, found once in each process."""
    class_of = np.empty(N_TABLES, dtype=np.int64)
    transform_of = np.empty(N_TABLES, dtype=np.int64)
    names = np.empty(N_TABLES, dtype=np.int64)
    count = find_classes(PERMUTATIONS, class_of, transform_of, names)
    return Classes(names[:count].copy(), class_of, transform_of)


def split_transform(transform: int) -> tuple[tuple[int, ...], int, int]:
    """A stored transform as p, m and o."""
    order = tuple(int(i) for i in PERMUTATIONS[transform >> 5])
    return order, transform >> 1 & 15, transform & 1
