"""The door to the network: what is declared is reached, and nothing that only looks like it."""

from __future__ import annotations

import asyncio
import re
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_network
from typing import Any

import httpx
import pytest
import yaml

from bb_core.errors import BBError
from bb_domains import mcp, outgoing
from bb_domains.domain import make_domain
from bb_domains.http_adapters import HttpAdapters
from bb_domains.kit import open_adapters
from bb_domains.mcp_http import connected
from bb_domains.openapi import import_openapi
from bb_domains.outgoing import (
    GuardedTransport,
    check_url,
    checked_addresses,
    connect,
    open_client,
    service_of,
)
from bb_domains.proxy import reverse_proxy
from bb_domains.robots.transports import open_transport
from bb_domains.schema import PlanSchema, Service, parse_schema
from bb_domains.tools import ToolFailed

Answers = Callable[[str], tuple[int, dict[str, str]]]
PUBLIC = "93.184.216.34"


def service(*hosts: str, base: str = "", networks: tuple[str, ...] = ()) -> Service:
    return Service.model_validate(
        {"base_url": base or f"http://{hosts[0]}", "hosts": hosts, "networks": networks}
    )


def schema_at(base: str, *hosts: str) -> PlanSchema:
    tools = {"look": {"effect": "read", "operation": {"method": "GET", "path": "/look"}}}
    return parse_schema(
        {"domain": "d", "service": {"base_url": base, "hosts": hosts}, "tools": tools}
    )


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """What names stand for; several addresses are given one after the other, the last for ever."""
    known: dict[str, list[str]] = {}

    def look_up(host: str, port: int, **_: Any) -> list[Any]:
        if host not in known:
            raise socket.gaierror(-2, "Name or service not known")
        told = known[host]
        address = told.pop(0) if len(told) > 1 else told[0]
        return [(0, 0, 0, "", (one, port)) for one in address.split()]

    monkeypatch.setattr(outgoing.socket, "getaddrinfo", look_up)
    return known


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.8.8.8", "10.0.0.7", "172.16.3.1", "192.168.1.1", "169.254.169.254",
        "100.64.0.1", "0.0.0.0", "224.0.0.1", "255.255.255.255", "240.0.0.1", "198.18.0.1",
        "::1", "::", "fe80::1", "fc00::1", "fd00:ec2::254", "ff02::1", "::ffff:127.0.0.1",
        "::ffff:169.254.169.254", "2002:7f00:1::", "64:ff9b::a00:7", "64:ff9b::7f00:1",
        "2001:0:5ef5:79fd::1", f"{PUBLIC} 127.0.0.1", f"10.0.0.7 {PUBLIC}",
    ],
)  # fmt: skip
def test_a_name_may_not_stand_for_what_is_not_public(
    names: dict[str, list[str]], address: str
) -> None:
    names["api.example"] = [address]
    with pytest.raises(BBError, match="which is not a public address; if that is meant") as caught:
        checked_addresses(service("api.example"), "api.example", 80)
    found = re.search(r"write networks: (\[.*\]) under service:", str(caught.value))
    assert found
    told = yaml.safe_load(found[1])  # what the message says to write is what helps
    assert ip_network(*told).num_addresses == 1
    inside = service("api.example", networks=tuple(told))
    assert len(checked_addresses(inside, "api.example", 80)) == len(address.split())


@pytest.mark.parametrize("address", [PUBLIC, "2606:2800:220:1::1", f"{PUBLIC} 1.1.1.1"])
def test_public_addresses_are_reached(names: dict[str, list[str]], address: str) -> None:
    names["api.example"] = [address]
    found = checked_addresses(service("api.example"), "api.example", 80)
    assert found == address.split()


def test_a_declared_network_is_reached_and_no_other(names: dict[str, list[str]]) -> None:
    inside = service("erp.example", networks=("10.1.0.0/16", "fd00::/8"))
    names["erp.example"] = ["10.1.2.3", "fd00::3", "10.2.0.1"]
    assert checked_addresses(inside, "erp.example", 80) == ["10.1.2.3"]
    assert checked_addresses(inside, "erp.example", 80) == ["fd00::3"]
    with pytest.raises(BBError, match=r"stands for 10\.2\.0\.1"):
        checked_addresses(inside, "erp.example", 80)


