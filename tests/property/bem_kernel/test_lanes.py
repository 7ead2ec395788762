"""Packing and unpacking are inverse; lanes do not see each other."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bem_kernel.circuits.random_circuit import random_circuit
from bem_kernel.experts.expert import Expert, step, step_batch
from bem_kernel.lanes import lane_mask, pack_bits, pack_lanes, unpack_bits, unpack_lanes

BIT_ROWS = hnp.arrays(np.bool_, st.tuples(st.integers(0, 150), st.integers(0, 8)))


@given(BIT_ROWS)
def test_bits_round_trip(bits: np.ndarray) -> None:
    planes = pack_bits(bits)
    assert (unpack_bits(planes, len(bits)) == bits).all()
    assert (pack_bits(unpack_bits(planes, len(bits))) == planes).all()  # padding is 0


@given(st.integers(1, 64), st.data())
def test_integers_round_trip(width: int, data: st.DataObject) -> None:
    values = data.draw(
        hnp.arrays(np.uint64, st.integers(1, 130), elements=st.integers(0, (1 << width) - 1))
    )
    planes = pack_lanes(values, width)
    assert planes.shape[0] == width
    assert (unpack_lanes(planes, len(values)) == values).all()


@settings(max_examples=40)
@given(st.randoms(use_true_random=False), st.data())
def test_a_batch_is_each_expert_alone_in_its_lanes(rng: object, data: st.DataObject) -> None:
    n_bits, lanes = 5, 80
    experts = []
    for name in "xy":
        circuit = random_circuit(rng, 3, 8, 2)  # type: ignore[arg-type]
        reads = data.draw(st.lists(st.integers(0, 4), min_size=3, max_size=3))
        writes = data.draw(st.permutations(range(n_bits)))[:2]
        experts.append(Expert(name, tuple(reads), circuit, tuple(writes)))
    state = data.draw(hnp.arrays(np.bool_, (lanes, n_bits)))
    owner = data.draw(hnp.arrays(np.int8, lanes, elements=st.integers(0, 2)))
    batch = [(e, pack_bits((owner == i)[:, None])[0]) for i, e in enumerate(experts)]
    after = unpack_bits(step_batch(batch, pack_bits(state)), lanes)
    for lane in range(0, lanes, 7):
        one = pack_bits(state[lane : lane + 1])
        for i, expert in enumerate(experts):
            if owner[lane] == i:
                one = step(expert, one, lane_mask(1))
        assert (unpack_bits(one, 1)[0] == after[lane]).all()
