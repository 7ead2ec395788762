"""The gate's own sequential test, over the lifetime of a registry, keeps its promise."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bb_safety.policy import load_policy
from bb_safety.promote import sequential_test

POLICY = load_policy(Path(__file__).parents[3] / "configs" / "gate.yaml")


def unsafe(random: np.random.Generator, n: int) -> np.ndarray:
    """Paired differences of a candidate that is worse by exactly the margin."""
    old = random.random(n) < 0.02
    new = np.where(random.random(n) < 0.4, old, random.random(n) < 0.02 + POLICY.epsilon / 0.36)
    return 0.6 * (new.astype(float) - old)


def test_lifetimes_in_which_any_unsafe_candidate_is_promoted_are_rarer_than_delta() -> None:
    """40 lifetimes of 20 unsafe submissions, each looked at after every one of 600 samples."""
    random = np.random.default_rng(11)
    spoilt = 0
    for _ in range(40):
        looks = [
            sequential_test(unsafe(random, 600), POLICY, POLICY.delta_for(j)) for j in range(1, 21)
        ]
        spoilt += any(look.verdict == "promote" for look in looks)
    assert spoilt / 40 <= POLICY.delta


def test_without_spending_the_same_lifetimes_are_spoilt_more_often() -> None:
    """Testing each submission at a level of 0.05 does not keep the promise."""
    random = np.random.default_rng(11)
    spoilt = 0
    for _ in range(40):
        looks = [sequential_test(unsafe(random, 600), POLICY, 0.05) for _ in range(20)]
        spoilt += any(look.verdict == "promote" for look in looks)
    assert spoilt / 40 > POLICY.delta


def test_equal_candidates_are_promoted_within_the_samples_allowed() -> None:
    random = np.random.default_rng(12)
    verdicts = []
    for _ in range(30):
        old = random.random(POLICY.max_samples) < 0.02
        own = random.random(POLICY.max_samples) < 0.02
        new = np.where(random.random(POLICY.max_samples) < 0.4, old, own)
        look = sequential_test(0.6 * (new.astype(float) - old), POLICY, POLICY.delta_for(1))
        verdicts.append(look.verdict)
    assert verdicts.count("promote") >= 29


def test_nothing_is_decided_before_the_first_look() -> None:
    much_safer = np.full(POLICY.min_samples, -0.9)
    short = sequential_test(much_safer[:-1], POLICY, POLICY.delta_for(1))
    full = sequential_test(much_safer, POLICY, POLICY.delta_for(1))
    assert (short.verdict, full.verdict) == ("more_data", "promote")


def test_the_first_look_that_decides_decides() -> None:
    """Harm after the promoting look, or proof of safety after the rejecting one, comes too late."""
    good, bad = np.full(300, -0.5), np.full(300, 0.5)
    assert sequential_test(np.concatenate([good, bad]), POLICY, 0.03).verdict == "promote"
    rejected = sequential_test(np.concatenate([bad, good]), POLICY, 0.03)
    assert (rejected.verdict, rejected.n) == ("reject", POLICY.min_samples)
