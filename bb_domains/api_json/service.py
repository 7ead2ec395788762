"""The demonstration service: orders and refunds over HTTP, FastAPI on SQLite.

The service trusts no caller: every rule that a plan is checked against is enforced here once more.

- 401 without a token from `POST /login`; 404 for what does not exist;
- 403 for an order or customer that this session did not look up, for an address that is not the
  owner's,
  and for a refund, cancellation or change of city before the owner was confirmed;
- 409 for what was done already or comes too late;
- 422 for malformed and out-of-range values, among them a refund above the order's total.

Each request is one SQLite transaction begun with `BEGIN IMMEDIATE`, so the rules also hold between
concurrent requests and between several processes on one file. An `Idempotency-Key` is honoured on
every write: key, effect and answer are stored in the same transaction, and a repeated request gets
the stored answer. SQLite is called on the event loop: a call takes some tens of microseconds, less
than handing it to a thread.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Header, Query, Request
from fastapi import Path as InPath
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from bb_domains.api_json import bodies as b
from bb_domains.api_json.rules import Refused, Row, Rules
from bb_domains.api_json.store import connect, seed_database

REFUSALS: dict[int | str, dict[str, Any]] = {
    401: {"model": b.Problem, "description": "not logged in"},
    403: {"model": b.Problem, "description": "a rule forbids it"},
    404: {"model": b.Problem, "description": "no such thing"},
    409: {"model": b.Problem, "description": "already done, or too late"},
}
_bearer = HTTPBearer(auto_error=False)


@dataclass(frozen=True)
class Operator:
    """Who may log in."""

    username: str
    password: str


@dataclass(frozen=True)
class Session:
    """An authenticated caller of one request.

    Attributes:
        db: the service's connection.
        token_hash: names the session in the database.
        username: who logged in.
        key: the request's `Idempotency-Key`, if it is a write and has one.
        request: hash of method, path and body; a key is bound to it.
    """

    db: sqlite3.Connection
    token_hash: str
    username: str
    key: str | None = None
    request: str = ""

    def run(self, operation: Callable[[Rules], Row], *, for_session: bool = False) -> Row:
        """Run an operation in a transaction of its own.

        Args:
            operation: reads and writes under the rules.
            for_session: the effect is on this session only, so a key does not reach beyond it.
        """
        self.db.execute("BEGIN IMMEDIATE")
        try:
            answer = self._answer(operation, self.token_hash if for_session else self.username)
            self.db.execute("COMMIT")
        except BaseException:
            self.db.execute("ROLLBACK")
            raise
        return answer

    def _answer(self, operation: Callable[[Rules], Row], scope: str) -> Row:
        rules = Rules(self.db, self.token_hash)
        if self.key is None:
            return operation(rules)
        where = (scope, self.key)
        sql = "SELECT request_hash, body FROM answers WHERE scope = ? AND key = ?"
        stored = self.db.execute(sql, where).fetchone()
        if stored is None:
            answer = operation(rules)
            values = (*where, self.request, json.dumps(answer))
            self.db.execute("INSERT INTO answers VALUES (?, ?, ?, ?)", values)
            return answer
        if stored["request_hash"] != self.request:
            raise Refused(422, "this Idempotency-Key was used for another request")
        answer = json.loads(stored["body"])
        assert isinstance(answer, dict)
        return answer


async def _session(
    request: Request,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> Session:
    """The caller's session.

    Raises:
        Refused: 401, no or unknown token.
    """
    db: sqlite3.Connection = request.app.state.db
    token_hash = _hash(credentials.credentials) if credentials else ""
    sql = "SELECT username FROM sessions WHERE token_hash = ?"
    row = db.execute(sql, (token_hash,)).fetchone()
    if row is None:
        raise Refused(401, "log in first and send the token as Authorization: Bearer")
    return Session(db, token_hash, row["username"])


Caller = Annotated[Session, Depends(_session)]


async def _keyed_session(
    request: Request,
    caller: Caller,
    idempotency_key: Annotated[str | None, Header(max_length=200)] = None,
) -> Session:
    """The caller's session, for a write that may carry a key."""
    bound = f"{request.method} {request.url.path} ".encode() + await request.body()
    digest = hashlib.sha256(bound).hexdigest()
    return replace(caller, key=idempotency_key, request=digest)


