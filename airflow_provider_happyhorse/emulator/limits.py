"""Requests per minute and key. A refused request is not counted, so it never prolongs the wait."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Protocol

from .refusals import Refusal
from .settings import Settings


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the limit says about one request.

    :param reset_at: Unix time at which the window resets (fixed) or the next request is free again (sliding)
    """

    allowed: bool
    limit: int
    remaining: int
    reset_at: float

    def enforce(self) -> None:
        """Do nothing if the request is allowed.

        :raises Refusal: ``rate_limited`` otherwise
        """
        if not self.allowed:
            raise Refusal("rate_limited", f"Too many requests: at most {self.limit} per window.")

    @property
    def headers(self) -> dict[str, str]:
        """The documented headers (happy-horse.ai, "Rate Limiting"); the reset is rounded up, so that waiting until then is enough."""
        return {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(self.remaining),
            "X-RateLimit-Reset": str(math.ceil(self.reset_at)),
        }


class Window(Protocol):
    """One key's budget at one service."""

    def ask(self, now: float) -> Verdict:
        """Count a request at Unix time ``now``, or refuse it."""


class FixedWindow:
    """A window starts with the first request after the last one ended and resets all at once."""

    def __init__(self, *, limit: int, seconds: float) -> None:
        self._limit = limit
        self._seconds = seconds
        self._ends_at = -math.inf
        self._used = 0

    def ask(self, now: float) -> Verdict:
        """Count a request at Unix time ``now``, or refuse it."""
        if now >= self._ends_at:
            self._ends_at, self._used = now + self._seconds, 0
        allowed = self._used < self._limit
        self._used += allowed
        return Verdict(allowed=allowed, limit=self._limit, remaining=self._limit - self._used, reset_at=self._ends_at)


class SlidingWindow:
    """At most ``limit`` requests in any stretch of ``seconds``."""

    def __init__(self, *, limit: int, seconds: float) -> None:
        self._limit = limit
        self._seconds = seconds
        self._accepted: deque[float] = deque()

    def ask(self, now: float) -> Verdict:
        """Count a request at Unix time ``now``, or refuse it."""
        while self._accepted and now >= self._accepted[0] + self._seconds:
            self._accepted.popleft()
        allowed = len(self._accepted) < self._limit
        if allowed:
            self._accepted.append(now)
        return Verdict(
            allowed=allowed, limit=self._limit, remaining=self._limit - len(self._accepted), reset_at=self._accepted[0] + self._seconds
        )


class RateLimits:
    """The windows of all keys. The two services count separately: they are different companies."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._windows: dict[tuple[str, str], Window] = {}

    def reset(self) -> None:
        """Forget every request counted so far."""
        self._windows.clear()

    def ask(self, *, service: str, key: str, now: float) -> Verdict:
        """Count a request of ``key`` at ``service``, or refuse it."""
        window = self._windows.get((service, key))
        if window is None:
            kind = FixedWindow if self._settings.window == "fixed" else SlidingWindow
            window = kind(limit=self._settings.requests_per_minute, seconds=self._settings.window_seconds)
            self._windows[service, key] = window
        return window.ask(now)
