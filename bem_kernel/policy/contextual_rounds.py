"""The rounds of the contextual bandit, compiled: assess the arms, choose, learn, restart.

The bandit's state is a handful of arrays, which `contextual` holds together; kernels take those
they need, because a signature names them all:

    models    (arms, 1 + features, features) int64   see `logistic.predict`
    cells     (arms, cells, 2) int64                 see `logistic.correct_cell`
    settings  (N_SETTINGS,) int64                    never written by a kernel
    registers (N_REGISTERS,) int64                   counts, and the present priors
    payments  (2, 2) int64                           see `champion.credit`
    history   (RECALL, features + 2) int64           recent contexts, arms and rewards, a ring
    savings   (N_SAVINGS,) int64                     see `code_length`
    buckets, tally                                   see `change`
"""

from __future__ import annotations

from math import comb

import numpy as np
from numpy.typing import NDArray

from bem_kernel.compiled import kernel
from bem_kernel.policy import champion, change, code_length
from bem_kernel.policy.counter import ticket
from bem_kernel.policy.exp2 import ONE_Q30
from bem_kernel.policy.logistic import (
    INFORMATION,
    OFFSET,
    ONE_Q15,
    correct,
    correct_cell,
    looseness_q32,
    predict,
    revise_cells,
    squash_q30,
    step_sizes,
    typical_variance_q32,
)
from bem_kernel.policy.square_root import isqrt

RECALL = 256
"""Rounds that are kept to learn from after a restart."""

CELL_BITS, OPTIMISM_Q16, OCTAVES, KEY, REVISE_EVERY, CHAMPION = range(6)
N_SETTINGS = 6

ROUNDS, LEARNED, CHANGES, PRIOR_Q32, CELL_PRIOR_Q32 = range(5)
N_REGISTERS = 5

LEVELS = 33
"""Degrees of optimism: 0 to 32 quarters of a deviation."""

WINDOW_OCTAVES = np.int64(20)
"""Of the window that watches losses: a false alarm per check at most 2**-20 by its bound."""

_ONE = np.int64(1)
_PAIRS = np.uint64(0x5555555555555555)
_NIBBLES = np.uint64(0x3333333333333333)
_BYTES = np.uint64(0x0F0F0F0F0F0F0F0F)
_SUM_BYTES = np.uint64(0x0101010101010101)


def _level_odds() -> NDArray[np.int64]:
    """P(|H - 32| = level) in Q30, at least 1 each, sum 2**30; H counts the ones of 64 bits."""
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
    x = x - (x >> np.uint64(1) & _PAIRS)
    x = (x & _NIBBLES) + (x >> np.uint64(2) & _NIBBLES)
    x = (x + (x >> np.uint64(4))) & _BYTES
    return abs(np.int64(x * _SUM_BYTES >> np.uint64(56)) - np.int64(32))


@kernel("int64(int64[::1], int64)")
def cell_of(x_q15: NDArray[np.int64], bits: np.int64) -> np.int64:
    """The cell of a context: bit i tells whether feature i is above 0, for the first `bits`."""
    cell = np.int64(0)
    for i in range(bits):
        if x_q15[i] > 0:
            cell |= _ONE << np.int64(i)
    return cell


@kernel(
    "void(int64[:, :, ::1], int64[:, :, ::1], int64[::1], int64[::1], int64[::1], int64[:, ::1],"
    " int64[::1])"
)
def assess(
    models: NDArray[np.int64],
    cells: NDArray[np.int64],
    settings: NDArray[np.int64],
    registers: NDArray[np.int64],
    x_q15: NDArray[np.int64],
    claims_q32: NDArray[np.int64],
    reach_q40: NDArray[np.int64],
) -> None:
    """Write mean and deviation of every arm's log-odds in a context.

    Args:
        models: state.
        cells: state.
        settings: state.
        registers: state.
        x_q15: (features,) int64, the constant last.
        claims_q32: (arms, 2) int64, written: mean, and deviation times the optimism.
        reach_q40: (features,) int64, scratch.
    """
    cell = cell_of(x_q15, settings[CELL_BITS])
    for arm in range(models.shape[0]):
        mean, variance = predict(models[arm], x_q15, reach_q40)
        if settings[CELL_BITS] > 0:
            mean += cells[arm, cell, OFFSET]
            variance += looseness_q32(cells[arm, cell, INFORMATION], registers[CELL_PRIOR_Q32])
        deviation_q28 = np.int64(isqrt(np.uint64(variance) << np.uint64(24)))
        claims_q32[arm, 0] = mean
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
    """Write the probability with which each arm is chosen: Q30, within 33 units, sum 2**30."""
    odds_q30[:] = 0
    for level in range(LEVELS):
        odds_q30[boldest(claims_q32, np.int64(level))] += LEVEL_ODDS_Q30[level]