def test_localhost_is_this_machine_only(names: dict[str, list[str]]) -> None:
    names["localhost"] = ["127.0.0.1", "::1", PUBLIC]
    here = service("localhost")
    assert checked_addresses(here, "localhost", 80) == ["127.0.0.1"]
    assert checked_addresses(here, "localhost", 80) == ["::1"]
    with pytest.raises(BBError, match="stands for"):
        checked_addresses(here, "localhost", 80)


def test_an_address_that_is_declared_is_reached_without_a_look_up(
    names: dict[str, list[str]],
) -> None:
    assert checked_addresses(service("10.0.0.7"), "10.0.0.7", 80) == ["10.0.0.7"]
    assert checked_addresses(service("[::1]:80"), "::1", 80) == ["::1"]
    with pytest.raises(BBError, match=r"\[::1\]:81 is not a declared host"):
        checked_addresses(service("[::1]:80"), "::1", 81)


LOCAL = service("127.0.0.1")


@pytest.mark.parametrize(
    "url",
    [
        "http://2130706433/", "http://0x7f000001/", "http://0177.0.0.1/", "http://127.1/",
        "http://127.0.0.1./", "http://[::ffff:127.0.0.1]/", "http://127.0.0.1@evil.example/",
        "http://127.0.0.1:80@evil.example/", "http://evil.example\\@127.0.0.2/",
        "http://evil.example#@127.0.0.1/", "http://evil.example?@127.0.0.1/",
        "http://127.0.0.1.evil.example/", "http://evil.example/127.0.0.1", "//evil.example/",
        "http://１２７.0.0.1/", "http://127.0.0.1\r\nHost: evil/",
        "http://127.0.0.1 .evil.example/", "http://%31%32%37.0.0.1/", "file:///etc/passwd",
        "ftp://127.0.0.1/", "gopher://127.0.0.1/", "http://user:pass@127.0.0.1/", "http:///x",
        "http://127.0.0.1:99999999/", "", "http://",
    ],
)  # fmt: skip
def test_what_only_looks_like_a_declared_host(url: str) -> None:
    with pytest.raises(BBError) as refused:
        check_url(LOCAL, url)
    assert "pass" not in str(refused.value) or "passwd" in url


@pytest.mark.parametrize(
    "host", ["аpi.example", "ａpi.example", "api.example.", "xn--pi-7kc.example"]
)
def test_names_that_look_alike_are_others(host: str, names: dict[str, list[str]]) -> None:
    declared = service("api.example")
    names["api.example"] = [PUBLIC]
    with pytest.raises(BBError):
        check_url(declared, f"http://{host}/")


def test_case_and_default_ports_and_full_stops_of_other_scripts_do_not_matter() -> None:
    declared = service("API.example:443", base="https://api.example")
    assert check_url(declared, "https://api。example/").raw_host == b"api.example"
    assert check_url(declared, "https://Api.Example/x").host == "api.example"
    with pytest.raises(BBError, match="api.example:80 is not a declared host"):
        check_url(declared, "http://api.example/")


