"""Tool calls over HTTP, as a plan schema describes them.

An adapter reaches only the hosts of its schema and follows no redirect. An argument stays in its
place: none changes the path, ends a header, or is sent as what HTTP itself needs. Secrets come by
name and are sent where the schema says; the bearer token that a login returns stays here. Neither
appears in a result or in what is said of a failure.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import httpx

from bb_core.errors import BBError
from bb_domains.outgoing import check_url, service_of
from bb_domains.privacy import LEAST_HIDDEN, without_secrets
from bb_domains.schema import Operation, PlanSchema, Tool
from bb_domains.tools import ToolFailed

TIMEOUT_S = 10.0
MOST_BYTES = 1_000_000
_BEARER = re.compile(r"[!-~]+")


@dataclass
class HttpAdapters:
    """Calls the tools of a schema over one HTTP client.

    Attributes:
        schema: declares the tools and the hosts.
        client: keeps connections alive; `outgoing.open_client` where a real service is meant.
        secrets: values by the names that the schema's tools use.
        base_url: where the service is, if not where the schema says; its host must be declared too.

    Raises:
        BBError: the schema declares no service, or not the host of the base URL.
    """

    schema: PlanSchema
    client: httpx.Client
    secrets: Mapping[str, str] = field(repr=False)
    base_url: str = ""
    _token: str | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        service = service_of(self.schema)
        self.base_url = (self.base_url or service.base_url).rstrip("/")
        check_url(service, self.base_url)

    def call(
        self, tool: str, args: Mapping[str, Any], idempotency_key: str | None = None
    ) -> dict[str, Any]:
        """Carry a tool call out.

        Args:
            tool: name of a tool of the schema.
            args: its arguments, references already replaced by what they refer to.
            idempotency_key: sent if the tool honours keys; repeating the call has no second effect.

        Returns:
            The service's answer, without a bearer token.

        Raises:
            BBError: no such tool, or it has no operation, or a secret is missing.
            ToolFailed: the service refused, or could not be reached in time.
        """
        declared = self.schema.tools.get(tool)
        if declared is None or declared.operation is None:
            raise BBError(
                "no such tool, or it has no operation",
                where=f"tool {tool}",
                fix=f"domain {self.schema.domain} declares {', '.join(self.schema.tools)}",
            )
        secrets = {name: self._secret(tool, key) for name, key in declared.secrets.items()}
        try:
            request = self._request(declared, declared.operation, args, secrets)
        except (ValueError, TypeError, httpx.InvalidURL):  # which show what they are about
            fix = "use JSON values, ASCII in headers, and no lone surrogates"
            what = "an argument cannot be sent"
            raise BBError(what, where=f"tool {tool}", fix=fix) from None
        if idempotency_key is not None and declared.idempotent:
            request.headers["Idempotency-Key"] = idempotency_key
        try:
            answer = self._keep_token(tool, self._send(tool, request))
        except ToolFailed as error:
            said = without_secrets(error.reason, self._known_secrets())
            raise ToolFailed(tool, error.status, said, sent=error.sent) from None
        kept: dict[str, Any] = without_secrets(answer, self._known_secrets(LEAST_HIDDEN))
        return kept

    def _known_secrets(self, least: int = 1) -> list[str]:
        """Secrets of at least so many characters."""
        return [one for one in (*self.secrets.values(), self._token or "") if len(one) >= least]

    def _request(
        self,
        tool: Tool,
        operation: Operation,
        args: Mapping[str, Any],
        secrets: Mapping[str, str],
    ) -> httpx.Request:
        """The request of a call, each argument in its place."""
        path, query = operation.path, {}
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        fields: dict[str, Any] = dict(secrets)
        whole: list[Any] = []
        for arg, value in args.items():
            place = tool.place(arg)
            if place.location == "path":
                path = path.replace(f"{{{place.name}}}", quote(_line(arg, value), safe=""))
            elif place.location == "query":
                query[place.name] = (
                    [*map(_text, value)] if isinstance(value, list) else _text(value)
                )
            elif place.location == "header":
                headers[place.name] = _line(arg, value)
            elif place.whole:
                whole.append(value)
            else:
                fields[place.name] = value
        _check_path(operation.path, path)
        return self.client.build_request(
            operation.method,
            self.base_url + path,
            params=query,
            headers=headers,
            timeout=tool.timeout_s,
            **_content(operation, whole[0] if whole else fields or None),
        )

    def _secret(self, tool: str, name: str) -> str:
        if not self.secrets.get(name):
            raise BBError(f"secret {name} is not set", where=f"tool {tool}", fix=f"export {name}")
        return self.secrets[name]

    def _send(self, tool: str, request: httpx.Request) -> dict[str, Any]:
        until_s = time.monotonic() + self.schema.tools[tool].timeout_s
        try:
            response = self.client.send(request, stream=True, follow_redirects=False)
            try:
                body = _read(response, until_s)
            finally:
                response.close()
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            said = str(error) or type(error).__name__
            unreached = f"cannot reach {self.base_url}: {said}"
            raise ToolFailed(tool, 0, unreached, sent=False) from None
        except httpx.TimeoutException:
            limit_s = self.schema.tools[tool].timeout_s
            raise ToolFailed(tool, 0, f"no answer within {limit_s:g} s") from None
        except httpx.HTTPError as error:
            said = str(error) or type(error).__name__
            raise ToolFailed(tool, 0, f"cannot reach {self.base_url}: {said}") from None
        if body is None:
            raise ToolFailed(tool, response.status_code, f"more than {MOST_BYTES} bytes")
        value = _decoded(body)
        if not response.is_success:
            reason = value.get("reason") if isinstance(value, dict) else None
            said = reason if isinstance(reason, str) else response.reason_phrase
            raise ToolFailed(tool, response.status_code, said)
        if not body:
            return {}
        if value is None:
            raise ToolFailed(tool, response.status_code, "the answer is not JSON")
        return value if isinstance(value, dict) else {"value": value}

    def _keep_token(self, tool: str, answer: dict[str, Any]) -> dict[str, Any]:
        bearer = service_of(self.schema).bearer
        if bearer is None or bearer.tool != tool:
            return answer
        token = answer.get(bearer.field)
        if not isinstance(token, str) or not _BEARER.fullmatch(token):
            raise ToolFailed(tool, 200, f"the answer has no {bearer.field}")
        self._token = token
        return {key: value for key, value in answer.items() if key != bearer.field}


def _content(operation: Operation, body: Any) -> dict[str, Any]:
    """The body as `httpx.Client.build_request` takes it."""
    if body is None:
        return {}
    if operation.body == "form":
        return {"data": body}
    if operation.body == "binary":
        return {"content": _text(body).encode()}
    return {"json": body}


def _read(response: httpx.Response, until_s: float) -> bytes | None:
    """The whole body, or None if it is too long.

    Raises:
        httpx.ReadTimeout: it comes too slowly; the client's own limit is for each part of it.
    """
    body = b""
    for part in response.iter_bytes():
        body += part
        if len(body) > MOST_BYTES:
            return None
        if time.monotonic() > until_s:
            raise httpx.ReadTimeout("the body comes too slowly", request=response.request)
    return body


def _decoded(body: bytes) -> Any:
    """The JSON value of a body; None if it is none."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _line(arg: str, value: Any) -> str:
    """An argument as text without line ends and the like.

    Raises:
        BBError: it has some.
    """
    text = _text(value)
    if any(char < " " or char == "\x7f" for char in text):
        raise BBError("control characters", where=f"argument {arg}", fix="leave them out")
    return text


def _check_path(declared: str, filled: str) -> None:
    """Refuse arguments that would lead to another path: none, nothing, `.` and `..`.

    Raises:
        BBError: there is one.
    """
    if "{" in filled:  # arguments have theirs quoted
        raise BBError("an argument is missing", where=f"path {declared}", fix="give it")
    for before, after in zip(declared.split("/"), filled.split("/"), strict=True):
        if after in ("", ".", "..") and after != before:
            what = f"{before} would be {after!r}, which is another path"
            raise BBError(what, where=f"path {declared}", fix="name what is meant")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
