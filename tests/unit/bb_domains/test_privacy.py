"""Private values in the log."""

from __future__ import annotations

import json
import stat

import pytest

from bb_core.errors import BBError
from bb_domains.privacy import Redactor, load_log_key

REDACTOR = Redactor(bytes(32))


def test_addresses_and_secrets_are_hidden_wherever_they_are():
    value = {
        "email": "ana@example.com",
        "new_email": "b@example.org",
        "note": "write to ana@example.com, please",
        "items": [{"password": "hunter2", "number": 7}],
        "auth": {"access_token": "abc"},
        "city": "Bonn",
    }
    text = json.dumps(REDACTOR.redact(value, private=["city"]))
    for secret in ("example", "hunter2", "abc", "Bonn"):
        assert secret not in text
    assert '"number": 7' in text and "please" in text


def test_equal_values_have_equal_hashes_under_one_key_only():
    shown = REDACTOR.redact({"email": "ana@example.com", "text": "ana@example.com"})
    assert shown["email"] == shown["text"] == REDACTOR.digest("ana@example.com")
    assert REDACTOR.digest("x") != REDACTOR.digest("y")
    assert REDACTOR.digest("x") != Redactor(bytes(31) + b"x").digest("x")


def test_values_without_private_parts_stay():
    value = {"number": 1, "ok": True, "none": None, "list": [1.5, "x"], "id": "o1"}
    assert REDACTOR.redact(value) == value


def test_the_key_is_made_once_and_only_its_owner_may_read_it(tmp_path):
    path = tmp_path / "logs" / "plans.key"
    key = load_log_key(path)
    assert len(key) == 32 and load_log_key(path) == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_log_key(tmp_path / "other.key") != key


@pytest.mark.parametrize("content", ["zz", "abcd", ""])
def test_a_damaged_key_is_refused(tmp_path, content):
    path = tmp_path / "plans.key"
    path.write_text(content)
    with pytest.raises(BBError, match=r"plans\.key: .*key of a log.*; remove the file"):
        load_log_key(path)
