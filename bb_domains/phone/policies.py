"""Policies: whether a phone is locked, what its apps ask for, and what the owner says to that.

The request states them in words, so that who plans can know.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from bb_domains.variants import Variants

ALLOWED: tuple[str, ...] = ("contacts", "calendar", "notifications")
"""The permissions that plans can grant, whatever a policy says."""

ASKING_APPS: tuple[str, ...] = ("contacts", "messages", "calendar", "bank")


@dataclass(frozen=True)
class Answer:
    """What an app asks for when it is opened first, and what the owner wants said."""

    permission: str
    say: Literal["allow", "deny"]


@dataclass(frozen=True)
class Policy:
    """One set of rules.

    Attributes:
        name: its name.
        held_out: whether it is kept for `unseen_policies`.
        locked: whether the phone wants its PIN first.
        asks: what apps ask for, by app.
        says: ways to state it; empty if there is nothing to state.
    """

    name: str
    held_out: bool
    locked: bool = False
    asks: Mapping[str, Answer] = field(default_factory=dict)
    says: tuple[str, ...] = ()


POLICIES = Variants(
    "policy",
    (
        Policy("open", False),
        Policy("locked", False, True, {}, ("The phone is locked.", "Unlock the phone first.")),
        Policy(
            "messages_ask", False, False, {"messages": Answer("contacts", "allow")},
            ("Messages will ask for the contacts, allow that.",
             "The messages app may read the contacts when it asks."),
        ),
        Policy(
            "contacts_ask", False, False, {"contacts": Answer("microphone", "deny")},
            ("The contacts app asks for the microphone, refuse it.",
             "If contacts wants the microphone, say no, and it will ask."),
        ),
        Policy(
            "calendar_asks", False, False, {"calendar": Answer("notifications", "allow")},
            ("The calendar asks whether it may notify, allow it.",
             "Allow the calendar the notifications it asks for."),
        ),
        Policy(
            "bank_asks", False, True, {"bank": Answer("location", "deny")},
            ("The phone is locked, and the bank asks for the location: refuse.",
             "Unlock first. The bank gets no location when it asks."),
        ),
        Policy(
            "bank_notifies", True, False, {"bank": Answer("notifications", "allow")},
            ("The bank asks whether it may notify, allow it.",
             "Allow the bank the notifications it asks for."),
        ),
        Policy(
            "locked_messages_refused", True, True, {"messages": Answer("camera", "deny")},
            ("The phone is locked, and messages asks for the camera: refuse.",
             "Unlock first. Messages gets no camera when it asks."),
        ),
        Policy(
            "calendar_and_contacts", True, False,
            {"calendar": Answer("calendar", "allow"), "contacts": Answer("contacts", "allow")},
            ("Calendar and contacts each ask for their own data, allow both.",
             "Allow contacts the contacts and calendar the calendar when they ask."),
        ),
    ),
)  # fmt: skip
