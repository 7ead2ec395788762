"""Experts: reads, writes, masks, batches, templates."""

from __future__ import annotations

import numpy as np
import pytest

from bem_kernel.circuits.circuit import Circuit, Gate, Op
from bem_kernel.errors import ExpertError, ExpressionError, ShapeError
from bem_kernel.experts.expert import (
    Condition,
    Expert,
    expert_from_expressions,
    step,
    step_batch,
    transform,
)
from bem_kernel.experts.place import Field, Place, Scatter, Space, shared_bit, state_bit
from bem_kernel.experts.template import Address, ExpertTemplate, bind, parse_address
from bem_kernel.lanes import Planes, Word, lane_mask, pack_lanes, unpack_lanes

BITS = {"a": 0, "b": 1, "c": 2}
SWAP = expert_from_expressions("swap", {"a": "b", "b": "a"}, BITS)
SET_C = expert_from_expressions("set_c", {"c": "true"}, BITS)
COPY = Circuit(1, (), (0,))
ONE = Circuit(0, (Gate(Op.CONST1),), (0,))


def state(*values: int, width: int = 3) -> Planes:
    return pack_lanes(np.array(values, dtype=np.uint64), width)


def test_all_writes_see_the_old_state() -> None:
    after = step(SWAP, state(0b01, 0b10, 0b11, 0b100))
    assert unpack_lanes(after, 4).tolist() == [0b10, 0b01, 0b11, 0b100]


def test_the_given_state_is_not_changed() -> None:
    before = state(0b01)
    step(SWAP, before)
    assert unpack_lanes(before, 1).tolist() == [0b01]


def test_masked_lanes_keep_their_state() -> None:
    mask = np.array([0b01], dtype=np.uint64)
    assert unpack_lanes(step(SWAP, state(0b01, 0b01), mask), 2).tolist() == [0b10, 0b01]


def test_a_batch_applies_each_expert_in_its_lanes() -> None:
    first, second = np.array([0b001], dtype=np.uint64), np.array([0b010], dtype=np.uint64)
    after = step_batch([(SWAP, first), (SET_C, second)], state(1, 1, 1))
    assert unpack_lanes(after, 3).tolist() == [0b010, 0b101, 0b001]


def test_a_batch_refuses_lanes_that_overlap() -> None:
    with pytest.raises(ExpertError, match="expert set_c: a lane is in the masks of two experts"):
        step_batch([(SWAP, lane_mask(2)), (SET_C, lane_mask(1))], state(1, 1))
    with pytest.raises(ExpertError, match="make the masks disjoint"):
        step_batch([(SWAP, None), (SET_C, lane_mask(1))], state(1, 1))


def test_an_empty_batch_is_the_identity() -> None:
    assert step_batch([], state(5)).tolist() == state(5).tolist()


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ExpertError, match="expert e: reads names 2 bits, the circuit has 1"):
        Expert("e", (0, 1), COPY, (2,))
    with pytest.raises(ExpertError, match=r"writes names 0 bits, .*; give one bit per output"):
        Expert("e", (0,), COPY, ())
    with pytest.raises(ExpertError, match="a state bit is written twice"):
        Expert("e", (0,), Circuit(1, (), (0, 0)), (1, 1))
    with pytest.raises(ExpertError, match="a state bit is negative"):
        Expert("e", (-1,), COPY, (0,))
    with pytest.raises(ExpertError, match="expert set_c: needs 3 state bits, the state has 2"):
        step(SET_C, state(0, width=2))
    with pytest.raises(ExpertError, match="the state has 1 words; give"):
        step(SET_C, state(0), lane_mask(65))
    with pytest.raises(ShapeError, match="got int64"):
        step(SET_C, np.zeros((3, 1), dtype=np.int64))  # type: ignore[arg-type]


def test_expressions_name_known_bits() -> None:
    with pytest.raises(ExpertError, match="expert e: unknown target 'z'"):
        expert_from_expressions("e", {"z": "a"}, BITS)
    with pytest.raises(ExpressionError, match="unknown atom 'z'"):
        expert_from_expressions("e", {"a": "b & z"}, BITS)


def test_one_template_serves_every_handle_slot() -> None:
    template = ExpertTemplate(
        "copy", (parse_address("0"),), COPY, (parse_address("1 + 2*order + order + customer"),)
    )
    bound = bind(template, {"order": 2, "customer": 5})
    assert bound == Expert("copy[order=2,customer=5]", (0,), COPY, (12,))
    assert bound.circuit is template.circuit


def test_addresses() -> None:
    assert parse_address("12 + 6*order") == Address(12, (("order", 6),))
    assert parse_address("slot") == Address(0, (("slot", 1),))
    with pytest.raises(ExpertError, match=r"address '2\*': cannot read '2\*'; write sums such as"):
        parse_address("2*")
    with pytest.raises(ExpertError, match="no value for parameter 'order'; bind order to a slot"):
        bind(ExpertTemplate("t", (parse_address("order"),), COPY, (Address(0),)), {})


def test_unused_reads_do_not_matter() -> None:
    constant = Expert("one", (), Circuit(0, (Gate(Op.CONST1),), (0,)), (1,))
    assert unpack_lanes(step(constant, state(0, 4)), 2).tolist() == [2, 6]


# Shared memory, masks and conditions. Circuits of identity: outputs are inputs.
TWO = Circuit(2, (), (0, 1))


