"""Fields of shared memory and the addresses computed from them."""

from __future__ import annotations

import numpy as np
import pytest

from bem_kernel.errors import ExpertError
from bem_kernel.experts.place import (
    Field,
    Place,
    Space,
    locate,
    read_field,
    shared_bit,
    state_bit,
    write_field,
)


def test_a_field_is_read_across_words() -> None:
    shared = np.array([1 << 63, 0b101], dtype=np.uint64)
    assert read_field(shared, Field(63, 4)) == 0b1011
    assert read_field(shared, Field(64, 32)) == 0b101
    assert read_field(shared, Field(127, 1)) == 0


def test_a_field_is_written_and_nothing_else() -> None:
    shared = np.full(3, 2**64 - 1, dtype=np.uint64)
    write_field(shared, Field(60, 32), 0)
    assert shared.tolist() == [2**60 - 1, 2**64 - 2**28, 2**64 - 1]
    write_field(shared, Field(60, 32), 0xDEAD_BEEF)
    assert read_field(shared, Field(60, 32)) == 0xDEAD_BEEF
    with pytest.raises(ExpertError, match="field: 8 does not fit in 3 bits; widen the field"):
        write_field(shared, Field(0, 3), 8)


def test_fields_stay_in_shared_memory() -> None:
    with pytest.raises(ExpertError, match="bits 62 to 65 are not all in shared memory; use bits 0"):
        read_field(np.zeros(1, dtype=np.uint64), Field(62, 4))
    for offset, width in ((-1, 4), (0, 0), (0, 33)):
        with pytest.raises(ExpertError, match="use an offset of 0 or more and 1 to 32 bits"):
            Field(offset, width)


def test_an_address_adds_strides_times_fields() -> None:
    shared = np.array([5 | 3 << 8], dtype=np.uint64)
    place = Place(Space.STATE, 20, ((Field(0, 8), 4), (Field(8, 8), -6)))
    assert locate(place, 64, shared, "x") == 20 + 4 * 5 - 6 * 3
    assert locate(state_bit(7), 8, shared, "x") == 7
    assert locate(shared_bit(63), 8, shared, "x") == 63


def test_an_address_out_of_range_is_named() -> None:
    shared = np.array([5], dtype=np.uint64)
    with pytest.raises(ExpertError, match="expert e: state bit 25 does not exist; .* 0 to 24"):
        locate(Place(Space.STATE, 20, ((Field(0, 8), 1),)), 25, shared, "expert e")
    with pytest.raises(ExpertError, match="shared bit -1 does not exist; .* 0 to 63"):
        locate(Place(Space.SHARED, 4, ((Field(0, 8), -1),)), 25, shared, "e")


def test_numbers_that_could_overflow_are_refused() -> None:
    with pytest.raises(ExpertError, match="strides within 2"):
        Place(Space.STATE, 0, ((Field(0, 8), (1 << 24) + 1),))
    with pytest.raises(ExpertError, match="terms to 32"):
        Place(Space.STATE, 0, ((Field(0, 8), 1),) * 33)
    with pytest.raises(ExpertError, match="keep the base within 2"):
        Place(Space.STATE, 1 << 48)
    with pytest.raises(ExpertError, match="place: bit -1; use bits from 0 up"):
        state_bit(-1)
