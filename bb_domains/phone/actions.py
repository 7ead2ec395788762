"""Tools that are one act on one screen: which element they tap or fill, and where that leads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Tap:
    """A tool that taps one button and finds itself on another screen."""

    screen: str
    element: str
    leads_to: str


@dataclass(frozen=True)
class Typing:
    """A tool that types an argument into a field."""

    screen: str
    element: str
    arg: str


TAPS: Mapping[str, Tap] = {
    "close_contact": Tap("contact", "close_contact_button", "contacts"),
    "call": Tap("contact", "call_button", "call"),
    "delete_contact": Tap("contact", "delete_button", "deleting"),
    "keep_contact": Tap("deleting", "keep_button", "contact"),
    "confirm_delete": Tap("deleting", "confirm_delete_button", "contacts"),
    "new_contact": Tap("contacts", "new_contact", "contact_form"),
    "save_contact": Tap("contact_form", "save_contact_button", "contacts"),
    "new_message": Tap("threads", "new_message", "composer"),
    "send_message": Tap("composer", "send_button", "threads"),
    "discard_message": Tap("composer", "discard_button", "threads"),
    "new_event": Tap("calendar", "new_event", "event_form"),
    "save_event": Tap("event_form", "save_event_button", "calendar"),
    "new_payment": Tap("bank", "new_payment", "payment_form"),
    "cancel_payment": Tap("review", "cancel_payment_button", "bank"),
}
TYPINGS: Mapping[str, Typing] = {
    "type_name": Typing("contact_form", "name_field", "name"),
    "type_phone": Typing("contact_form", "phone_field", "number"),
    "type_message": Typing("composer", "message_field", "text"),
    "type_title": Typing("event_form", "title_field", "title"),
    "type_date": Typing("event_form", "date_field", "date"),
    "type_payee": Typing("payment_form", "payee_field", "payee"),
    "type_amount": Typing("payment_form", "amount_field", "amount"),
}
OPENS: Mapping[str, str] = {
    f"open_{app}": app for app in ("contacts", "messages", "calendar", "settings", "bank")
}
