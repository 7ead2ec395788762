"""Key files, and bb keys."""

from __future__ import annotations

import pytest

from bb_core.cli import run_app
from bb_core.errors import BBError
from bb_runtime import keys_cli
from bb_runtime.http.keys import Key, Keys, check_domain, key_hash, load_keys, new_key, save_keys
from bb_runtime.http.refusal import HttpError

HASH = "a" * 64


@pytest.fixture
def bb(capsys):
    def call(*args):
        with pytest.raises(SystemExit) as stopped:
            run_app(keys_cli.app, "bb keys", [str(arg) for arg in args])
        shown = capsys.readouterr()
        return stopped.value.code, shown.out, shown.err

    return call


def test_a_new_key_opens_what_it_was_made_for_and_is_not_in_the_file(bb, tmp_path):
    file = tmp_path / "keys.yaml"
    code, shown, _ = bb("new", file, "shop", "--domain", "api_json", "--run")
    key = shown.strip()
    assert code == 0 and key not in file.read_text()
    assert bb("new", file, "look")[0] == 0
    found = load_keys(file).find(f"Bearer {key}")
    assert found.name == "shop" and found.run and found.domains == ("api_json",)
    assert bb("list", file)[1] == "shop: api_json, may run plans\nlook: no domain\n"
    assert bb("remove", file, "shop")[0] == 0
    with pytest.raises(HttpError, match="no valid API key"):
        load_keys(file).find(f"Bearer {key}")


def test_names_are_taken_once_and_the_last_key_stays(bb, tmp_path):
    file = tmp_path / "keys.yaml"
    bb("new", file, "shop")
    before = file.read_text()
    assert bb("new", file, "shop")[0] == 1
    code, _, said = bb("remove", file, "shop")
    assert code == 1 and "would let everybody in" in said
    code, _, said = bb("remove", file, "other")
    assert code == 1 and "holds no key 'other'" in said
    assert file.read_text() == before


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "keys: Field required"),
        ("keys: []", "would let everybody in"),
        ("keys: [{name: a, sha256: x}]", "keys.0.sha256"),
        (f"keys: [{{name: a b, sha256: {HASH}}}]", "keys.0.name"),
        (f"keys: [{{name: a, sha256: {HASH}, admin: true}}]", "keys.0.admin"),
        ("keys: [", "is no YAML"),
        (f"keys: [{{name: a, sha256: {HASH}}}, {{name: b, sha256: {HASH}}}]", "the same sha256"),
    ],
)
def test_broken_key_files_are_refused(tmp_path, text, message):
    file = tmp_path / "keys.yaml"
    file.write_text(text)
    with pytest.raises(BBError, match=message):
        load_keys(file)


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic x", "Bearer x y"])
def test_headers_without_a_key_are_refused(header):
    keys = Keys({key_hash("x"): Key(name="a", sha256=key_hash("x"))})
    assert keys.find("bearer x").name == "a"
    with pytest.raises(HttpError, match="send the header Authorization: Bearer KEY") as found:
        keys.find(header)
    assert found.value.status == 401


def test_rights():
    key = Key(name="a", sha256="0" * 64, domains=("shop",))
    check_domain(key, "shop", run=False)
    with pytest.raises(HttpError, match="no right to domain bank"):
        check_domain(key, "bank", run=False)
    with pytest.raises(HttpError, match="may not run plans"):
        check_domain(key, "shop", run=True)
    every = Key(name="b", sha256="1" * 64, domains=("*",), run=True)
    check_domain(every, "bank", run=True)


def test_keys_are_long_and_random(tmp_path):
    assert len({new_key() for _ in range(50)}) == 50 and len(new_key()) > 40
    save_keys(tmp_path / "k.yaml", [Key(name="a", sha256=key_hash("x"))])
    assert load_keys(tmp_path / "k.yaml").are_asked and not Keys().are_asked
