"""Reading JSON answers whose shape is only partly documented, without ever raising anything but ``api/errors.py``."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from airflow_provider_happyhorse.api.calls import Response
from airflow_provider_happyhorse.api.errors import BadResponse
from airflow_provider_happyhorse.api.models import RateLimit


def json_object(response: Response) -> dict[str, Any] | None:
    """Return the body as a JSON object, or None when it is anything else."""
    try:
        read = json.loads(response.body)
    except (ValueError, RecursionError):
        return None
    return read if isinstance(read, dict) else None


def unexpected(response: Response, expected: str) -> BadResponse:
    """Return the error for an answer of another shape, showing the beginning of it."""
    beginning = " ".join(response.body[:300].decode("utf-8", "replace").split())
    kind = response.headers.get("content-type", "no content type")
    return BadResponse(f"HTTP {response.status} ({kind}) is not {expected}: {beginning[:200] or 'an empty body'}")


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


def urls_of(*values: Any) -> tuple[str, ...]:
    """Return the http(s) URLs among these values and lists of values, each once."""
    flat = [item for value in values for item in (value if isinstance(value, list) else [value])]
    return tuple(dict.fromkeys(item for item in flat if isinstance(item, str) and item.startswith(("https://", "http://"))))


def error_text(value: Any) -> str:
    """Return the sentence in an error member, which is a text or an object with ``message`` and ``code``."""
    if isinstance(value, dict):
        return first_text(value, "message", "error", "detail", "code")
    return text_of(value)


def rate_limit_of(headers: Mapping[str, str]) -> RateLimit | None:
    """Return what the ``X-RateLimit-*`` headers say (happy-horse.ai API reference, "Rate Limiting"), None without them."""
    limit, remaining, reset = (number_of(headers.get(f"x-ratelimit-{name}")) for name in ("limit", "remaining", "reset"))
    if limit is None and remaining is None and reset is None:
        return None
    return RateLimit(
        limit=None if limit is None else int(limit),
        remaining=None if remaining is None else int(remaining),
        reset_at=reset,
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
    if seconds is None and (limit := rate_limit_of(headers)) and limit.reset_at is not None:
        # The vendor documents a Unix timestamp; a small number can only be the seconds that are left.
        is_timestamp = limit.reset_at > 10**8
        seconds = limit.reset_at if not is_timestamp else None if now is None else limit.reset_at - now
    return None if seconds is None else max(0.0, seconds)


def _date(value: str | None) -> float | None:
    if not value:
        return None
    try:
        return parsedate_to_datetime(value).timestamp()
    except (ValueError, TypeError, OverflowError, OSError):
        return None
