"""Layouts: how the simulated shops are arranged, and small databases that follow them.

A layout says who has how many orders, how far along these are, what identifiers look like, and what
else an answer carries. What a plan has to do is the same in all of them.
"""

from __future__ import annotations

import random
import sqlite3
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from bb_domains.api_json.entities import make_amount, make_city, make_email, make_name
from bb_domains.api_json.store import (
    CARRIERS,
    FIRST_NUMBER,
    LAST_NUMBER,
    STATUSES,
    TABLES,
    connect,
    opaque_id,
)
from bb_domains.variants import Variants

N_ORDERS = 110
_KEPT_SHOPS = 64


def _hex(prefix: str, seed: int, key: object) -> str:
    return opaque_id(prefix, seed, key)


def _uuid(prefix: str, seed: int, key: object) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{prefix}/{seed}/{key}"))


def _digits(prefix: str, seed: int, key: object) -> str:
    return str(int(opaque_id(prefix, seed, key).rpartition("_")[2], 16) % 10**9 + 10**9)


def _capitals(prefix: str, seed: int, key: object) -> str:
    head, _, tail = opaque_id(prefix, seed, key).upper().partition("_")
    return f"{head}-{tail[:5]}-{tail[5:]}"


def _short(prefix: str, seed: int, key: object) -> str:
    return prefix[0] + _digits(prefix, seed, key)


@dataclass(frozen=True)
class Layout:
    """One way to arrange a shop.

    Attributes:
        name: its name.
        held_out: whether it is kept for `unseen_layouts`.
        weights: of the statuses placed, shipped, delivered, cancelled.
        n_customers: among whom the orders are divided.
        identifier: makes an identifier of a prefix, the seed and a key.
        numbers: lowest and highest number of an order.
        cents: lowest and highest total.
        extra: what every answer about an order or customer carries besides.
    """

    name: str
    held_out: bool
    weights: tuple[int, int, int, int]
    n_customers: int
    identifier: Callable[[str, int, object], str]
    numbers: tuple[int, int] = (FIRST_NUMBER, LAST_NUMBER)
    cents: tuple[int, int] = (900, 48_000)
    extra: Mapping[str, Any] = field(default_factory=dict)


LAYOUTS = Variants(
    "layout",
    (
        Layout("mixed", False, (60, 24, 13, 3), 70, _hex),
        Layout("new_shop", False, (90, 8, 1, 1), 100, _uuid, (1000, 1999)),
        Layout("in_transit", False, (15, 70, 12, 3), 60, _digits, (2000, 9999)),
        Layout("regulars", False, (45, 30, 20, 5), 25, _hex, cents=(900, 12_000)),
        Layout("two_currencies", False, (55, 25, 15, 5), 60, _uuid, extra={"currency": "EUR"}),
        Layout("archive", True, (10, 12, 70, 8), 50, _capitals, (7000, 9999)),
        Layout(
            "marketplace", True, (50, 35, 10, 5), 110, _short, (1000, 9999), (900, 4_000),
            {"seller": {"id": "s-17", "name": "Fern & Hill"}},
        ),
    ),
)  # fmt: skip


def open_shop(layout: Layout, seed: int) -> sqlite3.Connection:
    """A database of its own in memory, filled as the layout says; the same for the same seed."""
    return restored(_image(layout.name, seed))


def restored(image: bytes) -> sqlite3.Connection:
    """A database in memory with the content of a serialised one."""
    connection = connect(Path(":memory:"))
    connection.deserialize(image)
    return connection


@lru_cache(maxsize=_KEPT_SHOPS)
def _image(name: str, seed: int) -> bytes:
    layout, connection = LAYOUTS[name], connect(Path(":memory:"))
    rng = random.Random(f"{name}/{seed}")
    connection.execute("BEGIN")
    for statement in TABLES.split(";\n"):
        connection.execute(statement)
    _insert_orders(connection, layout, seed, rng, _insert_customers(connection, layout, seed, rng))
    connection.execute("COMMIT")
    image = connection.serialize()
    connection.close()
    return image


def _insert_customers(
    connection: sqlite3.Connection, layout: Layout, seed: int, rng: random.Random
) -> list[str]:
    rows: dict[str, tuple[str, str, str]] = {}
    while len(rows) < layout.n_customers:
        first, last = make_name(rng)
        email = make_email(rng, first, last)
        name = f"{first.title()} {last.title()}"
        rows[email] = (layout.identifier("cus", seed, email), email, name)
    connection.executemany("INSERT INTO customers VALUES (?, ?, ?)", rows.values())
    return [row[0] for row in rows.values()]


def _insert_orders(
    connection: sqlite3.Connection,
    layout: Layout,
    seed: int,
    rng: random.Random,
    customers: list[str],
) -> None:
    low, high = layout.numbers
    for number in sorted(rng.sample(range(low, high + 1), N_ORDERS)):
        order_id, city = layout.identifier("ord", seed, number), make_city(rng)
        status = rng.choices(STATUSES, layout.weights)[0]
        owner, total = rng.choice(customers), make_amount(rng, *layout.cents)
        row = (order_id, number, owner, total, status, city)
        connection.execute("INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?, 'normal')", row)
        seen = city if status == "delivered" else make_city(rng)
        shipment = (order_id, rng.choice(CARRIERS), seen, int(status == "delivered"))
        connection.execute("INSERT INTO shipments VALUES (?, ?, ?, ?)", shipment)
