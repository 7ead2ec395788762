"""Policies: whether a phone is locked, what its apps ask for, and what the owner says to that.

The request states them in words, so that who plans can know.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from bb_core.errors import BBError

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
    held_out: bool = False
    locked: bool = False
    asks: Mapping[str, Answer] = field(default_factory=dict)
    says: tuple[str, ...] = ()

    def statement(self, rng: random.Random) -> str:
        """The policy in words, with a space before it; empty if there is nothing to state."""
        return f" {rng.choice(self.says)}" if self.says else ""


POLICIES: Mapping[str, Policy] = {
    policy.name: policy
    for policy in (
        Policy("open"),
        Policy("locked", locked=True, says=("The phone is locked.", "Unlock the phone first.")),
        Policy(
            "messages_ask",
            asks={"messages": Answer("contacts", "allow")},
            says=(
                "Messages will ask for the contacts, allow that.",
                "The messages app may read the contacts when it asks.",
            ),
        ),
        Policy(
            "contacts_ask",
            asks={"contacts": Answer("microphone", "deny")},
            says=(
                "The contacts app asks for the microphone, refuse it.",
                "If contacts wants the microphone, say no, and it will ask.",
            ),
        ),
        Policy(
            "calendar_asks",
            asks={"calendar": Answer("notifications", "allow")},
            says=(
                "The calendar asks whether it may notify, allow it.",
                "Allow the calendar the notifications it asks for.",
            ),
        ),
        Policy(
            "bank_asks",
            locked=True,
            asks={"bank": Answer("location", "deny")},
            says=(
                "The phone is locked, and the bank asks for the location: refuse.",
                "Unlock first. The bank gets no location when it asks.",
            ),
        ),
        Policy(
            "bank_notifies",
            held_out=True,
            asks={"bank": Answer("notifications", "allow")},
            says=(
                "The bank asks whether it may notify, allow it.",
                "Allow the bank the notifications it asks for.",
            ),
        ),
        Policy(
            "locked_messages_refused",
            held_out=True,
            locked=True,
            asks={"messages": Answer("camera", "deny")},
            says=(
                "The phone is locked, and messages asks for the camera: refuse.",
                "Unlock first. Messages gets no camera when it asks.",
            ),
        ),
        Policy(
            "calendar_and_contacts",
            held_out=True,
            asks={
                "calendar": Answer("calendar", "allow"),
                "contacts": Answer("contacts", "allow"),
            },
            says=(
                "Calendar and contacts each ask for their own data, allow both.",
                "Allow contacts the contacts and calendar the calendar when they ask.",
            ),
        ),
    )
}


def policy_named(name: str) -> Policy:
    """The policy of this name.

    Raises:
        BBError: there is none.
    """
    if name not in POLICIES:
        known = ", ".join(POLICIES)
        raise BBError(f"no policy {name!r}", where="domain phone", fix=f"use one of {known}")
    return POLICIES[name]
