"""The guarded GET of a result: any URL the service names, streamed whole into a sink, from allowed addresses only, under limits.

There is no API key here and no way to pass one: results come from a CDN, which is somebody else.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol
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
#: S3 answers 400 to a signature whose temporary token has expired, and some CDNs 401 to an expired one.
_EXPIRED = frozenset({400, 401, 403, 404, 410})
#: Content codings that leave the bytes as they are: "aws-chunked" stays with objects that came to S3 so, the others are mistakes.
_PLAIN = frozenset({"", "identity", "none", "binary", "utf-8", "aws-chunked"})
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524})


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


class Sink(Protocol):
    """Where the bytes go; ``restart`` forgets everything written so far."""

    def write(self, data: memoryview, /) -> object:
        """Take the next bytes, which are others when this has returned."""
        ...

    def restart(self) -> None:
        """Begin again at byte 0."""
        ...


@dataclass(frozen=True, kw_only=True)
class Downloaded:
    """What a download amounted to: bytes stored, requests sent (redirects not counted), and the type the server claims, if any."""

    bytes: int
    requests: int
    content_type: str | None


@dataclass
class _Progress:
    """Where the transfer stands between two requests."""

    offset: int = 0
    total: int | None = None
    validator: str | None = None
    content_type: str | None = None
    wait: float | None = field(default=None)
    answered: bool = False

    def forget(self, sink: Sink) -> None:
        if self.offset:
            sink.restart()
        self.offset, self.total, self.validator = 0, None, None


def download(url: str, *, into: Sink, rules: DownloadRules, network: Network | None = None) -> Downloaded:
    """Fetch a result whole into a sink, in constant memory.

    A cut is continued with ``Range`` where the server gave a strong validator (RFC 9110, 13.1.5), else begun again: without one, two
    different files could be spliced.

    :raises ResultExpired: 400, 401, 403, 404 or 410.
    :raises ResultRefused: not allowed, too large, too slow, compressed, or an answer that stays as it is.
    :raises ResultUnavailable: ``MAX_REQUESTS`` requests did not bring it home.
    """
    network = network or Network()
    deadline = network.clock() + rules.max_seconds
    progress = _Progress()
    reason: Interrupted | None = None
    for request in range(1, MAX_REQUESTS + 1):
        progress.wait = None
        try:
            _one_request(url, into, progress, rules, network, deadline)
        except Interrupted as error:
            reason = error
        else:
            return Downloaded(bytes=progress.offset, requests=request, content_type=progress.content_type)
        if request < MAX_REQUESTS:
            pause = progress.wait if progress.wait is not None else min(8.0, 0.25 * 2**request)
            left = deadline - network.clock()
            if pause >= left:
                raise ResultRefused(
                    f"{shown(url)} did not arrive within {rules.max_seconds:g} s (max_download_seconds): {reason}"
                ) from reason
            network.sleep(pause)
    hint = "" if progress.answered or rules.proxy or rules.allow_loopback else network.unused_proxy()
    raise ResultUnavailable(f"{shown(url)} did not arrive whole in {MAX_REQUESTS} requests; the last one: {reason}{hint}") from reason


def _one_request(url: str, into: Sink, progress: _Progress, rules: DownloadRules, network: Network, deadline: float) -> None:
    headers: dict[str, str] = {}
    if progress.offset and progress.validator is not None:
        headers = {"Range": f"bytes={progress.offset}-", "If-Range": progress.validator}
    with _follow(url, headers, rules, network, deadline) as answer:
        _accept(url, answer, into, progress, rules, asked_range=bool(headers))
        # Stop by counting: a server may keep the connection open after the last byte, or send more than it announced.
        buffer = memoryview(bytearray(_PIECE))
        while count := answer.read_into(buffer if progress.total is None else buffer[: progress.total - progress.offset]):
            if progress.offset + count > rules.max_bytes:
                raise _too_large(url, f"more than {rules.max_bytes}", rules)
            into.write(buffer[:count])
            progress.offset += count
        if progress.total is not None and progress.offset != progress.total:
            raise Interrupted(f"the connection ended after {progress.offset} of {progress.total} bytes")


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


def _accept(url: str, answer: Answer, into: Sink, progress: _Progress, rules: DownloadRules, *, asked_range: bool) -> None:
    """Decide from the head whether the body that follows is (the rest of) the result, and prepare to store it."""
    progress.answered = True
    status = answer.status
    if status in _EXPIRED:
        raise ResultExpired(f"{shown(url)} answered {status}: the URL has expired or the result is gone")
    if status == 416 and asked_range:
        progress.forget(into)
        raise Interrupted("the server cannot continue where it was cut (416); the result is fetched from its beginning")
    if status in _PASSING:
        progress.wait = _retry_after(answer)
        raise Interrupted(f"the server answered {status}")
    if status != 200 and not (status == 206 and asked_range):
        raise ResultRefused(f"{shown(url)} answered {status}, which is neither the result nor a passing trouble")
    encoding = (answer.headers.get("Content-Encoding") or "").strip().lower()
    if not _PLAIN.issuperset(coding.strip() for coding in encoding.split(",")):
        raise ResultRefused(f"{shown(url)} sends the result compressed ({encoding[:40]!r}) although asked not to")
    if status == 206:
        total = _continues(answer, progress)
        if total is None:
            progress.forget(into)
            raise Interrupted("the server continued at another place, or with another file; the result is fetched from its beginning")
    else:
        progress.forget(into)
        progress.validator = _validator(answer)
        total = _number(answer.headers.get("Content-Length")) if not answer.headers.get("Transfer-Encoding") else None
        progress.content_type = answer.headers.get("Content-Type")
    progress.total = total if total is not None else progress.total
    if progress.total is not None and progress.total > rules.max_bytes:
        raise _too_large(url, str(progress.total), rules)


def _continues(answer: Answer, progress: _Progress) -> int | None:
    """Return the total length if a 206 goes on exactly where the last request was cut, else None."""
    unit, _, rest = (answer.headers.get("Content-Range") or "").strip().partition(" ")
    span, _, length = rest.partition("/")
    first, _, last = span.partition("-")
    total = _number(length)
    fits = unit.lower() == "bytes" and _number(first) == progress.offset and total is not None and _number(last) == total - 1
    if not fits or (progress.total is not None and total != progress.total):
        return None
    etag = answer.headers.get("ETag")
    if etag is not None and progress.validator is not None and progress.validator.startswith('"') and etag.strip() != progress.validator:
        return None
    return total


def _validator(answer: Answer) -> str | None:
    """Return what proves that a later answer is of the same file: a strong ETag, else nothing.

    A Last-Modified has a resolution of a second, and a result is fetched seconds after it was written.
    """
    etag = (answer.headers.get("ETag") or "").strip()
    return etag if len(etag) > 2 and etag.startswith('"') and etag.endswith('"') and etag.isascii() and etag.isprintable() else None


def _retry_after(answer: Answer) -> float | None:
    seconds = _number(answer.headers.get("Retry-After"))
    return None if seconds is None else float(min(seconds, 60))


def _number(text: str | None) -> int | None:
    """Return a header's whole number, None when it is absent or something else."""
    text = (text or "").strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def _too_large(url: str, size: str, rules: DownloadRules) -> ResultRefused:
    return ResultRefused(f"{shown(url)} is {size} bytes, above the limit of {rules.max_bytes} (max_result_bytes)")
