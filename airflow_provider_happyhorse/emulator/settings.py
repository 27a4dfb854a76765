"""What one emulator process is told when it starts."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Literal

WindowKind = Literal["fixed", "sliding"]
ListFreshness = Literal["fresh", "stale"]

DEFAULT_CREDITS = 10_000


@dataclass(frozen=True, kw_only=True)
class AccountSettings:
    """An API key that the emulator accepts.

    :param key: the whole key, as it is sent after ``Bearer``
    :param credits: what the account may spend after a start or a reset
    :param paid_access: whether models marked "Subscription: Required" (happy-horse.ai) may be used
    """

    key: str
    credits: int = DEFAULT_CREDITS
    paid_access: bool = True

    @classmethod
    def parse(cls, text: str) -> AccountSettings:
        """Read ``KEY[:credits[:free]]``.

        :raises ValueError: for an empty key, credits that are not a whole number from 0 up, or a third part other than ``free``
        """
        key, *rest = text.split(":")
        if not key or key != key.strip() or len(rest) > 2:
            raise ValueError(f"an account is KEY[:credits[:free]], not {text!r}")
        if rest and not rest[0].isdecimal():
            raise ValueError(f"the credits of an account are a whole number from 0 up, not {rest[0]!r}")
        if len(rest) == 2 and rest[1] != "free":
            raise ValueError(f"the third part of an account can only be 'free', not {rest[1]!r}")
        return cls(key=key, credits=int(rest[0]) if rest else DEFAULT_CREDITS, paid_access=len(rest) < 2)


DEFAULT_ACCOUNTS = (
    AccountSettings(key="sk-sd_emulator"),
    AccountSettings(key="sk-sd_free", paid_access=False),
    AccountSettings(key="sk-sd_poor", credits=1),
)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How one emulator behaves.

    :param accounts: the API keys it accepts
    :param render_seconds: how long a job stays in progress, before ``time_scale``
    :param time_scale: jobs run this many times faster than ``render_seconds`` says; the rate limit is not scaled
    :param requests_per_minute: requests a key may make per window and service, polls and uploads included
    :param window: ``fixed`` windows that start with a key's first request, or a ``sliding`` one
    :param window_seconds: length of that window
    :param list_freshness: whether ``GET /videos`` looks at each job (``fresh``) or shows what ``GET /videos/{id}`` last saw (``stale``)
    """

    accounts: tuple[AccountSettings, ...] = DEFAULT_ACCOUNTS
    render_seconds: float = 20.0
    time_scale: float = 1.0
    requests_per_minute: int = 60
    window: WindowKind = "fixed"
    window_seconds: float = 60.0
    list_freshness: ListFreshness = "fresh"

    def __post_init__(self) -> None:
        keys = [account.key for account in self.accounts]
        if len(set(keys)) != len(keys):
            raise ValueError("an API key was given twice")
        if self.render_seconds < 0:
            raise ValueError("render seconds cannot be negative")
        if self.time_scale <= 0:
            raise ValueError("the time scale must be above 0")
        if self.requests_per_minute < 1 or self.window_seconds <= 0:
            raise ValueError("the rate limit must allow at least one request in a window longer than 0 s")


def require_loopback(host: str) -> str:
    """Return the address to bind, or refuse: the emulator has no real authentication, so it must not be reachable from outside.

    :raises ValueError: when ``host`` is neither ``localhost`` nor a loopback address
    """
    address = "127.0.0.1" if host == "localhost" else host
    try:
        is_loopback = ipaddress.ip_address(address).is_loopback
    except ValueError:
        is_loopback = False
    if not is_loopback:
        raise ValueError(f"the emulator binds loopback addresses only (127.0.0.1, ::1, localhost), not {host!r}")
    return address
