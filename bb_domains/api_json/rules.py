"""The demonstration service's business rules: what each operation requires, and what it changes.

`Rules` works on an open transaction and knows nothing of HTTP but the status of a refusal.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Any

from bb_domains.api_json.store import opaque_id

Row = dict[str, Any]


_SELECT_ORDER = """
SELECT o.*, c.email AS owner_email, r.amount_cents AS refunded_cents, r.reason AS refund_reason
FROM orders o JOIN customers c ON c.id = o.customer_id LEFT JOIN refunds r ON r.order_id = o.id
"""
_ORDER_BY_NUMBER = _SELECT_ORDER + "WHERE o.number = ?"
_ORDER_BY_ID = _SELECT_ORDER + "WHERE o.id = ?"
_ORDERS_AFTER = _SELECT_ORDER + "WHERE o.number > ? ORDER BY o.number LIMIT ?"


class Refused(Exception):  # noqa: N818 - a verdict, not a malfunction
    """A rule refuses the request.

    Attributes:
        status: HTTP status.
        reason: what the caller is told.
    """

    def __init__(self, status: int, reason: str):
        super().__init__(reason)
        self.status = status
        self.reason = reason


@dataclass(frozen=True)
class Rules:
    """The operations of one session, inside one transaction.

    Attributes:
        db: connection with an open transaction.
        session: hash of the session's token.
    """

    db: sqlite3.Connection
    session: str

    def get_order(self, number: int) -> Row:
        """Look an order up by its number; the session may act on it from now on."""
        order = self._one(_ORDER_BY_NUMBER, number)
        if order is None:
            raise Refused(404, f"there is no order {number}")
        self._mark(order["id"], "seen")
        return _order(order)

    def confirm_owner(self, order_id: str, email: str) -> Row:
        """Confirm that `email` is the address of the order's owner."""
        order = self._order_seen(order_id)
        if order["owner_email"] != email:
            raise Refused(403, "this is not the address of the order's owner")
        if self._is_marked(order_id, "confirmed"):
            raise Refused(409, "the owner of this order is confirmed already")
        self._mark(order_id, "confirmed")
        return {"order_id": order_id, "confirmed": True}

    def refund_order(self, order_id: str, amount: float, reason: str) -> Row:
        """Return money for an order, once, at most its total."""
        order = self._order_confirmed(order_id)
        if order["refunded_cents"] is not None:
            raise Refused(409, "this order is refunded already")
        if order["status"] == "cancelled":
            raise Refused(409, "this order is cancelled")
        cents = to_cents(amount)
        if cents > order["total_cents"]:
            raise Refused(422, "the amount is above the order's total")
        self.db.execute("INSERT INTO refunds VALUES (?, ?, ?)", (order_id, cents, reason))
        return {"order_id": order_id, "amount": cents / 100, "reason": reason}

    def cancel_order(self, order_id: str) -> Row:
        """Cancel an order that is neither delivered nor refunded."""
        order = self._order_confirmed(order_id)
        self._check_open(order)
        if order["refunded_cents"] is not None:
            raise Refused(409, "this order is refunded already")
        self.db.execute("UPDATE orders SET status = 'cancelled' WHERE id = ?", (order_id,))
        return _order(self._order_seen(order_id))

    def change_city(self, order_id: str, city: str) -> Row:
        """Deliver an order elsewhere, while it is under way."""
        self._check_open(self._order_confirmed(order_id))
        self.db.execute("UPDATE orders SET city = ? WHERE id = ?", (city, order_id))
        return _order(self._order_seen(order_id))

    def set_priority(self, order_id: str, level: str) -> Row:
        """Ship an order faster or slower, while it is under way."""
        self._check_open(self._order_seen(order_id))
        self.db.execute("UPDATE orders SET priority = ? WHERE id = ?", (level, order_id))
        return _order(self._order_seen(order_id))

    def track_shipment(self, order_id: str) -> Row:
        """Where the parcel of an order is."""
        self._order_seen(order_id)
        row = self._one("SELECT * FROM shipments WHERE order_id = ?", order_id)
        assert row is not None  # every order has a shipment
        return {**row, "delivered": bool(row["delivered"])}

    def find_customer(self, email: str) -> Row:
        """Look a customer up by address; the session may act on it from now on."""
        customer = self._one("SELECT id, email, name FROM customers WHERE email = ?", email)
        if customer is None:
            raise Refused(404, "there is no customer with this address")
        self._mark(customer["id"], "seen")
        return customer

    def update_email(self, customer_id: str, new_email: str) -> Row:
        """Change a customer's address to one that nobody uses."""
        self._customer_seen(customer_id)
        if self._one("SELECT 1 AS taken FROM customers WHERE email = ?", new_email):
            raise Refused(409, "this address is in use")
        self.db.execute("UPDATE customers SET email = ? WHERE id = ?", (new_email, customer_id))
        return self._customer_seen(customer_id)

    def issue_voucher(self, customer_id: str, amount: float) -> Row:
        """Give a customer a voucher."""
        self._customer_seen(customer_id)
        count = self._one("SELECT count(*) AS n FROM vouchers WHERE customer_id = ?", customer_id)
        assert count is not None
        voucher_id, cents = opaque_id("vou", count["n"], customer_id), to_cents(amount)
        self.db.execute("INSERT INTO vouchers VALUES (?, ?, ?)", (voucher_id, customer_id, cents))
        return {"id": voucher_id, "customer_id": customer_id, "amount": cents / 100}

    def add_note(self, customer_id: str, tag: str) -> Row:
        """Put a note on a customer, each tag once."""
        self._customer_seen(customer_id)
        where = (customer_id, tag)
        if self.db.execute(
            "SELECT 1 FROM notes WHERE customer_id = ? AND tag = ?", where
        ).fetchone():
            raise Refused(409, "the customer has this note already")
        self.db.execute("INSERT INTO notes VALUES (?, ?)", where)
        return {"customer_id": customer_id, "tag": tag}

    def list_orders(self, after: int, limit: int) -> list[Row]:
        """Orders with a number above `after`, by number, for audits."""
        rows = self.db.execute(_ORDERS_AFTER, (after, limit))
        return [_order_state(dict(row)) for row in rows]

    def list_customers(self, after: str, limit: int) -> list[Row]:
        """Customers with an identifier above `after`, by identifier, for audits."""
        sql = "SELECT id, email, name FROM customers WHERE id > ? ORDER BY id LIMIT ?"
        rows = self.db.execute(sql, (after, limit)).fetchall()
        return [{**dict(row), **self._belongings(row["id"])} for row in rows]

    def read_state(self, numbers: list[int], customer_ids: list[str]) -> Row:
        """The named orders and customers in full; unknown ones are left out."""
        orders = [self._one(_ORDER_BY_NUMBER, number) for number in numbers]
        customers = [
            self._one("SELECT id, email, name FROM customers WHERE id = ?", customer_id)
            for customer_id in customer_ids
        ]
        return {
            "orders": {str(order["number"]): _order_state(order) for order in orders if order},
            "customers": {c["id"]: {**c, **self._belongings(c["id"])} for c in customers if c},
        }

    def _belongings(self, customer_id: str) -> Row:
        vouchers = self.db.execute(
            "SELECT amount_cents FROM vouchers WHERE customer_id = ? ORDER BY rowid", (customer_id,)
        )
        notes = self.db.execute(
            "SELECT tag FROM notes WHERE customer_id = ? ORDER BY tag", (customer_id,)
        )
        return {"vouchers": [row[0] / 100 for row in vouchers], "notes": [row[0] for row in notes]}

    def _one(self, sql: str, *values: object) -> Row | None:
        row = self.db.execute(sql, values).fetchone()
        return None if row is None else dict(row)

    def _mark(self, object_id: str, mark: str) -> None:
        values = (self.session, object_id, mark)
        self.db.execute("INSERT OR IGNORE INTO marks VALUES (?, ?, ?)", values)

    def _is_marked(self, object_id: str, mark: str) -> bool:
        sql = "SELECT 1 FROM marks WHERE token_hash = ? AND object_id = ? AND mark = ?"
        return self.db.execute(sql, (self.session, object_id, mark)).fetchone() is not None

    def _order_seen(self, order_id: str) -> Row:
        order = self._one(_ORDER_BY_ID, order_id)
        if order is None:
            raise Refused(404, "there is no such order")
        if not self._is_marked(order_id, "seen"):
            raise Refused(403, "this session has not looked this order up")
        return order

    def _order_confirmed(self, order_id: str) -> Row:
        order = self._order_seen(order_id)
        if not self._is_marked(order_id, "confirmed"):
            raise Refused(403, "the owner of this order is not confirmed in this session")
        return order

    def _customer_seen(self, customer_id: str) -> Row:
        customer = self._one("SELECT id, email, name FROM customers WHERE id = ?", customer_id)
        if customer is None:
            raise Refused(404, "there is no such customer")
        if not self._is_marked(customer_id, "seen"):
            raise Refused(403, "this session has not looked this customer up")
        return customer

    def _check_open(self, order: Row) -> None:
        if order["status"] in ("delivered", "cancelled"):
            raise Refused(409, f"this order is {order['status']}")


def to_cents(amount: float) -> int:
    """An amount in whole cents; the amount has at most two decimals."""
    return round(amount * 100)


def _order(row: Row) -> Row:
    """An order as callers see it."""
    refunded = row["refunded_cents"]
    return {
        "id": row["id"],
        "number": row["number"],
        "customer_id": row["customer_id"],
        "total": row["total_cents"] / 100,
        "status": row["status"],
        "city": row["city"],
        "priority": row["priority"],
        "refunded": None if refunded is None else refunded / 100,
    }


def _order_state(row: Row) -> Row:
    """An order as audits see it."""
    extra = {"owner_email": row["owner_email"], "refund_reason": row["refund_reason"]}
    return {**_order(row), **extra}
