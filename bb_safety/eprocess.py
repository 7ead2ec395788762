"""A betting e-process: evidence that a bounded mean lies below a margin, at any stopping time.

Paired differences D_i = v_new(x_i) - v_old(x_i) lie in [-1, 1]. Null hypothesis: the candidate is
worse by at least the margin, E[D_i | past] >= epsilon. A gambler who starts with wealth 1 and bets
the fraction lambda of it against that hypothesis holds, after t samples,

    E_t(lambda) = prod_i (1 + lambda * (epsilon - D_i)),      0 <= lambda < 1 / (1 - epsilon).

Each factor is non-negative and has conditional mean at most 1 under the null, so E_t is a
supermartingale from 1, and so is the average of E_t(lambda) over a grid of lambdas (which is the
wealth of one gambler whose bet is predictable: the wealth-weighted mean of the grid). Ville's
inequality bounds the chance that it *ever* reaches 1/delta by delta, however often one looks.

The grid is the same set of fractions of the largest bet for every margin. That makes the wealth
non-decreasing in epsilon for every sample path, so tests invert into an upper confidence bound
for E[D] by bisection.

Source: Waudby-Smith & Ramdas, "Estimating means of bounded random variables by betting",
arXiv 2010.09686; Ville 1939.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bb_core.errors import BBError

FloatArray = NDArray[np.float64]

_BISECTIONS = 40


class EvidenceError(BBError):
    """The numbers offered as evidence are not what the test needs."""


@dataclass(frozen=True)
class Bets:
    """The grid of bets, as fractions of the largest bet that cannot lose more than everything.

    Few and bold bets do best. A bet below about 2 log(1/delta) / (epsilon n) cannot win in n
    samples, and each further bet dilutes the rest: with 24 bets from 0.01 an equally safe
    candidate needed 1,150 samples in the median, with 8 from 0.05 900, with these 4 800.

    Attributes:
        count: number of bets, at least 1.
        smallest: smallest fraction, in (0, largest].
        largest: largest fraction, in (0, 1); below 1 so that no sample ruins a bet for good.
    """

    count: int = 4
    smallest: float = 0.2
    largest: float = 0.95

    def __post_init__(self) -> None:
        if self.count < 1 or not 0.0 < self.smallest <= self.largest < 1.0:
            raise EvidenceError(
                f"a grid of {self.count} bets from {self.smallest} to {self.largest} is not usable",
                where="bets",
                fix="use count >= 1 and 0 < smallest <= largest < 1",
            )

    def fractions(self) -> FloatArray:
        """The grid: (count,) float64, geometric from `smallest` to `largest`."""
        return np.geomspace(self.smallest, self.largest, self.count)


@dataclass(frozen=True)
class EProcess:
    """Wealth of every bet after `n` samples; a value, so that a test can be stored and resumed.

    Attributes:
        margin: epsilon, in (-1, 1).
        sign: +1 gathers evidence for E[D] < margin, -1 for E[D] > margin.
        fractions: (grid,) bets as fractions of the largest one.
        log_wealth: (grid,) natural logarithm of each bet's wealth.
        n: samples seen.
        peak: largest log E seen so far; Ville's inequality is about this one.
    """

    margin: float
    sign: int
    fractions: tuple[float, ...]
    log_wealth: tuple[float, ...]
    n: int = 0
    peak: float = 0.0

    @property
    def log_e(self) -> float:
        """Natural logarithm of the e-value now: the average wealth over the grid."""
        return float(_log_mean_exp(np.asarray(self.log_wealth)[:, None])[0])


def start(margin: float, bets: Bets | None = None, *, sign: int = 1) -> EProcess:
    """An e-process that has seen nothing: wealth 1 on every bet.

    Raises:
        EvidenceError: margin outside (-1, 1) or sign not +1 or -1.
    """
    if not -1.0 < margin < 1.0 or sign not in (1, -1):
        raise EvidenceError(
            f"margin {margin} with sign {sign}",
            where="e-process",
            fix="use a margin strictly between -1 and 1, and sign +1 or -1",
        )
    fractions = tuple(float(value) for value in (bets or Bets()).fractions())
    return EProcess(margin, sign, fractions, tuple(0.0 for _ in fractions))


def observe(process: EProcess, differences: FloatArray) -> tuple[EProcess, FloatArray]:
    """Feed paired differences in the order they were drawn.

    Args:
        process: the state before.
        differences: (n,) float64 in [-1, 1].

    Returns:
        The state after, and log E after each sample: (n,) float64, natural logarithm.

    Raises:
        EvidenceError: a difference is not a number in [-1, 1].
    """
    gains = process.sign * (process.margin - checked_differences(differences))
    steps = np.log1p(_stakes(process)[:, None] * gains[None, :])
    wealth = np.cumsum(steps, axis=1) + np.asarray(process.log_wealth)[:, None]
    if gains.size == 0:
        return process, np.zeros(0)
    path = _log_mean_exp(wealth)
    after = replace(
        process,
        log_wealth=tuple(float(value) for value in wealth[:, -1]),
        n=process.n + int(gains.size),
        peak=max(process.peak, float(path.max())),
    )
    return after, path


def crossing(path: FloatArray, threshold_log: float) -> int | None:
    """Number of samples at which log E first reaches the threshold, None if it never does."""
    hits = np.flatnonzero(path >= threshold_log)
    return int(hits[0]) + 1 if hits.size else None


def samples_needed(
    process: EProcess, differences: FloatArray, threshold_log: float, limit: int
) -> int | None:
    """Samples until log E would reach a threshold if each bet kept growing at its mean rate.

    An estimate for people; the guarantee does not rest on it.

    Args:
        process: the state from which to go on.
        differences: (n,) samples that the rates are measured on.
        threshold_log: natural logarithm of the threshold.
        limit: largest count of interest.

    Returns:
        The smallest such count up to `limit`, None if there is none.
    """
    gains = process.sign * (process.margin - checked_differences(differences))
    rates = np.log1p(_stakes(process)[:, None] * gains[None, :]).mean(axis=1)
    future = np.asarray(process.log_wealth)[:, None] + rates[:, None] * np.arange(1, limit + 1)
    return crossing(_log_mean_exp(future), threshold_log) if limit > 0 else None


def upper_bound(differences: FloatArray, delta: float, bets: Bets | None = None) -> float:
    """Upper confidence bound for E[D] that holds at all sample sizes at once, chance 1 - delta.

    The smallest margin which the e-process rejects at some point of the path; 1 if there is none.

    Args:
        differences: (n,) float64 in [-1, 1], in the order they were drawn.
        delta: chance that the bound is ever wrong, in (0, 1).
        bets: the grid.
    """
    values = checked_differences(differences)
    low, high = -1.0, 1.0
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        after, _path = observe(start(middle, bets), values)
        if after.peak >= -np.log(delta):
            high = middle
        else:
            low = middle
    return high


def promoted_by_looks(
    differences: FloatArray, margin: float, delta: float, *, every: int, bets: Bets | None = None
) -> NDArray[np.int64]:
    """Many tests at once, looked at every few samples: the engine of the simulations.

    Args:
        differences: (candidates, n) float64 in [-1, 1]; n a multiple of `every`.
        margin: epsilon.
        delta: level; a candidate is promoted at E >= 1/delta.
        every: samples between looks.
        bets: the grid.

    Returns:
        (candidates,) int64: samples used when promoted, 0 for never.
    """
    values = checked_differences(differences)
    candidates, samples = values.shape
    if samples % every:
        raise EvidenceError(
            f"{samples} samples are not a multiple of {every}",
            where="promoted_by_looks",
            fix="look at a divisor of the sample count",
        )
    stakes = _stakes(start(margin, bets))
    gains = (margin - values).reshape(candidates, samples // every, every)
    wealth = np.empty((len(stakes), candidates, samples // every))
    for row, stake in enumerate(stakes):
        # A product over one look is at least (1 - largest)**every: no underflow for looks <= 200.
        factors = np.prod(1.0 + stake * gains, axis=2)
        wealth[row] = np.cumsum(np.log(factors), axis=1)
    crossed = _log_mean_exp(wealth) >= -np.log(delta)
    first = np.argmax(crossed, axis=1)
    return np.where(crossed.any(axis=1), (first + 1) * every, 0).astype(np.int64)


def checked_differences(differences: FloatArray) -> FloatArray:
    """The array as float64, or EvidenceError when a value is not a number in [-1, 1]."""
    values = np.asarray(differences, dtype=np.float64)
    bad = ~((values >= -1.0) & (values <= 1.0))
    if bad.any():
        index = int(np.flatnonzero(bad.ravel())[0])
        raise EvidenceError(
            f"difference {index} is {values.ravel()[index]}",
            where="e-process",
            fix="measure risks in [0, 1]; their difference then lies in [-1, 1]",
        )
    return values


def _stakes(process: EProcess) -> FloatArray:
    """Bets in absolute terms: fractions of 1 / (largest possible loss per unit staked)."""
    worst_loss = 1.0 - process.sign * process.margin
    return np.asarray(process.fractions, dtype=np.float64) / worst_loss


def _log_mean_exp(values: FloatArray) -> FloatArray:
    """Logarithm of the mean of exponentials along axis 0, without overflow."""
    top: FloatArray = values.max(axis=0)
    mean: FloatArray = np.exp(values - top).mean(axis=0)
    return top + np.log(mean)
