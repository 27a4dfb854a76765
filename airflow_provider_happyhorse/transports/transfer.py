"""Where the transfer of a result stands, and what the head of an answer means for it: the result, the rest of it, or neither."""

from __future__ import annotations

from typing import Protocol

from airflow_provider_happyhorse.transports.network import Interrupted, ResultExpired, ResultRefused
from airflow_provider_happyhorse.transports.pinned import Answer, shown

#: S3 answers 400 to a signature whose temporary token has expired, and some CDNs 401 to an expired one.
_EXPIRED = frozenset({400, 401, 403, 404, 410})
#: Content codings that leave the bytes as they are: "aws-chunked" stays with objects that came to S3 so, the others are mistakes.
_PLAIN = frozenset({"", "identity", "none", "binary", "utf-8", "aws-chunked"})
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524})


class Sink(Protocol):
    """Where the bytes go; ``restart`` forgets everything written so far."""

    def write(self, data: memoryview, /) -> object:
        """Take the next bytes, which are others when this has returned."""
        ...

    def restart(self) -> None:
        """Begin again at byte 0."""
        ...


class Transfer:
    """One result on its way, over as many requests as it takes.

    A cut is continued with ``Range`` where the server gave a strong validator (RFC 9110, 13.1.5), else begun again: without one, two
    different files could be spliced.

    :param max_bytes: a larger result is refused, if it says so before a byte is stored.
    """

    def __init__(self, url: str, into: Sink, *, max_bytes: int) -> None:
        self._url, self._into, self._max_bytes = url, into, max_bytes
        self._total: int | None = None
        self._validator: str | None = None
        #: Bytes stored.
        self.offset = 0
        #: The type that the server claims.
        self.content_type: str | None = None
        #: Seconds that the last answer asks to wait, None when it does not say.
        self.wait: float | None = None
        #: Whether anything has ever answered.
        self.answered = False

    def headers(self) -> dict[str, str]:
        """Return what the next request asks for beyond the URL."""
        self.wait = None
        if not self.offset or self._validator is None:
            return {}
        return {"Range": f"bytes={self.offset}-", "If-Range": self._validator}

    def accept(self, answer: Answer, *, asked_range: bool) -> None:
        """Decide from the head whether the body that follows is (the rest of) the result, and prepare to store it.

        :raises ResultExpired: 400, 401, 403, 404 or 410.
        :raises ResultRefused: too large, compressed, or an answer that stays as it is.
        :raises Interrupted: the next request may get more.
        """
        self.answered = True
        status = answer.status
        if status in _EXPIRED:
            raise ResultExpired(f"{shown(self._url)} answered {status}: the URL has expired or the result is gone")
        if status == 416 and asked_range:
            self._forget()
            raise Interrupted("the server cannot continue where it was cut (416); the result is fetched from its beginning")
        if status in _PASSING:
            self.wait = _retry_after(answer)
            raise Interrupted(f"the server answered {status}")
        if status != 200 and not (status == 206 and asked_range):
            raise ResultRefused(f"{shown(self._url)} answered {status}, which is neither the result nor a passing trouble")
        encoding = (answer.headers.get("Content-Encoding") or "").strip().lower()
        if not _PLAIN.issuperset(coding.strip() for coding in encoding.split(",")):
            raise ResultRefused(f"{shown(self._url)} sends the result compressed ({encoding[:40]!r}) although asked not to")
        if status == 206:
            total = self._continues(answer)
            if total is None:
                self._forget()
                raise Interrupted("the server continued at another place, or with another file; the result is fetched from its beginning")
        else:
            self._forget()
            self._validator = _validator(answer)
            total = _number(answer.headers.get("Content-Length")) if not answer.headers.get("Transfer-Encoding") else None
            self.content_type = answer.headers.get("Content-Type")
        self._total = total if total is not None else self._total
        if self._total is not None and self._total > self._max_bytes:
            raise self._too_large(str(self._total))

    def room(self, buffer: memoryview) -> memoryview:
        """Return the part of a buffer that what is still to come may fill: a server may send more than it announced."""
        return buffer if self._total is None else buffer[: self._total - self.offset]

    def take(self, data: memoryview) -> None:
        """Store the next bytes. Raises :class:`ResultRefused` above the limit."""
        if self.offset + len(data) > self._max_bytes:
            raise self._too_large(f"more than {self._max_bytes}")
        self._into.write(data)
        self.offset += len(data)

    def require_whole(self) -> None:
        """Raise :class:`Interrupted` if an answer has ended before the result."""
        if self._total is not None and self.offset != self._total:
            raise Interrupted(f"the connection ended after {self.offset} of {self._total} bytes")

    def _forget(self) -> None:
        if self.offset:
            self._into.restart()
        self.offset, self._total, self._validator = 0, None, None

    def _continues(self, answer: Answer) -> int | None:
        """Return the total length if a 206 goes on exactly where the last request was cut, else None."""
        unit, _, rest = (answer.headers.get("Content-Range") or "").strip().partition(" ")
        span, _, length = rest.partition("/")
        first, _, last = span.partition("-")
        total = _number(length)
        fits = unit.lower() == "bytes" and _number(first) == self.offset and total is not None and _number(last) == total - 1
        if not fits or (self._total is not None and total != self._total):
            return None
        # A 206 carries the ETag that a 200 would have had (RFC 9110, 15.3.7); one without it proves nothing.
        if self._validator is not None and (answer.headers.get("ETag") or "").strip() != self._validator:
            return None
        return total

    def _too_large(self, size: str) -> ResultRefused:
        return ResultRefused(f"{shown(self._url)} is {size} bytes, above the limit of {self._max_bytes} (max_result_bytes)")


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
