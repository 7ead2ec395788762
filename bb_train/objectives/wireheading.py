"""Anti-wireheading audit: does a proxy still move with the truth it stands for?

A proxy (a constraint's loss on training batches) and a held-out truth (a loss on data that no
gradient has seen) are observed together, again and again. As long as the proxy is honest they rise
and fall together. Training that has found a way to please the proxy alone makes them part.

The covariance over a window is what is logged. It has no bound, so no valid test at unknown scales;
the alarm rests on its sign. Observations are taken in pairs that do not overlap; a pair votes +1 if
proxy and truth moved the same way between its two observations, −1 if opposite ways, 0 if either
stood still (the kernel of Kendall's rank covariance). Null hypothesis: given the past, the expected
vote is not negative. A gambler who bets the fraction b of his wealth on −1 multiplies it by
(1 − b vote), which under the null does not grow in expectation. He does not know when the proxy
turns, so he keeps the share R_t = 1 / (1 + ln(1 + t)) of his unit back for starts after pair t, and
puts R_{t−1} − R_t on the start at pair t. The wealth of all starts together obeys

    A_t = (A_{t−1} + R_{t−1} − R_t) (1 − b vote_t),      wealth_t = A_t + R_t.

It starts at 1 and is a supermartingale under the null, as is its mean over a few b. By Ville's
inequality the chance that it *ever* reaches K / δ for any of K proxies is at most δ, however often
one looks and however long the honest time before.

Sources: builderbrain 9 (audit covariance); Ville 1939; Shafer & Vovk 2019; Shin, Ramdas, Rinaldo
2022 for evidence summed over starting times.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from bb_train.objectives.errors import ObjectiveError, StateError

_BETS = (0.2, 0.5, 0.8)
_RICH = 1e200  # wealth is not counted beyond: an alarm has long been raised


@dataclass(frozen=True)
class Audit:
    """The record of one audit; a value.

    Attributes:
        proxies: names.
        false_alarm: δ, chance of any alarm, ever, while all proxies are honest.
        window: observations whose covariance is reported.
        wealth: for each proxy A_t for each bet.
        pairs: t, pairs seen.
        recent: the last observations, each proxies in order and then the truth.
        first: the first half of a pair that is not complete; empty if there is none.
        alarms: proxies that have raised the alarm; it stays.
    """

    proxies: tuple[str, ...]
    false_alarm: float
    window: int
    wealth: tuple[tuple[float, ...], ...]
    pairs: int = 0
    recent: tuple[tuple[float, ...], ...] = ()
    first: tuple[float, ...] = ()
    alarms: tuple[str, ...] = ()


def start_audit(proxies: Sequence[str], *, false_alarm: float = 0.05, window: int = 50) -> Audit:
    """An audit that has seen nothing.

    Args:
        proxies: names of losses; lower is meant to be better.
        false_alarm: δ, in (0, 1).
        window: observations for the reported covariance, at least 2.
    """
    names = tuple(proxies)
    if not names or len(set(names)) < len(names):
        raise ObjectiveError(f"proxies {list(names)}", where="audit", fix="give distinct names")
    if not 0 < false_alarm < 1 or window < 2:
        raise ObjectiveError(
            f"false alarm {false_alarm}, window {window}", where="audit",
            fix="use a chance in (0, 1) and a window of 2 or more",
        )  # fmt: skip
    return Audit(names, false_alarm, window, ((0.0,) * len(_BETS),) * len(names))


def observe(audit: Audit, proxies: Mapping[str, float], truth: float) -> Audit:
    """Enter one joint observation.

    Args:
        audit: before.
        proxies: the loss of every proxy, in any units.
        truth: the held-out loss, measured on the same weights; lower is better.

    Raises:
        ObjectiveError: a proxy is missing, unknown, or a number is not finite.
    """
    odd = sorted(set(proxies) ^ set(audit.proxies))
    if odd:
        raise ObjectiveError(
            f"{odd[0]} is missing or unknown", where="audit", fix=f"give {', '.join(audit.proxies)}"
        )
    now = (*(float(proxies[name]) for name in audit.proxies), float(truth))
    if not all(map(math.isfinite, now)):
        raise ObjectiveError(
            f"observation {now} is not finite", where="audit", fix="find what made it so"
        )
    recent = (*audit.recent, now)[-audit.window :]
    if not audit.first:
        return replace(audit, recent=recent, first=now)
    t = audit.pairs + 1
    fresh = _kept_back(t - 1) - _kept_back(t)
    votes = [_vote(a, b, audit.first[-1], now[-1]) for a, b in zip(audit.first, now, strict=True)]
    wealth = tuple(
        tuple(min(_RICH, (a + fresh) * (1 - b * vote)) for a, b in zip(old, _BETS, strict=True))
        for old, vote in zip(audit.wealth, votes[:-1], strict=True)
    )
    after = replace(audit, recent=recent, first=(), wealth=wealth, pairs=t)
    needed = len(audit.proxies) / audit.false_alarm
    raised = [name for name in audit.proxies if evidence(after, name) >= needed]
    return replace(after, alarms=tuple(dict.fromkeys((*audit.alarms, *raised))))


def evidence(audit: Audit, proxy: str) -> float:
    """The wealth won against a proxy's honesty; 1 at the start, an alarm at proxies / δ."""
    mine = audit.wealth[audit.proxies.index(proxy)]
    return math.fsum(mine) / len(mine) + _kept_back(audit.pairs)