def test_the_address_that_was_checked_is_the_one_that_is_reached(
    names: dict[str, list[str]],
) -> None:
    """A name that is public when it is looked at and loopback when it is looked at again."""
    names["api.example"] = [PUBLIC, "127.0.0.1"]
    sent: list[httpx.Request] = []

    def wire(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(200, json={})

    guarded = GuardedTransport(service("api.example"), httpx.MockTransport(wire))
    with httpx.Client(transport=guarded) as client:
        client.get("https://api.example/x?y=1", headers={"A": "b"})
        with pytest.raises(BBError, match=r"stands for 127\.0\.0\.1"):
            client.get("https://api.example/x")
        with pytest.raises(BBError, match=r"evil\.example:443 is not a declared host"):
            client.get("https://evil.example/x")
    (request,) = sent
    assert str(request.url) == f"https://{PUBLIC}/x?y=1"
    assert request.headers["host"] == "api.example" and request.headers["a"] == "b"
    assert request.extensions["sni_hostname"] == "api.example"  # what TLS asks for


def test_an_address_that_does_not_answer_makes_room_for_the_next(
    names: dict[str, list[str]],
) -> None:
    names["api.example"] = [f"1.1.1.1 {PUBLIC}"]

    def wire(request: httpx.Request) -> httpx.Response:
        if request.url.host == "1.1.1.1":
            raise httpx.ConnectError("no")
        return httpx.Response(200, text=request.url.host)

    guarded = GuardedTransport(service("api.example"), httpx.MockTransport(wire))
    with httpx.Client(transport=guarded) as client:
        assert client.get("http://api.example/").text == PUBLIC
        names["api.example"] = ["1.1.1.1"]
        with pytest.raises(httpx.ConnectError, match="no"):
            client.get("http://api.example/")
        with pytest.raises(BBError, match="not a declared"):
            client.get("http://other.example/")
        del names["api.example"]
        with pytest.raises(httpx.ConnectError, match="not known"):
            client.get("http://api.example/")


# -- over the wire ---------------------------------------------------------------------------------


class Site:
    """A server on loopback that answers as told and keeps what was asked."""

    def __init__(self, answers: Answers) -> None:
        self.asked: list[tuple[str, str]] = []
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:  # POST and CONNECT as well
                length = int(self.headers.get("content-length", 0))
                self.rfile.read(length)
                site.asked.append((self.path, self.headers["host"]))
                status, headers = answers(self.path)
                self.send_response(status)
                for name, value in {"content-length": "2", **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_: object) -> None:
                pass

        for method in ("POST", "CONNECT"):
            setattr(Handler, f"do_{method}", Handler.do_GET)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    def __enter__(self) -> Site:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def elsewhere() -> Iterator[Site]:
    """Where nobody is meant to come."""
    with Site(lambda _: (200, {})) as site:
        yield site


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308, 300, 304])
@pytest.mark.parametrize(
    "target",
    [
        "http://127.0.0.1:{port}/x",
        "//127.0.0.1:{port}/x",
        "http://localhost:{port}/x",
        "http://user@127.0.0.1:{port}/x",
        "https://127.0.0.1:{port}/x",
        "/again",
    ],
)
def test_no_redirect_is_followed(elsewhere: Site, status: int, target: str) -> None:
    where = {"location": target.format(port=elsewhere.port)}
    if status == 304:
        where["content-length"] = "0"
    with Site(lambda _: (status, where)) as site:
        schema = schema_at(f"http://127.0.0.1:{site.port}", "127.0.0.1")
        with (
            open_adapters(make_domain(schema), {}) as adapters,
            pytest.raises(ToolFailed, match=f"answered {status}"),
        ):
            adapters.call("look", {})
        assert len(site.asked) == 1 and elsewhere.asked == []


PROXIES = ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy")


@pytest.fixture
def proxied(monkeypatch: pytest.MonkeyPatch, elsewhere: Site) -> Site:
    """An environment whose proxies lead elsewhere."""
    for name in PROXIES:
        monkeypatch.setenv(name, f"http://127.0.0.1:{elsewhere.port}")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    return elsewhere


def test_the_environment_would_divert_what_is_not_guarded(proxied: Site) -> None:
    """So that the next test says something."""
    with Site(lambda _: (200, {})) as site:
        httpx.get(f"http://127.0.0.1:{site.port}/look")
        assert site.asked == [] and len(proxied.asked) == 1


def test_no_proxy_of_the_environment_sees_a_call(proxied: Site) -> None:
    with Site(lambda _: (200, {})) as site:
        base = f"http://127.0.0.1:{site.port}"
        with open_adapters(make_domain(schema_at(base, "127.0.0.1")), {}) as adapters:
            assert adapters.call("look", {}) == {}
        with connected(f"{base}/mcp", "t") as peer, pytest.raises(BBError, match="has no result"):
            peer.ask("initialize", {})
        with (
            pytest.raises(BBError, match="has no result"),
            mcp.opener(f"{base}/mcp")(schema_at(base, "127.0.0.1"), {}),
        ):
            pass
        with pytest.raises(BBError, match="openapi"):
            import_openapi(f"{base}/openapi.json")
        assert [path for path, _ in site.asked] == ["/look", "/mcp", "/mcp", "/openapi.json"]
    assert proxied.asked == []


