"""The service's rules, each refused with its status and reason."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from bb_domains.api_json.service import Operator, create_app
from bb_domains.api_json.store import N_CUSTOMERS, TABLES, connect, seed_database

OPERATOR = Operator("demo", "secret")


class Caller:
    """A logged-in client and the rows it may try things on, each handed out once."""

    def __init__(self, http: TestClient) -> None:
        self.http = http
        answer = http.post("/login", json={"username": "demo", "password": "secret"})
        http.headers["Authorization"] = f"Bearer {answer.json()['token']}"
        self._orders = http.get("/audit/orders", params={"limit": 10_000}).json()

    def take(self, status: str = "placed") -> dict[str, Any]:
        """An order of this status that no test has had."""
        i = next(i for i, order in enumerate(self._orders) if order["status"] == status)
        return dict(self._orders.pop(i))

    def look_up(self, order: dict[str, Any]) -> str:
        answer = self.http.get(f"/orders/{order['number']}")
        assert answer.status_code == 200
        return str(answer.json()["id"])

    def confirm(self, order: dict[str, Any]) -> str:
        order_id = self.look_up(order)
        answer = self.http.post(f"/orders/{order_id}/owner", json={"email": order["owner_email"]})
        assert answer.status_code == 200
        return order_id

    def refused(self, method: str, path: str, status: int, why: str, **body: Any) -> None:
        answer = self.http.request(method, path, json=body or None)
        assert (answer.status_code, why in answer.json()["reason"]) == (status, True), answer.text


@pytest.fixture(scope="module")
def caller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Caller]:
    app = create_app(tmp_path_factory.mktemp("service") / "service.db", 0, OPERATOR)
    with TestClient(app) as http:
        yield Caller(http)
    app.state.db.close()


def test_without_a_token_nothing_is_answered(caller: Caller) -> None:
    stranger = TestClient(caller.http.app)
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic eDp5"}):
        for path in ("/orders/1000", "/customers?email=a@b.example", "/audit/state"):
            answer = stranger.get(path, headers=headers)
            assert answer.status_code == 401
            assert "log in first" in answer.json()["reason"]


@pytest.mark.parametrize(("username", "password"), [("demo", "wrong"), ("root", "secret")])
def test_wrong_credentials_are_refused(caller: Caller, username: str, password: str) -> None:
    body = {"username": username, "password": password}
    answer = TestClient(caller.http.app).post("/login", json=body)
    assert answer.status_code == 401
    assert "wrong username or password" in answer.json()["reason"]


def test_what_does_not_exist_is_not_found(caller: Caller) -> None:
    taken = {order["number"] for order in caller._orders}
    number = next(n for n in range(1000, 10_000) if n not in taken)
    caller.refused("GET", f"/orders/{number}", 404, f"no order {number}")
    caller.refused("GET", "/orders/ord_unknown/shipment", 404, "no such order")
    caller.refused("GET", "/customers?email=nobody@nowhere.example", 404, "no customer")
    caller.refused("POST", "/customers/cus_x/vouchers", 404, "no such customer", amount=5)


def test_only_what_was_looked_up_may_be_acted_on(caller: Caller) -> None:
    order = caller.take()
    caller.refused("GET", f"/orders/{order['id']}/shipment", 403, "not looked this order up")
    owner = order["customer_id"]
    caller.refused("POST", f"/customers/{owner}/notes", 403, "not looked this customer", tag="vip")


@pytest.mark.parametrize(
    ("method", "operation", "body"),
    [
        ("POST", "refund", {"amount": 1, "reason": "late"}),
        ("POST", "cancellation", {}),
        ("PUT", "city", {"city": "Foxhaven"}),
    ],
)
def test_the_owner_must_be_confirmed_in_this_session(
    caller: Caller, method: str, operation: str, body: dict[str, Any]
) -> None:
    order = caller.take()
    order_id = caller.look_up(order)
    reason = "owner of this order is not confirmed"
    caller.refused(method, f"/orders/{order_id}/{operation}", 403, reason, **body)
    wrong = {"email": "somebody.else@example.com"}
    caller.refused("POST", f"/orders/{order_id}/owner", 403, "not the address", **wrong)
    caller.refused(method, f"/orders/{order_id}/{operation}", 403, reason, **body)
    assert caller.http.get(f"/orders/{order['number']}").json()["status"] == "placed"


def test_an_order_is_refunded_once(caller: Caller) -> None:
    order_id = caller.confirm(order := caller.take())
    path, body = f"/orders/{order_id}/refund", {"amount": 1.5, "reason": "damaged"}
    assert caller.http.post(path, json=body).json() == {"order_id": order_id, **body}
    caller.refused("POST", path, 409, "refunded already", **body)
    caller.refused("POST", f"/orders/{order_id}/cancellation", 409, "refunded already")
    assert caller.http.get(f"/orders/{order['number']}").json()["refunded"] == 1.5


def test_a_cancelled_order_stays_as_it_is(caller: Caller) -> None:
    order_id = caller.confirm(caller.take())
    cancelled = caller.http.post(f"/orders/{order_id}/cancellation")
    assert cancelled.json()["status"] == "cancelled"
    caller.refused("POST", f"/orders/{order_id}/cancellation", 409, "is cancelled")
    caller.refused("PUT", f"/orders/{order_id}/priority", 409, "is cancelled", level="express")
    refund = {"amount": 1, "reason": "late"}
    caller.refused("POST", f"/orders/{order_id}/refund", 409, "is cancelled", **refund)


def test_a_delivered_order_goes_nowhere_else(caller: Caller) -> None:
    order_id = caller.confirm(caller.take("delivered"))
    caller.refused("PUT", f"/orders/{order_id}/city", 409, "is delivered", city="Foxhaven")
    caller.refused("PUT", f"/orders/{order_id}/priority", 409, "is delivered", level="express")
    caller.refused("POST", f"/orders/{order_id}/cancellation", 409, "is delivered")


@pytest.mark.parametrize("amount", [0, -1, 500.01, 1e9, 1.005, "ten", None])
def test_amounts_are_bounded(caller: Caller, amount: object) -> None:
    order_id = caller.confirm(caller.take())
    body = {"amount": amount, "reason": "late"}
    caller.refused("POST", f"/orders/{order_id}/refund", 422, "body.amount", **body)


def test_a_refund_is_at_most_the_total(caller: Caller) -> None:
    order = caller.take()
    order_id, cent = caller.confirm(order), 0.01
    path, reason = f"/orders/{order_id}/refund", "late"
    above = {"amount": round(order["total"] + cent, 2), "reason": reason}
    caller.refused("POST", path, 422, "above the order's total", **above)
    assert caller.http.post(path, json={"amount": order["total"], "reason": reason}).is_success


@pytest.mark.parametrize(
    ("method", "path", "body", "place"),
    [
        ("GET", "/orders/999", {}, "path.number"),
        ("GET", "/orders/abc", {}, "path.number"),
        ("GET", "/customers?email=nobody", {}, "query.email"),
        ("POST", "/orders/x/refund", {"amount": 1, "reason": "bored"}, "body.reason"),
        ("POST", "/orders/x/refund", {"amount": 1, "reason": "late", "x": 1}, "body.x"),
        ("PUT", "/orders/x/city", {"city": ""}, "body.city"),
        ("PUT", "/orders/x/city", {"city": "a" * 41}, "body.city"),
        ("PUT", "/customers/x/email", {"new_email": "a@b"}, "body.new_email"),
        ("PUT", "/customers/x/email", {"new_email": "a@" + "b" * 50 + ".example"}, "body.new"),
    ],
)
def test_malformed_values_are_named(
    caller: Caller, method: str, path: str, body: dict[str, Any], place: str
) -> None:
    caller.refused(method, path, 422, place, **body)


def test_customers_are_served(caller: Caller) -> None:
    order = caller.take()
    found = caller.http.get("/customers", params={"email": order["owner_email"]}).json()
    base = f"/customers/{found['id']}"
    new = "new.address@fernhill.example"
    assert caller.http.put(f"{base}/email", json={"new_email": new}).json()["email"] == new
    caller.refused("PUT", f"{base}/email", 409, "in use", new_email=caller.take()["owner_email"])
    assert caller.http.post(f"{base}/vouchers", json={"amount": 12.25}).json()["amount"] == 12.25
    assert caller.http.post(f"{base}/notes", json={"tag": "vip"}).is_success
    caller.refused("POST", f"{base}/notes", 409, "this note already", tag="vip")
    query = {"customer": [found["id"], "cus_unknown"], "number": [order["number"]]}
    state = caller.http.get("/audit/state", params=query).json()
    assert state["customers"] == {
        found["id"]: {**found, "email": new, "vouchers": [12.25], "notes": ["vip"]}
    }
    assert state["orders"][str(order["number"])]["owner_email"] == new


def test_a_key_makes_a_write_happen_once(caller: Caller) -> None:
    order = caller.take()
    customer = caller.http.get("/customers", params={"email": order["owner_email"]}).json()["id"]
    path, headers = f"/customers/{customer}/vouchers", {"Idempotency-Key": "run-1:c"}
    first = caller.http.post(path, json={"amount": 5}, headers=headers)
    again = caller.http.post(path, json={"amount": 5}, headers=headers)
    assert first.is_success and again.json() == first.json()
    other = caller.http.post(path, json={"amount": 6}, headers=headers)
    assert other.status_code == 422 and "another request" in other.json()["reason"]
    caller.http.post(path, json={"amount": 5})
    state = caller.http.get("/audit/state", params={"customer": customer}).json()
    assert state["customers"][customer]["vouchers"] == [5, 5]


def test_a_refused_write_does_not_use_its_key_up(caller: Caller) -> None:
    order = caller.take()
    order_id, headers = caller.look_up(order), {"Idempotency-Key": "run-2:d"}
    path = f"/orders/{order_id}/cancellation"
    assert caller.http.post(path, headers=headers).status_code == 403
    caller.confirm(order)
    assert caller.http.post(path, headers=headers).json()["status"] == "cancelled"
    assert caller.http.post(path, headers=headers).json()["status"] == "cancelled"


def test_the_data_is_a_function_of_the_seed(tmp_path: Path) -> None:
    dumps = []
    for name, seed in (("one", 0), ("same", 0), ("other", 1)):
        connection = connect(tmp_path / name)
        seed_database(connection, seed)
        seed_database(connection, 7)  # a filled database stays as it is
        dumps.append("\n".join(connection.iterdump()))
        connection.close()
    assert dumps[0] == dumps[1] != dumps[2]


def test_there_is_enough_of_everything(caller: Caller) -> None:
    health = caller.http.get("/health").json()
    assert health["status"] == "ok"
    assert health["orders"] >= 8000 and health["customers"] == N_CUSTOMERS
    statuses = {order["status"] for order in caller._orders}
    assert statuses == {"placed", "shipped", "delivered", "cancelled"}


def test_the_database_itself_bounds_refunds(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "plain.db")
    connection.executescript(TABLES)
    with pytest.raises(sqlite3.IntegrityError, match="CHECK constraint"):
        connection.execute("INSERT INTO refunds VALUES ('ord_x', 50001, 'late')")
    connection.close()
