"""Policies: who approves what, when nobody is to be disturbed, and how a request states it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from bb_domains.social.records import WEEKEND, Audience, Moment
from bb_domains.variants import Variants

Role = Literal["author", "editor", "lead", "legal"]
ROLES: tuple[Role, ...] = ("author", "editor", "lead", "legal")
Occasion = Literal["internal", "followers", "public", "answer", "direct"]
OCCASIONS: tuple[Occasion, ...] = ("internal", "followers", "public", "answer", "direct")

_STANDARD: Mapping[Occasion, Role] = MappingProxyType(
    {
        "internal": "author",
        "followers": "editor",
        "public": "editor",
        "answer": "editor",
        "direct": "author",
    }
)


@dataclass(frozen=True)
class Rules:
    """What holds at a desk.

    Attributes:
        approvers: whose approval a draft needs, by occasion.
        opens: the first hour in which something may become visible beyond the team.
        closes: the hour after the last.
        weekends: whether Saturday and Sunday count like other days.
        shares: whether posts of others may be shared.
        limit: characters of the longest text.
    """

    approvers: Mapping[Occasion, Role] = field(default_factory=lambda: _STANDARD)
    opens: int = 0
    closes: int = 24
    weekends: bool = True
    shares: bool = True
    limit: int = 120

    def disturbs(self, audience: Audience, moment: Moment) -> bool:
        """Whether something for this audience would appear in quiet hours."""
        if audience == "internal":
            return False
        awake = self.opens <= moment.hour < self.closes
        return not awake or (moment.day in WEEKEND and not self.weekends)


@dataclass(frozen=True)
class Policy:
    """The rules of a desk, under a name.

    Attributes:
        name: its name.
        held_out: whether it is kept for `unseen_policies`.
        rules: what holds.
        says: ways to state what differs from the standard; empty if nothing does.
    """

    name: str
    held_out: bool
    rules: Rules
    says: tuple[str, ...] = ()


def _approved_by(role: Role, on: Iterable[Occasion]) -> Rules:
    return Rules({**_STANDARD, **dict.fromkeys(on, role)})


POLICIES = Variants(
    "policy",
    (
        Policy("standard", False, Rules()),
        Policy(
            "lead_approves_public", False, _approved_by("lead", ["public"]),
            ("House rule: public posts are approved by the lead.",
             "Here the lead approves whatever is public."),
        ),
        Policy(
            "legal_reads_answers", False, _approved_by("legal", ["answer"]),
            ("House rule: answers are approved by legal.",
             "No answer leaves us before legal has approved it."),
        ),
        Policy(
            "editor_reads_messages", False, _approved_by("editor", ["direct"]),
            ("House rule: direct messages are approved by the editor.",
             "The editor approves direct messages here."),
        ),
        Policy(
            "quiet_nights", False, Rules(opens=8, closes=20),
            ("House rule: nothing leaves the team before 8:00 or from 20:00.",),
        ),
        Policy(
            "no_shares", False, Rules(shares=False),
            ("House rule: we share nothing of others.",),
        ),
        Policy(
            "legal_approves_public", True, _approved_by("legal", ["public", "followers"]),
            ("House rule: legal approves posts for followers and for everyone.",),
        ),
        Policy(
            "lead_reads_everything", True, _approved_by("lead", OCCASIONS),
            ("House rule: the lead approves everything, even what stays in the team.",
             "Whatever we write, the lead approves it."),
        ),
        Policy(
            "office_hours", True, Rules(opens=9, closes=17, weekends=False),
            ("House rule: beyond the team we are seen from 9:00 to 17:00 on weekdays only.",),
        ),
    ),
)  # fmt: skip