@kernel(
    "int64(int64[:, :, ::1], int64[:, :, ::1], int64[::1], int64[::1], int64[:, ::1], int64[::1],"
    " int64, int64, int64[::1], int64[:, ::1])"
)
def learn(
    models: NDArray[np.int64],
    cells: NDArray[np.int64],
    settings: NDArray[np.int64],
    registers: NDArray[np.int64],
    payments: NDArray[np.int64],
    x_q15: NDArray[np.int64],
    arm: np.int64,
    reward_q16: np.int64,
    reach_q40: NDArray[np.int64],
    scores: NDArray[np.int64],
) -> np.int64:
    """Move the beliefs about the arm that was chosen; where one is the champion, about all arms.

    Args:
        models: state, changed.
        cells: state, changed.
        settings: state.
        registers: state.
        payments: state, changed.
        x_q15: (features,) int64, the constant last.
        arm: 0 to arms - 1.
        reward_q16: 0 to 65536.
        reach_q40: (features,) int64, scratch.
        scores: (arms, 3) int64, scratch.

    Returns:
        What was forecast: the probability of a reward of 1, Q30.
    """
    cell = cell_of(x_q15, settings[CELL_BITS])
    if settings[CHAMPION] > 0:
        return np.int64(
            champion.learn(
                models,
                cells,
                payments,
                x_q15,
                cell if settings[CELL_BITS] > 0 else -_ONE,
                registers[CELL_PRIOR_Q32],
                arm,
                reward_q16,
                reach_q40,
                scores,
            )
        )
    log_odds, variance = predict(models[arm], x_q15, reach_q40)
    loose = np.int64(0)
    if settings[CELL_BITS] > 0:
        log_odds += cells[arm, cell, OFFSET]
        loose = looseness_q32(cells[arm, cell, INFORMATION], registers[CELL_PRIOR_Q32])
    outcome_q30 = reward_q16 << np.int64(14)
    surprise, certainty, gathered = step_sizes(log_odds, variance, loose, outcome_q30)
    correct(models[arm], reach_q40, surprise, certainty)
    if settings[CELL_BITS] > 0:
        correct_cell(cells[arm, cell], loose, surprise, gathered)
    return np.int64(squash_q30(log_odds))


@kernel("void(int64[:, :, ::1], int64[:, :, ::1], int64[::1])")
def restart(
    models: NDArray[np.int64], cells: NDArray[np.int64], registers: NDArray[np.int64]
) -> None:
    """Forget what was learned but the priors in the registers."""
    models[:] = 0
    for arm in range(models.shape[0]):
        for i in range(models.shape[2]):
            models[arm, 1 + i, i] = registers[PRIOR_Q32] << np.int64(8)
    cells[:] = 0


@kernel("int64(int64[::1], int64[:, :, ::1], int64[::1], int64, int64, int64)")
def watch(
    savings: NDArray[np.int64],
    buckets: NDArray[np.int64],
    tally: NDArray[np.int64],
    octaves: np.int64,
    forecast_q30: np.int64,
    reward_q16: np.int64,
) -> np.int64:
    """Look for a change in how well rewards are forecast.

    Args:
        savings: state, changed.
        buckets: state, changed.
        tally: state, changed.
        octaves: of `code_length`, 1 to 64.
        forecast_q30: what `learn` returned.
        reward_q16: what was paid.

    Returns:
        Rounds since the change, by best guess; 0 if there was none.
    """
    loss = (forecast_q30 >> np.int64(14)) - reward_q16
    rise = change.push(buckets, tally, loss, WINDOW_OCTAVES) == change.RISE
    worthless = code_length.weigh(savings, forecast_q30, reward_q16, octaves) == 1
    if not rise and not worthless:
        return np.int64(0)
    since = savings[code_length.SINCE_BEST] if worthless else tally[change.WIDTH]
    savings[:] = 0
    tally[:] = 0
    return np.int64(since)


