"""Laws of the window: it is exactly the last `width` values, in few buckets, cut or not."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bem_kernel.policy.change import LEVELS, SLOTS, SUM, ChangeDetector

ONE = 65536
stretches = st.lists(
    st.tuples(st.integers(-ONE, ONE), st.integers(0, ONE // 4), st.integers(1, 120)),
    min_size=1,
    max_size=6,
)


@given(stretches, st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_the_window_is_the_last_values(
    parts: list[tuple[int, int, int]], octaves: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    detector, values = ChangeDetector(octaves), []
    for centre, spread, rounds in parts:
        for noise in rng.integers(-spread, spread + 1, rounds).tolist():
            value = max(-ONE, min(ONE, centre + noise))
            values.append(value)
            answer = detector.push(value)
            width = detector.width
            assert 1 <= width <= len(values)
            assert detector.tally[SUM] == sum(values[-width:])
            assert answer == 0 or width < len(values)
        counts = detector.tally[:LEVELS]
        assert sum(int(n) << level for level, n in enumerate(counts)) == detector.width
        assert counts.max() <= SLOTS
