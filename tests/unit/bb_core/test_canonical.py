from __future__ import annotations

import hashlib
import math
from pathlib import Path

import pytest

from bb_core.canonical import canonical_json, file_sha256, fingerprint, sha256_hex
from bb_core.errors import BBError


def test_file_hash_is_that_of_its_bytes(tmp_path: Path) -> None:
    data = bytes(range(256)) * 10_000
    (tmp_path / "file").write_bytes(data)
    assert file_sha256(tmp_path / "file") == hashlib.sha256(data).hexdigest() == sha256_hex(data)


def test_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BBError, match="none: cannot be read: No such file"):
        file_sha256(tmp_path / "none")


@pytest.mark.parametrize("value", [math.nan, math.inf, 2**53, {1: 2}, {"a": {1, 2}}, "\ud800"])
def test_values_without_canonical_form_are_refused(value: object) -> None:
    with pytest.raises(BBError, match="canonical_json: no canonical form.*finite numbers"):
        canonical_json(value)


def test_fingerprint_ignores_key_order_only() -> None:
    assert fingerprint({"a": 1, "b": [2, 3]}) == fingerprint({"b": [2, 3], "a": 1})
    assert fingerprint({"a": 1, "b": [2, 3]}) != fingerprint({"a": 1, "b": [3, 2]})
