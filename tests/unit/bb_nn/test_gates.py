"""The budget of the gates, held exactly."""

from __future__ import annotations

import pytest
import torch

from bb_nn.gates import Gates

DTYPES = [torch.float32, torch.bfloat16, torch.float16]


def mean_of(alphas: list[torch.Tensor]) -> float:
    return float(torch.cat(alphas).detach().double().mean())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("budget", [0.0, 1e-7, 0.01, 0.05, 0.3, 0.6, 1.0])
def test_the_mean_gate_never_exceeds_the_budget(budget, dtype):
    gates = Gates([3, 8, 500], start=0.05, budget=budget)
    for shift in (-50.0, -5.0, 0.0, 2.0, 50.0):
        for logits in gates.logits:
            torch.nn.init.normal_(logits, mean=shift)
        alphas = gates(dtype)
        assert mean_of(alphas) <= budget
        assert all(torch.equal(a, a.to(dtype).float()) and (a >= 0).all() for a in alphas)


def test_rounding_to_nearest_would_exceed_it():
    gates = Gates([4096], start=0.05, budget=0.03)
    exact = gates()[0]
    assert mean_of([exact.to(torch.bfloat16).float()]) > 0.03
    assert mean_of(gates(torch.bfloat16)) <= 0.03


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_it_holds_after_every_optimiser_step(dtype):
    torch.manual_seed(0)
    gates = Gates([16, 33], start=0.05, budget=0.05).to(dtype)
    optimiser = torch.optim.SGD(gates.parameters(), lr=30.0)
    for _ in range(20):
        (-sum((a * torch.randn_like(a).abs()).sum() for a in gates(dtype))).backward()
        optimiser.step()
        optimiser.zero_grad()
        assert 0 < mean_of(gates(dtype)) <= 0.05


def test_gates_below_the_budget_are_left_alone():
    alphas = Gates([4, 4], start=0.05, budget=0.5)()
    assert torch.cat(alphas).allclose(torch.tensor(0.05))


def test_moving_to_a_coarse_type_keeps_the_budget():
    gates = Gates([8], start=0.05, budget=0.05).to(torch.bfloat16)
    assert gates.budget == pytest.approx(0.05, abs=1e-9) and gates.budget <= 0.05


def test_gradients_reach_every_gate():
    gates = Gates([3, 5], start=0.3, budget=0.1)
    for logits in gates.logits:
        torch.nn.init.normal_(logits)
    (gates(torch.bfloat16)[1] * torch.arange(5.0)).sum().backward()
    assert all(logits.grad is not None and logits.grad.any() for logits in gates.logits)
