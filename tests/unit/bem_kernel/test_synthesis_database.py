"""The optimal database: Knuth's numbers of classes, and every function by its circuit."""

from __future__ import annotations

from itertools import product
from random import Random

import numpy as np
import pytest

from bem_kernel.errors import SynthesisError
from bem_kernel.synthesis.database import CLASSES_BY_SIZE, first_wrong, optimal_database
from bem_kernel.synthesis.npn import (
    INPUT_TABLES,
    PERMUTATIONS,
    npn_classes,
    split_transform,
    transformed,
)

DATABASE = optimal_database()


def wrong(gates: np.ndarray) -> int:
    classes = DATABASE.classes
    tables = np.array([*INPUT_TABLES, *[0] * 11], dtype=np.int64)
    return first_wrong(
        PERMUTATIONS, classes.class_of, classes.transform_of, DATABASE.sizes, gates, tables
    )


def test_classes_by_size_are_those_of_knuth() -> None:
    assert tuple(np.bincount(DATABASE.sizes)) == CLASSES_BY_SIZE == (2, 2, 5, 20, 34, 75, 72, 12)
    # TAOCP 7.1.2, table 1: functions, rather than classes, of each size.
    functions = np.bincount(DATABASE.sizes[DATABASE.classes.class_of])
    assert functions.tolist() == [10, 60, 456, 2474, 10624, 24184, 25008, 2720]


def test_every_entry_computes_its_functions_and_an_altered_one_is_noticed() -> None:
    assert wrong(DATABASE.gates) == -1
    for name in np.flatnonzero(DATABASE.sizes):
        altered = DATABASE.gates.copy()
        altered[name, DATABASE.sizes[name] - 1, 0] ^= 6
        assert DATABASE.classes.class_of[wrong(altered)] == name


def test_gates_are_normal_and_read_earlier_slots() -> None:
    for name, size in enumerate(DATABASE.sizes):
        for k, (table, a, b) in enumerate(DATABASE.gates[name, :size].tolist()):
            assert table in (2, 4, 6, 8, 14)
            assert 0 <= a < b < 4 + k


def test_transforms_make_the_functions_of_the_class_names() -> None:
    classes = npn_classes()
    assert len(classes.names) == 222
    rng = Random(1)
    for table in [0, 0xFFFF, 0x8000, 0x6996, *(rng.randrange(1 << 16) for _ in range(200))]:
        transform = int(classes.transform_of[table])
        name = int(classes.names[classes.class_of[table]])
        assert transformed(name, PERMUTATIONS, transform) == table
        order, negated, out = split_transform(transform)
        for x in product((0, 1), repeat=4):
            y = [x[order[i]] ^ (negated >> i & 1) for i in range(4)]
            row, source = (sum(bit << i for i, bit in enumerate(bits)) for bits in (x, y))
            assert table >> row & 1 == name >> source & 1 ^ out


def test_known_sizes() -> None:
    assert DATABASE.size_of(0) == DATABASE.size_of(0x00FF) == 0
    assert DATABASE.size_of(0x8000) == DATABASE.size_of(0x6996) == 3  # AND and XOR of all
    assert DATABASE.size_of(0xE8E8) == 4  # majority of three
    with pytest.raises(SynthesisError, match="database: table 65536; give 16 bits"):
        DATABASE.size_of(1 << 16)
