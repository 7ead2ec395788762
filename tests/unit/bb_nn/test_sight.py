"""The attention's own backward pass against that of its definition."""

from __future__ import annotations

import pytest
import torch

from bb_nn.sight import NEVER, Sight


def plain(sight: Sight, x, keys, relations):
    """The weights as the module's docstring states them."""
    batch, heads = len(x), sight.heads
    q = sight.query(x).view(batch, -1, heads, sight.head_width).transpose(1, 2)
    k = keys.view(batch, -1, heads, sight.head_width).transpose(1, 2)
    scores = q @ k.transpose(-1, -2) * sight.head_width**-0.5
    scores = scores + torch.einsum("hr,brts->bhts", sight.bonus, relations[:, :-1])
    return (scores + NEVER * relations[:, -1:]).softmax(-1)


@pytest.mark.parametrize(("new", "total"), [(7, 7), (1, 9)])
def test_weights_and_gradients_are_those_of_the_definition(new, total):
    torch.manual_seed(0)
    sight = Sight(6, 10, 4, torch.randn(3, 2))
    x = torch.randn(2, new, 6, requires_grad=True)
    keys = torch.randn(2, total, 12, requires_grad=True)
    relations = (torch.rand(2, 3, new, total) < 0.4).float()
    relations[:, -1, :, 0] = 0  # everybody sees the first
    slope = torch.randn(2, 3, new, total)
    leaves = [x, keys, sight.bonus, sight.query.weight]
    found, want = sight(x, keys, relations), plain(sight, x, keys, relations)
    torch.testing.assert_close(found, want)
    for strided in (slope, slope.transpose(2, 3).contiguous().transpose(2, 3)):
        ours = torch.autograd.grad(found, leaves, strided, retain_graph=True)
        torch.testing.assert_close(ours, torch.autograd.grad(want, leaves, slope, True))
    assert not found[relations[:, None, -1].bool().expand_as(found)].any()


def test_bonuses_keep_their_precision_under_autocast():
    torch.manual_seed(0)
    sight = Sight(8, 8, 4, torch.full((2, 1), 4.0))
    x, keys = torch.randn(1, 5, 8), torch.randn(1, 5, 8)
    relations = torch.zeros(1, 2, 5, 5)
    relations[:, 0, :, 1] = 1
    want = sight(x, keys, relations)
    with torch.autocast("cpu", torch.bfloat16):
        found = sight(x, keys, relations)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, want, atol=1e-2, rtol=0)
