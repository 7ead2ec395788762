"""Drafts: what has been written and not yet shown, and what was done to it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal, Protocol

from bb_domains.social.policies import Occasion, Role
from bb_domains.social.records import Audience


@dataclass(frozen=True)
class Draft:
    """A text on its way out.

    Attributes:
        id: its name.
        occasion: what decides who approves it.
        audience: who will see it.
        text: as it stands.
        channel: name of the channel, "" for answers and direct messages.
        answers: number of the message that it answers, 0 if none.
        recipient: handle of the only reader, "" if there are more.
        checked: whether no personal data was found in the text as it stands.
        approved_by: who approved the text as it stands, "" for nobody.
        number: of the post that it became, 0 for none yet.
        key: idempotency key of the call that published it.
    """

    id: str
    occasion: Occasion
    audience: Audience
    text: str
    channel: str = ""
    answers: int = 0
    recipient: str = ""
    checked: bool = False
    approved_by: Role | Literal[""] = ""
    number: int = 0
    key: str = ""

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the text and who will see it: what an approval is given for."""
        seen = (self.text, self.audience, self.channel, str(self.answers), self.recipient)
        return hashlib.sha256("\0".join(seen).encode()).hexdigest()


class Drafts(Protocol):
    """Where drafts are kept."""

    def get(self, name: str) -> Draft | None:
        """The draft of a name; None if there is none."""
        ...

    def put(self, draft: Draft) -> None:
        """Keep a draft, in the place of an older one of the same name."""
        ...

    def posted(self, channel: str) -> list[int]:
        """Numbers of the posts that drafts for a channel became."""
        ...

    def new_name(self, key: str | None) -> str:
        """A name for a new draft; with a key always the same one."""
        ...


class Approvals(Protocol):
    """Who decides about drafts."""

    def decide(self, draft: Draft, approver: Role, needed: Role) -> str:
        """Why this approver does not approve a draft; empty if they do.

        Args:
            draft: checked.
            approver: who is asked.
            needed: whose approval the rules ask for.
        """
        ...
