"""The rounds of the contextual bandit, compiled: assess the arms, choose, learn, restart.

Kernels take the bandit's arrays one by one, because a signature names them all; `contextual` keeps
them together. `beliefs` in the comments below are four arrays:

    theta_q32   (arms, features) int64         mean of the weights
    spread_q40  (arms, features, features)     their covariance
    offset_q32  (arms, cells) int64            mean correction of each cell
    loose_q40   (arms, cells) int64            its variance
"""

from __future__ import annotations

from math import comb

import numpy as np
from numpy.typing import NDArray

from bem_kernel.compiled import kernel
from bem_kernel.policy import change
from bem_kernel.policy.counter import ticket
from bem_kernel.policy.exp2 import ONE_Q30
from bem_kernel.policy.logistic import ONE_Q15, correct, predict, squash_q30, step_sizes
from bem_kernel.policy.square_root import isqrt

RECALL = 256
"""Rounds that are kept to learn from after a restart."""

ROUNDS, LEARNED, CHANGES, LAST_CHANGE = range(4)
N_REGISTERS = 4

PRIOR_Q40, CELL_PRIOR_Q40, CELL_BITS, OPTIMISM_Q16, OCTAVES, KEY = range(6)
N_SETTINGS = 6

_ONE = np.int64(1)
_MASKS = tuple(np.uint64(m) for m in (0x5555555555555555, 0x3333333333333333, 0x0F0F0F0F0F0F0F0F))
_MASK_1, _MASK_2, _MASK_4 = _MASKS
_BYTES = np.uint64(0x0101010101010101)

LEVELS = 33
"""Degrees of optimism: 0 to 32 quarters of a deviation."""


def _level_odds() -> NDArray[np.int64]:
    """P(|H - 32| = level) in Q30, at least 1 each, summing to 2**30; H counts ones of 64 bits."""
    ways = [comb(64, 32)] + [2 * comb(64, 32 + level) for level in range(1, LEVELS)]
    odds = [max(way >> 34, 1) for way in ways]
    odds[0] += ONE_Q30 - sum(odds)
    return np.array(odds, dtype=np.int64)


LEVEL_ODDS_Q30 = _level_odds()
LEVEL_ODDS_Q30.setflags(write=False)


@kernel("int64(uint64)")
def optimism_level(bits: np.uint64) -> np.int64:
    """|ones - 32| of a 64-bit random word, 0 to 32: about half-normal with deviation 4."""
    x = np.uint64(bits)
    x = x - (x >> np.uint64(1) & _MASK_1)
    x = (x & _MASK_2) + (x >> np.uint64(2) & _MASK_2)
    x = (x + (x >> np.uint64(4))) & _MASK_4
    return abs(np.int64(x * _BYTES >> np.uint64(56)) - np.int64(32))


@kernel("int64(int64[::1], int64)")
def cell_of(x_q15: NDArray[np.int64], bits: np.int64) -> np.int64:
    """The cell of a context: bit i tells whether feature i is above 0, for the first `bits`."""
    cell = np.int64(0)
    for i in range(bits):
        if x_q15[i] > 0:
            cell |= _ONE << np.int64(i)
    return cell


@kernel(
    "void(int64[:, ::1], int64[:, :, ::1], int64[:, ::1], int64[:, ::1], int64[::1], int64[::1],"
    " int64[:, ::1], int64[::1])"
)
def assess(
    theta_q32: NDArray[np.int64],
    spread_q40: NDArray[np.int64],
    offset_q32: NDArray[np.int64],
    loose_q40: NDArray[np.int64],
    settings: NDArray[np.int64],
    x_q15: NDArray[np.int64],
    claims_q32: NDArray[np.int64],
    reach_q40: NDArray[np.int64],
) -> None:
    """Write mean and deviation of every arm's log-odds in a context.

    Args:
        theta_q32: beliefs.
        spread_q40: beliefs.
        offset_q32: beliefs.
        loose_q40: beliefs.
        settings: (N_SETTINGS,) int64.
        x_q15: (features,) int64, the constant last.
        claims_q32: (arms, 2) int64, written: mean, and deviation times the optimism, Q32.
        reach_q40: (features,) int64, scratch.
    """
    cell = cell_of(x_q15, settings[CELL_BITS])
    for arm in range(len(theta_q32)):
        mean, variance = predict(theta_q32[arm], spread_q40[arm], x_q15, reach_q40)
        variance += loose_q40[arm, cell] >> np.int64(8)
        deviation_q28 = np.int64(isqrt(np.uint64(variance) << np.uint64(24)))
        claims_q32[arm, 0] = mean + offset_q32[arm, cell]
        claims_q32[arm, 1] = deviation_q28 * settings[OPTIMISM_Q16] >> np.int64(12)


