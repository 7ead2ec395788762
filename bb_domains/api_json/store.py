"""The demonstration service's database: its tables and the data it starts with.

The data is a function of the seed alone. Amounts are whole cents; identifiers are opaque and
derived from the seed, so that no caller can guess the identifier of an order from its number.
"""

from __future__ import annotations

import hashlib
import random
import sqlite3
from pathlib import Path

from bb_domains.api_json.entities import make_amount, make_city, make_email, make_name

N_CUSTOMERS = 5000
FIRST_NUMBER, LAST_NUMBER = 1000, 9999
ORDER_SHARE = 0.94  # of all numbers; the others answer 404
CARRIERS: tuple[str, ...] = ("Swiftline", "Parcelo", "Greyhawk Freight", "Bluebarrow")
STATUSES: tuple[str, ...] = ("placed", "shipped", "delivered", "cancelled")
STATUS_WEIGHTS: tuple[int, ...] = (60, 24, 13, 3)  # percent
DB_WAIT_S = 10.0

TABLES = """
CREATE TABLE meta (seed INTEGER NOT NULL, orders INTEGER NOT NULL, customers INTEGER NOT NULL);
CREATE TABLE customers (
  id TEXT PRIMARY KEY, email TEXT NOT NULL UNIQUE, name TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE orders (
  id TEXT PRIMARY KEY, number INTEGER NOT NULL UNIQUE,
  customer_id TEXT NOT NULL REFERENCES customers(id),
  total_cents INTEGER NOT NULL CHECK (total_cents > 0),
  status TEXT NOT NULL CHECK (status IN ('placed', 'shipped', 'delivered', 'cancelled')),
  city TEXT NOT NULL,
  priority TEXT NOT NULL CHECK (priority IN ('normal', 'express', 'overnight'))
) WITHOUT ROWID;
CREATE TABLE shipments (
  order_id TEXT PRIMARY KEY REFERENCES orders(id), carrier TEXT NOT NULL,
  last_seen TEXT NOT NULL, delivered INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE refunds (
  order_id TEXT PRIMARY KEY REFERENCES orders(id),
  amount_cents INTEGER NOT NULL CHECK (amount_cents BETWEEN 1 AND 50000), reason TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE vouchers (
  id TEXT PRIMARY KEY, customer_id TEXT NOT NULL REFERENCES customers(id),
  amount_cents INTEGER NOT NULL CHECK (amount_cents BETWEEN 1 AND 50000)
);
CREATE INDEX vouchers_of ON vouchers(customer_id);
CREATE TABLE notes (
  customer_id TEXT NOT NULL REFERENCES customers(id), tag TEXT NOT NULL,
  PRIMARY KEY (customer_id, tag)
) WITHOUT ROWID;
CREATE TABLE sessions (token_hash TEXT PRIMARY KEY, username TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE marks (
  token_hash TEXT NOT NULL, object_id TEXT NOT NULL,
  mark TEXT NOT NULL CHECK (mark IN ('seen', 'confirmed')),
  PRIMARY KEY (token_hash, object_id, mark)
) WITHOUT ROWID;
CREATE TABLE answers (
  scope TEXT NOT NULL, key TEXT NOT NULL, request_hash TEXT NOT NULL, body TEXT NOT NULL,
  PRIMARY KEY (scope, key)
) WITHOUT ROWID;
"""


def connect(path: Path) -> sqlite3.Connection:
    """Open the database of a service; transactions are begun and ended by the caller.

    Raises:
        sqlite3.Error: the file cannot be opened or is no database.
    """
    connection = sqlite3.connect(
        path, timeout=DB_WAIT_S, isolation_level=None, check_same_thread=False
    )
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute("PRAGMA foreign_keys=ON")
    return connection


def seed_database(connection: sqlite3.Connection, seed: int) -> None:
    """Create the tables and fill them, in one transaction; a filled database stays as it is.

    The number of customers is `N_CUSTOMERS`; of the numbers 1000 to 9999, about 94% are orders.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone() is None:
            for statement in TABLES.split(";\n"):
                if statement.strip():
                    connection.execute(statement)
            customers = _insert_customers(connection, seed)
            orders = _insert_orders(connection, seed, customers)
            connection.execute("INSERT INTO meta VALUES (?, ?, ?)", (seed, orders, len(customers)))
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def opaque_id(prefix: str, seed: int, key: object) -> str:
    """An identifier such as `ord_3f9a60c2d1`, the same for the same seed and key."""
    return f"{prefix}_{hashlib.sha256(f'{seed}/{prefix}/{key}'.encode()).hexdigest()[:10]}"


def _insert_customers(connection: sqlite3.Connection, seed: int) -> list[str]:
    rng = random.Random(f"customers/{seed}")
    rows: dict[str, tuple[str, str, str]] = {}
    while len(rows) < N_CUSTOMERS:
        first, last = make_name(rng)
        email = make_email(rng, first, last)
        rows[email] = (opaque_id("cus", seed, email), email, f"{first.title()} {last.title()}")
    connection.executemany("INSERT INTO customers VALUES (?, ?, ?)", rows.values())
    return [row[0] for row in rows.values()]


def _insert_orders(connection: sqlite3.Connection, seed: int, customers: list[str]) -> int:
    rng = random.Random(f"orders/{seed}")
    orders, shipments = [], []
    for number in range(FIRST_NUMBER, LAST_NUMBER + 1):
        if rng.random() >= ORDER_SHARE:
            continue
        order_id, city = opaque_id("ord", seed, number), make_city(rng)
        status = rng.choices(STATUSES, STATUS_WEIGHTS)[0]
        total = make_amount(rng, 900, 48_000)
        orders.append((order_id, number, rng.choice(customers), total, status, city))
        seen = city if status == "delivered" else make_city(rng)
        shipments.append((order_id, rng.choice(CARRIERS), seen, int(status == "delivered")))
    connection.executemany("INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?, 'normal')", orders)
    connection.executemany("INSERT INTO shipments VALUES (?, ?, ?, ?)", shipments)
    return len(orders)
