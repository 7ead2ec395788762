"""How much do the integer weights lose, against the bound that is proved for them and in float64?

Three adversaries with losses in [0, 1]: fair coins with one slightly better expert (stochastic);
two halves that alternate, each losing when it has just been ahead, until one expert is suddenly
perfect (switching); and one that sees the weights, charges half of the mass in each round, heavy
experts first, and at last all but the leader (adaptive; nearly the worst there is for Hedge).
K = 16, 64 and 256 experts; T = 1e5 rounds, 1e6 with `--full`. A row shows the worst K. Both
learners play every round against the same losses, chosen against the integers.
"""

from __future__ import annotations

from functools import cache
from itertools import repeat
from typing import Any

from benchmarks.frame import Context, Measured, row

EXPERTS = (16, 64, 256)
STOCHASTIC, SWITCHING, ADAPTIVE = range(3)


@cache
def _players() -> Any:
    """The compiled game; float64 is the peer's, the integers are the machine's own kernels."""
    import numpy as np
    from numba import njit

    from bem_kernel.policy.counter import ticket
    from bem_kernel.policy.weights import add_losses, weigh_totals

    @njit
    def choose(adversary: int, t: int, rounds: int, weights: Any, losses: Any, seed: int) -> None:
        n = losses.shape[0]
        total = weights.sum()
        for i in range(n):
            if adversary == 0:
                drawn = ticket(np.uint64(seed), np.uint64(t * n + i)) >> np.uint64(40)
                half = 1 << 23
                better = int(half * (1 / np.sqrt(rounds))) if i == n // 2 else 0
                losses[i] = 65536 if np.int64(drawn) < half - better else 0
            elif adversary == 1:
                perfect = i == n // 2 and t >= rounds - rounds // 16
                losses[i] = 65536 if (i + t) % 2 == 0 and not perfect else 0
            else:
                losses[i] = 65536 if t >= rounds - rounds // 16 else 0
        if adversary == 2 and t >= rounds - rounds // 16:
            losses[weights.argmax()] = 0
        elif adversary == 2:
            mass = 0
            for turn in range(2):
                for k in range(n):
                    i = (k + t) % n
                    heavy = weights[i] * n >= total
                    if heavy == (turn == 0) and 2 * (mass + weights[i]) <= total:
                        losses[i] = 65536
                        mass += weights[i]

    @njit
    def play(adversary: int, n: int, rounds: int, eta_q32: int, seed: int) -> tuple[float, float]:
        totals, weights = np.zeros(n, np.int64), np.zeros(n, np.int64)
        losses, sums = np.zeros(n, np.int64), np.zeros(n)
        eta = np.log(2.0) * eta_q32 / 2.0**32
        ours, peers = 0.0, 0.0
        for t in range(rounds):
            total = weigh_totals(totals, eta_q32, weights)
            choose(adversary, t, rounds, weights, losses, seed)
            charged, weighed, least = 0, 0.0, sums.min()
            exact = 0.0
            for i in range(n):
                charged += weights[i] * losses[i]
                weight = np.exp(-eta * (sums[i] - least))
                weighed += weight * (losses[i] / 65536)
                exact += weight
                sums[i] += losses[i] / 65536
            ours += charged / (total * 65536.0)
            peers += weighed / exact
            add_losses(totals, losses)
        return ours - sums.min(), peers - sums.min()

    return play


@cache
def _shares(adversary: int, context: Context) -> tuple[tuple[float, float], ...]:
    """For each K, integer regret and its distance from float regret, as shares of the bound."""
    from bem_kernel.policy.bounds import hedge_bound
    from bem_kernel.policy.rates import hedge_rate_q32

    rounds = 10**6 if context.full else 10**5
    found = []
    for n in EXPERTS:
        rate = hedge_rate_q32(n, rounds)
        bound = float(hedge_bound(n, repeat(rate, rounds)))
        ours, peers = _players()(adversary, n, rounds, rate, context.seed)
        found.append((ours / bound, abs(ours - peers) / bound))
    return tuple(found)


def _worst_regret(adversary: int, context: Context) -> Measured:
    return Measured([max(regret for regret, _ in _shares(adversary, context))], [1.0])


@row(
    "machine.weights_regret_stochastic",
    peer_name="proved bound",
    unit="of the bound",
    target=1.0,
    better="less",
)
def regret_stochastic(context: Context) -> Measured:
    """Regret against fair coins and one slightly better expert."""
    return _worst_regret(STOCHASTIC, context)


@row(
    "machine.weights_regret_switching",
    peer_name="proved bound",
    unit="of the bound",
    target=1.0,
    better="less",
)
def regret_switching(context: Context) -> Measured:
    """Regret against halves that alternate, then one expert that is suddenly perfect."""
    return _worst_regret(SWITCHING, context)


@row(
    "machine.weights_regret_adaptive",
    peer_name="proved bound",
    unit="of the bound",
    target=1.0,
    better="less",
)
def regret_adaptive(context: Context) -> Measured:
    """Regret against an adversary that splits the weights evenly, then favours the leader."""
    return _worst_regret(ADAPTIVE, context)


@row(
    "machine.weights_integer_float",
    peer_name="a thousandth of the bound",
    unit="of the bound",
    target=1.0,
    better="less",
)
def integer_float(context: Context) -> Measured:
    """Distance between the regret of the integers and that of float64, on the same losses."""
    games = [_shares(adversary, context) for adversary in (STOCHASTIC, SWITCHING, ADAPTIVE)]
    return Measured([max(distance for game in games for _, distance in game)], [0.001])
