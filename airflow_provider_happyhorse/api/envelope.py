"""Reading JSON answers whose shape is only partly documented, without ever raising anything but ``api/errors.py``."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from airflow_provider_happyhorse.api.calls import Response
from airflow_provider_happyhorse.api.errors import BadResponse
from airflow_provider_happyhorse.api.generation import RateLimit

#: Characters of somebody else's text in a sentence of ours: an error page must not fill a log, an XCom or a trigger row.
LONGEST_QUOTE = 500
LONGEST_ID = 256


def json_object(response: Response) -> dict[str, Any] | None:
    """Return the body as a JSON object that can be written as JSON again, or None when it is anything else.

    A body with a broken character is still read: the id of a paid generation may stand beside it. What no JSON document may hold
    (``NaN``, ``1e400``) becomes None, and half of a character (JavaScript cuts emoji so) ``?``, because databases refuse both.
    """
    try:
        read = json.loads(response.body.decode("utf-8-sig", "replace"), parse_constant=lambda _: None, parse_float=number_of)
        if b"\\u" in response.body:
            read = json.loads(json.dumps(read, ensure_ascii=False).encode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return None
    return read if isinstance(read, dict) else None


def unexpected(response: Response, expected: str) -> BadResponse:
    """Return the error for an answer of another shape, showing the beginning of it."""
    kind = quoted(response.headers.get("content-type", "")) or "no content type"
    shown = quoted(response.body[:LONGEST_QUOTE].decode("utf-8", "replace"))[:200] or "an empty body"
    if 300 <= response.status < 400:
        target = quoted(response.headers.get("location", "").partition("?")[0]) or "nowhere"
        return BadResponse(f"HTTP {response.status} redirects to {target} instead of {expected}; is the connection's base URL right?")
    hint = "; is the connection's base URL right?" if response.status in (404, 405) else ""
    return BadResponse(f"HTTP {response.status} ({kind}) is not {expected}: {shown}{hint}")


def is_page(response: Response) -> bool:
    """Say whether an HTML page came: neither service sends one, so it is from something in between."""
    return "html" in response.headers.get("content-type", "").lower() or response.body[:100].lstrip()[:1] == b"<"


def quoted(value: str) -> str:
    """Return a text of the vendor's as one printable line of bounded length."""
    beginning = "".join(character if character.isprintable() else " " for character in value[: 2 * LONGEST_QUOTE])
    line = " ".join(beginning.split())
    return line if len(line) <= LONGEST_QUOTE else f"{line[: LONGEST_QUOTE - 3]}..."


def id_of(source: Mapping[str, Any], *names: str) -> str:
    """Return the first of these members that can be an id, ``""`` when none is.

    An id becomes part of URLs, ledger keys and log lines: blanks, control characters and whole documents are none.
    """
    candidates = (text_of(source.get(name)) for name in names)
    return next((found for found in candidates if 0 < len(found) <= LONGEST_ID and found.isprintable() and " " not in found), "")


def names_another(source: Mapping[str, Any], asked_id: str, *names: str) -> bool:
    """Say whether the first of these members is an id, and none of them the one that was asked for: then it is about something else.

    :param names: the documented name first; what the others hold counts only where it is the id that was asked for.
    """
    found = [id_of(source, name).casefold() for name in names]
    return bool(found[0]) and asked_id.casefold() not in found


def text_of(value: Any) -> str:
    """Return a text or a number as text, anything else as ``""``."""
    if isinstance(value, str):
        return value.strip()
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else ""


def number_of(value: Any) -> float | None:
    """Return a finite number, also one given as text; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        read = float(value)
    except (ValueError, OverflowError):
        return None
    return read if math.isfinite(read) else None


def first_text(source: Mapping[str, Any], *names: str) -> str:
    """Return the first of these members that is a non-empty text or a number, as text; ``""`` when none is."""
    return next((found for found in (text_of(source.get(name)) for name in names) if found), "")


def first_number(source: Mapping[str, Any], *names: str) -> float | None:
    """Return the first of these members that is a number; None when none is."""
    return next((found for found in (number_of(source.get(name)) for name in names) if found is not None), None)


#: One URL after another in one text.
_SEVERAL = re.compile(r"[,;|]https?://", re.IGNORECASE)


def urls_of(*values: Any) -> tuple[str, ...]:
    """Return the http(s) URLs among these values and lists of values, each once."""
    flat = [item for value in values for item in (value if isinstance(value, list) else [value])]
    return tuple(dict.fromkeys(item for item in flat if isinstance(item, str) and _is_url(item)))


def _is_url(text: str) -> bool:
    if not text.lower().startswith(("https://", "http://")) or not text.isprintable() or " " in text:
        return False
    if _SEVERAL.search(text):
        return False  # a cell with several URLs, which would be sent, and paid for, as a broken one
    try:
        return bool(urlsplit(text).hostname)
    except ValueError:
        return False


def error_text(value: Any) -> str:
    """Return the sentence in an error member: a text, or an object with ``message`` or the like; any other object as JSON, cut."""
    if isinstance(value, dict):
        found = first_text(value, "message", "error", "detail", "code")
        # A list of the mistakes under an unknown name still tells an author more than nothing.
        return quoted(found or (json.dumps(value, ensure_ascii=False) if value else ""))
    return quoted(json.dumps(value, ensure_ascii=False)) if isinstance(value, list) and value else quoted(text_of(value))


def rate_limit_of(headers: Mapping[str, str]) -> RateLimit | None:
    """Return what the ``X-RateLimit-*`` headers say (happy-horse.ai API reference, "Rate Limiting"), None without them."""
    limit, remaining = (number_of(headers.get(f"x-ratelimit-{name}")) for name in ("limit", "remaining"))
    now, reset = _date(headers.get("date")), _reset_of(headers)
    if limit is None and remaining is None and reset is None:
        return None
    at = reset
    if reset is not None and not _is_timestamp(reset):
        at = None if now is None else now + reset
    return RateLimit(
        limit=int(limit) if limit is not None and limit >= 1 else None,
        remaining=None if remaining is None else max(0, int(remaining)),
        reset_at=at,
        told_at=now,
    )


def retry_after_of(headers: Mapping[str, str]) -> float | None:
    """Return the seconds the service asks to wait: ``Retry-After``, else the window's reset; None when it says neither.

    Both ends are measured on the service's own clock (its ``Date`` header), so a wrong clock here does not matter.
    """
    now = _date(headers.get("date"))
    asked = headers.get("retry-after", "")
    seconds = number_of(asked)
    if seconds is None and (until := _date(asked)) is not None and now is not None:
        seconds = until - now
    if seconds is None and (reset := _reset_of(headers)) is not None:
        seconds = reset if not _is_timestamp(reset) else None if now is None else reset - now
    return None if seconds is None else max(0.0, seconds)


def _reset_of(headers: Mapping[str, str]) -> float | None:
    """Return ``X-RateLimit-Reset``: a Unix timestamp as documented, in seconds also where milliseconds came, or seconds that are left."""
    reset = number_of(headers.get("x-ratelimit-reset"))
    return reset / 1000 if reset is not None and reset > 10**11 else reset


def _is_timestamp(reset: float) -> bool:
    return reset > 10**8


def _date(value: str | None) -> float | None:
    if not value:
        return None
    try:
        read = parsedate_to_datetime(value)
        # Without a zone ("-0000") it is UTC (RFC 5322, 3.3); Python would take it for local time.
        return (read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError, OSError, IndexError):
        return None
