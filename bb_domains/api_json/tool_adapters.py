"""Tool calls over HTTP, as a plan schema describes them.

An adapter reaches only the hosts of its schema and follows no redirect. Secrets come by name, are sent where the schema
says, and the bearer token that a login returns stays here: neither appears in a result.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit

import httpx

from bb_core.errors import BBError
from bb_domains.schema import PlanSchema, Tool

TIMEOUT_S = 10.0
MAX_ANSWER_BYTES = 1_000_000


class ToolFailed(BBError):
    """The service refused a call, or could not be reached.

    Attributes:
        tool: name of the tool.
        status: HTTP status, 0 if there was no answer.
        reason: what the service said.
    """

    def __init__(self, tool: str, status: int, reason: str):
        said = f"answered {status}: {reason}" if status else reason
        super().__init__(said, where=f"tool {tool}")
        self.tool = tool
        self.status = status
        self.reason = reason


@dataclass
class HttpAdapters:
    """Calls the tools of a schema over one HTTP client.

    Attributes:
        schema: declares the tools and the hosts.
        client: keeps connections alive; its own base URL, redirects and cookies are not used.
        secrets: values by the names that the schema's tools use.
    """

    schema: PlanSchema
    client: httpx.Client
    secrets: Mapping[str, str] = field(repr=False)
    _token: str | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        service = self.schema.service
        if service is None:
            raise BBError("declares no service", where=f"domain {self.schema.domain}", fix="add service: to it")
        host = urlsplit(service.base_url).netloc
        if host not in service.hosts and urlsplit(service.base_url).hostname not in service.hosts:
            raise BBError(
                f"{host} is not among the declared hosts",
                where=f"domain {self.schema.domain}: service.base_url",
                fix=f"declared are {', '.join(service.hosts)}",
            )

    def call(
        self, tool: str, args: Mapping[str, Any], idempotency_key: str | None = None
    ) -> dict[str, Any]:
        """Carry a tool call out.

        Args:
            tool: name of a tool of the schema.
            args: its arguments, references already replaced by what they refer to.
            idempotency_key: sent if the tool honours keys; a repeated call then has no second effect.

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
        request = self._request(tool, declared, args)
        if idempotency_key is not None and declared.idempotent:
            request.headers["Idempotency-Key"] = idempotency_key
        return self._keep_token(tool, self._send(tool, request))

    def _request(self, name: str, tool: Tool, args: Mapping[str, Any]) -> httpx.Request:
        assert self.schema.service is not None and tool.operation is not None
        path, query, headers, body = tool.operation.path, {}, self._headers(), {}
        for arg, value in args.items():
            place = tool.place(arg)
            if place.location == "path":
                path = path.replace(f"{{{place.name}}}", quote(_text(value), safe=""))
            elif place.location == "query":
                query[place.name] = value if isinstance(value, list) else _text(value)
            elif place.location == "header":
                headers[place.name] = _text(value)
            elif place.whole:
                body = value
            else:
                body[place.name] = value
        for wire_name, secret in tool.secrets.items():
            body[wire_name] = self._secret(name, secret)
        content = {"json": body} if body and tool.operation.body in (None, "json") else {}
        if body and tool.operation.body == "form":
            content = {"data": body}
        elif body and tool.operation.body == "binary":
            content = {"content": _text(body)}
        url = self.schema.service.base_url.rstrip("/") + path
        return self.client.build_request(
            tool.operation.method, url, params=query, headers=headers, timeout=TIMEOUT_S, **content
        )

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token}"} if self._token else {}

    def _secret(self, tool: str, name: str) -> str:
        if not self.secrets.get(name):
            raise BBError(f"secret {name} is not set", where=f"tool {tool}", fix=f"export {name}")
        return self.secrets[name]

    def _send(self, tool: str, request: httpx.Request) -> dict[str, Any]:
        try:
            response = self.client.send(request, follow_redirects=False)
        except httpx.TimeoutException:
            raise ToolFailed(tool, 0, f"no answer within {TIMEOUT_S:g} s") from None
        except httpx.HTTPError as error:
            raise ToolFailed(tool, 0, f"cannot reach {request.url.netloc.decode()}: {error}") from None
        if not response.is_success:
            raise ToolFailed(tool, response.status_code, _reason(response))
        if not response.content:
            return {}
        try:
            value = response.json()
        except json.JSONDecodeError:
            raise ToolFailed(tool, response.status_code, "the answer is not JSON") from None
        return value if isinstance(value, dict) else {"value": value}

    def _keep_token(self, tool: str, answer: dict[str, Any]) -> dict[str, Any]:
        bearer = self.schema.service.bearer if self.schema.service else None
        if bearer is None or bearer.tool != tool:
            return answer
        token = answer.get(bearer.field)
        if not isinstance(token, str):
            raise ToolFailed(tool, 200, f"the answer has no {bearer.field}")
        self._token = token
        return {key: value for key, value in answer.items() if key != bearer.field}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _reason(response: httpx.Response) -> str:
    try:
        value = response.json()
    except json.JSONDecodeError:
        value = None
    if isinstance(value, dict) and isinstance(value.get("reason"), str):
        return str(value["reason"])
    return response.reason_phrase
