"""The arrays of a machine, in the order in which the kernels of the fast path take them.

Regions that a run changes and an image keeps: the clock, the cumulative charges and the sums of a
literal episode in SHARED, the trace in TRACE.

Source: BEM core spec 2.1, 6, 7.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from bem_kernel.errors import RunnerError
from bem_kernel.experts.table import ExpertTable
from bem_kernel.lanes import lane_mask, words_for
from bem_kernel.memory.memory import Memory
from bem_kernel.memory.segments import Segment
from bem_kernel.runner.config import RunnerConfig
from bem_kernel.runner.layout import (
    CLOCK_CELLS,
    EPISODE,
    EPISODE_LOSS_Q16,
    EPISODE_STEP,
    ETA_Q16,
    GAMMA_Q30,
    GREATEST,
    HEAD,
    LEAST,
    LITERAL,
    LOGGED,
    RATES,
    S_EACH_LANE,
    S_HIGH_SLOT,
    S_K,
    S_LANES,
    S_MIDDLE_2,
    S_RULE,
    S_SHARD,
    S_WORDS,
    S_WORLD_SLOT,
    SETTINGS,
    STEP,
    T_IDENTIFIER,
    T_PROBABILITY_Q30,
    T_SLOT,
    TAIL,
    TOTAL_LOSS_Q16,
    TRACE_COLUMNS,
    UPDATES,
)
from bem_kernel.runner.observation import encode_taps
from bem_kernel.runner.reward import RewardRange, RewardTerm, encode_reward

_NAME = "runner"
_MOST = 1 << 62


class RunnerArrays:
    """The arrays of one machine.

    Attributes:
        clock: (CLOCK_CELLS,) int64, see `layout`.
        trace: (trace_rows, TRACE_COLUMNS) int64, a ring.
        rewards: (lanes,) int64, what `settle` enters.
        rates: (RATES,) int64, what `learn` goes by.
        rows_per_step: trace rows of a step.

    Args:
        table: the experts.
        config: the runner's settings.

    Raises:
        SegmentError: SHARED or TRACE has no room.
        RunnerError: the observation does not fit the machine, the trace does not hold one step,
            or the regions in memory are those of another runner.
    """

    def __init__(self, table: ExpertTable, config: RunnerConfig) -> None:
        memory = table.memory
        sizes = memory.config
        self._table = table
        self.rows_per_step = sizes.lanes if config.each_lane else 1
        if config.trace_rows < self.rows_per_step:
            raise RunnerError(
                f"a trace of {config.trace_rows} rows does not hold a step of {sizes.lanes} lanes",
                where="runner configuration",
                fix="use more trace_rows",
            )
        per_slot = (sizes.max_experts,)
        self.clock = _region(memory, Segment.SHARED, "clock", np.int64, (CLOCK_CELLS,))
        self.charges_q16 = _region(memory, Segment.SHARED, "charges_q16", np.int64, per_slot)
        self._losses = _region(memory, Segment.SHARED, "losses_q16", np.int64, per_slot)
        self._choices = _region(memory, Segment.SHARED, "choices", np.int64, per_slot)
        shape = (config.trace_rows, TRACE_COLUMNS)
        self.trace = _region(memory, Segment.TRACE, "trace", np.int64, shape)
        self._taps = encode_taps(config.observation, sizes.n_bits, sizes.n_shared_bits)
        words = words_for(sizes.lanes)
        self.rewards: NDArray[np.int64] = np.zeros(sizes.lanes, dtype=np.int64)
        self._room = (
            np.zeros(config.candidates, dtype=np.int64),
            np.zeros(config.candidates, dtype=np.int64),
            np.zeros(config.candidates, dtype=np.int64),
            np.zeros(sizes.lanes, dtype=np.int64),
            self.rewards,
            np.zeros(words, dtype=np.uint64),
        )
        self.state = (memory.plane_rows, memory.shared_bits, lane_mask(sizes.lanes))
        self._keys = np.array([config.key, config.query.key], dtype=np.uint64)
        self._settings = _settings(memory, config)
        self.rates: NDArray[np.int64] = np.zeros(RATES, dtype=np.int64)
        self.rates[ETA_Q16] = config.learning.eta_q16
        self.rates[GAMMA_Q30] = config.learning.gamma_q30
        self.rates[LITERAL] = config.learning.estimator == "literal"
        self._senses = self._make_senses((), ())
        self._check()

    def _check(self) -> None:
        """Refuse what only a damaged or hostile image can hold; kernels trust these numbers.

        Raises:
            RunnerError: a counter is out of range, or a row that waits names no expert.
        """
        clock, per_slot = self.clock, (self.charges_q16, self._losses, self._choices)
        counters = clock[[STEP, HEAD, TAIL, EPISODE, EPISODE_STEP, LOGGED, UPDATES]]
        sums = [*per_slot, clock[[TOTAL_LOSS_Q16, EPISODE_LOSS_Q16]]]
        waiting = int(clock[HEAD]) - int(clock[TAIL])
        if (
            (counters < 0).any()
            or (counters > _MOST).any()
            or not 0 <= waiting <= len(self.trace)
            or any((row < 0).any() or (row > _MOST).any() for row in sums)
            or not self._rows_name_experts()
        ):
            raise RunnerError(
                "a counter or a row of the trace is out of range",
                where="runner",
                fix="load another image of the memory",
            )

    def _rows_name_experts(self) -> bool:
        rows = self.trace[np.arange(self.clock[TAIL], self.clock[HEAD]) % len(self.trace)]
        slots, chances = rows[:, T_SLOT], rows[:, T_PROBABILITY_Q30]
        if (slots < 0).any() or (slots >= len(self.charges_q16)).any():
            return False
        named = self._table.slots.identifiers[slots] == rows[:, T_IDENTIFIER]
        return bool(named.all() and (chances >= 1).all() and (chances <= 1 << 30).all())

    @property
    def key(self) -> np.uint64:
        """Of the random tickets."""
        return np.uint64(self._keys[0])

    @property
    def words(self) -> int:
        """Words of a plane in use."""
        return int(self._settings[S_WORDS])

    def set_world(
        self,
        rewards: tuple[RewardTerm, ...],
        noise: tuple[int, ...],
        expert: int | None,
        limits: RewardRange,
    ) -> None:
        """Say what a run is played in.

        Args:
            rewards: read off by the kernel; none for a world in Python.
            noise: state bits that get random values.
            expert: identifier of the world's expert.
            limits: the least and the greatest reward.

        Raises:
            RunnerError: a bit or a field does not exist.
            IdentifierError: the expert is not in the table.
        """
        self._senses = self._make_senses(rewards, noise)
        self._settings[S_WORLD_SLOT] = -1 if expert is None else self._table.slots.slot(expert)
        self._settings[S_MIDDLE_2] = limits.least + limits.greatest
        self.rates[LEAST], self.rates[GREATEST] = limits.least, limits.greatest

    def _make_senses(
        self, rewards: tuple[RewardTerm, ...], noise: tuple[int, ...]
    ) -> tuple[NDArray[np.int64], ...]:
        sizes = self._table.memory.config
        if any(not 0 <= bit < sizes.n_bits for bit in noise):
            raise RunnerError(
                f"noise bits {noise}", where="world", fix=f"use state bits 0 to {sizes.n_bits - 1}"
            )
        return (
            self._taps.taps,
            self._taps.terms,
            encode_reward(rewards, sizes.n_bits, sizes.n_shared_bits),
            np.array(noise, dtype=np.int64),
        )

    def machine(self) -> tuple[Any, ...]:
        """What kernels take as `machine`; made anew for each run, as experts come and go."""
        table = self._table
        self._settings[S_HIGH_SLOT] = table.high_slot
        return (
            table.arrays,
            table.scratch.arrays,
            self.state,
            self.policy,
            self._senses,
            self._room,
            (self.trace, self.clock),
            (self._settings, self._keys),
        )

    @property
    def policy(self) -> tuple[NDArray[Any], ...]:
        """Codes, live, duals, wins, visits."""
        table = self._table
        return (table.codes, table.live, table.duals_q16, table.wins, table.visits)

    @property
    def room(self) -> tuple[NDArray[Any], ...]:
        """Room for kernels; see `fast_path.ROOM`."""
        return self._room

    @property
    def rules(self) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
        """Settings and keys."""
        return (self._settings, self._keys)

    @property
    def ledger(self) -> tuple[NDArray[np.int64], ...]:
        """Duals, charges, and the sums of a literal episode; see `mid_path.LEDGER`."""
        return (self._table.duals_q16, self.charges_q16, self._losses, self._choices)

    def forget(self, slot: int) -> None:
        """Clear what is kept of a slot whose expert has changed."""
        self.charges_q16[slot] = self._losses[slot] = self._choices[slot] = 0


def _settings(memory: Memory, config: RunnerConfig) -> NDArray[np.int64]:
    settings = np.zeros(SETTINGS, dtype=np.int64)
    for cell, value in (
        (S_K, config.candidates),
        (S_WORDS, words_for(memory.config.lanes)),
        (S_LANES, memory.config.lanes),
        (S_RULE, int(config.query.rule)),
        (S_SHARD, config.query.shard),
        (S_EACH_LANE, int(config.each_lane)),
        (S_WORLD_SLOT, -1),
    ):
        settings[cell] = value
    return settings


def _region(
    memory: Memory, segment: Segment, name: str, dtype: DTypeLike, shape: tuple[int, ...]
) -> NDArray[Any]:
    """A region of the runner, made if memory has none."""
    full = f"{_NAME}.{name}"
    if not memory.has(segment, full):
        memory.allocate(segment, full, dtype, shape, protected=True)
    region = memory.region(segment, full)
    if region.shape != shape or region.dtype != dtype:
        raise RunnerError(
            f"the {name} in memory is {region.dtype} of shape {region.shape}",
            where="runner",
            fix=f"this runner configuration has {shape}; use the one the memory was made with",
        )
    return region
