"""Rewards that kernels can read off the machine: weighted state bits and fields of shared memory.

The least and the greatest reward follow from the weights, so every reward becomes a loss in [0, 1]
without clipping: loss = (greatest - reward) / (greatest - least).

Source: BEM core spec 7.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bem_kernel.errors import RunnerError
from bem_kernel.experts.place import MAX_TERMS, Field, read_field
from bem_kernel.lanes import Planes, Word

MAX_WEIGHT = 1 << 20
MAX_SPAN = 1 << 46
"""Greatest less least reward, so that a loss in Q16 fits 64 bits."""

ONE_Q16 = 1 << 16

# Columns of an encoded term, and its kinds.
KIND, FIRST, WIDTH, WEIGHT = range(4)
REWARD_COLUMNS = 4
KIND_LANES, KIND_FIELD = 0, 1


@dataclass(frozen=True, slots=True)
class LaneReward:
    """`weight` for each lane that earned it: those in which a state bit is 1."""

    bit: int
    weight: int = 1


@dataclass(frozen=True, slots=True)
class FieldReward:
    """`weight` times the integer in a field of shared memory."""

    field: Field
    weight: int = 1


RewardTerm = LaneReward | FieldReward


@dataclass(frozen=True, slots=True)
class RewardRange:
    """The rewards that are possible, both ends included.

    Raises:
        RunnerError: there are not two different rewards, or they are over 2**46 apart.
    """

    least: int
    greatest: int

    def __post_init__(self) -> None:
        if not 0 < self.greatest - self.least <= MAX_SPAN or abs(self.least) > MAX_SPAN:
            raise RunnerError(
                f"from {self.least} to {self.greatest}",
                where="reward range",
                fix="give two different ends, within 2**46",
            )


def loss_q16(reward: int, limits: RewardRange) -> int:
    """The loss of a reward within its range, Q16, 0 to 65536, rounded down."""
    return ((limits.greatest - reward) << 16) // (limits.greatest - limits.least)


def reward_range(terms: Sequence[RewardTerm], lanes: int) -> RewardRange:
    """The least and greatest reward that terms can add up to.

    Args:
        terms: what is rewarded.
        lanes: over which lane rewards are added up.

    Raises:
        RunnerError: there is no term with a weight other than 0.
    """
    tops = [
        term.weight * (lanes if isinstance(term, LaneReward) else (1 << term.field.width) - 1)
        for term in terms
    ]
    return RewardRange(sum(min(top, 0) for top in tops), sum(max(top, 0) for top in tops))


def encode_reward(
    terms: Sequence[RewardTerm], n_bits: int, n_shared_bits: int
) -> NDArray[np.int64]:
    """Check reward terms against a machine and turn them into rows for kernels.

    Args:
        terms: what is rewarded.
        n_bits: N.
        n_shared_bits: K.

    Returns:
        (terms, REWARD_COLUMNS) int64.

    Raises:
        RunnerError: a bit, a field or a weight is out of range.
    """
    if len(terms) > MAX_TERMS:
        raise RunnerError(f"{len(terms)} terms", where="reward", fix=f"use at most {MAX_TERMS}")
    rows = []
    for position, term in enumerate(terms):
        where = f"reward: term {position}"
        if abs(term.weight) > MAX_WEIGHT:
            raise RunnerError(f"weight {term.weight}", where=where, fix="stay within 2**20")
        if isinstance(term, LaneReward):
            if not 0 <= term.bit < n_bits:
                raise RunnerError(
                    f"state bit {term.bit} does not exist",
                    where=where,
                    fix=f"use 0 to {n_bits - 1}",
                )
            rows.append((KIND_LANES, term.bit, 1, term.weight))
        else:
            end = term.field.offset + term.field.width
            if end > n_shared_bits:
                raise RunnerError(
                    f"the field ends at bit {end} of shared memory, which has {n_shared_bits}",
                    where=where,
                    fix="use a lower field",
                )
            rows.append((KIND_FIELD, term.field.offset, term.field.width, term.weight))
    return np.array(rows, dtype=np.int64).reshape(-1, REWARD_COLUMNS)


def measure_reward(terms: Sequence[RewardTerm], planes: Planes, shared: Word, lanes: Word) -> int:
    """The reward now, plainly; kernels compute the same.

    Args:
        terms: what is rewarded.
        planes: (N, words) uint64, the state.
        shared: (K / 64,) uint64, M.
        lanes: (words,) uint64, the lanes that count.
    """
    total = 0
    for term in terms:
        if isinstance(term, LaneReward):
            total += term.weight * int(np.bitwise_count(planes[term.bit] & lanes).sum())
        else:
            total += term.weight * read_field(shared, term.field)
    return total
