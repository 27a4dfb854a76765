"""The edges of a download: name resolution, connections, TLS, the clock, and a socket that never outlasts its deadline."""

from __future__ import annotations

import http.client
import io
import ipaddress
import os
import socket
import ssl
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from typing import Literal

from airflow_provider_happyhorse.transports.endpoint import trusted_certificates

#: One TCP connect (and each TLS handshake) may take this many seconds.
CONNECT_TIMEOUT = 10.0
#: The server may be silent for this many seconds.
READ_TIMEOUT = 60.0


class DownloadFailed(Exception):
    """A result could not be fetched. Never raised itself: the three kinds say whether another try can help."""


class ResultExpired(DownloadFailed):
    """The URL answered 400, 401, 403, 404 or 410. The same URL will not help; a fresh one from the service may."""


class ResultRefused(DownloadFailed):
    """The URL, its address, its redirects, size or duration is outside what is allowed. Another try meets the same refusal."""


class ResultUnavailable(DownloadFailed):
    """The network or the server failed more often than is borne in one go. Another try may help and costs no credits."""


class Interrupted(Exception):
    """One request failed in a way that the next may not. Its own class, because an ``OSError`` may as well come from the sink's disk."""


@contextmanager
def interruptions() -> Iterator[None]:
    """Turn what a broken connection raises into :class:`Interrupted`."""
    try:
        yield
    except http.client.IncompleteRead as error:
        raise Interrupted("the body ended early") from error
    except (OSError, http.client.HTTPException) as error:
        raise Interrupted(f"{type(error).__name__}: {error}".rstrip(": ")) from error


def resolve(host: str, port: int) -> list[str]:
    """Return the addresses of a host in the system's order of preference. Raises ``OSError`` when it has none."""
    answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(answer[4][0]) for answer in answers))


def connect(address: str, port: int, timeout: float) -> socket.socket:
    """Connect to exactly this address, or raise ``OSError``."""
    wanted = ipaddress.ip_address(address)  # raises ValueError for a name, which would be looked up again
    sock = socket.create_connection((address, port), timeout=timeout)
    try:
        _check_peer(sock, wanted)
    except BaseException:
        sock.close()
        raise
    return sock


def _check_peer(sock: socket.socket, wanted: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    peer = str(sock.getpeername()[0])
    if ipaddress.ip_address(peer) != wanted:
        raise ConnectionError(f"asked for {wanted}, connected to {peer}")


@cache
def system_tls() -> ssl.SSLContext:
    """Trust the system's authorities, certifi's, and those of the environment's bundle: what lets the API calls work is enough here."""
    import certifi

    context = ssl.create_default_context()
    for bundle in (certifi.where(), trusted_certificates()):
        context.load_verify_locations(**({"capath": bundle} if os.path.isdir(bundle) else {"cafile": bundle}))  # noqa: PTH112
    return context


def unused_proxy() -> str:
    """Return what to say when nothing answers and the environment names a proxy, which only API calls go through; else nothing."""
    if "https" not in urllib.request.getproxies():
        return ""
    return ". HTTPS_PROXY is set and results do not go through it; if they have to, name it in the connection's extra `proxy`"


@dataclass(frozen=True, kw_only=True)
class Network:
    """The edges of a download: name resolution, connections, TLS, the clock (monotonic seconds), sleep and the environment's proxy."""

    resolve: Callable[[str, int], Sequence[str]] = resolve
    connect: Callable[[str, int, float], socket.socket] = connect
    tls: Callable[[], ssl.SSLContext] = system_tls
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    unused_proxy: Callable[[], str] = unused_proxy


def too_long() -> ResultRefused:
    """Return the error of a passed deadline."""
    return ResultRefused("the download took longer than max_download_seconds allows")


class _Reader(io.RawIOBase):
    """The receiving half of a socket, where every single read has the time that is left."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def readable(self) -> Literal[True]:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # typeshed's Buffer is no runtime type before 3.12
        return self._wire.receive(buffer)


class Wire:
    """A socket as ``http.client`` wants it, with a deadline under every operation, so that no trickle of bytes outlasts it."""

    def __init__(self, sock: socket.socket, clock: Callable[[], float], deadline: float) -> None:
        self._sock = sock
        self._clock = clock
        self._deadline = deadline

    def _time(self, at_most: float) -> None:
        left = self._deadline - self._clock()
        if left <= 0:
            raise too_long()
        self._sock.settimeout(min(at_most, left))

    def secure(self, context: ssl.SSLContext, host: str) -> None:
        """Shake hands as a TLS client that insists on a certificate for this host."""
        self._time(CONNECT_TIMEOUT)
        try:
            self._sock = context.wrap_socket(self._sock, server_hostname=host)
        except ssl.SSLCertVerificationError as error:
            raise ResultRefused(f"the certificate of {host!r} is not to be trusted: {error.verify_message}") from error

    def sendall(self, data: bytes) -> None:
        """Send all of it."""
        self._time(READ_TIMEOUT)
        self._sock.sendall(data)

    def receive(self, buffer: memoryview) -> int:
        """Receive what there is; 0 is the end."""
        self._time(READ_TIMEOUT)
        try:
            return self._sock.recv_into(buffer)
        except TimeoutError:
            self._time(READ_TIMEOUT)  # says which of the two limits it was
            raise

    def makefile(self, mode: str) -> io.BufferedReader:
        """Return the receiving half as ``http.client`` reads it."""
        assert mode == "rb"  # noqa: S101  all that http.client asks for
        return io.BufferedReader(_Reader(self), 1 << 16)

    def response(self, method: str = "GET") -> http.client.HTTPResponse:
        """Read the head of a response."""
        response = http.client.HTTPResponse(self, method=method)  # type: ignore[arg-type]  # needs makefile() alone
        response.begin()
        return response

    def close(self) -> None:
        """Close the connection, whatever state it is in."""
        with suppress(OSError):
            self._sock.close()
