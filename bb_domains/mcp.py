"""Servers of the Model Context Protocol: their tools listed, and called.

Two transports: a child process (`mcp_stdio`) and streamable HTTP (`mcp_http`). Calls are made one
at a time; notifications are passed over.

Source: Model Context Protocol, revision 2025-06-18, lifecycle, transports and tools.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import urlsplit

from bb_core.errors import BBError
from bb_domains import mcp_http, mcp_stdio
from bb_domains.outgoing import check_url, open_client
from bb_domains.schema import PlanSchema, Service
from bb_domains.tool_lists import tool_name
from bb_domains.tools import Adapters, ToolFailed

PROTOCOL = "2025-06-18"
TOKEN_VARIABLE = "BB_MCP_TOKEN"  # noqa: S105 - the name of a variable
MOST_PAGES = 100
_CLIENT = {"name": "builderbrain", "version": "0.1.0"}


class Peer(Protocol):
    """The other side of a transport."""

    def ask(self, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """The result of one request; BBError if there is none."""
        ...

    def tell(self, message: Mapping[str, Any]) -> None:
        """Send a message that needs no answer; BBError if nobody is there."""
        ...


@dataclass
class McpServer:
    """A server that has shaken hands; `bb_domains.tools.Adapters`.

    Attributes:
        peer: how it is reached.
        names: the server's name of each tool by its name in plans.
    """

    peer: Peer
    names: Mapping[str, str] = field(default_factory=dict)

    def list_tools(self) -> list[dict[str, Any]]:
        """All tools as the server describes them, page by page.

        Raises:
            BBError: the server answers nothing of the kind.
        """
        tools: list[dict[str, Any]] = []
        cursor: str | None = None
        for _ in range(MOST_PAGES):
            page = self.peer.ask("tools/list", {"cursor": cursor} if cursor else {})
            if not isinstance(page.get("tools"), list):
                raise _fault("tools/list answers no list")
            tools += page["tools"]
            cursor = page.get("nextCursor")
            if not cursor:
                return tools
        raise _fault(f"more than {MOST_PAGES} pages of tools")

    def call(
        self, tool: str, args: Mapping[str, Any], idempotency_key: str | None = None
    ) -> dict[str, Any]:
        """The tool's result: its structured content, or its text, decoded if it is an object.

        The protocol has no idempotency keys; a given one is not sent.

        Raises:
            ToolFailed: the tool reports an error, or the server gives no answer.
        """
        try:
            wanted = {"name": self.names.get(tool, tool), "arguments": dict(args)}
            answer = self.peer.ask("tools/call", wanted)
        except BBError as error:
            raise ToolFailed(tool, 0, error.what) from error
        texts = [
            str(part.get("text", ""))
            for part in answer.get("content", ())
            if isinstance(part, Mapping) and part.get("type") == "text"
        ]
        text = "\n".join(texts)
        if answer.get("isError"):
            raise ToolFailed(tool, 0, text or "the tool reports an error")
        structured = answer.get("structuredContent")
        if isinstance(structured, dict):
            return structured
        try:
            value = json.loads(text)
        except ValueError:
            return {"text": text}
        return value if isinstance(value, dict) else {"value": value}


@contextmanager
def running_server(
    command: Sequence[str],
    environment: Mapping[str, str] = os.environ,
    variables: Collection[str] = (),
    timeout_s: float = mcp_stdio.TIMEOUT_S,
) -> Iterator[McpServer]:
    """Start a server and shake hands; it ends with the block; see `mcp_stdio.started`.

    Raises:
        BBError: it cannot be started, or does not speak the protocol.
    """
    with mcp_stdio.started(command, environment, variables, timeout_s) as peer:
        yield _shaken(peer)


@contextmanager
def remote_server(
    url: str, environment: Mapping[str, str], service: Service | None = None
) -> Iterator[McpServer]:
    """Shake hands with a server at a URL.

    Args:
        url: of its one endpoint; nothing else is reached, and no redirect is followed.
        environment: `BB_MCP_TOKEN` there is sent as bearer token.
        service: what may be reached; None where somebody has just written the URL.

    Raises:
        BBError: it cannot be reached, or does not speak the protocol.
    """
    token = environment.get(TOKEN_VARIABLE, "")
    if service is None:
        with mcp_http.connected(url, token) as peer:
            yield _shaken(peer)
        return
    check_url(service, url)
    with (
        open_client(service, mcp_http.TIMEOUT_S) as client,
        mcp_http.connected(url, token, client) as peer,
    ):
        yield _shaken(peer)


def opener(
    where: str | Sequence[str], variables: Collection[str] = ()
) -> Callable[[PlanSchema, Mapping[str, str]], AbstractContextManager[Adapters]]:
    """An `open_adapters` for the package of a domain whose tools a server carries out.

    Args:
        where: its URL, or the command that runs it.
        variables: of the environment that the command sees, besides `mcp_stdio.PASSED`.
    """

    @contextmanager
    def open_adapters(schema: PlanSchema, environment: Mapping[str, str]) -> Iterator[Adapters]:
        """See `kit`."""
        reached = (
            remote_server(where, environment, schema.service or _service_at(where))
            if isinstance(where, str)
            else running_server(where, environment, variables)
        )
        with reached as server:
            offered = [str(tool.get("name")) for tool in server.list_tools()]
            server.names = {tool_name(name): name for name in offered}
            missing = [name for name in schema.tools if name not in server.names]
            if missing:
                raise BBError(
                    f"the server offers no {', '.join(missing)}",
                    where=f"domain {schema.domain}",
                    fix="import it again with bb domain import-mcp",
                )
            yield server

    return open_adapters


def package_text(where: str | Sequence[str], variables: Collection[str] = ()) -> str:
    """The `__init__.py` of a domain whose tools a server carries out; arguments as for `opener`."""
    words = json.dumps(where if isinstance(where, str) else list(where))
    if variables:
        words += f", variables={json.dumps(list(variables))}"
    return (
        '"""Tools of a server of the Model Context Protocol."""\n\n'
        "from pathlib import Path\n\n"
        "from bb_domains.mcp import opener\n"
        "from bb_domains.schema import load_schema\n\n"
        f"open_adapters = opener({words})\n\n\n"
        "def plan_schema():\n"
        '    """What the domain declares."""\n'
        '    return load_schema(Path(__file__).parent / "plan_schema.yaml")\n'
    )


def _service_at(url: str) -> Service:
    """A service of which nothing is declared but where it is."""
    parts = urlsplit(url)
    return Service(base_url=f"{parts.scheme}://{parts.netloc}", hosts=(parts.netloc,))


def _shaken(peer: Peer) -> McpServer:
    peer.ask("initialize", {"protocolVersion": PROTOCOL, "capabilities": {}, "clientInfo": _CLIENT})
    peer.tell({"method": "notifications/initialized"})
    return McpServer(peer)


def _fault(what: str) -> BBError:
    return BBError(what, where="MCP server", fix="ask its maker")
