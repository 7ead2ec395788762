from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bb_core.errors import BBError
from bb_train.data import batch_schedule

LENGTHS = st.lists(st.integers(1, 400), min_size=1, max_size=150)


@settings(max_examples=60, deadline=None)
@given(LENGTHS, st.integers(1, 12), st.integers(1, 60), st.integers(0, 5))
def test_schedules_are_epochs_of_distinct_examples(lengths, size, steps, seed):
    schedule = batch_schedule(lengths, batch_size=size, steps=steps, seed=seed)
    assert len(schedule) == steps
    rows = min(size, len(lengths))
    assert all(len(batch) == rows and len(set(batch)) == rows for batch in schedule)
    epoch = schedule[: len(lengths) // rows]
    assert max(Counter(i for batch in epoch for i in batch).values()) == 1


@settings(max_examples=30, deadline=None)
@given(LENGTHS, st.integers(1, 12), st.integers(1, 40), st.integers(0, 5))
def test_a_longer_run_starts_with_the_same_batches(lengths, size, steps, seed):
    short = batch_schedule(lengths, batch_size=size, steps=steps, seed=seed)
    long = batch_schedule(lengths, batch_size=size, steps=steps + 7, seed=seed)
    assert long[:steps] == short


def test_batches_hold_similar_lengths_and_seeds_differ():
    lengths = list(range(1, 257))
    schedule = batch_schedule(lengths, batch_size=8, steps=32, seed=0)
    spread = [max(lengths[i] for i in b) - min(lengths[i] for i in b) for b in schedule]
    assert max(spread) == 7
    assert schedule != batch_schedule(lengths, batch_size=8, steps=32, seed=1)
    assert [min(b) for b in schedule] != sorted(min(b) for b in schedule)


def test_no_examples_are_refused():
    with pytest.raises(BBError, match="there are no examples"):
        batch_schedule([], batch_size=4, steps=1, seed=0)
