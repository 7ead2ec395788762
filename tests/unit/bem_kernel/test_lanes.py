"""Bit planes: bit order, padding, refusals."""

from __future__ import annotations

import numpy as np
import pytest

from bem_kernel.errors import ShapeError
from bem_kernel.lanes import (
    broadcast_bits,
    check_planes,
    lane_mask,
    pack_bits,
    pack_lanes,
    unpack_bits,
    unpack_lanes,
    words_for,
)


def test_bit_j_of_word_w_is_lane_64w_plus_j() -> None:
    bits = np.zeros((70, 2), dtype=np.bool_)
    bits[3, 0] = bits[64, 0] = bits[69, 1] = True
    assert pack_bits(bits).tolist() == [[1 << 3, 1 << 0], [0, 1 << 5]]


def test_plane_i_is_bit_i_of_the_integers() -> None:
    planes = pack_lanes(np.array([1, 2, 7], dtype=np.uint64), 3)
    assert planes.tolist() == [[0b101], [0b110], [0b100]]


def test_words_and_masks() -> None:
    assert [words_for(n) for n in (0, 1, 64, 65)] == [1, 1, 1, 2]
    assert lane_mask(65).tolist() == [2**64 - 1, 1]
    assert lane_mask(3, words=2).tolist() == [7, 0]
    assert broadcast_bits([1, 0], 2).tolist() == [[2**64 - 1] * 2, [0, 0]]


def test_no_planes_and_no_lanes() -> None:
    assert pack_bits(np.zeros((5, 0), dtype=np.bool_)).shape == (0, 1)
    assert unpack_bits(np.zeros((0, 1), dtype=np.uint64), 5).shape == (5, 0)
    assert unpack_lanes(np.zeros((0, 1), dtype=np.uint64), 2).tolist() == [0, 0]


def test_refusals() -> None:
    planes = np.zeros((2, 1), dtype=np.uint64)
    with pytest.raises(ShapeError, match="value 8 does not fit in 3 bits; use more planes"):
        pack_lanes(np.array([8], dtype=np.uint64), 3)
    with pytest.raises(ShapeError, match="give one integer of 0 or more per lane"):
        pack_lanes(np.array([-1]), 3)  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match="width is 65"):
        pack_lanes(np.array([1], dtype=np.uint64), 65)
    with pytest.raises(ShapeError, match=r"expected \(lanes, bits\), got shape \(3,\)"):
        pack_bits(np.zeros(3, dtype=np.bool_))
    with pytest.raises(ShapeError, match="65 lanes asked of 1 words; ask for 0 to 64"):
        unpack_bits(planes, 65)
    with pytest.raises(ShapeError, match="65 planes do not fit in one integer"):
        unpack_lanes(np.zeros((65, 1), dtype=np.uint64), 1)
    with pytest.raises(ShapeError, match="65 lanes do not fit in 1 words"):
        lane_mask(65, words=1)
    with pytest.raises(ShapeError, match="here: 2 planes where 3 are needed"):
        check_planes(planes, where="here", n_bits=3)
    with pytest.raises(ShapeError, match="got int64 of shape"):
        check_planes(planes.astype(np.int64), where="here")  # type: ignore[arg-type]
