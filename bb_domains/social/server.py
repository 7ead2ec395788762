"""A small server that speaks the part of the Mastodon API that the desk uses, over a world.

For demonstrations and tests: one account, one token, everything in memory, on 127.0.0.1 only. It
honours `Idempotency-Key` on posts and answers 401, 404 and 422 where Mastodon does.
"""

from __future__ import annotations

import hmac
import html
import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from bb_domains.social.records import Audience
from bb_domains.social.world import World

OURS = "1"
MOST_BYTES = 100_000
LEAST_AHEAD = timedelta(minutes=5)
_VISIBILITY: Mapping[Audience, str] = {
    "public": "public",
    "followers": "private",
    "internal": "direct",
    "direct": "direct",
}


class _HttpError(Exception):
    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


@dataclass
class Instance:
    """What the server keeps.

    Attributes:
        world: accounts, notifications and posts; what is published later stays out of it.
        token: whoever has it is the account.
        posts: published by the account, by identifier.
        scheduled: to be published, by identifier.
        boosted, followed, dismissed: identifiers.
        by_key: answers to posts by idempotency key.
    """

    world: World
    token: str
    posts: dict[str, dict[str, Any]] = field(default_factory=dict)
    scheduled: dict[str, dict[str, Any]] = field(default_factory=dict)
    boosted: set[str] = field(default_factory=set)
    followed: set[str] = field(default_factory=set)
    dismissed: set[str] = field(default_factory=set)
    by_key: dict[str, dict[str, Any]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: Mapping[str, Any],
    ) -> Any:
        """The JSON value of an answer."""
        given = headers.get("Authorization", "").removeprefix("Bearer ")
        if not hmac.compare_digest(given, self.token):
            raise _HttpError(401, "The access token is invalid")
        url = urlsplit(target)
        for verb, pattern, act in _ROUTES:
            match = pattern.fullmatch(url.path)
            if verb == method and match:
                with self._lock:
                    given_args = {**body, "query": parse_qs(url.query), "headers": headers}
                    return act(self, *map(unquote, match.groups()), given_args)
        raise _HttpError(404, "Record not found")

    def verify(self, given: Mapping[str, Any]) -> Any:
        """The account itself."""
        return {"id": OURS, "acct": "desk", "display_name": "Desk"}

    def post(self, given: Mapping[str, Any]) -> Any:
        """Publish or schedule."""
        key = given["headers"].get("Idempotency-Key")
        if key and key in self.by_key:
            return self.by_key[key]
        text = given.get("status")
        if not isinstance(text, str) or not text.strip():
            raise _HttpError(422, "Validation failed: Text can't be blank")
        if given.get("visibility") not in _VISIBILITY.values():
            raise _HttpError(422, "Validation failed: Visibility is not included in the list")
        answers = given.get("in_reply_to_id")
        if answers is not None and not self._exists(str(answers)):
            raise _HttpError(404, "The post you are replying to does not exist")
        made = self._scheduled(given) if given.get("scheduled_at") else self._published(given)
        if key:
            self.by_key[key] = made
        return made

    def _published(self, given: Mapping[str, Any]) -> dict[str, Any]:
        name = str(500_000 + len(self.posts))
        self.posts[name] = {
            "id": name,
            "content": f"<p>{html.escape(given['status'])}</p>",
            "visibility": given["visibility"],
            "in_reply_to_id": given.get("in_reply_to_id"),
            "account": self.verify({}),
        }
        return self.posts[name]

    def _scheduled(self, given: Mapping[str, Any]) -> dict[str, Any]:
        try:
            at = datetime.fromisoformat(given["scheduled_at"])
        except (TypeError, ValueError):
            raise _HttpError(422, "Validation failed: Scheduled at is invalid") from None
        if at - datetime.now(UTC) < LEAST_AHEAD:
            raise _HttpError(422, "Validation failed: Scheduled at must be in the future")
        name = str(700_000 + len(self.scheduled))
        params = {"text": given["status"], "visibility": given["visibility"]}
        self.scheduled[name] = {"id": name, "scheduled_at": at.isoformat(), "params": params}
        return self.scheduled[name]

    def get_status(self, name: str, given: Mapping[str, Any]) -> Any:
        """A post, ours or another's."""
        if name in self.posts:
            return self.posts[name]
        status = self.world.statuses.get(int(name)) if name.isdecimal() else None
        if status is None:
            raise _HttpError(404, "Record not found")
        account = self.verify({}) if status.mine else {"id": "2", "acct": "somebody"}
        return {
            "id": name,
            "content": f"<p>{html.escape(status.text)}</p>",
            "visibility": _VISIBILITY[status.audience],
            "account": account,
        }

    def delete_status(self, name: str, given: Mapping[str, Any]) -> Any:
        """Delete a post of ours."""
        found = self.get_status(name, given)
        if found["account"]["id"] != OURS:
            raise _HttpError(404, "Record not found")
        self.posts.pop(name, None)
        self.world.statuses.pop(int(name), None)
        return found

    def delete_scheduled(self, name: str, given: Mapping[str, Any]) -> Any:
        """Take a scheduled post back."""
        if self.scheduled.pop(name, None) is None:
            raise _HttpError(404, "Record not found")
        return {}

    def reblog(self, name: str, given: Mapping[str, Any]) -> Any:
        """Boost a post."""
        found = self.get_status(name, given)
        self.boosted.add(name)
        return found

    def notifications(self, given: Mapping[str, Any]) -> Any:
        """Mentions that were not dismissed."""
        numbers = [str(n) for n in self.world.inbox if str(n) not in self.dismissed]
        return [self.get_notification(name, given) for name in numbers]

    def get_notification(self, name: str, given: Mapping[str, Any]) -> Any:
        """One mention."""
        message = self.world.inbox.get(int(name)) if name.isdecimal() else None
        if message is None or name in self.dismissed:
            raise _HttpError(404, "Record not found")
        account = {"id": message.sender, "acct": message.sender.removeprefix("@")}
        status = {
            "id": f"9{name}",
            "content": f"<p><span>@desk</span> {html.escape(message.text)}</p>",
            "visibility": _VISIBILITY[message.audience],
        }
        return {"id": name, "type": "mention", "account": account, "status": status}

    def dismiss(self, name: str, given: Mapping[str, Any]) -> Any:
        """Take a mention off the list."""
        self.get_notification(name, given)
        self.dismissed.add(name)
        return {}

    def lookup(self, given: Mapping[str, Any]) -> Any:
        """An account by its handle."""
        handle = f"@{given['query'].get('acct', [''])[0]}"
        if handle not in self.world.contacts:
            raise _HttpError(404, "Record not found")
        return {"id": handle, "acct": handle.removeprefix("@")}

    def relationships(self, given: Mapping[str, Any]) -> Any:
        """How the account stands to others."""
        return [
            {
                "id": name,
                "following": name in self.followed,
                "blocking": self.world.contacts[name].blocked,
                "blocked_by": False,
            }
            for name in given["query"].get("id[]", [])
            if name in self.world.contacts
        ]

    def follow(self, name: str, given: Mapping[str, Any]) -> Any:
        """Follow an account."""
        if name not in self.world.contacts:
            raise _HttpError(404, "Record not found")
        self.followed.add(name)
        return {"id": name, "following": True}

    def _exists(self, name: str) -> bool:
        return name in self.posts or (name[:1] == "9" and int(name[1:]) in self.world.inbox)


