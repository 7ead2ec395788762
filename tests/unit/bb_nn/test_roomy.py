"""A roomy layer holds what the layer of transformers holds, whatever is done to either."""

from __future__ import annotations

import pytest
import torch
from transformers.cache_utils import DynamicLayer

from bb_nn.roomy import RoomyLayer


def states(rows: int, tokens: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(rows, 2, tokens, 4), torch.randn(rows, 2, tokens, 4)


@pytest.mark.parametrize("seed", range(20))
def test_like_the_layer_of_transformers(seed):
    torch.manual_seed(seed)
    ours, theirs, rows = RoomyLayer(), DynamicLayer(), 3
    for _ in range(60):
        what = int(torch.randint(5, ()))
        length = ours.get_seq_length()
        if what == 0 and length > 4:
            for layer in (ours, theirs):
                layer.crop(-3)
        elif what == 1 and length:
            kept = torch.randint(rows, (rows,))
            for layer in (ours, theirs):
                layer.reorder_cache(kept)
        elif what == 2 and length and rows > 1:
            for layer in (ours, theirs):
                layer.batch_select_indices(torch.arange(1, rows))
            rows -= 1
        else:
            new = states(rows, int(torch.randint(1, 40, ())))
            for found, wanted in zip(ours.update(*new), theirs.update(*new), strict=True):
                assert torch.equal(found, wanted)
        assert ours.get_seq_length() == theirs.get_seq_length()


def test_a_token_moves_no_other():
    layer = RoomyLayer()
    layer.update(*states(2, 10))
    before = layer.keys.data_ptr()
    for _ in range(50):
        layer.update(*states(2, 1))
    assert layer.keys.data_ptr() == before
    assert layer.keys.shape == (2, 2, 60, 4)


def test_after_a_reset_nothing_is_left():
    layer = RoomyLayer()
    layer.update(*states(2, 10))
    layer.reset()
    assert layer.get_seq_length() == 0
    keys, _ = layer.update(*states(1, 2))
    assert keys.shape == (1, 2, 2, 4)
