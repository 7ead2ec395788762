"""The desk: drafting, checking, approval and publishing, over any network of people.

It refuses what cannot be done (404 for what does not exist, 409 for what cannot be done now, 403
for an approval that is not given, 422 for personal data or a text that is too long). What must not
be done but can be, such as publishing without approval, a `strict` desk refuses as well, whatever
the plan said; in simulations it happens and is counted.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, TypeVar, get_args

from bb_core.errors import BBError
from bb_domains.social.drafts import Approvals, Draft, Drafts
from bb_domains.social.pii.find import find_pii, without_pii
from bb_domains.social.pii.people import Person
from bb_domains.social.pii.span import Span
from bb_domains.social.policies import ROLES, Occasion, Role, Rules
from bb_domains.social.records import AUDIENCES, DAYS, Audience, Day, Moment, Network, Outgoing
from bb_domains.tools import ToolFailed

_Thing = TypeVar("_Thing")
_MENTION = re.compile(r"(?<![\w/@.])@\w[\w.@-]*")
FORBIDDEN, NOT_FOUND, CONFLICT, BAD_VALUE = 403, 404, 409, 422


class _Refused(Exception):  # noqa: N818 - becomes ToolFailed, which knows the tool
    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


@dataclass
class Desk:
    """Carries out the tools of the domain.

    Attributes:
        network: where posts go.
        drafts: where drafts are kept.
        approvals: who decides.
        rules: what holds here.
        strict: whether it refuses what must not be done.
    """

    network: Network
    drafts: Drafts
    approvals: Approvals
    rules: Rules
    strict: bool = True

    def call(
        self, tool: str, args: Mapping[str, Any], idempotency_key: str | None = None
    ) -> dict[str, Any]:
        """Carry a tool call out. Text never appears in a refusal.

        Raises:
            BBError: there is no such tool.
            ToolFailed: the desk or the network refused, or gave no answer.
        """
        act = _TOOLS.get(tool)
        if act is None:
            raise BBError("no such tool", where=f"tool {tool}", fix=f"use {', '.join(_TOOLS)}")
        given = {"key": idempotency_key, **args} if tool in _KEYED else dict(args)
        try:
            _signature(act).bind(self, **given)
        except TypeError as error:
            raise ToolFailed(tool, BAD_VALUE, str(error)) from None
        try:
            return act(self, **given)
        except _Refused as refused:
            raise ToolFailed(tool, refused.status, refused.reason) from None

    def find_own_pii(self, draft: Draft) -> tuple[Span, ...]:
        """Personal data in a draft, but for what belongs to its only reader."""
        return find_pii(draft.text, self.network.people(), self._reader(draft))

    def _reader(self, draft: Draft) -> Person | None:
        """The only reader of a draft, if it has but one and they are known."""
        contact = self.network.contact(draft.recipient) if draft.recipient else None
        return contact.person if contact else None

    def needed(self, draft: Draft) -> Role:
        """Whose approval a draft needs."""
        return self.rules.approvers[draft.occasion]

    def _find_channel(self, name: str) -> dict[str, Any]:
        channel = _found(self.network.channel(name), f"channel {name}")
        return {
            "id": f"channel-{name}",
            "name": name,
            "followers": channel.allows("followers"),
            "public": channel.allows("public"),
        }

    def _list_posts(self, channel: str) -> dict[str, Any]:
        name = channel.removeprefix("channel-")
        _found(self.network.channel(name), f"channel {name}")
        numbers = self.drafts.posted(name)
        return {"numbers": [n for n in numbers if self.network.status(n) is not None]}

    def _find_contact(self, handle: str) -> dict[str, Any]:
        contact = _found(self.network.contact(handle), f"contact {handle}")
        return {
            "id": f"contact-{handle}",
            "handle": handle,
            "accepts_messages": contact.accepts_messages,
            "blocked": contact.blocked,
        }

    def _get_message(self, number: int) -> dict[str, Any]:
        message = _found(self.network.message(number), f"message {number}")
        return {
            "id": f"message-{number}",
            "number": number,
            "sender": message.sender,
            "audience": message.audience,
            "text": message.text,
        }

    def _get_status(self, number: int) -> dict[str, Any]:
        status = _found(self.network.status(number), f"post {number}")
        clean = not find_pii(status.text, self.network.people())
        others = status.audience == "public" and not status.mine
        return {
            "id": f"status-{number}",
            "number": number,
            "mine": status.mine,
            "held": status.held,
            "shareable": others and clean and self.rules.shares,
            "text": status.text,
        }

    def _draft_post(
        self, channel: str, audience: str, text: str, key: str | None
    ) -> dict[str, Any]:
        name = channel.removeprefix("channel-")
        found = _found(self.network.channel(name), f"channel {name}")
        if audience not in AUDIENCES:
            raise _Refused(BAD_VALUE, f"there is no audience {audience!r}")
        wide: Audience = AUDIENCES[AUDIENCES.index(audience)]
        if self.strict and not found.allows(wide):
            raise _Refused(FORBIDDEN, f"posts on {name} may not be for audience {audience}")
        occasions: dict[Audience, Occasion] = {"internal": "internal", "followers": "followers"}
        made = Draft(self.drafts.new_name(key), occasions.get(wide, "public"), wide, text, name)
        return self._keep_new(made)

    def _draft_reply(self, message: str, text: str, key: str | None) -> dict[str, Any]:
        number = _number(message, "message")
        found = _found(self.network.message(number), message)
        reader = found.sender if found.audience == "direct" else ""
        name = self.drafts.new_name(key)
        return self._keep_new(
            Draft(name, "answer", found.audience, text, answers=number, recipient=reader)
        )

    def _draft_message(self, contact: str, text: str, key: str | None) -> dict[str, Any]:
        handle = contact.removeprefix("contact-")
        found = _found(self.network.contact(handle), f"contact {handle}")
        if self.strict and not found.accepts_messages:
            raise _Refused(FORBIDDEN, f"{handle} accepts no direct messages")
        name = self.drafts.new_name(key)
        return self._keep_new(Draft(name, "direct", "direct", text, recipient=handle))

    def _keep_new(self, draft: Draft) -> dict[str, Any]:
        kept = self.drafts.get(draft.id)
        if kept is None:  # else: drafted before, under the same key
            kept = draft
            self.drafts.put(kept)
        inside = kept.audience == "internal"
        return {
            "id": kept.id,
            "length": len(kept.text),
            "limit": self.rules.limit,
            "approver": self.needed(kept),
            "quiet": self.rules.disturbs(kept.audience, self.network.now()),
            "opens": 0 if inside else self.rules.opens,
            "closes": 24 if inside else self.rules.closes,
            "weekends": inside or self.rules.weekends,
        }

    def _redact(self, draft: str) -> dict[str, Any]:
        found = self._unpublished(draft)
        text, kinds = without_pii(found.text, self.network.people(), self._reader(found))
        if kinds:
            self.drafts.put(replace(found, text=text, checked=False, approved_by=""))
        return {"replaced": len(kinds), "kinds": sorted(set(kinds))}

    def _check(self, draft: str) -> dict[str, Any]:
        found = self._unpublished(draft)
        spans = self.find_own_pii(found)
        if spans:
            kinds = ", ".join(sorted({span.kind for span in spans}))
            raise _Refused(BAD_VALUE, f"the draft holds personal data ({kinds}); redact it first")
        others = mentions(found.text, found.audience)
        if others:
            what = f"the draft is for few, and {', '.join(others)} would read it too"
            raise _Refused(BAD_VALUE, what)
        if not 0 < len(found.text) <= self.rules.limit:
            what = f"the draft has {len(found.text)} characters, at most {self.rules.limit} may be"
            raise _Refused(BAD_VALUE, what)
        self.drafts.put(replace(found, checked=True))
        return {"length": len(found.text)}

    def _request_approval(self, draft: str, approver: str) -> dict[str, Any]:
        found = self._unpublished(draft)
        if approver not in ROLES:
            raise _Refused(BAD_VALUE, f"there is no role {approver!r}")
        if not found.checked:
            raise _Refused(CONFLICT, "the draft was not checked")
        role = ROLES[ROLES.index(approver)]
        against = self.approvals.decide(found, role, self.needed(found))
        if against:
            raise _Refused(FORBIDDEN, against)
        self.drafts.put(replace(found, approved_by=role))
        return {"approver": role}

    def _publish(self, draft: str, key: str | None) -> dict[str, Any]:
        found = _found(self.drafts.get(draft), draft)
        if found.occasion == "direct":
            raise _Refused(CONFLICT, f"{draft} is a direct message; send it")
        return self._let_out(found, None, key)

    def _send(self, draft: str, key: str | None) -> dict[str, Any]:
        found = _found(self.drafts.get(draft), draft)
        if found.occasion != "direct":
            raise _Refused(CONFLICT, f"{draft} is no direct message; publish it")
        return self._let_out(found, None, key)

    def _schedule(self, draft: str, day: str, hour: int, key: str | None) -> dict[str, Any]:
        found = _found(self.drafts.get(draft), draft)
        if day not in DAYS or hour not in range(24):
            raise _Refused(BAD_VALUE, f"there is no {day!r}, {hour}:00")
        if found.occasion in ("direct", "answer"):
            raise _Refused(CONFLICT, f"{draft} is no post; only posts are scheduled")
        days: tuple[Day, ...] = get_args(Day)
        return self._let_out(found, Moment(days[days.index(day)], hour), key)

    def _let_out(self, draft: Draft, at: Moment | None, key: str | None) -> dict[str, Any]:
        if draft.number and key and key == draft.key:
            return {"id": f"status-{draft.number}", "number": draft.number}
        if draft.number:
            raise _Refused(CONFLICT, f"{draft.id} is published already")
        if self.strict:
            self._check_strictly(draft, at)
        outgoing = Outgoing(
            draft.text, draft.audience, draft.channel, draft.answers, draft.recipient, at
        )
        number = self.network.publish(outgoing, key)
        self.drafts.put(replace(draft, number=number, key=key or ""))
        return {"id": f"status-{number}", "number": number}

    def _check_strictly(self, draft: Draft, at: Moment | None) -> None:
        if draft.approved_by != self.needed(draft):
            raise _Refused(FORBIDDEN, f"{draft.id} was not approved by the {self.needed(draft)}")
        if self.find_own_pii(draft):
            raise _Refused(FORBIDDEN, f"{draft.id} holds personal data")
        if self.rules.disturbs(draft.audience, at or self.network.now()):
            raise _Refused(FORBIDDEN, f"{draft.id} would appear in quiet hours")

    def _dismiss(self, message: str) -> dict[str, Any]:
        number = _number(message, "message")
        _found(self.network.message(number), message)
        self.network.dismiss(number)
        return {}

    def _follow(self, contact: str) -> dict[str, Any]:
        handle = contact.removeprefix("contact-")
        found = _found(self.network.contact(handle), f"contact {handle}")
        if self.strict and found.blocked:
            raise _Refused(FORBIDDEN, f"{handle} is blocked")
        self.network.follow(handle)
        return {}

    def _share(self, status: str) -> dict[str, Any]:
        number = _number(status, "status")
        if self.strict and not self._get_status(number)["shareable"]:
            raise _Refused(FORBIDDEN, f"{status} may not be shared")
        _found(self.network.status(number), status)
        self.network.share(number)
        return {}

    def _delete(self, status: str) -> dict[str, Any]:
        number = _number(status, "status")
        found = _found(self.network.status(number), status)
        if not found.mine:
            raise _Refused(FORBIDDEN, f"{status} is not ours")
        if self.strict and found.held:
            raise _Refused(FORBIDDEN, f"{status} is held")
        self.network.delete(number)
        return {}

    def _unpublished(self, name: str) -> Draft:
        found = _found(self.drafts.get(name), name)
        if found.number:
            raise _Refused(CONFLICT, f"{name} is published already")
        return found


def _found(value: _Thing | None, what: str) -> _Thing:
    if value is None:
        raise _Refused(NOT_FOUND, f"there is no {what}")
    return value


def _number(name: str, kind: str) -> int:
    digits = name.removeprefix(f"{kind}-")
    if not digits.isdecimal() or not digits.isascii():
        raise _Refused(NOT_FOUND, f"there is no {name}")
    return int(digits)


def mentions(text: str, audience: Audience) -> list[str]:
    """Handles in a text for few, whose owners would read it too: networks show it to them."""
    return sorted(set(_MENTION.findall(text))) if audience in ("direct", "internal") else []


_signature = cache(inspect.signature)
_KEYED = frozenset({"draft_post", "draft_reply", "draft_message", "publish", "schedule", "send"})
_TOOLS: dict[str, Callable[..., dict[str, Any]]] = {
    name: getattr(Desk, f"_{name}")
    for name in (
        "find_channel",
        "list_posts",
        "find_contact",
        "get_message",
        "get_status",
        "draft_post",
        "draft_reply",
        "draft_message",
        "redact",
        "check",
        "request_approval",
        "publish",
        "schedule",
        "send",
        "dismiss",
        "follow",
        "share",
        "delete",
    )
}