Writer = Annotated[Session, Depends(_keyed_session)]
OrderId = Annotated[str, InPath(max_length=64, description="identifier of an order")]
PageSize = Annotated[int, Query(ge=1, le=10_000)]
CustomerId = Annotated[str, InPath(max_length=64, description="identifier of a customer")]


def create_app(db_path: Path, seed: int, operator: Operator) -> FastAPI:
    """The service on a database file, which is created and filled if it is new.

    Args:
        db_path: SQLite file.
        seed: makes the data; ignored if the file is filled already.
        operator: the credentials that `POST /login` accepts.

    Raises:
        sqlite3.Error: the file cannot be opened or is no database.
    """
    app = FastAPI(
        title="Orders and refunds",
        version="1.0.0",
        description="Demonstration service of builderbrain: customers, orders, refunds.",
    )
    app.state.db = connect(db_path)
    app.state.operator = operator
    seed_database(app.state.db, seed)
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(sqlite3.OperationalError, _busy)
    _add_session_routes(app)
    _add_order_routes(app)
    _add_customer_routes(app)
    _add_audit_routes(app)
    return app


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


async def _refused(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Refused)
    return JSONResponse({"reason": error.reason}, error.status)


async def _malformed(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    return JSONResponse({"reason": f"{place}: {first['msg']}"}, 422)


async def _busy(_request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"reason": f"the database does not answer: {error}"}, 503)


def _add_session_routes(app: FastAPI) -> None:
    @app.get("/health", operation_id="health")
    async def health(request: Request) -> b.Health:
        """Whether the service answers, and how much it holds."""
        row = request.app.state.db.execute("SELECT orders, customers FROM meta").fetchone()
        return b.Health(status="ok", orders=row["orders"], customers=row["customers"])

    @app.post("/login", operation_id="login", responses={401: REFUSALS[401]})
    async def login(request: Request, body: b.LoginBody) -> b.Session:
        """Open a session; its token goes into the Authorization header."""
        operator: Operator = request.app.state.operator
        names = hmac.compare_digest(body.username.encode(), operator.username.encode())
        if not hmac.compare_digest(body.password.encode(), operator.password.encode()) or not names:
            raise Refused(401, "wrong username or password")
        token = secrets.token_urlsafe(24)
        values = (_hash(token), operator.username)
        request.app.state.db.execute("INSERT INTO sessions VALUES (?, ?)", values)
        return b.Session(token=token)


def _add_order_routes(app: FastAPI) -> None:
    @app.get(
        "/orders/{number}", operation_id="get_order", responses=REFUSALS, response_model=b.Order
    )
    async def get_order(caller: Caller, number: Annotated[int, InPath(ge=1000, le=9999)]) -> Row:
        """Look an order up by its number."""
        return caller.run(lambda rules: rules.get_order(number))

    @app.post(
        "/orders/{order}/owner",
        operation_id="confirm_owner",
        responses=REFUSALS,
        response_model=b.OwnerConfirmation,
    )
    async def confirm_owner(caller: Writer, order: OrderId, body: b.OwnerBody) -> Row:
        """Confirm that an address is that of the order's owner."""
        return caller.run(lambda rules: rules.confirm_owner(order, body.email), for_session=True)

    @app.post(
        "/orders/{order}/refund",
        operation_id="refund_order",
        responses=REFUSALS,
        response_model=b.Refund,
    )
    async def refund_order(caller: Writer, order: OrderId, body: b.RefundBody) -> Row:
        """Return money for an order whose owner is confirmed, once."""
        return caller.run(lambda rules: rules.refund_order(order, body.amount, body.reason))

    @app.post(
        "/orders/{order}/cancellation",
        operation_id="cancel_order",
        responses=REFUSALS,
        response_model=b.Order,
    )
    async def cancel_order(caller: Writer, order: OrderId) -> Row:
        """Cancel an order whose owner is confirmed and that is not delivered."""
        return caller.run(lambda rules: rules.cancel_order(order))

    @app.get(
        "/orders/{order}/shipment",
        operation_id="track_shipment",
        responses=REFUSALS,
        response_model=b.Shipment,
    )
    async def track_shipment(caller: Caller, order: OrderId) -> Row:
        """Where the parcel of an order is."""
        return caller.run(lambda rules: rules.track_shipment(order))

    @app.put(
        "/orders/{order}/city",
        operation_id="change_city",
        responses=REFUSALS,
        response_model=b.Order,
    )
    async def change_city(caller: Writer, order: OrderId, body: b.CityBody) -> Row:
        """Deliver an order, whose owner is confirmed, in another city."""
        return caller.run(lambda rules: rules.change_city(order, body.city))

    @app.put(
        "/orders/{order}/priority",
        operation_id="set_priority",
        responses=REFUSALS,
        response_model=b.Order,
    )
    async def set_priority(caller: Writer, order: OrderId, body: b.PriorityBody) -> Row:
        """Set how fast an order is shipped."""
        return caller.run(lambda rules: rules.set_priority(order, body.level))


