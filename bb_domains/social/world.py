"""The world of a simulated desk: who is there, what they wrote, and what happened to it."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from functools import cached_property

from bb_domains.social.layouts import LAYOUTS, Layout
from bb_domains.social.people import handle_of, make_person
from bb_domains.social.pii.people import Person
from bb_domains.social.policies import POLICIES, Policy
from bb_domains.social.records import (
    DAYS,
    Audience,
    Channel,
    Contact,
    Message,
    Moment,
    Outgoing,
    Status,
)
from bb_domains.social.texts import write

FIRST_POST = 9000  # numbers of the posts that a desk itself publishes


@dataclass
class World:
    """Everything there is; also the network that a desk publishes to.

    Attributes:
        layout: its organisation.
        policy: its rules.
        moment: the present hour; time stands still.
        contacts: by handle.
        inbox: messages by number.
        statuses: posts by number.
        published: what the desk let out, by number, those taken back included.
        followed, shared, gone: handles; numbers of posts; numbers of messages and posts put away.
    """

    layout: Layout
    policy: Policy
    moment: Moment
    contacts: dict[str, Contact]
    inbox: dict[int, Message]
    statuses: dict[int, Status]
    published: dict[int, Outgoing] = field(default_factory=dict)
    followed: set[str] = field(default_factory=set)
    shared: set[int] = field(default_factory=set)
    gone: set[int] = field(default_factory=set)

    def now(self) -> Moment:
        """The present hour."""
        return self.moment

    def people(self) -> tuple[Person, ...]:
        """Everybody on the contact list."""
        return self._people

    @cached_property
    def _people(self) -> tuple[Person, ...]:
        return tuple(contact.person for contact in self.contacts.values())

    def channel(self, name: str) -> Channel | None:
        """The channel of a name."""
        return next((one for one in self.layout.channels if one.name == name), None)

    def contact(self, handle: str) -> Contact | None:
        """The contact of a handle."""
        return self.contacts.get(handle)

    def message(self, number: int) -> Message | None:
        """The message of a number, unless it was dismissed."""
        return None if number in self.gone else self.inbox.get(number)

    def status(self, number: int) -> Status | None:
        """The post of a number, unless it was deleted."""
        return None if number in self.gone else self.statuses.get(number)

    def publish(self, outgoing: Outgoing, key: str | None) -> int:
        """Publish; the simulator keeps keys."""
        number = FIRST_POST + len(self.published)
        self.published[number] = outgoing
        self.statuses[number] = Status(number, outgoing.text, outgoing.audience, mine=True)
        return number

    def dismiss(self, number: int) -> None:
        """Take a message off the inbox."""
        self.gone.add(number)

    def follow(self, handle: str) -> None:
        """Follow a contact."""
        self.followed.add(handle)

    def share(self, number: int) -> None:
        """Share a post."""
        self.shared.add(number)

    def delete(self, number: int) -> None:
        """Delete a post."""
        self.gone.add(number)

    def copy(self) -> World:
        """An independent world in the same state."""
        return replace(
            self,
            contacts=dict(self.contacts),
            inbox=dict(self.inbox),
            statuses=dict(self.statuses),
            published=dict(self.published),
            followed=set(self.followed),
            shared=set(self.shared),
            gone=set(self.gone),
        )


def make_world(seed: int, layout: str, policy: str) -> World:
    """The world of a seed, a layout and a policy.

    Raises:
        BBError: no such layout or policy.
    """
    found, rules = LAYOUTS[layout], POLICIES[policy]
    rng = random.Random(f"{seed}/{layout}/{policy}")
    contacts = _contacts(found, rng)
    messages = {
        n: _message(n, found, contacts, rng) for n in _numbers(100, 999, found.n_messages, rng)
    }
    statuses = {
        n: _status(n, found, contacts, rng) for n in _numbers(1000, 8999, found.n_statuses, rng)
    }
    moment = Moment(rng.choice(DAYS), rng.randint(6, 22))
    return World(found, rules, moment, contacts, messages, statuses)


def _numbers(least: int, most: int, n: int, rng: random.Random) -> list[int]:
    return rng.sample(range(least, most + 1), n)


def _contacts(layout: Layout, rng: random.Random) -> dict[str, Contact]:
    contacts: dict[str, Contact] = {}
    names: set[str] = set()
    while len(contacts) < layout.n_contacts:
        person = make_person(rng)
        handle = handle_of(person, rng)
        if handle not in contacts and person.name not in names:
            names.add(person.name)
            contacts[handle] = Contact(handle, person, rng.random() < 0.8, rng.random() < 0.15)
    return contacts


def _message(
    number: int, layout: Layout, contacts: dict[str, Contact], rng: random.Random
) -> Message:
    sender = rng.choice(sorted(contacts))
    written = write("answer", layout.subjects, None, rng)
    return Message(number, sender, written.text, rng.choice(("public", "followers", "direct")))


def _status(
    number: int, layout: Layout, contacts: dict[str, Contact], rng: random.Random
) -> Status:
    mine = rng.random() < 0.5
    person = rng.choice([c.person for c in contacts.values()]) if rng.random() < 0.2 else None
    written = write("post", layout.subjects, person, rng)
    audience: Audience = "public" if rng.random() < 0.8 else "followers"
    return Status(number, written.text, audience, mine, held=mine and rng.random() < 0.2)
