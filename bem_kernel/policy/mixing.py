"""Mixing predictions in the logistic domain by mirror descent, in integers.

Predictions enter as log-odds; the mixture is the probability whose log-odds are the weighted sum
``sum(w_i * x_i)``. Coding loss is convex in the weights, with gradient ``(p - bit) * x_i``. Descent
runs in a dual theta that is only added to, and w = beta * sinh(theta): weights far above beta are
multiplied by a step, as by exponentiated gradients, those near zero are added to, and weights may
have either sign.

Numbers: log-odds in nats, Q16 in and Q32 out; theta in octaves, Q32; weights Q16; probabilities in
Q30.

Sources: hypentropy, Ghai, Hazan and Singer, "Exponentiated gradient meets gradient descent" (2020);
mixing of log-odds, Mahoney's PAQ; Mattern, "Linear and geometric mixtures" (2013).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bem_kernel.compiled import kernel
from bem_kernel.errors import ShapeError
from bem_kernel.policy.exp2 import ONE_Q16, ONE_Q30, exp2_fine_q30
from bem_kernel.policy.logarithm import LN2_HIGH, log2_q30
from bem_kernel.policy.logistic import squash_q30

MAX_INPUTS = 1 << 11
MAX_LOG_ODDS_Q16 = 1 << 20
MAX_ETA_Q16 = 1 << 22
MIN_BETA_Q16 = 1 << 6  # weights reach 2**15 times beta: at least 32
_MAX_THETA_Q32 = np.int64(16 << 32)
_ONE_Q32 = np.int64(1 << 32)
_LN2_Q26 = np.int64(int(LN2_HIGH * (1 << 26)))
_ONE = np.int64(1)


@kernel("int64(int64)")
def stretch_q16(probability_q30: np.int64) -> np.int64:
    """Log-odds ln(p / (1 - p)) in Q16 nats of a probability in Q30, 1 to 2**30 - 1.

    Off by at most 1 unit of Q16.
    """
    likely = min(max(probability_q30, _ONE), np.int64(ONE_Q30) - _ONE)
    octaves_q30 = log2_q30(likely) - log2_q30(np.int64(ONE_Q30) - likely)
    nats_q16: np.int64 = (octaves_q30 * _LN2_Q26 + (_ONE << np.int64(39))) >> np.int64(40)
    return nats_q16


@kernel("int64(int64, int64)")
def sinh_weight_q16(theta_q32: np.int64, beta_q16: np.int64) -> np.int64:
    """The weight beta * sinh(theta) in Q16 of a dual in Q32 octaves: an odd function.

    Args:
        theta_q32: within ±16 octaves.
        beta_q16: 1 to 65536.
    """
    size = abs(theta_q32)
    whole = size >> np.int64(32)
    # 2**size as 2**(whole + 1) * 2**-(1 - fraction): the table holds negative exponents.
    grown_q30 = exp2_fine_q30(((whole + _ONE) << np.int64(32)) - size) << (whole + _ONE)
    doubled_q46 = (grown_q30 - exp2_fine_q30(size)) * beta_q16
    weight: np.int64 = (doubled_q46 + (_ONE << np.int64(30))) >> np.int64(31)
    return weight if theta_q32 >= 0 else -weight


@kernel("int64(int64[::1], int64[::1], int64)")
def mix_q30(
    thetas_q32: NDArray[np.int64], inputs_q16: NDArray[np.int64], beta_q16: np.int64
) -> np.int64:
    """Probability of a one by the weighted sum of log-odds.

    Args:
        thetas_q32: (n,) int64, duals, within ±16 octaves; n at most 2048.
        inputs_q16: (n,) int64, log-odds in Q16 nats, within ±2**20.
        beta_q16: 1 to 65536.

    Returns:
        1 to 2**30 - 1.
    """
    log_odds_q32 = np.int64(0)
    for i in range(thetas_q32.shape[0]):
        log_odds_q32 += sinh_weight_q16(thetas_q32[i], beta_q16) * inputs_q16[i]
    return squash_q30(log_odds_q32)  # type: ignore[no-any-return]


@kernel("void(int64[::1], int64[::1], int64, int64, int64)")
def descend(
    thetas_q32: NDArray[np.int64],
    inputs_q16: NDArray[np.int64],
    probability_q30: np.int64,
    bit: np.int64,
    eta_q16: np.int64,
) -> None:
    """One step against the gradient of the coding loss, added to the duals.

    Args:
        thetas_q32: (n,) int64, changed, kept within ±16 octaves.
        inputs_q16: (n,) int64, what `mix_q30` was given.
        probability_q30: what it returned.
        bit: what came, 0 or 1.
        eta_q16: learning rate, Q16 octaves per unit of gradient, at most 2**22.
    """
    error_q30 = (bit << np.int64(30)) - probability_q30
    for i in range(thetas_q32.shape[0]):
        slope_q26 = (error_q30 * inputs_q16[i] + (_ONE << np.int64(19))) >> np.int64(20)
        step_q32 = (slope_q26 * eta_q16 + (_ONE << np.int64(9))) >> np.int64(10)
        moved = thetas_q32[i] + step_q32
        thetas_q32[i] = max(min(moved, _MAX_THETA_Q32), -_MAX_THETA_Q32)


class Mixer:
    """Weights for n predictions, one set for each context; `predict` and `update` take turns.

    Args:
        n: number of predictions, 1 to 2048.
        eta_q16: learning rate, Q16 octaves per unit of gradient.
        beta_q16: below it a weight moves by addition, above by multiplication, Q16,
            64 to 65536.
        contexts: number of sets of weights; each starts as 1 / n on every prediction.
    """

    def __init__(
        self, n: int, eta_q16: int, beta_q16: int = ONE_Q16 >> 4, contexts: int = 1
    ) -> None:
        good = 1 <= n <= MAX_INPUTS and contexts >= 1 and 0 < eta_q16 <= MAX_ETA_Q16
        if not good or not MIN_BETA_Q16 <= beta_q16 <= ONE_Q16:
            raise ShapeError(
                f"n is {n}, contexts {contexts}, eta_q16 {eta_q16}, beta_q16 {beta_q16}",
                where="mixing.Mixer",
                fix="use n of 1 to 2048, contexts >= 1, eta_q16 to 2**22, beta_q16 of 64 to 65536",
            )
        self._eta_q16, self._beta_q16 = eta_q16, beta_q16
        start = _theta_of_weight(ONE_Q16 // n, beta_q16)
        self._thetas_q32 = np.full((contexts, n), start, dtype=np.int64)
        self._inputs_q16 = np.zeros(n, dtype=np.int64)
        self._context, self._probability_q30 = -1, 0

    @property
    def weights_q16(self) -> NDArray[np.int64]:
        """(contexts, n) int64, the weights, Q16."""
        weights = [sinh_weight_q16(theta, self._beta_q16) for theta in self._thetas_q32.flat]
        return np.array(weights, dtype=np.int64).reshape(self._thetas_q32.shape)

    def predict(self, inputs_q16: NDArray[np.int64], context: int = 0) -> int:
        """Probability in Q30 that the next bit is a one.

        Args:
            inputs_q16: (n,) int64, log-odds of the predictions, Q16 nats, as `stretch_q16` gives.
            context: which set of weights.

        Raises:
            ShapeError: the inputs have another shape, dtype or range, or there is no such context.
        """
        inputs, contexts = np.asarray(inputs_q16), len(self._thetas_q32)
        if inputs.shape != self._inputs_q16.shape or inputs.dtype != np.int64:
            raise ShapeError(
                f"inputs are {inputs.dtype} of shape {inputs.shape}",
                where="mixing.predict",
                fix=f"give {self._inputs_q16.shape} int64",
            )
        outside = inputs.max() > MAX_LOG_ODDS_Q16 or inputs.min() < -MAX_LOG_ODDS_Q16
        if outside or not 0 <= context < contexts:
            raise ShapeError(
                f"context {context}, inputs up to {inputs.max()} and down to {inputs.min()}",
                where="mixing.predict",
                fix=f"give a context of 0 to {contexts - 1} and log-odds within 2**20",
            )
        self._inputs_q16[:] = inputs
        self._context = context
        self._probability_q30 = int(
            mix_q30(self._thetas_q32[context], self._inputs_q16, self._beta_q16)
        )
        return self._probability_q30

    def update(self, bit: int) -> None:
        """Learn from the bit that came after the last prediction.

        Raises:
            ShapeError: the bit is not 0 or 1, or nothing was predicted since the last update.
        """
        if bit not in (0, 1) or self._context < 0:
            raise ShapeError(
                f"bit {bit}, context {self._context}",
                where="mixing.update",
                fix="call predict first and give 0 or 1",
            )
        thetas = self._thetas_q32[self._context]
        descend(thetas, self._inputs_q16, self._probability_q30, bit, self._eta_q16)
        self._context = -1


def _theta_of_weight(weight_q16: int, beta_q16: int) -> int:
    """The largest dual whose weight is at most `weight_q16` (0 or more), by bisection."""
    low, high = 0, int(_MAX_THETA_Q32)
    while low < high:
        middle = (low + high + 1) >> 1
        if int(sinh_weight_q16(middle, beta_q16)) <= weight_q16:
            low = middle
        else:
            high = middle - 1
    return low
