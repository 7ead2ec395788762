"""A real desk: drafts and decisions here, posts on a Mastodon server.

    BB_SOCIAL_URL     the server, whose host plan_schema.yaml must declare
    BB_SOCIAL_TOKEN   an access token of the account (scopes read and write)
    BB_SOCIAL_DESK    folder with desk.yaml (see `settings`); drafts are kept there too

A post is sent with the `Idempotency-Key` of its step, which Mastodon honours for an hour; a call
that was begun longer ago and never answered is refused as in doubt, not repeated.
"""

from __future__ import annotations

import html
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bb_core.errors import BBError
from bb_domains.http_adapters import HttpAdapters
from bb_domains.outgoing import open_client, service_of
from bb_domains.schema import PlanSchema, load_schema
from bb_domains.social.desk import CONFLICT, NOT_FOUND, Desk
from bb_domains.social.pii.people import Person
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
from bb_domains.social.settings import Settings, load_settings
from bb_domains.social.store import STORE_FILE, DeskStore
from bb_domains.tools import Adapters, ToolFailed

URL, TOKEN, DESK = "BB_SOCIAL_URL", "BB_SOCIAL_TOKEN", "BB_SOCIAL_DESK"
WIRE_SCHEMA = Path(__file__).parent / "mastodon.yaml"
KEY_HONOURED_S = 3600
_GONE = ("delete", "dismiss")
_SCHEDULED = "scheduled:"  # before the server's id of a post that is not published yet

_VISIBILITY: dict[Audience, str] = {
    "public": "public",
    "followers": "private",
    "internal": "direct",
    "direct": "direct",
}
_AUDIENCE: dict[str, Audience] = {
    "public": "public",
    "unlisted": "public",
    "private": "followers",
    "direct": "direct",
}


@dataclass
class MastodonNetwork:
    """The account's part of a Mastodon network.

    Attributes:
        wire: calls the server.
        token: of the account.
        settings: channels, people, what is held.
        store: numbers.
        clock: the present time, UTC.
    """

    wire: Adapters
    token: str = field(repr=False)
    settings: Settings
    store: DeskStore
    clock: Callable[[], datetime]

    def now(self) -> Moment:
        """The present hour."""
        now = self.clock()
        return Moment(DAYS[now.weekday()], now.hour)

    def people(self) -> tuple[Person, ...]:
        """Everybody whose data is to be kept."""
        return tuple(person.contact().person for person in self.settings.people)

    def channel(self, name: str) -> Channel | None:
        """The channel of a name."""
        return self.settings.channel(name)

    def contact(self, handle: str) -> Contact | None:
        """Somebody on the contact list, or else on the network, whose name is what they show."""
        account = self._look_up("lookup", acct=handle.removeprefix("@"))
        listed = next((one for one in self.settings.people if one.handle == handle), None)
        if account is None:
            return None
        found = listed.contact() if listed else Contact(handle, Person(""))
        related = self._call("relationships", id=str(account["id"]))["value"]
        blocked = any(one.get("blocking") or one.get("blocked_by") for one in related)
        return replace(found, blocked=blocked)

    def message(self, number: int) -> Message | None:
        """The message of a number: a mention that notifies us."""
        found = self._of_number("message", number, "get_notification")
        if found is None or found.get("type") != "mention":
            return None
        status = found["status"]
        sender = f"@{found['account']['acct']}"
        return Message(number, sender, plain_text(status), _AUDIENCE[status["visibility"]])

    def status(self, number: int) -> Status | None:
        """The post of a number, scheduled ones included."""
        remote = self.store.remote_of("status", number)
        if remote is not None and remote.startswith(_SCHEDULED):
            return Status(number, "", "internal", mine=True)
        found = self._of_number("status", number, "get_status")
        if found is None:
            return None
        mine = str(found["account"]["id"]) == str(self._call("verify")["id"])
        audience = _AUDIENCE[found["visibility"]]
        held = str(found["id"]) in self.settings.held
        return Status(number, plain_text(found), audience, mine, held)

    def publish(self, outgoing: Outgoing, key: str | None) -> int:
        """Publish, schedule or send."""
        seen_by = [outgoing.recipient] if outgoing.recipient else []
        if outgoing.audience == "internal":
            seen_by = [*self.settings.channels[outgoing.channel].team]
        args: dict[str, Any] = {"visibility": _VISIBILITY[outgoing.audience]}
        if outgoing.answers:
            remote = self.store.remote_of("message", outgoing.answers)
            notified = self._call("get_notification", id=str(remote))
            args["in_reply_to_id"] = str(notified["status"]["id"])
            seen_by = [f"@{notified['account']['acct']}"]
        if outgoing.at is not None:
            args["scheduled_at"] = self._next(outgoing.at).strftime("%Y-%m-%dT%H:%M:%SZ")
        args["status"] = " ".join([*seen_by, outgoing.text])
        answer = self._call("post_status", key, **args)
        remote = f"{_SCHEDULED if outgoing.at else ''}{answer['id']}"
        return self.store.number_of("status", remote)

    def dismiss(self, number: int) -> None:
        """Take a notification off the list."""
        self._call("dismiss", id=str(self.store.remote_of("message", number)))

    def follow(self, handle: str) -> None:
        """Follow an account."""
        account = self._call("lookup", acct=handle.removeprefix("@"))
        self._call("follow", id=str(account["id"]))

    def share(self, number: int) -> None:
        """Boost a post."""
        self._call("reblog", id=str(self.store.remote_of("status", number)))

    def delete(self, number: int) -> None:
        """Delete a post, published or scheduled."""
        remote = str(self.store.remote_of("status", number))
        tool = "delete_scheduled" if remote.startswith(_SCHEDULED) else "delete_status"
        self._call(tool, id=remote.removeprefix(_SCHEDULED))

    def inbox(self) -> list[Message]:
        """The newest messages; each gets a number by which plans can name it."""
        listed = self._call("notifications", types=["mention"], limit=40)["value"]
        numbers = [self.store.number_of("message", str(one["id"])) for one in listed]
        return [m for m in map(self.message, numbers) if m is not None]

    def _next(self, moment: Moment) -> datetime:
        """The next time that it is this hour of this day."""
        now = self.clock()
        day = now.replace(hour=moment.hour, minute=0, second=0, microsecond=0)
        day += timedelta(days=(DAYS.index(moment.day) - now.weekday()) % 7)
        soon = timedelta(minutes=6)  # Mastodon wants five minutes
        return day if day >= now + soon else day + timedelta(days=7)

    def _of_number(self, kind: str, number: int, tool: str) -> dict[str, Any] | None:
        remote = self.store.remote_of(kind, number)
        return None if remote is None else self._look_up(tool, id=remote)

    def _look_up(self, tool: str, **args: Any) -> dict[str, Any] | None:
        try:
            return self._call(tool, **args)
        except ToolFailed as error:
            if error.status == NOT_FOUND:
                return None
            raise

    def _call(self, tool: str, key: str | None = None, **args: Any) -> dict[str, Any]:
        return self.wire.call(tool, {"token": f"Bearer {self.token}", **args}, key)


