"""The alarm of forecasts that stop being worth their bits."""

from __future__ import annotations

from math import log2

import numpy as np
import pytest

from bem_kernel.errors import ShapeError
from bem_kernel.policy.code_length import BEST, SAVED, ForecastAlarm, bits_saved_q30

ONE_Q30 = 1 << 30


@pytest.mark.parametrize("p", [1, 1000, 1 << 28, 1 << 29, 3 << 28, ONE_Q30 - 1])
@pytest.mark.parametrize("outcome", [0, 20000, 65536])
def test_bits_saved(p: int, outcome: int) -> None:
    r = outcome / 65536
    expected = 1 + r * log2(p / ONE_Q30) + (1 - r) * log2(1 - p / ONE_Q30)
    assert bits_saved_q30(p, outcome) / ONE_Q30 == pytest.approx(expected, abs=4e-6)


def first_alarm(alarm: ForecastAlarm, p: float, outcomes: list[int]) -> int:
    forecast = int(p * ONE_Q30)
    given = [alarm.push(forecast, outcome * 65536) for outcome in outcomes]
    return given.index(True) if True in given else -1


def test_worth_that_is_lost_raises_the_alarm_and_tells_since_when() -> None:
    rng = np.random.default_rng(1)
    alarm = ForecastAlarm()
    assert first_alarm(alarm, 0.85, (rng.random(3000) < 0.85).astype(int).tolist()) == -1
    delay = first_alarm(alarm, 0.85, (rng.random(128) < 0.5).astype(int).tolist())
    assert 0 < delay < 100
    since = alarm.since_best - (128 - 1 - delay)
    assert abs(since - delay) < 25


def test_forecasts_that_were_never_worth_anything_raise_none() -> None:
    rng = np.random.default_rng(2)
    assert first_alarm(ForecastAlarm(), 0.9, (rng.random(5000) < 0.4).astype(int).tolist()) == -1


def test_what_learning_cost_is_no_debt() -> None:
    alarm = ForecastAlarm(8)
    assert first_alarm(alarm, 0.9, [0] * 500) == -1  # far below ignorance at first
    assert first_alarm(alarm, 0.9, [1] * 20) == -1  # then worth 0.85 bits a round
    assert alarm.savings[BEST] > 8 << 30
    assert first_alarm(alarm, 0.9, [0] * 10) > 0


def test_false_alarms_are_as_rare_as_promised() -> None:
    rng = np.random.default_rng(3)
    octaves, rounds, alarms = 4, 20000, 0
    alarm = ForecastAlarm(octaves)
    odds = rng.uniform(0.3, 0.9, rounds)
    outcomes = rng.random(rounds) < odds
    for p, outcome in zip(odds, outcomes, strict=True):
        if alarm.push(int(p * ONE_Q30), int(outcome) * 65536):
            alarms += 1
            alarm.clear()
    assert 0 < alarms <= rounds >> octaves


def test_savings_stay_in_range_for_ever() -> None:
    alarm = ForecastAlarm()
    alarm.savings[SAVED] = alarm.savings[BEST] = (1 << 61) - 1
    assert first_alarm(alarm, 0.99, [1] * 100) == -1
    assert alarm.savings[BEST] <= 1 << 61
    assert first_alarm(alarm, 0.99, [0] * 10) >= 0


@pytest.mark.parametrize("octaves", [0, 65])
def test_octaves_are_checked(octaves: int) -> None:
    with pytest.raises(ShapeError, match=rf"ForecastAlarm: octaves is {octaves}; use 1 to 64"):
        ForecastAlarm(octaves)


@pytest.mark.parametrize(("p", "outcome"), [(0, 0), (ONE_Q30, 0), (5, -1), (5, 65537)])
def test_forecasts_and_outcomes_are_checked(p: int, outcome: int) -> None:
    with pytest.raises(ShapeError, match=r"code_length\.push: forecast .*; give a forecast of 1"):
        ForecastAlarm().push(p, outcome)
