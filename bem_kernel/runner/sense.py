"""Observation, query and reward as kernels.

The plain twins are `observation.observe`, `query.query_for` and `reward.measure_reward`.

Source: BEM core spec 6.1, 6.2, 7.1.
"""

from __future__ import annotations

import numpy as np

from bem_kernel.compiled import kernel
from bem_kernel.experts.batch import read_bits
from bem_kernel.experts.descriptor import OFFSET, STRIDE
from bem_kernel.experts.descriptor import WIDTH as FIELD_WIDTH
from bem_kernel.identifiers.classes import IdClass
from bem_kernel.identifiers.ident import LOCAL_BITS, SHARD_BITS
from bem_kernel.identifiers.kernels import encode_word
from bem_kernel.runner import reward as gain
from bem_kernel.runner.observation import (
    CONSTANT,
    COUNT,
    FIRST,
    KIND,
    KIND_NUMBER,
    SHIFT,
    WIDTH,
    Over,
)
from bem_kernel.runner.query import ANY_SHARD, Rule
from bem_kernel.search.hamming import popcount32

_ONE = np.uint64(1)
_LOW_32 = np.uint64(0xFFFF_FFFF)
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)

_OVER_LANE, _OVER_ALL = int(Over.LANE), int(Over.ALL)
_RULE_HASH = int(Rule.HASH)
_CLASS = int(IdClass.EXPERT)


@kernel("int64(uint64)")
def ones(word):  # type: ignore[no-untyped-def]
    """Number of ones of a uint64."""
    return popcount32(np.uint32(word & _LOW_32)) + popcount32(np.uint32(word >> np.uint64(32)))


@kernel("int64(int64[:, ::1], int64, int64, uint64[::1])")
def sum_fields(terms, first, count, shared):  # type: ignore[no-untyped-def]
    """Sum of stride * field over terms first .. first+count-1."""
    total = np.int64(0)
    for t in range(first, first + count):
        total += terms[t, STRIDE] * read_bits(shared, terms[t, OFFSET], terms[t, FIELD_WIDTH])
    return total


@kernel("uint64(int64[::1], uint64[:, ::1], int64, uint64[::1], int64)")
def observe_state(tap, planes, words, mask, lane):  # type: ignore[no-untyped-def]
    """The bit of one `StateTap`, 0 or 1."""
    bit, over = tap[FIRST], tap[KIND]
    if over == _OVER_LANE:
        return planes[bit, lane >> 6] >> np.uint64(lane & 63) & _ONE
    for word in range(words):
        seen = planes[bit, word]
        if over == _OVER_ALL:
            seen = ~seen
        if seen & mask[word] != np.uint64(0):
            return np.uint64(over != _OVER_ALL)
    return np.uint64(over == _OVER_ALL)


@kernel(
    "uint64(int64[:, ::1], int64[:, ::1], uint64[:, ::1], int64, uint64[::1], uint64[::1], int64)"
)
def observe_lane(  # type: ignore[no-untyped-def]
    taps, terms, planes, words, shared, mask, lane
):
    """The observation of a lane; seven arguments, being a kernel over arrays.

    Args:
        taps: (n, TAP_COLUMNS) int64.
        terms: (m, 3) int64.
        planes: (N, pitch) uint64, the state.
        words: words of a plane in use.
        shared: (K / 64,) uint64, M.
        mask: (words,) uint64, the lanes in use.
        lane: the one that observes.
    """
    observation, position = np.uint64(0), np.uint64(0)
    for i in range(len(taps)):
        kind, width = taps[i, KIND], np.uint64(taps[i, WIDTH])
        if kind < KIND_NUMBER:
            value = observe_state(taps[i], planes, words, mask, lane)
        else:
            total = taps[i, CONSTANT] + sum_fields(terms, taps[i, FIRST], taps[i, COUNT], shared)
            if kind == KIND_NUMBER:
                value = np.uint64(total >> taps[i, SHIFT])
                if width < np.uint64(64):
                    value &= (_ONE << width) - _ONE
            else:
                value = np.uint64(total >= 0)
        observation |= value << position
        position += width
    return observation


@kernel("uint32(uint64, int64, int64, uint64)")
def query_word(observation, rule, shard, key):  # type: ignore[no-untyped-def]
    """The identifier that an observation asks for."""
    bits = np.int64(LOCAL_BITS + SHARD_BITS if shard == ANY_SHARD else LOCAL_BITS)
    if rule == _RULE_HASH:
        mixed = (observation ^ key) + _GOLDEN
        mixed = (mixed ^ (mixed >> np.uint64(30))) * _MIX_1
        mixed = (mixed ^ (mixed >> np.uint64(27))) * _MIX_2
        number = np.int64((mixed ^ (mixed >> np.uint64(31))) >> np.uint64(64 - bits))
    else:
        folded = np.uint64(0)
        while observation != np.uint64(0):
            folded ^= observation & ((_ONE << np.uint64(bits)) - _ONE)
            observation >>= np.uint64(bits)
        number = np.int64(folded)
        number ^= number >> 1
        number ^= number >> 2
        number ^= number >> 4
        number ^= number >> 8
        number ^= number >> 16
    if shard == ANY_SHARD:
        shard = number >> LOCAL_BITS
    return encode_word(np.int64(_CLASS), shard, number)


@kernel("int64(int64[:, ::1], uint64[:, ::1], int64, uint64[::1], uint64[::1])")
def reward_now(rewards, planes, words, shared, lanes):  # type: ignore[no-untyped-def]
    """The reward at this moment.

    Args:
        rewards: (terms, REWARD_COLUMNS) int64.
        planes: (N, pitch) uint64, the state.
        words: words of a plane in use.
        shared: (K / 64,) uint64, M.
        lanes: (words,) uint64, the lanes that count.
    """
    total = np.int64(0)
    for i in range(len(rewards)):
        first, value = rewards[i, gain.FIRST], np.int64(0)
        if rewards[i, gain.KIND] == gain.KIND_LANES:
            for word in range(words):
                value += ones(planes[first, word] & lanes[word])
        else:
            value = read_bits(shared, first, rewards[i, gain.WIDTH])
        total += rewards[i, gain.WEIGHT] * value
    return total
