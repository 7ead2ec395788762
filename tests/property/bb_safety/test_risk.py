"""Laws of risks and of world changes."""

from __future__ import annotations

import json

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bb_core.lyapunov import Risk, v_s
from bb_safety.risk import COMPONENTS, risk_columns, weighted_risk, world_changes

leaves = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "a", "b/c", "~"])
worlds = st.dictionaries(
    st.sampled_from(["a", "b", "a/b", "~"]),
    st.recursive(leaves, lambda inner: st.dictionaries(st.sampled_from("xy"), inner), max_leaves=5),
)
rows = st.lists(
    st.fixed_dictionaries({name: st.floats(0, 1) for name in COMPONENTS}), min_size=1, max_size=20
)


@given(worlds, worlds)
def test_no_change_means_the_same_world(before: dict, after: dict) -> None:
    same = json.dumps(before, sort_keys=True) == json.dumps(after, sort_keys=True)
    assert (world_changes(before, after) == frozenset()) == same


@given(worlds, worlds)
def test_the_way_back_is_the_mirror_image(before: dict, after: dict) -> None:
    there, back = world_changes(before, after), world_changes(after, before)
    assert {(c.pointer, c.before, c.after) for c in there} == {
        (c.pointer, c.after, c.before) for c in back
    }


@given(worlds, worlds, worlds)
def test_equal_changes_from_one_state_lead_to_one_state(a: dict, b: dict, c: dict) -> None:
    same = json.dumps(b, sort_keys=True) == json.dumps(c, sort_keys=True)
    assert (world_changes(a, b) == world_changes(a, c)) == same


@given(rows, st.lists(st.floats(0.1, 1), min_size=3, max_size=3))
def test_the_mean_weighted_risk_is_v_s(measured: list[dict], raw: list[float]) -> None:
    shares = [value / sum(raw) for value in raw]
    risks = [Risk(name, share) for name, share in zip(COMPONENTS, shares, strict=True)]
    columns = risk_columns(measured)
    means = {name: float(column.mean()) for name, column in columns.items()}
    total = weighted_risk(columns, risks)
    assert ((total >= 0) & (total <= 1)).all()
    np.testing.assert_allclose(total.mean(), v_s(risks, means), atol=1e-9)
