import sqlite3
from contextlib import closing

import pytest

from bb_train.service import changed_rows, read_rows


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "service.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript(
            """
            CREATE TABLE orders (id TEXT PRIMARY KEY, status TEXT) WITHOUT ROWID;
            CREATE TABLE notes (customer TEXT, tag TEXT, PRIMARY KEY (customer, tag)) WITHOUT ROWID;
            CREATE TABLE sessions (token_hash TEXT PRIMARY KEY, username TEXT);
            INSERT INTO orders VALUES ('ord_a', 'placed'), ('ord_b', 'placed');
            INSERT INTO notes VALUES ('cus_a', 'vip');
            """
        )
    return file


def change(path, script):
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(script)


def test_changed_added_and_removed_rows_are_told_one_a_line(path):
    before = read_rows(path)
    change(
        path,
        """
        UPDATE orders SET status = 'cancelled' WHERE id = 'ord_b';
        INSERT INTO notes VALUES ('cus_b', 'call_back');
        DELETE FROM notes WHERE customer = 'cus_a';
        """,
    )
    assert changed_rows(before, read_rows(path)) == [
        "notes: row removed customer='cus_a', tag='vip'",
        "notes: new row customer='cus_b', tag='call_back'",
        "orders: id='ord_b': status: 'placed' → 'cancelled'",
    ]


def test_sessions_are_not_read(path):
    before = read_rows(path)
    change(path, "INSERT INTO sessions VALUES ('secret', 'demo')")
    assert changed_rows(before, read_rows(path)) == []
    assert not any("secret" in str(row) for row in read_rows(path).values())