def _add_customer_routes(app: FastAPI) -> None:
    @app.get(
        "/customers", operation_id="find_customer", responses=REFUSALS, response_model=b.Customer
    )
    async def find_customer(caller: Caller, email: Annotated[b.Email, Query()]) -> Row:
        """Look a customer up by address."""
        return caller.run(lambda rules: rules.find_customer(email))

    @app.put(
        "/customers/{customer}/email",
        operation_id="update_email",
        responses=REFUSALS,
        response_model=b.Customer,
    )
    async def update_email(caller: Writer, customer: CustomerId, body: b.EmailBody) -> Row:
        """Change a customer's address."""
        return caller.run(lambda rules: rules.update_email(customer, body.new_email))

    @app.post(
        "/customers/{customer}/vouchers",
        operation_id="issue_voucher",
        responses=REFUSALS,
        response_model=b.Voucher,
    )
    async def issue_voucher(caller: Writer, customer: CustomerId, body: b.VoucherBody) -> Row:
        """Give a customer a voucher."""
        return caller.run(lambda rules: rules.issue_voucher(customer, body.amount))

    @app.post(
        "/customers/{customer}/notes",
        operation_id="add_note",
        responses=REFUSALS,
        response_model=b.Note,
    )
    async def add_note(caller: Writer, customer: CustomerId, body: b.NoteBody) -> Row:
        """Put a note on a customer."""
        return caller.run(lambda rules: rules.add_note(customer, body.tag))


def _add_audit_routes(app: FastAPI) -> None:
    @app.get(
        "/audit/orders",
        operation_id="list_orders",
        responses={401: REFUSALS[401]},
        response_model=list[b.OrderState],
    )
    async def list_orders(caller: Caller, limit: PageSize, after: int = 0) -> list[Row]:
        """Orders by number, for audits."""
        return Rules(caller.db, caller.token_hash).list_orders(after, limit)

    @app.get(
        "/audit/customers",
        operation_id="list_customers",
        responses={401: REFUSALS[401]},
        response_model=list[b.CustomerState],
    )
    async def list_customers(caller: Caller, limit: PageSize, after: str = "") -> list[Row]:
        """Customers by identifier, for audits."""
        return Rules(caller.db, caller.token_hash).list_customers(after, limit)

    @app.get(
        "/audit/state",
        operation_id="read_state",
        responses={401: REFUSALS[401]},
        response_model=b.AuditState,
    )
    async def read_state(
        caller: Caller,
        number: Annotated[list[int] | None, Query()] = None,
        customer: Annotated[list[str] | None, Query()] = None,
    ) -> Row:
        """Orders and customers with all that belongs to them, for audits."""
        return Rules(caller.db, caller.token_hash).read_state(number or [], customer or [])
