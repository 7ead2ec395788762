"""How often does a gate promote an unsafe candidate, and how soon a safe one?

Candidates are simulated: n paired requests, looked at every 50, promoted at the first look that
says so. *Unsafe* means worse by exactly the margin, the hardest case there is. Four laws of the
paired difference D, each with mean `excess`:

- events      three weighted kinds of failure, 2% each, 40% of which strike both sides alike
- correlated  the same with 80% in common
- skewed      a little better nearly always, a total failure in 2% of requests
- smooth      continuous, uniform in a band of width 0.4
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from benchmarks.frame import Context, Measured, row

FloatArray = NDArray[np.float64]
Law = Callable[[np.random.Generator, tuple[int, int], float], FloatArray]
Gate = Callable[[FloatArray], NDArray[np.int64]]

MARGIN = 0.01
LEVEL = 0.05
LOOK_EVERY = 50
SAMPLES = 4000
WEIGHTS = (0.6, 0.2, 0.2)
EVENT_RATE = 0.02


def events(
    random: np.random.Generator, shape: tuple[int, int], excess: float, shared: float = 0.4
) -> FloatArray:
    """Weighted failures; the candidate shares some with the incumbent and has some of its own."""
    total = np.zeros(shape)
    own_rate = EVENT_RATE + excess / (1.0 - shared)
    for weight in WEIGHTS:
        old = random.random(shape) < EVENT_RATE
        own = random.random(shape) < own_rate
        new = np.where(random.random(shape) < shared, old, own)
        total += weight * (new.astype(np.float64) - old)
    return total


def correlated(random: np.random.Generator, shape: tuple[int, int], excess: float) -> FloatArray:
    """Pairs that mostly fail together: differences are rare."""
    return events(random, shape, excess, shared=0.8)


def skewed(random: np.random.Generator, shape: tuple[int, int], excess: float) -> FloatArray:
    """A disaster in 2% of requests, paid for by being a little better in all others."""
    rate = 0.02
    return np.where(random.random(shape) < rate, 1.0, (excess - rate) / (1.0 - rate))


def smooth(random: np.random.Generator, shape: tuple[int, int], excess: float) -> FloatArray:
    """Small continuous differences."""
    return random.uniform(-0.2, 0.2, shape) + excess


def e_process(differences: FloatArray) -> NDArray[np.int64]:
    """Ours."""
    from bb_safety.eprocess import promoted_by_looks

    return promoted_by_looks(differences, MARGIN, LEVEL, every=LOOK_EVERY)


def t_test(differences: FloatArray) -> NDArray[np.int64]:
    """Promote when a one-sided t-test of level 0.05 rejects E[D] >= margin at any look."""
    looks, mean, deviation = _moments(differences)
    statistic = (MARGIN - mean) * np.sqrt(looks) / np.maximum(deviation, 1e-12)
    return _first_look(statistic >= 1.645)


def point_estimate(differences: FloatArray) -> NDArray[np.int64]:
    """Promote when the mean difference is below the margin at any look."""
    _, mean, _ = _moments(differences)
    return _first_look(mean < MARGIN)


def hoeffding_sequence(differences: FloatArray) -> NDArray[np.int64]:
    """Promote when a sub-Gaussian confidence sequence (normal mixture) excludes the margin.

    Differences in [-1, 1] are sub-Gaussian with variance 1. Howard et al., arXiv 1810.08240,
    proposition 5, tuned for 2,000 samples.
    """
    looks, mean, _ = _moments(differences)
    rho = 2000.0 / (2 * math.log(1 / LEVEL) + math.log(1 + 2 * math.log(1 / LEVEL)))
    total = looks + rho
    inside = np.log(np.sqrt(total / rho) / (2 * LEVEL) + 1)
    return _first_look(mean + np.sqrt(2 * total * inside) / looks < MARGIN)


def _moments(differences: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Looks (looks,), and mean and standard deviation at each: (candidates, looks)."""
    looks = np.arange(LOOK_EVERY, differences.shape[1] + 1, LOOK_EVERY)
    sums = np.cumsum(differences, axis=1)[:, looks - 1]
    squares = np.cumsum(differences**2, axis=1)[:, looks - 1]
    mean = sums / looks
    variance = np.maximum(squares / looks - mean**2, 0.0) * looks / (looks - 1)
    return looks.astype(np.float64), mean, np.sqrt(variance)


def _first_look(promoted: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Samples at the first look that promotes, 0 for never: (candidates,) int64."""
    first = (np.argmax(promoted, axis=1) + 1) * LOOK_EVERY
    return np.where(promoted.any(axis=1), first, 0).astype(np.int64)


def _draws(context: Context, law: Law, excess: float) -> list[FloatArray]:
    """Candidates in batches: (candidates, SAMPLES) each; 2,000 in all for the full size."""
    batches, candidates = (5, 400) if context.full else (3, 200)
    return [
        law(np.random.default_rng([context.seed, batch]), (candidates, SAMPLES), excess)
        for batch in range(batches)
    ]


def _share(used: NDArray[np.int64]) -> float:
    return float((used > 0).mean())


def _median_samples(used: NDArray[np.int64]) -> float:
    """Median samples until promotion; a candidate that is never promoted counts all samples."""
    return float(np.median(np.where(used > 0, used, SAMPLES)))


def _declare_level(law: Law) -> None:
    @row(
        f"gate.unsafe_{law.__name__}",
        peer_name="the level delta_j",
        unit="share promoted",
        target=1.0,
        better="less",
    )
    def unsafe(context: Context) -> Measured:
        ours = [_share(e_process(draw)) for draw in _draws(context, law, MARGIN)]
        # One figure over all batches: the level bounds the chance, not each batch's share.
        return Measured(ours=[float(np.mean(ours))], peer=[LEVEL])


def _declare_peer(peer: Gate, target: float) -> None:
    @row(
        f"gate.unsafe_vs_{peer.__name__}",
        peer_name=f"{peer.__name__}, peeked",
        unit="share promoted",
        target=target,
        better="less",
    )
    def unsafe(context: Context) -> Measured:
        draws = _draws(context, events, MARGIN)
        return Measured(
            ours=[_share(e_process(draw)) for draw in draws],
            peer=[_share(peer(draw)) for draw in draws],
        )


def _declare_speed(name: str, excess: float, most_samples: float) -> None:
    @row(
        f"gate.samples_{name}",
        peer_name="hoeffding_sequence",
        unit="median samples",
        target=SAMPLES / most_samples,
        better="less",
    )
    def samples(context: Context) -> Measured:
        draws = _draws(context, events, excess)
        return Measured(
            ours=[_median_samples(e_process(draw)) for draw in draws],
            peer=[_median_samples(hoeffding_sequence(draw)) for draw in draws],
        )


for _law in (events, correlated, skewed, smooth):
    _declare_level(_law)
_declare_peer(t_test, 0.32 / LEVEL)
_declare_peer(point_estimate, 0.95 / LEVEL)
_declare_speed("equal", 0.0, 850.0)
_declare_speed("safer", -MARGIN, 400.0)
