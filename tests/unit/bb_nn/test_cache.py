"""The rail's cache: crops of any length, rows that come and go, turns of a chat, the disk."""

from __future__ import annotations

import json

import pytest
import torch
from transformers import DynamicCache

from bb_nn.cache_files import load_cache, save_cache
from bb_nn.errors import CacheError
from bb_nn.memory import TAIL, RailCacheLayer

VARIANTS = {
    "linear": {"mixer": "linear", "library": {"skills": 4, "rank": 2}},
    "gru": {"mixer": "gru"},
    "attention": {"mixer": "attention", "window": 24},
}


@pytest.fixture(params=VARIANTS)
def dual(request, make_dual):
    return make_dual(**VARIANTS[request.param])


def _ids(tokenizer, text):
    return torch.tensor([tokenizer(text)["input_ids"]])


def _read(dual, cache, ids):
    return dual(input_ids=ids, past_key_values=cache, use_cache=True).logits


@pytest.mark.parametrize("kept", [1, 2, 5, 30, 99, 149])
@torch.no_grad()
def test_a_crop_of_any_length_leaves_no_trace(dual, kept, tokenizer, text):
    ids, cache = _ids(tokenizer, text), dual.new_cache()
    _read(dual, cache, ids[:, :100])
    for token in ids[:, 100:150].split(1, dim=1):
        _read(dual, cache, token)
    cache.crop(kept - 150)
    assert cache.get_seq_length() == kept
    assert cache.layers[-1].stale == (150 - kept > TAIL)
    again = _read(dual, cache, ids[:, kept:180].flip(1))
    text_left = torch.cat([ids[:, :kept], ids[:, kept:180].flip(1)], dim=1)
    torch.testing.assert_close(again, dual(text_left).logits[:, kept:], rtol=0, atol=1e-5)


@torch.no_grad()
def test_recurrent_state_does_not_grow(dual, tokenizer, text):
    ids, cache = _ids(tokenizer, text), dual.new_cache()
    layer = cache.layers[-1]
    _read(dual, cache, ids[:, :100])
    for token in ids[:, 100:180].split(1, dim=1):
        _read(dual, cache, token)
        assert all(tail.shape[1] <= TAIL + 1 for tail in layer.tails().values())
        assert len(layer.cursors[0]) <= TAIL
    cache.activate_past_recording()
    _read(dual, cache, ids[:, :80])
    assert all(tail.shape[1] >= 80 for tail in layer.tails().values())
    cache.crop(0)
    assert all(tail.shape[1] <= TAIL for tail in layer.tails().values())


@torch.no_grad()
def test_rows_are_selected_repeated_reordered_and_joined(dual, tokenizer, text):
    ids = torch.cat([_ids(tokenizer, text), _ids(tokenizer, text).roll(9, dims=1)])
    want = dual(ids).logits[:, 100:150]
    cache = dual.new_cache()
    _read(dual, cache, ids[:, :100])
    cache.batch_repeat_interleave(2)
    cache.reorder_cache(torch.tensor([2, 0, 1, 3]))
    cache.batch_select_indices(torch.tensor([1, 0]))
    found = _read(dual, cache, ids[:, 100:150])
    torch.testing.assert_close(found, want, rtol=0, atol=1e-5)
    rows = [RailCacheLayer(), RailCacheLayer()]
    for row, layer in enumerate(rows):
        own = dual.new_cache()
        own.layers[-1] = layer
        _read(dual, own, ids[row : row + 1, : 40 + 60 * row])
    rows[0].join(rows[1])
    assert rows[0].get_seq_length() == 100
    assert {len(tail) for tail in rows[0].tails().values()} == {2}


@torch.no_grad()
def test_turns_of_a_chat_read_only_what_is_new(dual, tokenizer, text):
    cache, said = dual.new_cache(), _ids(tokenizer, text[:60])
    for turn in (text[60:90], text[90:130]):
        kept = {"past_key_values": cache, "do_sample": False, "max_new_tokens": 6}
        got = dual.generate(said, attention_mask=torch.ones_like(said), **kept)
        plain = dual.generate(said, do_sample=False, max_new_tokens=6, use_cache=False)
        assert got.tolist() == plain.tolist()
        said = torch.cat([got, _ids(tokenizer, turn)], dim=1)


@torch.no_grad()
def test_saved_mid_sequence_and_loaded(dual, tmp_path, tokenizer, text):
    ids, cache = _ids(tokenizer, text), dual.new_cache()
    _read(dual, cache, ids[:, :120])
    save_cache(dual, cache, tmp_path / "cache")
    loaded = load_cache(dual, tmp_path / "cache")
    assert torch.equal(_read(dual, loaded, ids[:, 120:]), _read(dual, cache, ids[:, 120:]))


@torch.no_grad()
def test_damaged_or_foreign_caches_are_refused(make_dual, tmp_path, tokenizer, text):
    dual, folder = make_dual(), tmp_path / "cache"
    cache = dual.new_cache()
    _read(dual, cache, _ids(tokenizer, text))
    save_cache(dual, cache, folder)
    with pytest.raises(CacheError, match="another base, rail, alpha budget or program"):
        load_cache(make_dual(mixer="gru"), folder)
    record = json.loads((folder / "cache.json").read_text())
    for change in ({"cursors": []}, {"layers": record["layers"][:1]}, {"layers": None}):
        (folder / "cache.json").write_text(json.dumps(record | change))
        with pytest.raises(CacheError, match="it is damaged"):
            load_cache(dual, folder)
    (folder / "cache.json").write_text(json.dumps(record | {"format": 9}))
    with pytest.raises(CacheError, match="no saved cache of this version"):
        load_cache(dual, folder)


@torch.no_grad()
def test_a_cache_of_the_base_alone_is_refused(make_dual, tokenizer, text):
    dual, ids = make_dual(), _ids(tokenizer, text)
    cache = DynamicCache()
    dual.base(ids, past_key_values=cache, use_cache=True)
    with pytest.raises(CacheError, match="the base alone has written"):
        dual(ids[:, :1], past_key_values=cache)


@torch.no_grad()
def test_any_empty_dynamic_cache_will_do(make_dual, tokenizer, text):
    dual, ids = make_dual(), _ids(tokenizer, text)
    want = dual(ids).logits
    for cache in (DynamicCache(), DynamicCache(config=dual.base.config), None):
        out = dual(ids[:, :70], past_key_values=cache, use_cache=True)
        rest = _read(dual, out.past_key_values, ids[:, 70:])
        torch.testing.assert_close(rest, want[:, 70:], rtol=0, atol=1e-5)


def test_static_caches_hold_the_rail_too(make_dual, tokenizer, text):
    dual, ids = make_dual(), _ids(tokenizer, text[:60])
    plain = dual.generate(ids, max_new_tokens=6, do_sample=False)
    static = dual.generate(ids, max_new_tokens=6, do_sample=False, cache_implementation="static")
    assert static.tolist() == plain.tolist()
