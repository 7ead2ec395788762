"""What there is on a network of people: channels, contacts, messages, posts, and what goes out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from bb_domains.social.pii.people import Person

Audience = Literal["internal", "followers", "public", "direct"]
AUDIENCES: tuple[Audience, ...] = ("internal", "followers", "public")
"""Of posts, narrow to wide; a message may also be `direct`, to one person."""

Day = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
DAYS: tuple[Day, ...] = (
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
)
WEEKEND: tuple[Day, ...] = ("saturday", "sunday")


@dataclass(frozen=True)
class Channel:
    """A place to post; `widest` is the widest audience that posts there may have."""

    name: str
    widest: Audience

    def allows(self, audience: Audience) -> bool:
        """Whether a post for this audience may stand there."""
        return audience in AUDIENCES[: AUDIENCES.index(self.widest) + 1]


@dataclass(frozen=True)
class Contact:
    """Somebody on the contact list."""

    handle: str
    person: Person
    accepts_messages: bool = True
    blocked: bool = False


@dataclass(frozen=True)
class Message:
    """What somebody wrote to us; `audience` is who sees it, and so who will see the answer."""

    number: int
    sender: str
    text: str
    audience: Audience


@dataclass(frozen=True)
class Status:
    """A published post, ours or another's; one that is `held` must not be deleted."""

    number: int
    text: str
    audience: Audience
    mine: bool
    held: bool = False


@dataclass(frozen=True)
class Moment:
    """A full hour of a day of the week."""

    day: Day
    hour: int


@dataclass(frozen=True)
class Outgoing:
    """What is about to be seen by others.

    Attributes:
        text: of the post.
        audience: who is to see it.
        channel: name of the channel, "" for answers and direct messages.
        answers: number of the message that it answers, 0 if none.
        recipient: handle of the one person it is for, "" if there are more.
        at: when to publish it; None for now.
    """

    text: str
    audience: Audience
    channel: str = ""
    answers: int = 0
    recipient: str = ""
    at: Moment | None = None


class Network(Protocol):
    """Where posts are published and messages come from. Look-ups give None for what is not there.

    What changes something raises `tools.ToolFailed` if it is refused or cannot be reached.
    """

    def now(self) -> Moment:
        """The present hour."""
        ...

    def people(self) -> tuple[Person, ...]:
        """Everybody whose data is to be kept."""
        ...

    def channel(self, name: str) -> Channel | None:
        """The channel of a name."""
        ...

    def contact(self, handle: str) -> Contact | None:
        """The contact of a handle."""
        ...

    def message(self, number: int) -> Message | None:
        """The message of a number."""
        ...

    def status(self, number: int) -> Status | None:
        """The post of a number."""
        ...

    def publish(self, outgoing: Outgoing, key: str | None) -> int:
        """Publish, schedule or send; the number of the post. The same key has no second effect."""
        ...

    def dismiss(self, number: int) -> None:
        """Take a message off the inbox."""
        ...

    def follow(self, handle: str) -> None:
        """Follow a contact."""
        ...

    def share(self, number: int) -> None:
        """Share a post with our followers."""
        ...

    def delete(self, number: int) -> None:
        """Delete a post of ours, published or scheduled."""
        ...
