"""Bodies of the demonstration service's requests and answers, as its OpenAPI document shows them.

Amounts are in the currency's unit with at most two decimals; the store keeps whole cents.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema

MAX_EMAIL = 48
MAX_CITY = 40
_EMAIL = re.compile(r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+")


def check_email(value: str) -> str:
    """Return `value` if it is an address of at most 48 characters.

    Raises:
        ValueError: it is not.
    """
    if len(value) > MAX_EMAIL or not _EMAIL.fullmatch(value):
        raise ValueError(f"not an email address of at most {MAX_EMAIL} characters")
    return value


Email = Annotated[
    str,
    AfterValidator(check_email),
    WithJsonSchema({"type": "string", "format": "email", "maxLength": MAX_EMAIL}),
]
Amount = Annotated[float, Field(ge=0.01, le=500, multiple_of=0.01)]
City = Annotated[str, Field(min_length=1, max_length=MAX_CITY)]
OrderNumber = Annotated[int, Field(ge=1000, le=9999)]


class Reason(StrEnum):
    """Why money is returned."""

    DAMAGED = "damaged"
    LATE = "late"
    WRONG_ITEM = "wrong_item"
    CHANGED_MIND = "changed_mind"


class Level(StrEnum):
    """How fast an order is shipped."""

    NORMAL = "normal"
    EXPRESS = "express"
    OVERNIGHT = "overnight"


class Tag(StrEnum):
    """What colleagues should know about a customer."""

    VIP = "vip"
    FRAUD_WATCH = "fraud_watch"
    CALL_BACK = "call_back"
    DO_NOT_EMAIL = "do_not_email"


class OrderStatus(StrEnum):
    """Where an order is in its life."""

    PLACED = "placed"
    SHIPPED = "shipped"
    DELIVERED = "delivered"
    CANCELLED = "cancelled"


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class LoginBody(_Body):
    """Credentials of an operator."""

    username: str
    password: str


class OwnerBody(_Body):
    """The address that the caller says is the owner's."""

    email: Email


class RefundBody(_Body):
    """Money to return, at most the order's total."""

    amount: Amount
    reason: Reason


class CityBody(_Body):
    """Where to deliver instead."""

    city: City


class PriorityBody(_Body):
    """How fast to ship."""

    level: Level


class EmailBody(_Body):
    """The customer's new address."""

    new_email: Email


class VoucherBody(_Body):
    """What the voucher is worth."""

    amount: Amount


class NoteBody(_Body):
    """What to remember about the customer."""

    tag: Tag


class Session(BaseModel):
    """An open session."""

    token: str


class Order(BaseModel):
    """An order as stored."""

    id: str
    number: OrderNumber
    customer_id: str
    total: float
    status: OrderStatus
    city: str
    priority: Level
    refunded: float | None


class OwnerConfirmation(BaseModel):
    """The owner of the order is confirmed for this session."""

    order_id: str
    confirmed: bool


class Refund(BaseModel):
    """A refund that was made."""

    order_id: str
    amount: float
    reason: Reason


class Shipment(BaseModel):
    """Where the parcel of an order is."""

    order_id: str
    carrier: str
    last_seen: str
    delivered: bool


class Customer(BaseModel):
    """A customer as stored."""

    id: str
    email: str
    name: str


class Voucher(BaseModel):
    """A voucher that was issued."""

    id: str
    customer_id: str
    amount: float


class Note(BaseModel):
    """A note on a customer."""

    customer_id: str
    tag: Tag


class Problem(BaseModel):
    """Why a request was refused."""

    reason: str


class OrderState(Order):
    """An order with all that belongs to it, for audits."""

    owner_email: str
    refund_reason: str | None


class CustomerState(Customer):
    """A customer with all that belongs to it, for audits."""

    vouchers: list[float]
    notes: list[Tag]


class AuditState(BaseModel):
    """A part of the database: orders by number, customers by identifier."""

    orders: dict[str, OrderState]
    customers: dict[str, CustomerState]


class Health(BaseModel):
    """The service answers."""

    status: str
    orders: int
    customers: int


Json = dict[str, Any]