@kernel("int64(int64[:, ::1], int64)")
def boldest(claims_q32: NDArray[np.int64], level: np.int64) -> np.int64:
    """The arm with the highest mean plus level / 4 deviations; of equals, the first."""
    best, highest = np.int64(0), np.int64(0)
    for arm in range(len(claims_q32)):
        claim = claims_q32[arm, 0] + (level * claims_q32[arm, 1] >> np.int64(2))
        if arm == 0 or claim > highest:
            best, highest = np.int64(arm), claim
    return best


@kernel("void(int64[:, ::1], int64[::1])")
def arm_odds(claims_q32: NDArray[np.int64], odds_q30: NDArray[np.int64]) -> None:
    """Write the probability with which each arm is chosen, Q30, exact to 33 units; sum 2**30."""
    odds_q30[:] = 0
    for level in range(LEVELS):
        odds_q30[boldest(claims_q32, np.int64(level))] += LEVEL_ODDS_Q30[level]


@kernel(
    "int64(int64[:, ::1], int64[:, :, ::1], int64[:, ::1], int64[:, ::1], int64[::1], int64[::1],"
    " int64, int64, int64[::1])"
)
def learn(
    theta_q32: NDArray[np.int64],
    spread_q40: NDArray[np.int64],
    offset_q32: NDArray[np.int64],
    loose_q40: NDArray[np.int64],
    settings: NDArray[np.int64],
    x_q15: NDArray[np.int64],
    arm: np.int64,
    reward_q16: np.int64,
    reach_q40: NDArray[np.int64],
) -> np.int64:
    """Move the beliefs about the arm that was chosen.

    Args:
        theta_q32: beliefs, changed.
        spread_q40: beliefs, changed.
        offset_q32: beliefs, changed.
        loose_q40: beliefs, changed.
        settings: (N_SETTINGS,) int64.
        x_q15: (features,) int64, the constant last.
        arm: 0 to arms - 1.
        reward_q16: 0 to 65536.
        reach_q40: (features,) int64, scratch.

    Returns:
        Predicted less paid reward, Q16, within ±65536.
    """
    cell = cell_of(x_q15, settings[CELL_BITS])
    mean, variance = predict(theta_q32[arm], spread_q40[arm], x_q15, reach_q40)
    log_odds = mean + offset_q32[arm, cell]
    loose = loose_q40[arm, cell]
    surprise, certainty = step_sizes(log_odds, variance + (loose >> np.int64(8)), reward_q16 << 14)
    correct(theta_q32[arm], spread_q40[arm], reach_q40, surprise, certainty)
    if loose > 0:
        share = loose >> np.int64(10)  # Q30, at most 1
        offset_q32[arm, cell] += (share * surprise + np.int64(1 << 27)) >> np.int64(28)
        shrink = (share * certainty + np.int64(1 << 29)) >> np.int64(30)
        loose_q40[arm, cell] = max(loose - (share * shrink >> np.int64(20)), _ONE)
    return (squash_q30(log_odds) >> np.int64(14)) - reward_q16


@kernel("void(int64[:, ::1], int64[:, :, ::1], int64[:, ::1], int64[:, ::1], int64[::1])")
def restart(
    theta_q32: NDArray[np.int64],
    spread_q40: NDArray[np.int64],
    offset_q32: NDArray[np.int64],
    loose_q40: NDArray[np.int64],
    settings: NDArray[np.int64],
) -> None:
    """Write the prior beliefs."""
    theta_q32[:] = 0
    spread_q40[:] = 0
    for arm in range(len(theta_q32)):
        for i in range(theta_q32.shape[1]):
            spread_q40[arm, i, i] = settings[PRIOR_Q40]
    offset_q32[:] = 0
    loose_q40[:] = settings[CELL_PRIOR_Q40]


