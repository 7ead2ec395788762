"""Scan and gates against their plain definitions."""

from __future__ import annotations

import pytest
import torch

from bb_nn.gates import Gates
from bb_nn.recurrence import linear_scan, linear_scan_ref


@pytest.mark.parametrize("length", [1, 2, 7, 64, 65])
@pytest.mark.parametrize("started", [False, True])
def test_the_scan_equals_its_reference(length, started):
    torch.manual_seed(length)
    decay, drive = torch.rand(2, length, 5).double(), torch.randn(2, length, 5).double()
    start = torch.randn(2, 5).double() if started else None
    want = linear_scan_ref(decay, drive, start)
    torch.testing.assert_close(linear_scan(decay, drive, start), want)


@pytest.mark.parametrize("budget", [0.0, 0.01, 0.05, 0.6, 1.0])
def test_the_mean_gate_never_exceeds_the_budget(budget):
    gates = Gates([3, 8], start=0.05, budget=budget)
    for shift in (-5.0, 0.0, 2.0, 50.0):
        for logits in gates.logits:
            torch.nn.init.normal_(logits, mean=shift)
        alphas = torch.cat(gates())
        assert alphas.mean() <= budget + 1e-7
        assert (alphas >= 0).all()


def test_gates_start_where_they_were_told():
    assert torch.cat(Gates([4, 4], start=0.05, budget=0.5)()).allclose(torch.tensor(0.05))
