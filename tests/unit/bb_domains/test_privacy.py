"""Private values in the log."""

from __future__ import annotations

import json
import stat

import pytest

from bb_core.errors import BBError
from bb_domains.privacy import Redactor, load_log_key, without_secrets

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


def test_private_lists_and_objects_are_hidden_whole():
    value = {
        "phones": ["+49 151 5550100", {"work": "5550101"}],
        "home": {"street": "Elm Row 7", "zip": 53111, "Ana Holm": {"since": 2019}},
        "credentials": {"user": "anaholm", "value": "hunter2"},
        "emails": [["ana-at-home"]],
        "ana@example.com": {"n": 1},
    }
    shown = REDACTOR.redact(value, private=["phones", "home"])
    text = json.dumps(shown)
    for secret in ("555", "Elm", "53111", "Ana", "2019", "anaholm", "hunter2", "ana-at", "example"):
        assert secret not in text
    assert shown["home"].keys() > {"street", "zip"} and len(shown["phones"]) == 2
    assert shown["phones"][0] == REDACTOR.digest("+49 151 5550100")


def test_what_is_learned_is_hidden_in_words():
    redactor = Redactor(bytes(32))
    redactor.learn({"name": "Ana Holm", "pin": 4711, "ok": True, "x": [{"name": "Ana"}]}, ["name"])
    redactor.learn({"iban": {"Elm Row": ["DE75512108001245126199"]}, "city": "Bonn"}, ["iban"])
    said = "no Ana Holm, Elm Row, DE75512108001245126199, ana@example.com in Bonn; Ana"
    shown = redactor.redact(said)
    assert shown == (
        f"no {redactor.digest('Ana Holm')}, {redactor.digest('Elm Row')}, "
        f"{redactor.digest('DE75512108001245126199')}, {redactor.digest('ana@example.com')} "
        "in Bonn; Ana"  # too short to be looked for
    )
    assert redactor.redact({"note": ["for Ana Holm"]}) == {
        "note": [f"for {redactor.digest('Ana Holm')}"]
    }
    assert Redactor(bytes(32)).redact("Ana Holm") == "Ana Holm"


def test_secrets_are_taken_out_of_any_value():
    value = {"a s3cret": [("s3cret", 1), {"b": "xs3crety s3"}], "n": None}
    assert without_secrets(value, ["s3cret", "s3"]) == {
        "a …": [["…", 1], {"b": "x…y …"}], "n": None,
    }  # fmt: skip
    assert without_secrets(value, []) == {"a s3cret": [["s3cret", 1], {"b": "xs3crety s3"}],
                                          "n": None}  # fmt: skip
