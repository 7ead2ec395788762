"""The audit: false alarms as rare as stated, planted wireheading found, states kept."""

import json
import math

import numpy as np
import pytest

from bb_train.objectives.errors import ObjectiveError, StateError
from bb_train.objectives.wireheading import (
    audit_from_json,
    audit_to_json,
    covariances,
    evidence,
    observe,
    start_audit,
)


def run(proxy, truth, **options):
    """Observe two series; returns the audit and how many observations the alarm took."""
    audit = start_audit(["proxy"], **options)
    for t, (x, y) in enumerate(zip(proxy, truth, strict=True)):
        audit = observe(audit, {"proxy": x}, y)
        if audit.alarms:
            return audit, t + 1
    return audit, None


def test_an_honest_proxy_of_no_use_seldom_alarms_however_long():
    """The worst case of the null: proxy and truth independent. 400 runs of 300 looks, δ = 0.1."""
    rng = np.random.default_rng(0)
    alarms = sum(
        run(*rng.normal(size=(2, 300)), false_alarm=0.1)[1] is not None for _ in range(400)
    )
    assert alarms <= 0.1 * 400  # in expectation below; measured: far below


def test_several_proxies_share_the_chance_of_a_false_alarm():
    rng = np.random.default_rng(1)
    alarms = 0
    for _ in range(150):
        audit = start_audit(["a", "b", "c", "d"], false_alarm=0.2)
        for row in rng.normal(size=(150, 5)).tolist():
            audit = observe(audit, dict(zip("abcd", row, strict=False)), row[4])
        alarms += bool(audit.alarms)
    assert alarms <= 0.2 * 150


def test_the_gamblers_wealth_is_fair_against_a_fair_coin():
    """All 2^10 vote sequences of a fair coin: the mean wealth is exactly 1."""
    total = 0.0
    for bits in range(2**10):
        audit = start_audit(["p"])
        for k in range(10):
            audit = observe(audit, {"p": 0.0}, 0.0)
            audit = observe(audit, {"p": 1.0 if bits >> k & 1 else -1.0}, 1.0)
        total += evidence(audit, "p")
    assert total / 2**10 == pytest.approx(1.0)


def test_honest_learning_never_alarms():
    """Both fall together, with noise that they share and noise that they do not."""
    rng = np.random.default_rng(2)
    trend = np.exp(-np.arange(400) / 100)
    shared = 0.1 * rng.normal(size=400)
    proxy, truth = (trend + shared + 0.05 * rng.normal(size=400) for _ in range(2))
    audit, when = run(proxy, truth)
    assert when is None and evidence(audit, "proxy") < 0.5
    assert covariances(audit)["proxy"] > 0


@pytest.mark.parametrize("honest", [0, 40, 400])
def test_planted_wireheading_is_found(honest):
    """From some step on the builder lowers the proxy at the truth's expense."""
    delays = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        moves = rng.normal(size=honest + 160)
        turned = np.where(np.arange(honest + 160) < honest, 1.0, -1.0)
        proxy = 10.0 + moves
        truth = 5.0 + turned * moves + 0.5 * rng.normal(size=honest + 160)
        audit, when = run(proxy, truth, window=20)
        assert when is not None and when > honest
        assert covariances(audit)["proxy"] < 0
        delays.append(when - honest)
    assert np.median(delays) <= 80


def test_wireheading_by_a_trend_is_found():
    """The proxy goes on falling; the truth, which fell with it, rises."""
    rng = np.random.default_rng(3)
    steps = np.arange(200)
    proxy = 1 / (1 + steps / 20) + 0.001 * rng.normal(size=200)
    truth = np.where(steps < 60, 1 - steps / 100, 0.4 + (steps - 60) / 100)
    _, when = run(proxy, truth)
    assert when is not None and 60 < when < 120


def test_units_and_monotone_transformations_do_not_matter():
    rng = np.random.default_rng(4)
    proxy, truth = rng.normal(size=(2, 60))
    plain, _ = run(proxy, truth)
    other, _ = run(np.exp(3 * proxy) * 1e6, truth / 1e9)
    assert other.wealth == plain.wealth


def test_what_stands_still_says_nothing():
    audit, _ = run([1.0] * 40, range(40))
    assert evidence(audit, "proxy") == pytest.approx(1.0)


def test_an_alarm_stays():
    audit, when = run([float(-t) for t in range(100)], range(100))
    assert when is not None and audit.alarms == ("proxy",)
    for t in range(50):
        audit = observe(audit, {"proxy": t}, t)
    assert audit.alarms == ("proxy",)


def test_covariance_over_the_window_is_numpys():
    rng = np.random.default_rng(5)
    rows = rng.normal(size=(30, 3)).tolist()
    audit = start_audit(["a", "b"], window=12)
    assert covariances(audit) == {"a": 0.0, "b": 0.0}
    for a, b, y in rows:
        audit = observe(audit, {"a": a, "b": b}, y)
    matrix = np.cov(np.array(rows[-12:]).T)
    assert covariances(audit) == {
        "a": pytest.approx(matrix[0, 2]), "b": pytest.approx(matrix[1, 2])
    }  # fmt: skip


def test_a_resumed_audit_is_the_unbroken_one():
    rng = np.random.default_rng(6)
    rows = rng.normal(size=(41, 2)).tolist()
    whole = start_audit(["p"])
    for x, y in rows:
        whole = observe(whole, {"p": x}, y)
    half = start_audit(["p"])
    for x, y in rows[:17]:  # in the middle of a pair
        half = observe(half, {"p": x}, y)
    half = audit_from_json(json.loads(json.dumps(audit_to_json(half))))
    for x, y in rows[17:]:
        half = observe(half, {"p": x}, y)
    assert half == whole


def test_wealth_is_counted_up_to_a_bound():
    audit, _ = run([1.0], [1.0])
    for t in range(4000):
        audit = observe(audit, {"proxy": -t}, t)
    assert math.isfinite(evidence(audit, "proxy"))


def test_what_cannot_be_meant_is_refused():
    with pytest.raises(ObjectiveError, match="audit: proxies .*; give distinct names"):
        start_audit(["a", "a"])
    with pytest.raises(ObjectiveError, match="audit: false alarm 0, window 50"):
        start_audit(["a"], false_alarm=0)
    with pytest.raises(ObjectiveError, match="audit: b is missing or unknown; give a"):
        observe(start_audit(["a"]), {"a": 1.0, "b": 1.0}, 0.0)
    with pytest.raises(ObjectiveError, match="audit: observation .* is not finite"):
        observe(start_audit(["a"]), {"a": math.nan}, 0.0)
    good = audit_to_json(start_audit(["a"]))
    for bad in ({}, {**good, "wealth": [["x"]]}, {**good, "false_alarm": 2}):
        with pytest.raises(StateError, match="audit: no audit"):
            audit_from_json(bad)
    with pytest.raises(StateError, match="rows of other lengths"):
        audit_from_json({**good, "wealth": [[0.0]]})
