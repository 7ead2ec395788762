"""RowTracker: however rows are reordered and cut, each state has seen its own row's tokens."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bb_runtime.rows import RowTracker


class Recorder:
    """A row state that allows every token and remembers them; token 0 finishes it."""

    def __init__(self, tokens: tuple[int, ...] = ()) -> None:
        self.tokens = tokens
        self.finished = False

    def fork(self) -> Recorder:
        twin = Recorder(self.tokens)
        twin.finished = self.finished
        return twin

    def consume(self, token: int) -> bool:
        self.tokens = (*self.tokens, token)
        self.finished = token == 0
        return True

    def fill(self, words: np.ndarray) -> None:
        words[:] = -1


def until_end(tokens: list[int]) -> tuple[int, ...]:
    return tuple(tokens[: tokens.index(0) + 1] if 0 in tokens else tokens)


@st.composite
def histories(draw):
    """Batches as beam search and drafting hand them over: rows reordered, tokens taken back."""
    prompts = draw(st.lists(st.sampled_from([7, 8, 9]), min_size=1, max_size=4))
    beams = draw(st.integers(1, 3))
    prompts = [p for p in prompts for _ in range(beams)]
    rows: list[list[int]] = [[] for _ in prompts]
    batches = [[[p, *r] for p, r in zip(prompts, rows, strict=True)]]
    for _ in range(draw(st.integers(1, 8))):
        keep = draw(st.integers(0, len(rows[0]))) if draw(st.booleans()) else len(rows[0])
        families = [[j for j, q in enumerate(prompts) if q == p] for p in prompts]
        source = [draw(st.sampled_from(family)) for family in families]
        rows = [[*rows[j][:keep], draw(st.integers(0, 3))] for j in source]
        batches.append([[p, *r] for p, r in zip(prompts, rows, strict=True)])
    return batches


@given(batches=histories())
def test_each_state_has_seen_its_row(batches):
    tracker = RowTracker(Recorder)
    for batch in batches:
        states = tracker.advance(np.array(batch))
        for row, state in zip(batch, states, strict=True):
            assert state is not None and state.tokens == until_end(row[1:])


@given(batches=histories())
def test_no_two_rows_share_a_state(batches):
    tracker = RowTracker(Recorder)
    for batch in batches:
        states = [s for s in tracker.advance(np.array(batch)) if s is not None and not s.finished]
        assert len({id(state) for state in states}) == len(states)


@given(first=st.lists(st.integers(1, 3), max_size=5), jump=st.lists(st.integers(1, 3), min_size=2))
def test_a_prompt_that_goes_on_from_the_last_text_starts_anew(first, jump):
    tracker = RowTracker(Recorder)
    for n in range(len(first) + 1):
        tracker.advance(np.array([[7, *first[:n]]]))
    (state,) = tracker.advance(np.array([[7, *first, *jump]]))
    assert state is not None and state.tokens == ()
