"""Packed rows hold each example once and apart; streams are functions of a seed."""

from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bb_core.errors import BBError
from bb_core.trace import Trace, TraceStep, trace_line
from bb_train.config import DataConfig
from bb_train.data import IGNORED, Example
from bb_train.packing import pack, unpacked
from bb_train.streaming import decoded, raw_items, shuffled, stream_batches

examples = st.lists(
    st.integers(1, 40).flatmap(
        lambda n: st.builds(Example, st.tuples(*[st.integers(2, 99)] * n), st.integers(0, n))
    ),
    min_size=1,
    max_size=9,
)


@given(examples, st.integers(0, 90))
def test_every_example_is_in_one_place_with_its_own_positions(rows, row_tokens):
    packed = pack(rows, 0, row_tokens)
    taken = torch.zeros_like(packed.input_ids)
    for example, (row, start, stop) in zip(rows, packed.places, strict=True):
        n = stop - start
        assert packed.input_ids[row, start:stop].tolist() == list(example.ids)
        assert packed.position_ids[row, start:stop].tolist() == list(range(n))
        begin = max(1, example.n_prompt)
        wanted = [IGNORED] * min(begin, n) + list(example.ids[begin:])
        assert packed.labels[row, start:stop].tolist() == wanted
        taken[row, start:stop] += 1
    assert taken.max() == 1 and (packed.labels[taken == 0] == IGNORED).all()
    longest = max(row_tokens, *(len(e.ids) for e in rows))
    assert taken.sum(1).max() <= longest


@given(examples)
def test_unpacking_gives_each_example_its_states(rows):
    packed = pack(rows, 0, 64)
    states = packed.input_ids[..., None].float()
    found = unpacked(packed, states, 48)
    for example, own in zip(rows, found, strict=True):
        n = len(example.ids)
        assert own[:n, 0].tolist() == list(example.ids) and not own[n:].any()


@given(st.integers(0, 50), st.integers(1, 60), st.integers(0, 5))
def test_a_shuffle_keeps_every_item_once(n, buffer, seed):
    found = list(shuffled(range(n), buffer, np.random.default_rng(seed)))
    assert sorted(found) == list(range(n))
    assert all(place >= item - buffer for place, item in enumerate(found))


def line(number):
    step = TraceStep("login", {}, None, True, 0.0)
    return trace_line(Trace(f"t{number}", "house", "", "Go.", (step,)))


def batches(path, skip, **changes):
    data = DataConfig(train=path, **changes)
    return stream_batches(
        lambda: raw_items(data), lambda trace, where: (trace.id, where),
        batch_size=4, buffer=5, seed=3, skip=skip,
    )  # fmt: skip


def test_a_stream_goes_on_where_it_was(tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_text("\n\n".join(line(n) for n in range(10)) + "\n")
    whole = list(islice(batches(path, 0), 6))
    assert list(islice(batches(path, 4), 2)) == whole[4:]
    first = [name for batch in whole for name, _ in batch]
    assert sorted(first[:10]) == sorted(first[10:20]) and first[:10] != first[10:20]
    assert ("t1", f"{path}:3") in [row for batch in whole for row in batch]
    few = [name for name, _ in next(batches(path, 0, limit=2))]
    assert set(few) == {"t0", "t1"}


def test_an_empty_or_broken_source_is_named(tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_text("\n")
    with pytest.raises(BBError, match=r"there are no examples; make more traces"):
        next(batches(path, 0))
    path.write_bytes(b"{}\n\xff\n")
    with pytest.raises(BBError, match=r"t.jsonl:2: not UTF-8"):
        list(raw_items(DataConfig(train=path)))
    with pytest.raises(BBError, match=r"none.jsonl: file does not exist; give a JSONL file"):
        list(raw_items(DataConfig(train=tmp_path / "none.jsonl")))


def test_a_row_of_a_table_may_hold_objects_as_text():
    row = {
        "id": "t", "domain": "house", "skin": "", "request": "Go.", "state_before": "{}",
        "state_after": {}, "label": '{"n": 1}',
        "steps": [{"tool": "go", "args": '{"x": 2}', "result": "done", "ok": True, "t_s": 0.5}],
    }  # fmt: skip
    trace = decoded(("data[train]: row 3", row))
    assert trace.steps == (TraceStep("go", {"x": 2}, "done", True, 0.5),)
    assert trace.label == {"n": 1}
    with pytest.raises(BBError, match=r"data\[train\]: row 3: a column of objects holds text that"):
        decoded(("data[train]: row 3", row | {"label": "{"}))