def words(*values: int) -> Word:
    return np.array(values, dtype=np.uint64)


def test_a_gathered_bit_is_the_same_in_every_lane() -> None:
    expert = Expert("e", (), COPY, (0,), gathers=(shared_bit(65),))
    after, shared = transform([(expert, None)], state(0, 0, 0), words(0, 0b10))
    assert unpack_lanes(after, 3).tolist() == [1, 1, 1]
    assert shared.tolist() == [0, 0b10]


def test_addresses_are_computed_from_shared_memory() -> None:
    there = Place(Space.STATE, 0, ((Field(0, 2), 1),))
    expert = Expert("e", (0,), COPY, (), scatters=(Scatter(there),))
    after, _ = transform([(expert, None)], state(0b001, 0b110), words(2))
    assert unpack_lanes(after, 2).tolist() == [0b101, 0b010]
    with pytest.raises(ExpertError, match="expert e: state bit 3 does not exist"):
        transform([(expert, None)], state(0b001), words(3))


def test_of_lanes_that_write_one_shared_bit_the_lowest_wins() -> None:
    expert = Expert("e", (0,), COPY, (), scatters=(Scatter(shared_bit(4)),))
    for lanes, mask, expected in (
        ((1, 0, 0), 0b111, 1),
        ((0, 1, 1), 0b111, 0),
        ((0, 1, 0), 0b110, 1),
        ((1, 1, 0), 0b100, 0),
    ):
        _, shared = transform([(expert, words(mask))], state(*lanes), words(0b10000))
        assert shared[0] >> 4 == expected, (lanes, mask)


def test_an_enabling_output_masks_a_write() -> None:
    expert = Expert("e", (0, 1), TWO, (), scatters=(Scatter(state_bit(2), enable=1),))
    after, _ = transform([(expert, None)], state(0b001, 0b011, 0b110, 0b100), words())
    assert unpack_lanes(after, 4).tolist() == [0b001, 0b111, 0b010, 0b100]
    expert = Expert("e", (0, 1), TWO, (), scatters=(Scatter(shared_bit(0), enable=1),))
    _, shared = transform([(expert, None)], state(0b01, 0b10, 0b11), words(1))
    assert shared.tolist() == [0]  # lane 1 is the lowest that is enabled
    _, shared = transform([(expert, None)], state(0b01, 0b01), words(0))
    assert shared.tolist() == [0]  # nobody is


def test_of_two_scatters_to_one_bit_the_later_one_wins() -> None:
    both = (Scatter(shared_bit(0)), Scatter(shared_bit(0)))
    expert = Expert("e", (0, 1), TWO, (), scatters=both)
    assert transform([(expert, words(1))], state(0b10), words(0))[1].tolist() == [1]
    assert transform([(expert, words(1))], state(0b01), words(0))[1].tolist() == [0]
    both = (Scatter(state_bit(2)), Scatter(state_bit(2)))
    expert = Expert("e", (0, 1), TWO, (), scatters=both)
    assert unpack_lanes(transform([(expert, None)], state(0b10), words())[0], 1)[0] == 0b110


def test_reads_see_shared_memory_before_the_batch() -> None:
    writer = Expert("w", (0,), COPY, (), scatters=(Scatter(shared_bit(0)),))
    reader = Expert("r", (), COPY, (1,), gathers=(shared_bit(0),))
    for batch in (
        [(writer, words(1)), (reader, words(2))],
        [(reader, words(2)), (writer, words(1))],
    ):
        after, shared = transform(batch, state(1, 0), words(0))
        assert unpack_lanes(after, 2).tolist() == [1, 0]
        assert shared.tolist() == [1]


def test_a_condition_confines_an_expert_to_its_lanes() -> None:
    for value, expected in ((True, [0b000, 0b101]), (False, [0b100, 0b001])):
        expert = Expert("e", (), ONE, (2,), condition=Condition(0, value))
        after = step(expert, state(0b000, 0b001))
        assert unpack_lanes(after, 2).tolist() == expected
    expert = Expert("e", (), ONE, (2,), condition=Condition(5, True))
    assert expert.n_bits == 6


def test_step_refuses_experts_that_use_shared_memory() -> None:
    expert = Expert("e", (), COPY, (0,), gathers=(shared_bit(0),))
    with pytest.raises(ExpertError, match="expert e: uses shared memory; call expert.transform"):
        step(expert, state(0))


def test_counts_of_gathers_scatters_and_enables_must_fit() -> None:
    with pytest.raises(ExpertError, match="reads names 2 bits, the circuit has 1"):
        Expert("e", (0,), COPY, (0,), gathers=(shared_bit(0),))
    with pytest.raises(ExpertError, match="writes names 1 bits, the circuit has 2"):
        Expert("e", (0, 1), TWO, (), scatters=(Scatter(shared_bit(0)),))
    with pytest.raises(ExpertError, match="enabled by output 2, the circuit has 2; name an output"):
        Expert("e", (0, 1), TWO, (2,), scatters=(Scatter(shared_bit(0), enable=2),))
    with pytest.raises(ExpertError, match="a state bit is negative"):
        Expert("e", (0,), COPY, (0,), condition=Condition(-1, True))
    assert Expert("e", (0,), COPY, (), scatters=(Scatter(state_bit(9)),)).n_bits == 10