def test_the_host_that_is_asked_for_is_the_one_that_was_named() -> None:
    with Site(lambda _: (200, {})) as site, open_client(service("localhost")) as client:
        client.get(f"http://localhost:{site.port}/x")
        assert site.asked == [("/x", f"localhost:{site.port}")]


@pytest.mark.parametrize(
    "url",
    [
        "ws://metadata.example:9090", "ws://127.0.0.1@metadata.example", "ws://2130706433:9090",
        "tcp://127.1:9090", "ws://127.0.0.1:9090\r\nX: y", "ws://127.0.0.1\\@metadata.example",
        "ws://user:s3cret@127.0.0.1:9090", "ws://127.0.0.1:99999", "ws://127.0.0.1:port",
        "ws://127.0.0.1:9090/ HTTP/1.1", "ws://[::1", "wss://１２７.0.0.1",
    ],
)  # fmt: skip
def test_robots_are_reached_where_they_are_declared(
    url: str, names: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("connected")

    monkeypatch.setattr(outgoing.socket, "create_connection", refuse)
    with pytest.raises(BBError) as refused:
        open_transport(url, LOCAL)
    assert "s3cret" not in str(refused.value)


def test_a_robots_name_may_not_stand_for_this_machine(names: dict[str, list[str]]) -> None:
    names["robot.example"] = ["127.0.0.1"]
    with pytest.raises(BBError, match="which is not a public address"):
        open_transport("ws://robot.example:9090", service("robot.example"))
    with pytest.raises(OSError, match="not known"):
        connect(service("gone.example"), "gone.example", 80, 1.0)


def test_a_tool_servers_name_may_not_stand_for_this_machine(names: dict[str, list[str]]) -> None:
    names["tools.example"] = ["169.254.169.254"]
    bare = parse_schema({"domain": "d", "tools": {"look": {}}})
    with (
        pytest.raises(BBError, match=r"tools\.example stands for 169\.254\.169\.254"),
        mcp.opener("http://tools.example/mcp?key=k3y")(bare, {}),
    ):
        pass


@pytest.mark.parametrize("token", ["to-ken\n", "tok\r\nX: y", "tokén"])
def test_a_token_with_a_line_end_is_refused_unseen(token: str) -> None:
    with pytest.raises(BBError, match="no bearer token") as refused, connected("http://h/", token):
        pass
    assert token.strip() not in str(refused.value)


def test_an_address_of_a_tool_server_is_shown_without_its_secrets() -> None:
    with (
        connected("http://user:passw0rd@127.0.0.1:1/mcp?key=k3y#f") as peer,
        pytest.raises(BBError, match=r"MCP server http://127\.0\.0\.1:1/mcp: cannot") as refused,
    ):
        peer.ask("initialize", {})
    assert "passw0rd" not in str(refused.value) and "k3y" not in str(refused.value)


def test_credentials_in_an_address_are_refused_unseen() -> None:
    schema = schema_at("http://user:passw0rd@127.0.0.1", "127.0.0.1")
    with (
        open_client(service_of(schema)) as client,
        pytest.raises(BBError, match="a URL must hold no credentials") as refused,
    ):
        HttpAdapters(schema, client, {})
    assert "passw0rd" not in str(refused.value)


@pytest.mark.parametrize("target", [b"@evil.example/x", b".evil.example/x", b"http://evil/", b""])
def test_the_recording_proxy_leads_to_its_service_only(target: bytes) -> None:
    reached: list[str] = []
    told: list[Any] = []

    def wire(request: httpx.Request) -> httpx.Response:
        reached.append(request.url.host)
        return httpx.Response(200, stream=httpx.ByteStream(b""))

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b""}

    async def send(message: Any) -> None:
        told.append(message)

    async def ask() -> None:
        async with httpx.AsyncClient(transport=httpx.MockTransport(wire)) as client:
            app = reverse_proxy("http://127.0.0.1:8077", client)
            scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
            await app({**scope, "raw_path": target or b"x"}, receive, send)
            await app({**scope, "raw_path": b"//evil.example/x"}, receive, send)

    asyncio.run(ask())
    assert [m["status"] for m in told if "status" in m] == [400, 200]
    assert reached == ["127.0.0.1"]
