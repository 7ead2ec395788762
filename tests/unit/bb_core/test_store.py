from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bb_core.canonical import fingerprint
from bb_core.store import AliasConflictError, Store, StoreError, tree_manifest


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    folder = tmp_path / "tree"
    (folder / "inner").mkdir(parents=True)
    (folder / "weights.bin").write_bytes(b"\x00\x01")
    (folder / "inner" / "card.md").write_text("a card")
    return folder


def test_a_tree_is_kept_under_the_digest_of_its_manifest(store: Store, tree: Path) -> None:
    digest = store.put_tree(tree)
    assert digest == fingerprint(tree_manifest(tree))
    assert (store.get(digest) / "inner" / "card.md").read_text() == "a card"
    assert store.put_tree(tree) == digest
    assert store.digests() == [digest]


def test_stored_files_are_read_only_copies(store: Store, tree: Path) -> None:
    digest = store.put_tree(tree)
    (tree / "weights.bin").write_bytes(b"changed")
    kept = store.get(digest) / "weights.bin"
    assert kept.read_bytes() == b"\x00\x01"
    assert kept.stat().st_mode & 0o222 == 0


def test_a_json_value_is_kept_under_its_fingerprint(store: Store) -> None:
    digest = store.put_json({"b": 1, "a": [2.5, None]})
    assert digest == fingerprint({"a": [2.5, None], "b": 1})
    assert store.get_json(digest) == {"a": [2.5, None], "b": 1}
    assert store.put_json({"a": [2.5, None], "b": 1}) == digest


@pytest.mark.parametrize(
    ("digest", "message"),
    [("0" * 64, "object 000000000000: is not in the store"), ("../../etc", "is no digest")],
)
def test_unknown_objects_are_refused(store: Store, digest: str, message: str) -> None:
    with pytest.raises(StoreError, match=message):
        store.get(digest)
    with pytest.raises(StoreError, match=message):
        store.set_alias("production", digest)


def test_a_tree_is_no_json_value(store: Store, tree: Path) -> None:
    with pytest.raises(StoreError, match="is a tree, not a JSON value"):
        store.get_json(store.put_tree(tree))


def test_only_plain_trees_are_stored(store: Store, tree: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="none: is not a folder"):
        store.put_tree(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(StoreError, match="empty: holds no files"):
        store.put_tree(tmp_path / "empty")
    (tree / "link").symlink_to("/etc/passwd")
    with pytest.raises(StoreError, match="link: is neither a file nor a folder"):
        store.put_tree(tree)
    assert store.digests() == []


def test_an_alias_moves_only_from_where_it_was_expected(store: Store) -> None:
    first, second = store.put_json(1), store.put_json(2)
    assert store.alias("production") is None
    store.set_alias("production", first)
    store.set_alias("production", second, expect=first)
    with pytest.raises(AliasConflictError, match=f"is {second[:12]}, not {first[:12]}; look again"):
        store.set_alias("production", first, expect=first)
    assert store.alias("production") == second


def test_aliases_change_together_or_not_at_all(store: Store) -> None:
    first, second = store.put_json(1), store.put_json(2)
    store.set_aliases({"production": first, "candidate": second}, {"production": None})
    with pytest.raises(AliasConflictError, match="alias candidate: is .*, not absent"):
        store.set_aliases({"production": second}, {"production": first, "candidate": None})
    store.set_aliases(
        {"production": second, "previous": first, "candidate": None}, {"candidate": second}
    )
    assert store.aliases() == {"previous": first, "production": second}


def test_records_keep_their_order(store: Store) -> None:
    numbers = [store.add_record("decision", {"j": j}) for j in range(3)]
    store.add_record("other", {})
    assert numbers == sorted(numbers)
    assert [(r.id, r.body) for r in store.records("decision")] == [
        (number, {"j": j}) for j, number in enumerate(numbers)
    ]


def test_one_of_many_racing_writers_wins(store: Store) -> None:
    start = store.put_json("start")
    store.set_alias("production", start)
    digests = [store.put_json(i) for i in range(8)]

    def move(digest: str) -> bool:
        try:
            Store(store.root).set_alias("production", digest, expect=start)
        except AliasConflictError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(move, digests))
    assert won.count(True) == 1
    assert store.alias("production") == digests[won.index(True)]


def test_a_sound_store_has_no_problems(store: Store, tree: Path) -> None:
    store.set_alias("production", store.put_tree(tree))
    store.put_json([1])
    assert store.verify() == []


def test_one_flipped_bit_is_found(store: Store, tree: Path) -> None:
    digests = [store.put_tree(tree), store.put_json({"a": 1})]
    for place in (store.get(digests[0]) / "weights.bin", store.get(digests[1])):
        data = bytearray(place.read_bytes())
        data[0] ^= 1
        place.chmod(0o600)
        place.write_bytes(data)
    problems = {problem.where: problem.what for problem in store.verify()}
    assert set(problems) == set(digests)
    assert all(what.startswith("content has the digest") for what in problems.values())


def test_missing_files_and_dangling_aliases_are_found(store: Store, tree: Path) -> None:
    digest, other = store.put_tree(tree), store.put_json(1)
    store.set_alias("production", other)
    store.get(other).unlink()
    (store.get(digest) / "inner" / "card.md").unlink()
    assert [problem.where for problem in store.verify()] == [digest, "alias production"]


def test_a_damaged_database_is_named(store: Store) -> None:
    for name in ("store.sqlite-wal", "store.sqlite-shm"):
        (store.root / name).unlink(missing_ok=True)
    (store.root / "store.sqlite").write_bytes(b"not a database" * 100)
    with pytest.raises(StoreError, match=r"store\.sqlite: database failed: .*restore the file"):
        store.aliases()


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="file/store: cannot be made"):
        Store(tmp_path / "file" / "store")


_KILLED = """
import os, signal, sys
from bb_core import store
kept = store.Store(sys.argv[1])
if sys.argv[3] == "copy":
    store.shutil.copytree = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
    kept.put_tree(sys.argv[2])
else:
    with kept._database() as database, store._transaction(database):
        database.execute("UPDATE aliases SET digest = 'half'")
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("moment", ["copy", "alias"])
def test_kill_leaves_what_was_there(store: Store, tree: Path, moment: str) -> None:
    digest = store.put_json("old")
    store.set_alias("production", digest)
    command = [sys.executable, "-c", _KILLED, str(store.root), str(tree), moment]
    assert subprocess.run(command, check=False).returncode == -9
    after = Store(store.root)
    assert after.aliases() == {"production": digest}
    assert after.digests() == [digest]
    assert after.verify() == []


def test_another_process_sees_the_store(store: Store) -> None:
    digest = store.put_json("shared")
    code = (
        "import sys; from bb_core.store import Store\n"
        "Store(sys.argv[1]).set_alias('a', sys.argv[2])"
    )
    subprocess.run([sys.executable, "-c", code, str(store.root), digest], check=True)
    assert store.alias("a") == digest


def test_the_database_is_in_wal_mode(store: Store) -> None:
    connection = sqlite3.connect(store.root / "store.sqlite")
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()
    assert "store.sqlite" in os.listdir(store.root)
