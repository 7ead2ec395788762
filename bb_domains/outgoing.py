"""The door to the network: declared hosts only, at the address that was checked, past no proxy.

A domain declares hosts, alone or with a port. One that is written as an address is reached there,
and `localhost` is this machine; any other name must stand for public addresses only, or for such as
lie in the domain's `networks`. The connection is made to the very address that was looked at, so a
name that means something else a moment later leads nowhere; TLS still asks for the name.
"""

from __future__ import annotations

import socket
from collections.abc import Collection, Iterator
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import TYPE_CHECKING

import httpx

from bb_core.errors import BBError

if TYPE_CHECKING:
    from bb_domains.schema import PlanSchema, Service

PORTS = {"http": 80, "https": 443}
_LAST_PORT = 65535
_NAT64 = IPv6Network("64:ff9b::/96")
_THIS_MACHINE = "localhost"
_FIX = "declare it in service.hosts"
# RFC 6762, RFC 8375, ICANN's .internal, and what RFC 6762, appendix G, found in use
_PRIVATE_ENDS = ("local", "internal", "home.arpa", "intranet", "private", "corp", "home", "lan")

Address = IPv4Address | IPv6Address


def service_of(schema: PlanSchema) -> Service:
    """What a domain declares of its service.

    Raises:
        BBError: nothing.
    """
    if schema.service is None:
        raise BBError(
            "declares no service",
            where=f"domain {schema.domain}",
            fix="add service: with base_url and hosts to its plan schema",
        )
    return schema.service


def check_url(service: Service, text: str) -> httpx.URL:
    """The URL of a declared host.

    Raises:
        BBError: it is no HTTP URL, its host is not declared, or it holds credentials, which errors
            and logs would show.
    """
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL as error:
        raise BBError(f"no address: {error}", where="service", fix="write http://host") from None
    if url.scheme not in PORTS or not url.host or _port(url) > _LAST_PORT:
        raise BBError("no address of HTTP", where="service", fix="write http://host:port")
    _check_declared(service, _host(url), _port(url))
    if url.userinfo:
        raise BBError("a URL must hold no credentials", where="service", fix="use secrets")
    return url


def checked_addresses(service: Service, host: str, port: int) -> list[str]:
    """Where a declared host may be reached, in the order in which to try.

    Args:
        service: says which hosts and networks are declared.
        host: its name in ASCII, or its address without brackets.
        port: of the host.

    Raises:
        BBError: it is not declared, or stands for an address that is not.
        OSError: nobody knows the name.
    """
    _check_declared(service, host, port)
    if _is_address(host):
        return [host]
    told = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    found = list(dict.fromkeys(str(entry[4][0]) for entry in told))
    for text in found:
        address = ip_address(text)
        inside = any(address in network for network in service.networks)
        allowed = address.is_loopback if host == _THIS_MACHINE else _is_public(address)
        if not inside and not allowed:
            raise BBError(
                f"{host} stands for {text}, which is not a public address",
                where="service",
                fix=f'if that is meant, write networks: ["{_alone(address)}"] under service:',
            )
    return found


def looks_private(declared: str) -> bool:
    """Whether a declared host is a name that networks of one's own use, such as `shop.internal`."""
    host = declared.lower().rsplit(":", 1)[0]
    if host == _THIS_MACHINE or any(_is_address(one.strip("[]")) for one in (declared, host)):
        return False
    return "." not in host or host.endswith(tuple(f".{end}" for end in _PRIVATE_ENDS))


def connect(service: Service, host: str, port: int, timeout_s: float) -> socket.socket:
    """A connection to a declared host.

    Raises:
        BBError: as `checked_addresses`.
        OSError: nobody answers.
    """
    failure = OSError("the name stands for no address")
    for address in checked_addresses(service, host, port):
        try:
            return socket.create_connection((address, port), timeout_s)
        except OSError as error:
            failure = error
    raise failure


def open_client(service: Service, timeout_s: float = 5.0) -> httpx.Client:
    """A client that reaches the declared hosts and nothing else, and follows no redirect.

    Proxies and credential files that the environment names are not used: they would see what only
    the service should.
    """
    return httpx.Client(transport=GuardedTransport(service), trust_env=False, timeout=timeout_s)


class GuardedTransport(httpx.BaseTransport):
    """Sends each request to an address that was checked.

    Args:
        service: says what is declared.
        inner: carries requests to addresses; HTTP if None.
    """

    def __init__(self, service: Service, inner: httpx.BaseTransport | None = None) -> None:
        self._service = service
        self._inner = inner or httpx.HTTPTransport(trust_env=False)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """The answer of the first address that takes the connection."""
        failure: httpx.TransportError = httpx.ConnectError("the name stands for no address")
        for at in self._aimed(request):
            try:
                return self._inner.handle_request(at)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                failure = error
        raise failure

    def close(self) -> None:
        """Close the connections."""
        self._inner.close()

    def _aimed(self, request: httpx.Request) -> Iterator[httpx.Request]:
        """The request, to each address of its host."""
        host = _host(request.url)
        try:
            addresses = checked_addresses(self._service, host, _port(request.url))
        except OSError as error:
            raise httpx.ConnectError(str(error), request=request) from error
        for address in addresses:
            yield httpx.Request(
                request.method,
                request.url.copy_with(host=address),
                headers=request.headers,
                stream=request.stream,
                extensions={**request.extensions, "sni_hostname": host},
            )


def _check_declared(service: Service, host: str, port: int) -> None:
    shown = f"[{host}]" if ":" in host else host
    declared = {one.lower() for one in service.hosts}
    if not declared & {host, shown, f"{shown}:{port}"}:
        known = ", ".join(service.hosts)
        fix = f"use one of {known}, or {_FIX}"
        raise BBError(f"{shown}:{port} is not a declared host", where="service", fix=fix)


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _alone(address: Address) -> str:
    """The network of one address."""
    return f"{address}/{address.max_prefixlen}"


def _is_public(address: Address) -> bool:
    """Whether an address is public, and so is each that is written inside it."""
    return all(one.is_global and not one.is_multicast for one in (address, *_inside(address)))


def _inside(address: Address) -> Collection[Address]:
    """IPv4 addresses to which an IPv6 address leads: mapped, 6to4, Teredo, NAT64."""
    if isinstance(address, IPv4Address):
        return ()
    behind = IPv4Address(int(address) & 0xFFFFFFFF) if address in _NAT64 else None
    found = (address.ipv4_mapped, address.sixtofour, *(address.teredo or ()), behind)
    return [one for one in found if one is not None]


def _host(url: httpx.URL) -> str:
    return url.raw_host.decode("ascii").lower()


def _port(url: httpx.URL) -> int:
    return url.port or PORTS.get(url.scheme, 0)
