"""Sequential machines: a saturating counter over bits, shapes, empty sequences."""

from __future__ import annotations

import numpy as np
import pytest

from bem_kernel.circuits.builder import CircuitBuilder
from bem_kernel.circuits.circuit import Circuit
from bem_kernel.engines.scan import scan, scan_with_state
from bem_kernel.errors import ShapeError
from bem_kernel.lanes import pack_bits, unpack_lanes


def parity_machine() -> Circuit:
    """State: parity so far; input: one bit; outputs: next state, then the parity again."""
    b = CircuitBuilder(2)
    parity = b.xor(0, 1)
    return b.build([parity, parity])


@pytest.mark.parametrize("lanes", [3, 64 * 65])  # one word; more than a block of them
def test_parity_of_every_prefix(lanes: int) -> None:
    rng = np.random.default_rng(1)
    bits = rng.integers(0, 2, (7, lanes), dtype=np.uint8)
    inputs = np.stack([pack_bits(row[:, None].astype(np.bool_)) for row in bits])
    state0 = np.zeros((1, inputs.shape[2]), dtype=np.uint64)
    outputs, state = scan_with_state(parity_machine(), state0, inputs)
    expected = np.cumsum(bits, axis=0) % 2
    assert outputs.shape == (7, 1, inputs.shape[2])
    for t in range(7):
        assert unpack_lanes(outputs[t], lanes).tolist() == expected[t].tolist()
    assert (state == outputs[-1]).all()
    assert state0.tolist() == np.zeros_like(state0).tolist()


def test_no_steps_and_no_inputs() -> None:
    state0 = np.array([[6]], dtype=np.uint64)
    outputs, state = scan_with_state(parity_machine(), state0, np.zeros((0, 1, 1), np.uint64))
    assert outputs.shape == (0, 1, 1)
    assert state.tolist() == [[6]]
    b = CircuitBuilder(1)
    flip = b.build([b.not_(0), 0])
    ticks = scan(flip, np.zeros((1, 1), np.uint64), np.zeros((3, 0, 1), np.uint64))
    assert (ticks[:, 0, 0] & np.uint64(1)).tolist() == [0, 1, 0]


def test_shapes_are_checked() -> None:
    state0 = np.zeros((1, 1), np.uint64)
    with pytest.raises(ShapeError, match=r"scan: inputs are .*; give \(T, 1, 1\) uint64"):
        scan(parity_machine(), state0, np.zeros((4, 2, 1), np.uint64))
    with pytest.raises(ShapeError, match=r"give \(T, 1, 1\) uint64"):
        scan(parity_machine(), state0, np.zeros((4, 1, 1), np.int64))  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match="a state of 3 bits for a circuit of 2 inputs"):
        scan(parity_machine(), np.zeros((3, 1), np.uint64), np.zeros((4, 0, 1), np.uint64))
