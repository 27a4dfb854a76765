"""One GET to one checked address: resolve, choose, connect to exactly that, and read under a deadline.

Built on ``http.client`` instead of requests because everything that must not happen here is what a session does by itself: look the
name up again, follow redirects, take proxies and netrc from the environment, reuse connections, retry, decompress.
"""

from __future__ import annotations

import http.client
import socket
from dataclasses import dataclass, field
from urllib.parse import SplitResult, urlsplit

from airflow_provider_happyhorse.transports.addresses import Reach, reach
from airflow_provider_happyhorse.transports.endpoint import checked_proxy
from airflow_provider_happyhorse.transports.network import CONNECT_TIMEOUT, Network, ResultRefused, Wire, interruptions, too_long


@dataclass(frozen=True, kw_only=True)
class Allowed:
    """Which addresses beyond public ones this hop of the download may connect to, and through what.

    :param reaches: ``loopback`` also allows plain http there (the emulator); everything else must be https.
    :param proxy: ``http://host:port``; None connects directly.
    """

    reaches: frozenset[Reach] = field(default_factory=lambda: frozenset({"public"}))
    proxy: str | None = None


def shown(url: str) -> str:
    """Return a URL as it may be logged: without its query, which is where signatures live, and without user information."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


class Answer:
    """An open response: ``status``, ``headers``, and its body in pieces. Close it."""

    def __init__(self, wire: Wire, response: http.client.HTTPResponse) -> None:
        self._wire = wire
        self._response = response
        self.status = response.status
        self.headers = response.headers

    def read_into(self, buffer: memoryview) -> int:
        """Put what has arrived into a buffer and return its length, 0 at the end.

        One system call, so that what a broken connection had brought counts. Past http.client where it can be, which would allocate and
        copy every piece; it stops at no length, so the caller has to.
        """
        with interruptions():
            if self._response.chunked:
                piece = self._response.read1(len(buffer))
                buffer[: len(piece)] = piece
                return len(piece)
            body = self._response.fp
            return 0 if body is None else body.readinto1(buffer)  # None: there was no body to begin with

    def close(self) -> None:
        """Drop the connection; nothing is ever read to the end for the sake of reuse."""
        self._wire.close()

    def __enter__(self) -> Answer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def get(url: str, *, headers: dict[str, str], allowed: Allowed, deadline: float, network: Network) -> Answer:
    """Send one GET and return the answer's head, its body unread.

    :param url: absolute.
    :param headers: added to Host, User-Agent and ``Accept-Encoding: identity``; nobody adds credentials.
    :param deadline: of the clock; passing it raises.
    :raises ResultRefused: the scheme, host or address is not allowed, or the certificate is not the host's, or the deadline has passed.
    :raises Interrupted: the connection failed or timed out, or what answered is not HTTP.
    """
    parts, host, port = _checked(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    with interruptions():
        addresses = _allowed_addresses(parts.scheme, host, port, allowed, network)
        proxy = allowed.proxy if addresses is None else None
        wire = _open(host, port, addresses, network, deadline, secure=parts.scheme == "https", proxy=proxy)
        try:
            lines = [f"GET {_printable(target)} HTTP/1.1", f"Host: {_host_header(parts, host, port)}"]
            everything = {
                "User-Agent": "airflow-provider-happyhorse",
                "Accept": "*/*",
                "Accept-Encoding": "identity",
                "Connection": "close",
            }
            lines += [f"{name}: {value}" for name, value in (everything | headers).items()]
            wire.sendall("\r\n".join([*lines, "", ""]).encode("ascii"))
            return Answer(wire, wire.response())
        except BaseException:
            wire.close()
            raise


def _checked(url: str) -> tuple[SplitResult, str, int]:
    try:
        parts = urlsplit(url.strip())
        host = (parts.hostname or "").encode("idna").decode("ascii") if not (parts.hostname or "").isascii() else (parts.hostname or "")
        port = parts.port or {"https": 443, "http": 80}.get(parts.scheme, 0)
    except ValueError as error:  # includes UnicodeError
        raise ResultRefused(f"the result's URL cannot be read: {error}") from None
    if parts.scheme not in ("https", "http") or not host:
        raise ResultRefused(f"the result's URL is not https: {shown(url)[:200]!r}")
    if parts.username is not None or parts.password is not None:
        raise ResultRefused(f"the result's URL carries a user name or password, which is never sent: {shown(url)}")
    # A blank in path or query is sent as %20, like every browser does.
    if " " in host or any(ord(char) < 0x20 or char == "\x7f" for char in host + parts.path + parts.query):
        raise ResultRefused(f"the result's URL has control characters, or a space in its host: {shown(url)!r}")
    return parts, host, port


def _allowed_addresses(scheme: str, host: str, port: int, allowed: Allowed, network: Network) -> list[str] | None:
    """Return the addresses to try in order; None means: ask the proxy for the name.

    Through a proxy the address connected to is the proxy's choice, so what can still be checked is what our own resolver knows: an
    address literal must be allowed, and a name is refused if any of its addresses is not. A name that only the proxy can resolve passes.
    """
    by_proxy = allowed.proxy is not None
    try:
        found = list(network.resolve(host, port))
    except OSError:
        if by_proxy and scheme == "https":
            return None
        raise
    except UnicodeError:
        raise ResultRefused(f"the result's host {host!r} is not a host name") from None
    reaches = {address: reach(address) for address in found}
    kept = [address for address in found if reaches[address] in allowed.reaches]
    if scheme == "http":
        kept = [address for address in kept if reaches[address] == "loopback"]
        if not kept:
            raise ResultRefused(f"the result's URL is plain http, which is allowed to an emulator on loopback only: host {host!r}")
    refused = ", ".join(f"{address} ({reaches[address]})" for address in found if address not in kept)
    if not kept or (by_proxy and refused):
        allowed_here = " and ".join(sorted(allowed.reaches))
        raise ResultRefused(
            f"the result's host {host!r} leads to {refused or 'no address'}; only {allowed_here} addresses may be fetched from here "
            "(connection extra allow_private_results)"
        )
    if by_proxy and all(reaches[address] != "loopback" for address in kept):
        return None
    return kept


def _open(host: str, port: int, addresses: list[str] | None, network: Network, deadline: float, *, secure: bool, proxy: str | None) -> Wire:
    if addresses is None:
        wire = _through_proxy(host, port, proxy or "", network, deadline)
    else:
        wire = Wire(_first(addresses, port, network, deadline), network.clock, deadline)
    if not secure:
        return wire
    try:
        wire.secure(network.tls(), host)
    except BaseException:
        wire.close()
        raise
    return wire


def _first(addresses: list[str], port: int, network: Network, deadline: float) -> socket.socket:
    last: OSError = ConnectionError("no address")
    for address in addresses:
        timeout = min(CONNECT_TIMEOUT, deadline - network.clock())
        if timeout <= 0:
            raise too_long()
        try:
            return network.connect(address, port, timeout)
        except OSError as error:
            last = error
    raise last


def _through_proxy(host: str, port: int, proxy: str, network: Network, deadline: float) -> Wire:
    try:
        parts = urlsplit(checked_proxy(proxy))
    except ValueError as problem:
        raise ResultRefused(f"the connection's {problem}") from None
    # The proxy is the operator's own setting: its address may be private.
    proxy_host, proxy_port = parts.hostname or "", parts.port or 80
    wire = Wire(_first(list(network.resolve(proxy_host, proxy_port)), proxy_port, network, deadline), network.clock, deadline)
    try:
        name = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        wire.sendall(f"CONNECT {name} HTTP/1.1\r\nHost: {name}\r\n\r\n".encode("ascii"))
        status = wire.response(method="CONNECT").status
    except BaseException:
        wire.close()
        raise
    if status != 200:
        wire.close()
        raise ConnectionError(f"the proxy {proxy_host}:{proxy_port} answered {status} when asked for {name}")
    return wire


def _host_header(parts: SplitResult, host: str, port: int) -> str:
    name = f"[{host}]" if ":" in host else host
    return name if port == (443 if parts.scheme == "https" else 80) else f"{name}:{port}"


def _printable(target: str) -> str:
    """Percent-encode what may not stand in a request line; what is encoded already stays."""
    return "".join(char if "!" <= char <= "~" else "".join(f"%{byte:02X}" for byte in char.encode("utf-8", "replace")) for char in target)
