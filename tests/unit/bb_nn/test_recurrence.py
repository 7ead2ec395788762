"""The scan and its gradients against the plain definition."""

from __future__ import annotations

import pytest
import torch

from bb_nn.recurrence import linear_scan, linear_scan_ref


@pytest.mark.parametrize("length", [1, 2, 7, 64, 65])
@pytest.mark.parametrize("started", [False, True])
def test_the_scan_and_its_gradients_equal_the_references(length, started):
    torch.manual_seed(length)
    decay, drive = torch.rand(2, length, 5).double(), torch.randn(2, length, 5).double()
    inputs = [decay, drive, torch.randn(2, 5).double()] if started else [decay, drive]
    slope, found = torch.randn(2, length, 5).double(), []
    for scan in (linear_scan, linear_scan_ref):
        leaves = [x.clone().requires_grad_() for x in inputs]
        states = scan(*leaves) if started else scan(*leaves, None)
        found.append([states, *torch.autograd.grad(states, leaves, slope)])
    torch.testing.assert_close(found[0], found[1])
