"""Which combination of conflicting gradients to follow, decided on their Gram matrix alone.

PCGrad and CAGrad only ever add multiples of the given gradients. So their answer is one weight
for each gradient, and all that decides the weights are inner products: a (K, K) matrix for K
objectives, whatever the number of parameters. Numbers here are float64 and tiny; the gradients
themselves are read twice, for the Gram matrix and for the weighted sum.

Sources: Yu et al.: Gradient surgery for multi-task learning, 2020 (PCGrad, algorithm 1);
Liu et al.: Conflict-averse gradient descent for multi-task learning, 2021 (CAGrad, eq. 4 and
algorithm 1, without the later rescaling by 1 + c²); Lacoste-Julien & Jaggi 2015 (pairwise
Frank-Wolfe steps).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bb_train.objectives.errors import ObjectiveError, ShapeError

Matrix = NDArray[np.float64]

_ROUNDS = 2_000  # of pairwise steps; a handful is usual
_GAP = 1e-12  # duality gap at which the simplex problem counts as solved, relative
_STATIONARY = 1e-14  # squared length of the best mixture over the largest: nothing to gain


@dataclass(frozen=True)
class Rule:
    """How gradients are combined.

    Attributes:
        method: "sum" (the Lagrangian's own gradient), "pcgrad" or "cagrad".
        seed: of the random orders of PCGrad.
        radius: c of CAGrad, how far from the sum it may go, in lengths of the sum, in [0, 1).
    """

    method: Literal["sum", "pcgrad", "cagrad"] = "pcgrad"
    seed: int = 0
    radius: float = 0.5

    def __post_init__(self) -> None:
        if self.method not in ("sum", "pcgrad", "cagrad") or not 0 <= self.radius < 1:
            raise ObjectiveError(
                f"{self.method} with radius {self.radius}", where="gradient surgery",
                fix="use sum, pcgrad or cagrad, and a radius from 0 to below 1",
            )  # fmt: skip


def weights(rule: Rule, gram: Matrix, step: int) -> Matrix:
    """The weight of each gradient in the direction to follow.

    A function of its arguments alone, so a resumed run and every process of several come to the
    same weights.

    Args:
        rule: how.
        gram: (K, K) inner products of the gradients.
        step: of the run; with the seed it decides PCGrad's orders.

    Returns:
        (K,) weights w; the direction is Σ w_k g_k. All ones is the plain sum.

    Raises:
        ShapeError: the matrix is not square, symmetric and finite.
    """
    gram = _checked(gram)
    if rule.method == "pcgrad":
        return pcgrad_weights(gram, pcgrad_orders(len(gram), rule.seed, step))
    if rule.method == "cagrad":
        return cagrad_weights(gram, rule.radius)
    return np.ones(len(gram))


def pcgrad_orders(count: int, seed: int, step: int) -> list[list[int]]:
    """For each objective the others in a random order."""
    rng = np.random.default_rng([seed, step])
    return [[int(j) for j in rng.permutation(count) if j != i] for i in range(count)]


def pcgrad_weights(gram: Matrix, orders: list[list[int]]) -> Matrix:
    """PCGrad: each gradient loses, in turn, what goes against each of the others.

    Args:
        gram: (K, K).
        orders: for each objective, the others in the order in which they are projected out.

    Returns:
        (K,) weights of the sum of the projected gradients.
    """
    mixed = np.eye(len(gram))  # row i: the projected gradient i in terms of the given ones
    for row, order in zip(mixed, orders, strict=True):
        for j in order:
            along = row @ gram[:, j]
            if along < 0:  # then gram[j, j] > 0
                row[j] -= along / gram[j, j]
    return mixed.sum(axis=0)


def cagrad_weights(gram: Matrix, radius: float) -> Matrix:
    """CAGrad: the direction within `radius` of the sum whose worst inner product is best.

    With g_0 the sum and g_w = Σ w_k g_k, the dual problem is to find, on the simplex, the least
    `g_w·g_0 + c |g_0| |g_w|`; the direction is then `g_0 + c |g_0| g_w / |g_w|`. (The paper's
    g_0 is the mean; everything scales with it, so this is K times the paper's direction.)

    Where some mixture g_w vanishes no direction helps all objectives, and the sum is kept.

    Args:
        gram: (K, K).
        radius: c.

    Returns:
        (K,) weights.
    """
    total = np.ones(len(gram))
    length = float(np.sqrt(max(0.0, total @ gram @ total)))
    mixture = simplex_minimum(gram, gram @ total, radius * length)
    squared = float(mixture @ gram @ mixture)
    if radius == 0 or squared <= _STATIONARY * float(np.diag(gram).max(initial=0.0)):
        return total
    return total + radius * length / np.sqrt(squared) * mixture


def simplex_minimum(gram: Matrix, linear: Matrix, pull: float) -> Matrix:
    """The w on the simplex with the least `w·linear + pull sqrt(w·gram·w)`.

    Each round moves weight from the worst coordinate in use to the best one, by the exact best
    amount along that edge, until the linearised gain (a bound on what is left) is nil.

    Args:
        gram: (K, K) positive semidefinite.
        linear: (K,).
        pull: at least 0.
    """
    point = np.full(len(linear), 1 / len(linear))
    scale = float(np.abs(linear).max() + pull * np.sqrt(np.diag(gram).max())) or 1.0
    for _ in range(_ROUNDS):
        image = gram @ point
        squared = max(0.0, float(point @ image))
        slope = linear + (pull * image / np.sqrt(squared) if squared > 0 else 0.0)
        best = int(slope.argmin())
        worst = int(np.where(point > 0, slope, -np.inf).argmax())
        if float(point @ slope - slope[best]) <= _GAP * scale:
            break
        curve = (
            float(gram[best, best] - 2 * gram[best, worst] + gram[worst, worst]),
            2 * float(image[best] - image[worst]),
            squared,
        )
        rise = float(linear[best] - linear[worst])
        moved = _edge_minimum(rise, pull, curve, float(point[worst]))
        if moved <= 0:
            break
        point[best] += moved
        point[worst] = 0.0 if moved == point[worst] else point[worst] - moved
    return point


def _edge_minimum(
    rise: float, pull: float, curve: tuple[float, float, float], most: float
) -> float:
    """The t in [0, most] with the least `rise t + pull sqrt(a t² + b t + c)`."""
    a, b, c = curve
    if a <= 0:
        return most if rise < 0 else 0.0
    middle = -b / (2 * a)
    rest = max(0.0, c / a - middle * middle)
    steepest = pull * np.sqrt(a)
    if abs(rise) >= steepest:  # no stationary point: one end is best
        return most if rise < 0 else 0.0
    sine = -rise / steepest
    return float(min(most, max(0.0, middle + sine * np.sqrt(rest / (1 - sine * sine)))))


def cosines(names: list[str], gram: Matrix) -> dict[str, float]:
    """Cosine of the angle between every two gradients, `"a|b"` -> value; none where one is zero."""
    lengths = np.sqrt(np.diag(gram))
    return {
        f"{names[i]}|{names[j]}": float(np.clip(gram[i, j] / (lengths[i] * lengths[j]), -1, 1))
        for i in range(len(names))
        for j in range(i + 1, len(names))
        if lengths[i] > 0 and lengths[j] > 0
    }


def _checked(gram: Matrix) -> Matrix:
    square = gram.ndim == 2 and gram.shape[0] == gram.shape[1] and len(gram)
    if not square or not np.isfinite(gram).all() or not np.allclose(gram, gram.T, rtol=1e-4):
        raise ShapeError(
            f"a matrix of shape {gram.shape} is no Gram matrix", where="gradient surgery",
            fix="give finite inner products of one gradient or more",
        )  # fmt: skip
    return np.asarray((gram + gram.T) / 2, dtype=np.float64)