def plain_text(status: Mapping[str, Any]) -> str:
    """The text of a post, which Mastodon gives as HTML."""
    content = re.sub(r"<br ?/?>|</p>", " ", str(status.get("content", "")))
    return html.unescape(re.sub(r"<[^>]*>", "", content)).strip()


@dataclass
class RealDesk:
    """A strict desk whose writes happen once per key.

    Attributes:
        desk: does it.
        store: remembers keys.
        writes: the tools that change something.
    """

    desk: Desk
    store: DeskStore
    writes: frozenset[str]

    def call(
        self, tool: str, args: Mapping[str, Any], idempotency_key: str | None = None
    ) -> dict[str, Any]:
        """Carry a tool call out.

        Raises:
            BBError: there is no such tool.
            ToolFailed: refused, no answer, or in doubt since an earlier try.
        """
        if idempotency_key is None or tool not in self.writes:
            return self.desk.call(tool, args, idempotency_key)
        tried_s, answer = self.store.begin(idempotency_key)
        if answer is not None:
            return answer
        if tried_s is not None and time.time() - tried_s > KEY_HONOURED_S:
            raise ToolFailed(tool, CONFLICT, "in doubt: it was begun over an hour ago, no answer")
        try:
            answer = self.desk.call(tool, args, idempotency_key)
        except ToolFailed as error:
            if tried_s is not None and tool in _GONE and error.status == NOT_FOUND:
                answer = {}  # the earlier try did it
            else:
                if tried_s is None and _surely_undone(error):
                    self.store.forget(idempotency_key)
                raise
        self.store.finish(idempotency_key, answer)
        return answer


def _surely_undone(error: ToolFailed) -> bool:
    """Whether a call that failed had no effect."""
    return 400 <= error.status < 500 or (not error.status and not error.sent)


def wire_schema(schema: PlanSchema) -> PlanSchema:
    """The tools of `mastodon.yaml`, at the service of the domain and its hosts."""
    return load_schema(WIRE_SCHEMA).model_copy(update={"service": schema.service})


@contextmanager
def open_desk(schema: PlanSchema, environment: Mapping[str, str]) -> Iterator[RealDesk]:
    """The desk that the environment names.

    Raises:
        BBError: a variable is not set, the host is not declared, or the desk's files are broken.
    """
    missing = [name for name in (URL, TOKEN, DESK) if not environment.get(name)]
    if missing:
        raise BBError(
            f"{', '.join(missing)} not set",
            where="domain social",
            fix="see bb_domains/social/mastodon.py",
        )
    folder = Path(environment[DESK])
    settings = load_settings(folder)
    with open_client(service_of(schema)) as client:
        secrets = {TOKEN: environment[TOKEN]}
        wire = HttpAdapters(wire_schema(schema), client, secrets, environment[URL])
        store = DeskStore(folder / STORE_FILE)
        try:
            network = MastodonNetwork(
                wire, environment[TOKEN], settings, store, lambda: datetime.now(UTC)
            )
            desk = Desk(network, store, store, settings.rules.rules())
            writes = frozenset(n for n, tool in schema.tools.items() if tool.effect == "write")
            yield RealDesk(desk, store, writes)
        finally:
            store.close()
