"""Draws follow their distribution, their nucleus and their own stream."""

from __future__ import annotations

import math
from random import Random

import pytest
import torch

from bb_runtime.choose import Draw, choose_tokens, forced_logprob, token_logprobs

LOGITS = torch.tensor([2.0, 0.0, 1.0, -1.0, 1.0, -math.inf])
P = LOGITS.softmax(-1)


def frequencies(top_p, temperature=1.0, draws=20_000):
    rng = Random(0)
    drawn = choose_tokens(LOGITS.expand(draws, -1), [Draw(temperature, top_p, rng.random)] * draws)
    return torch.bincount(torch.tensor(drawn), minlength=6) / draws


def test_greedy_takes_the_likeliest_and_draws_nothing():
    def never():
        raise AssertionError

    assert choose_tokens(LOGITS[None], [Draw(0.0, 1.0, never)]) == [0]


def test_plain_sampling_follows_the_distribution():
    assert torch.allclose(frequencies(1.0), P, atol=0.012)
    assert frequencies(1.0)[5] == 0


def test_temperature_sharpens():
    assert torch.allclose(frequencies(1.0, 0.5), (LOGITS / 0.5).softmax(-1), atol=0.012)
    assert frequencies(1.0, 1e-30)[0] == 1


@pytest.mark.parametrize(
    ("top_p", "kept"),
    [(0.05, [0]), (0.5, [0]), (0.7, [0, 2]), (0.75, [0, 2, 4]), (0.95, [0, 1, 2, 4])],
)
def test_a_nucleus_is_cut_and_scaled_up(top_p, kept):
    expected = torch.zeros(6)
    expected[kept] = P[kept] / P[kept].sum()
    assert torch.allclose(frequencies(top_p), expected, atol=0.012)


def test_unlucky_rows_are_sorted():
    always_last = Draw(1.0, 0.3, lambda: 0.999)
    assert choose_tokens(LOGITS[None], [always_last]) == [0]


def test_rows_do_not_disturb_each_other():
    rng = Random(5)
    rows = torch.randn(6, 6, generator=torch.Generator().manual_seed(0))
    streams = [[rng.random() for _ in range(20)] for _ in rows]

    def draw(row):
        return Draw([0.0, 1.0, 2.0][row % 3], [1.0, 0.6][row % 2], iter(streams[row]).__next__)

    together = choose_tokens(rows.clone(), [draw(row) for row in range(6)])
    assert together == [choose_tokens(rows[r : r + 1].clone(), [draw(r)])[0] for r in range(6)]


def test_logprobs_leave_out_what_is_forbidden():
    told = token_logprobs(LOGITS, 2, 9)
    assert told.logprob == pytest.approx(float(P[2].log()), abs=1e-6)
    assert [token for token, _ in told.top] == [0, 2, 4, 1, 3]
    assert forced_logprob(4, 2).top == ((4, 0.0),)
    assert forced_logprob(4, 0).top == ()


def test_logprobs_tell_what_the_mask_left():
    asked, forced = token_logprobs(LOGITS, 2, 1), forced_logprob(4, 2)
    assert (asked.allowed, asked.is_forced) == (5, False)
    assert (forced.allowed, forced.is_forced) == (1, True)