@kernel(
    "int64(int64[:, ::1], int64[:, :, ::1], int64[:, ::1], int64[:, ::1], int64[::1], int64[::1],"
    " int64[:, ::1], int64[:, :, ::1], int64[::1], int64[::1], int64[::1], int64, int64,"
    " int64[::1])"
)
def observe(
    theta_q32: NDArray[np.int64],
    spread_q40: NDArray[np.int64],
    offset_q32: NDArray[np.int64],
    loose_q40: NDArray[np.int64],
    settings: NDArray[np.int64],
    registers: NDArray[np.int64],
    history: NDArray[np.int64],
    sums: NDArray[np.int64],
    counts: NDArray[np.int64],
    window: NDArray[np.int64],
    x_q15: NDArray[np.int64],
    arm: np.int64,
    reward_q16: np.int64,
    reach_q40: NDArray[np.int64],
) -> np.int64:
    """Learn from a round, and start anew where the losses say that the world has changed.

    Args:
        theta_q32: beliefs, changed.
        spread_q40: beliefs, changed.
        offset_q32: beliefs, changed.
        loose_q40: beliefs, changed.
        settings: (N_SETTINGS,) int64.
        registers: (N_REGISTERS,) int64, changed.
        history: (RECALL, features + 2) int64, changed: context, arm and reward of recent rounds.
        sums: the detector's, changed.
        counts: the detector's, changed.
        window: the detector's registers, changed.
        x_q15: (features,) int64, the constant last.
        arm: 0 to arms - 1.
        reward_q16: 0 to 65536.
        reach_q40: (features,) int64, scratch.

    Returns:
        1 if a change was found, else 0.
    """
    features = len(x_q15)
    loss = learn(
        theta_q32, spread_q40, offset_q32, loose_q40, settings, x_q15, arm, reward_q16, reach_q40
    )
    row = registers[LEARNED] % RECALL
    history[row, :features] = x_q15
    history[row, features] = arm
    history[row, features + 1] = reward_q16
    registers[LEARNED] += 1
    if settings[OCTAVES] == 0:
        return np.int64(0)
    if change.push(sums, counts, window, loss, settings[OCTAVES]) != change.RISE:
        return np.int64(0)
    again = min(window[0], np.int64(RECALL))
    sums[:], counts[:], window[:] = 0, 0, 0
    restart(theta_q32, spread_q40, offset_q32, loose_q40, settings)
    for back in range(again):
        row = (registers[LEARNED] - again + back) % RECALL
        recalled = history[row]
        learn(
            theta_q32,
            spread_q40,
            offset_q32,
            loose_q40,
            settings,
            recalled[:features],
            recalled[features],
            recalled[features + 1],
            reach_q40,
        )
    registers[CHANGES] += 1
    registers[LAST_CHANGE] = registers[LEARNED]
    return np.int64(1)


@kernel(
    "void(int64[:, ::1], int64[:, :, ::1], int64[:, ::1], int64[:, ::1], int64[::1], int64[::1],"
    " int64[:, ::1], int64[:, :, ::1], int64[::1], int64[::1], int64[:, ::1], int64[:, ::1],"
    " int64[:, ::1], int64[:, ::1])"
)
def run(
    theta_q32: NDArray[np.int64],
    spread_q40: NDArray[np.int64],
    offset_q32: NDArray[np.int64],
    loose_q40: NDArray[np.int64],
    settings: NDArray[np.int64],
    registers: NDArray[np.int64],
    history: NDArray[np.int64],
    sums: NDArray[np.int64],
    counts: NDArray[np.int64],
    window: NDArray[np.int64],
    contexts_q15: NDArray[np.int64],
    rewards_q16: NDArray[np.int64],
    claims_q32: NDArray[np.int64],
    chosen: NDArray[np.int64],
) -> None:
    """Choose and learn, round after round, from a table of what every arm would pay.

    Args:
        theta_q32: beliefs, changed.
        spread_q40: beliefs, changed.
        offset_q32: beliefs, changed.
        loose_q40: beliefs, changed.
        settings: (N_SETTINGS,) int64.
        registers: (N_REGISTERS,) int64, changed.
        history: as for `observe`.
        sums: the detector's, changed.
        counts: the detector's, changed.
        window: the detector's registers, changed.
        contexts_q15: (rounds, features - 1) int64, without the constant.
        rewards_q16: (rounds, arms) int64; only the chosen arm's is looked at.
        claims_q32: (arms, 2) int64, scratch.
        chosen: (rounds, 2) int64, written: the arm, and 1 where a change was found.
    """
    features = theta_q32.shape[1]
    x = np.empty(features, dtype=np.int64)
    reach = np.empty(features, dtype=np.int64)
    x[features - 1] = ONE_Q15
    for t in range(len(contexts_q15)):
        x[: features - 1] = contexts_q15[t]
        assess(theta_q32, spread_q40, offset_q32, loose_q40, settings, x, claims_q32, reach)
        bits = ticket(np.uint64(settings[KEY]), np.uint64(registers[ROUNDS]))
        registers[ROUNDS] += 1
        arm = boldest(claims_q32, optimism_level(bits))
        found = observe(
            theta_q32,
            spread_q40,
            offset_q32,
            loose_q40,
            settings,
            registers,
            history,
            sums,
            counts,
            window,
            x,
            arm,
            rewards_q16[t, arm],
            reach,
        )
        chosen[t, 0], chosen[t, 1] = arm, found
