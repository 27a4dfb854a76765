"""The guarded GET of a result: any URL the service names, streamed whole into a sink, from allowed addresses only, under limits.

There is no API key here and no way to pass one: results come from a CDN, which is somebody else.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

from airflow_provider_happyhorse.transports.addresses import Reach
from airflow_provider_happyhorse.transports.network import (
    DownloadFailed,
    Interrupted,
    Network,
    ResultExpired,
    ResultRefused,
    ResultUnavailable,
)
from airflow_provider_happyhorse.transports.pinned import Allowed, Answer, get, shown
from airflow_provider_happyhorse.transports.transfer import Sink, Transfer

__all__ = [
    "DownloadFailed",
    "DownloadRules",
    "Downloaded",
    "Network",
    "ResultExpired",
    "ResultRefused",
    "ResultUnavailable",
    "Sink",
    "download",
    "shown",
]

#: Requests for one result, the first included; each continues where the last was cut if the server can prove it is the same file.
MAX_REQUESTS = 10
MAX_REDIRECTS = 5
#: Bytes of the buffer of a request.
_PIECE = 1 << 19
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True, kw_only=True)
class DownloadRules:
    """What a download may do.

    :param allow_loopback: the result itself (never a redirect) may come from loopback, over plain http too. True only when the
        connection's base URL is loopback: the emulator.
    :param allow_private: the explicit extra ``allow_private_results``: private addresses also after a redirect, and loopback as above.
        Link-local addresses and the clouds' metadata services stay refused.
    :param max_bytes: size of one result; a larger one is refused, if it says so before a byte is stored.
    :param max_seconds: for one result, all requests and pauses together.
    :param proxy: ``http://host:port`` to tunnel through; the proxy variables of the environment are never looked at. The proxy connects,
        so the addresses can be checked only as far as this machine's own resolver knows them: a name that leads to a refused address
        here is refused, one that only the proxy can resolve is not. Loopback results do not go through it.
    """

    allow_loopback: bool = False
    allow_private: bool = False
    max_bytes: int = 2 * 1024**3
    max_seconds: float = 1800.0
    proxy: str | None = None

    def allowed(self, *, redirected: bool) -> Allowed:
        """Return what the first request, or one that a redirect asked for, may connect to."""
        reaches: set[Reach] = {"public"}
        if self.allow_private:
            reaches.add("private")
        if (self.allow_loopback or self.allow_private) and not redirected:
            reaches.add("loopback")
        return Allowed(reaches=frozenset(reaches), proxy=self.proxy)


@dataclass(frozen=True, kw_only=True)
class Downloaded:
    """What a download amounted to: bytes stored, requests sent (redirects not counted), and the type the server claims, if any."""

    bytes: int
    requests: int
    content_type: str | None


def download(url: str, *, into: Sink, rules: DownloadRules, network: Network | None = None) -> Downloaded:
    """Fetch a result whole into a sink, in constant memory.

    :raises ResultExpired: 400, 401, 403, 404 or 410.
    :raises ResultRefused: not allowed, too large, too slow, compressed, or an answer that stays as it is.
    :raises ResultUnavailable: ``MAX_REQUESTS`` requests did not bring it home.
    """
    network = network or Network()
    deadline = network.clock() + rules.max_seconds
    transfer = Transfer(url, into, max_bytes=rules.max_bytes)
    reason: Interrupted | None = None
    for request in range(1, MAX_REQUESTS + 1):
        try:
            _one_request(url, transfer, rules, network, deadline)
        except Interrupted as error:
            reason = error
        else:
            return Downloaded(bytes=transfer.offset, requests=request, content_type=transfer.content_type)
        if request < MAX_REQUESTS:
            pause = transfer.wait if transfer.wait is not None else min(8.0, 0.25 * 2**request)
            left = deadline - network.clock()
            if pause >= left:
                raise ResultRefused(
                    f"{shown(url)} did not arrive within {rules.max_seconds:g} s (max_download_seconds): {reason}"
                ) from reason
            network.sleep(pause)
    hint = "" if transfer.answered or rules.proxy or rules.allow_loopback else network.unused_proxy()
    raise ResultUnavailable(f"{shown(url)} did not arrive whole in {MAX_REQUESTS} requests; the last one: {reason}{hint}") from reason


def _one_request(url: str, transfer: Transfer, rules: DownloadRules, network: Network, deadline: float) -> None:
    headers = transfer.headers()
    with _follow(url, headers, rules, network, deadline) as answer:
        transfer.accept(answer, asked_range=bool(headers))
        # Stop by counting: a server may keep the connection open after the last byte, or send more than it announced.
        buffer = memoryview(bytearray(_PIECE))
        while count := answer.read_into(transfer.room(buffer)):
            transfer.take(buffer[:count])
        transfer.require_whole()


def _follow(url: str, headers: dict[str, str], rules: DownloadRules, network: Network, deadline: float) -> Answer:
    """Send the GET and follow redirects by hand, because each target has to pass the same check before anything connects to it."""
    here = url
    for hop in range(MAX_REDIRECTS + 1):
        allowed = rules.allowed(redirected=hop > 0)
        try:
            answer = get(here, headers=headers, allowed=allowed, deadline=deadline, network=network)
        except ResultRefused as error:
            if hop == 0:
                raise
            raise ResultRefused(f"{shown(url)} redirects to {shown(here)!r}, which was refused: {error}") from error
        if answer.status not in _REDIRECTS:
            return answer
        answer.close()
        location = answer.headers.get("Location")
        if not location:
            raise ResultRefused(f"{shown(here)} answered {answer.status} without saying where to")
        try:
            here = urljoin(here, location)
            is_https = urlsplit(here).scheme == "https"
        except ValueError as error:
            raise ResultRefused(f"{shown(url)} redirects to something that is no URL: {error}") from None
        if not is_https:
            raise ResultRefused(f"{shown(url)} redirects to {shown(here)!r}; a redirect may lead to https only")
    raise ResultRefused(f"{shown(url)} redirects more than {MAX_REDIRECTS} times")