@kernel(
    "int64(int64[:, :, ::1], int64[:, :, ::1], int64[::1], int64[::1], int64[:, ::1],"
    " int64[:, ::1], int64[::1], int64[:, :, ::1], int64[::1], int64[::1], int64, int64,"
    " int64[::1], int64[:, ::1])",
)
def observe(
    models: NDArray[np.int64],
    cells: NDArray[np.int64],
    settings: NDArray[np.int64],
    registers: NDArray[np.int64],
    payments: NDArray[np.int64],
    history: NDArray[np.int64],
    savings: NDArray[np.int64],
    buckets: NDArray[np.int64],
    tally: NDArray[np.int64],
    x_q15: NDArray[np.int64],
    arm: np.int64,
    reward_q16: np.int64,
    reach_q40: NDArray[np.int64],
    scores: NDArray[np.int64],
) -> np.int64:
    """Learn from a round, and start anew where the forecasts say that the world has changed.

    Takes the whole state, changed, then what `learn` takes. Returns 1 if a change was found.
    """
    features = len(x_q15)
    row = registers[LEARNED] % RECALL
    for feature in range(features):
        history[row, feature] = x_q15[feature]
    history[row, features], history[row, features + 1] = arm, reward_q16
    registers[LEARNED] += 1
    found, back = np.int64(0), _ONE
    while back > 0:  # this round; then, after a change, the rounds since
        past = history[(registers[LEARNED] - back) % RECALL]
        choice, paid = past[features], past[features + 1]
        forecast = learn(
            models,
            cells,
            settings,
            registers,
            payments,
            past[:features],
            choice,
            paid,
            reach_q40,
            scores,
        )
        back -= 1
        if found == 0 and settings[OCTAVES] > 0:
            since = watch(savings, buckets, tally, settings[OCTAVES], forecast, paid)
            if since > 0:
                found, back = _ONE, min(since, np.int64(RECALL))
                registers[PRIOR_Q32] = typical_variance_q32(models)
                restart(models, cells, registers)
    registers[CHANGES] += found
    revises = settings[CELL_BITS] > 0 and settings[CHAMPION] == 0
    if revises and registers[LEARNED] % settings[REVISE_EVERY] == 0:
        registers[CELL_PRIOR_Q32] = revise_cells(cells, registers[CELL_PRIOR_Q32])
    return found


@kernel(
    "void(int64[:, :, ::1], int64[:, :, ::1], int64[::1], int64[::1], int64[:, ::1],"
    " int64[:, ::1], int64[::1], int64[:, :, ::1], int64[::1], int64[:, ::1], int64[:, ::1],"
    " int64[::1], int64[::1], int64[:, ::1], int64[:, ::1], int64[:, ::1])"
)
def run(
    models: NDArray[np.int64],
    cells: NDArray[np.int64],
    settings: NDArray[np.int64],
    registers: NDArray[np.int64],
    payments: NDArray[np.int64],
    history: NDArray[np.int64],
    savings: NDArray[np.int64],
    buckets: NDArray[np.int64],
    tally: NDArray[np.int64],
    contexts_q15: NDArray[np.int64],
    rewards_q16: NDArray[np.int64],
    x_q15: NDArray[np.int64],
    reach_q40: NDArray[np.int64],
    claims_q32: NDArray[np.int64],
    scores: NDArray[np.int64],
    chosen: NDArray[np.int64],
) -> None:
    """Choose and learn, round after round, from a table of what every arm would pay.

    Takes the whole state, changed; `contexts_q15`, (rounds, features - 1) int64, without the
    constant; `rewards_q16`, (rounds, arms) int64, of which only the chosen arm's is looked at;
    `x_q15`, `reach_q40` and `claims_q32` as for `assess`, `scores` as for `learn`, scratch; and
    `chosen`, (rounds, 2) int64, written: the arm, and 1 where a change was found.
    """
    features = models.shape[2]
    x_q15[features - 1] = ONE_Q15
    for t in range(len(contexts_q15)):
        for i in range(features - 1):
            x_q15[i] = contexts_q15[t, i]
        assess(models, cells, settings, registers, x_q15, claims_q32, reach_q40)
        bits = ticket(np.uint64(settings[KEY]), np.uint64(registers[ROUNDS]))
        registers[ROUNDS] += 1
        arm = boldest(claims_q32, optimism_level(bits))
        paid = rewards_q16[t, arm]
        chosen[t, 0] = arm
        chosen[t, 1] = observe(
            models,
            cells,
            settings,
            registers,
            payments,
            history,
            savings,
            buckets,
            tally,
            x_q15,
            arm,
            paid,
            reach_q40,
            scores,
        )