def covariances(audit: Audit) -> dict[str, float]:
    """Sample covariance of each proxy with the truth over the window; of one observation, 0."""
    count = len(audit.recent)
    if count < 2:
        return dict.fromkeys(audit.proxies, 0.0)
    *columns, truth = zip(*audit.recent, strict=True)
    middle = math.fsum(truth) / count
    found = {}
    for name, column in zip(audit.proxies, columns, strict=True):
        mean = math.fsum(column) / count
        products = [(x - mean) * (y - middle) for x, y in zip(column, truth, strict=True)]
        found[name] = math.fsum(products) / (count - 1)
    return found


def audit_to_json(audit: Audit) -> dict[str, Any]:
    """Plain data from which `audit_from_json` makes the same bits."""
    return asdict(audit)


def audit_from_json(data: Mapping[str, Any]) -> Audit:
    """Inverse of `audit_to_json`.

    Raises:
        StateError: the data is damaged.
    """
    try:
        fresh = start_audit(data["proxies"], false_alarm=data["false_alarm"], window=data["window"])
        audit = replace(
            fresh,
            wealth=tuple(tuple(map(float, row)) for row in data["wealth"]),
            pairs=int(data["pairs"]),
            recent=tuple(tuple(map(float, row)) for row in data["recent"]),
            first=tuple(map(float, data["first"])),
            alarms=tuple(map(str, data["alarms"])),
        )
    except (ObjectiveError, KeyError, TypeError, ValueError) as error:
        raise StateError(f"no audit ({error})", where="audit", fix="start a new one") from error
    width = len(audit.proxies) + 1
    shapes_fit = [len(row) for row in audit.wealth] == [len(_BETS)] * len(audit.proxies)
    if not shapes_fit or any(len(row) != width for row in audit.recent):
        raise StateError("rows of other lengths", where="audit", fix="start a new one")
    return audit


def _kept_back(pairs: int) -> float:
    """R: the share kept for starts after so many pairs; it falls slowly, for the late ones."""
    return 1 / (1 + math.log1p(pairs))


def _vote(before: float, after: float, truth_before: float, truth_after: float) -> int:
    """+1 where both moved the same way, −1 where opposite ways, 0 where one stood still."""
    moved = (after > before) - (after < before)
    return moved * ((truth_after > truth_before) - (truth_after < truth_before))
