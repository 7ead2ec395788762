"""Redaction hides every private value, whatever it is nested in."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from bb_domains.privacy import Redactor

SECRET = "zq7marker"
LEAVES = st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=8))
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["a", "b", "note"]), inner, max_size=3),
        st.fixed_dictionaries({"email": st.just(SECRET), "rest": inner}),
        st.fixed_dictionaries({"pin": st.just(SECRET), "rest": inner}),
        st.fixed_dictionaries({"access_token": st.just(SECRET)}),
        st.just(f"mail {SECRET}@example.com"),
    ),
    max_leaves=12,
)


@given(value=VALUES)
def test_no_private_value_is_left(value):
    assert SECRET not in json.dumps(Redactor(bytes(32)).redact(value, private=("pin",)))


@given(value=VALUES)
def test_redacting_again_changes_only_hashes(value):
    """Redaction keeps the shape: the same keys in the same places."""

    def shape(item):
        if isinstance(item, dict):
            return {key: shape(part) for key, part in item.items()}
        return [shape(part) for part in item] if isinstance(item, list) else None

    assert shape(Redactor(bytes(32)).redact(value)) == shape(value)