_Act = Callable[..., Any]
_ROUTES: tuple[tuple[str, re.Pattern[str], _Act], ...] = tuple(
    (verb, re.compile("/api/v1" + path.replace("ID", "([^/]+)")), act)
    for verb, path, act in (
        ("GET", "/accounts/verify_credentials", Instance.verify),
        ("POST", "/statuses", Instance.post),
        ("GET", "/statuses/ID", Instance.get_status),
        ("DELETE", "/statuses/ID", Instance.delete_status),
        ("DELETE", "/scheduled_statuses/ID", Instance.delete_scheduled),
        ("POST", "/statuses/ID/reblog", Instance.reblog),
        ("GET", "/notifications", Instance.notifications),
        ("GET", "/notifications/ID", Instance.get_notification),
        ("POST", "/notifications/ID/dismiss", Instance.dismiss),
        ("GET", "/accounts/lookup", Instance.lookup),
        ("GET", "/accounts/relationships", Instance.relationships),
        ("POST", "/accounts/ID/follow", Instance.follow),
    )
)


@contextmanager
def serve(instance: Instance, port: int = 0) -> Iterator[str]:
    """Serve an instance on 127.0.0.1 while the block runs; gives its base URL."""

    class Handler(BaseHTTPRequestHandler):
        timeout = 10.0

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
            """Say nothing: requests carry texts."""

        def handle_one(self) -> None:
            """Answer one request."""
            try:
                length = int(self.headers.get("Content-Length") or 0)
                if not 0 <= length <= MOST_BYTES:
                    raise _HttpError(413, "too long")
                raw = self.rfile.read(length)
                body = json.loads(raw) if raw else {}
                if not isinstance(body, dict):
                    raise _HttpError(400, "not an object")
                answer = instance.answer(self.command, self.path, dict(self.headers), body)
                self._send(200, answer)
            except _HttpError as error:
                self._send(error.status, {"error": error.reason})
            except ValueError:
                self._send(400, {"error": "the request is not understood"})

        do_GET = do_POST = do_DELETE = handle_one  # noqa: N815 - http.server asks for these names

        def _send(self, status: int, value: Any) -> None:
            data = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
