"""Corrections of experts: they do what they say where they say it, and nothing elsewhere."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bem_kernel.circuits.expression import compile_expressions
from bem_kernel.engines.engine import evaluate
from bem_kernel.experts.expert import Condition, Expert, transform
from bem_kernel.experts.place import Scatter, shared_bit
from bem_kernel.lanes import Bits, pack_bits, unpack_bits
from bem_kernel.patches.correction import (
    Correction,
    Reach,
    children,
    corrections,
    unchanged,
    whole,
)
from bem_kernel.patches.flips import Flips

N = 6
STATES = (np.arange(1 << N)[:, None] >> np.arange(N) & 1).astype(np.bool_)
SHARED = np.array([0b100], dtype=np.uint64)
PARENT = Expert(
    "parent",
    (0, 1),
    compile_expressions(["a & m", "a ^ b", "b"], ["a", "b", "m"]),
    (4, 5),
    gathers=(shared_bit(2),),
    scatters=(Scatter(shared_bit(9), None),),
)
FLIPS = (
    (Flips(), Flips(((), (0,))), Flips()),
    (Flips(((0, 2),)), Flips(((2,), (0, 2))), Flips()),
)
SPLIT = Correction((0, 1, 3), 1, FLIPS)
UNDIVIDED = Correction((0, 1, 3), None, FLIPS[1:])


def after(*experts: Expert) -> tuple[Bits, int]:
    """The state after experts that apply in different lanes, and shared memory."""
    planes, shared = pack_bits(STATES), SHARED
    for expert in experts:
        mask = None
        if expert.condition is not None:
            bit = planes[expert.condition.bit]
            mask = bit if expert.condition.value else ~bit
            assert expert.condition.bit not in expert.writes
        planes, shared = transform([(expert, mask)], planes, shared)
    return unpack_bits(planes, len(STATES)), int(shared[0])


def wanted(correction: Correction) -> Bits:
    """The parent's state, with outputs inverted as a correction says, row by row."""
    state, _ = after(replace(PARENT, condition=None))
    for row, before in enumerate(STATES):
        case = int(before[correction.bit]) if correction.bit is not None else 0
        for output, flip in enumerate(correction.flips[case][:2]):
            for product in flip.products:
                if all(before[correction.reads[i]] for i in product):
                    state[row, PARENT.writes[output]] ^= True
    return state


@pytest.mark.parametrize("correction", [SPLIT, UNDIVIDED])
def test_one_circuit_does_what_the_correction_says(correction: Correction) -> None:
    assert (after(whole(PARENT, correction))[0] == wanted(correction)).all()
    assert after(whole(PARENT, correction))[1] == after(PARENT)[1]


def test_children_share_the_lanes_out() -> None:
    first, second = children(PARENT, SPLIT)
    assert (first.condition, second.condition) == (Condition(1, False), Condition(1, True))
    assert (first.name, second.name) == ("parent/1=0", "parent/1=1")
    assert first.reads == (0,) and second.reads == (0, 3)  # no case reads the bit itself
    assert (after(first, second)[0] == wanted(SPLIT)).all()


@pytest.mark.parametrize("correction", [SPLIT, UNDIVIDED])
def test_the_scope_is_where_nothing_changes(correction: Correction) -> None:
    scope = unchanged(correction)
    assert scope.care is not None and 4 not in scope.bits
    care = unpack_bits(evaluate(scope.care, pack_bits(STATES)[list(scope.bits)]), len(STATES))
    differ = (wanted(correction) != after(PARENT)[0]).any(axis=1)
    assert (care[:, 0] == ~differ).all() and 0 < differ.sum() < len(STATES)


def test_a_condition_stays() -> None:
    gated = replace(PARENT, condition=Condition(2, True))
    corrected = whole(gated, SPLIT)
    assert corrected.condition == gated.condition
    state, _ = after(corrected)
    expected = np.where(STATES[:, [2]], wanted(SPLIT), STATES)
    assert (state == expected).all()
    first, second = children(gated, SPLIT)  # in which it is folded
    assert (after(first, second)[0] == expected).all()


def test_the_search_finds_the_bit_that_decides() -> None:
    """The first output of two should be the other one where s[3] is 1, and s[0] is."""
    gains = np.full((len(STATES), 3), -2, dtype=np.int64)
    gains[STATES[:, 3] & STATES[:, 0], 0] = 2
    best = corrections(PARENT, STATES, gains, Reach())[0]
    assert best.gain == 2 * 16 and best.size == 1
    assert {best.bit, best.reads[best.flips[1][0].products[0][0]]} == {0, 3}
    assert str(best) == f"by s[{best.bit}], 1 coefficient flipped"
    assert not corrections(PARENT, STATES, np.full_like(gains, -2), Reach())


def test_a_bit_of_the_expert_is_preferred() -> None:
    twice = np.concatenate([STATES, STATES])
    twice[:, 3] = twice[:, 1]
    gains = np.where(twice[:, [1]], 2, -2).repeat(3, axis=1).astype(np.int64)
    assert corrections(PARENT, twice, gains, Reach())[0].bit == 1


def test_without_a_bit_only_if_no_split_gains_as_much() -> None:
    varying = np.concatenate([STATES] * 2)
    gains = np.full((len(varying), 3), 1, dtype=np.int64)
    assert None not in {each.bit for each in corrections(PARENT, varying, gains, Reach())}
    assert [each.bit for each in corrections(PARENT, varying, gains, Reach(splits=0))] == [None]
