"""API keys and what they have left to spend."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from .refusals import Refusal
from .settings import AccountSettings


@dataclass(kw_only=True)
class Account:
    """One key's balance; both services draw on it.

    :param charged_submissions: how many submissions have cost this key credits
    """

    key: str
    credits: int
    paid_access: bool
    charged_submissions: int = 0
    credits_spent: int = 0

    def charge(self, price: int, *, needs_paid_access: bool) -> None:
        """Take the credits of one submission; failed jobs do not give them back (the vendors do not say, so the worse case is emulated).

        :raises Refusal: without paid access where it is needed, or with too few credits; neither costs anything
        """
        if needs_paid_access and not self.paid_access:
            raise Refusal("paid_access_required", "This model requires paid access.")
        if price > self.credits:
            raise Refusal("insufficient_credits", f"Not enough credits: this costs {price}, {self.credits} left.")
        self.credits -= price
        self.credits_spent += price
        self.charged_submissions += 1


class Accounts:
    """The accounts of one emulator."""

    def __init__(self, settings: Iterable[AccountSettings]) -> None:
        self._settings = tuple(settings)
        self._by_key: dict[str, Account] = {}
        self.reset()

    def reset(self) -> None:
        """Give every account back what it started with."""
        self._by_key = {one.key: Account(key=one.key, credits=one.credits, paid_access=one.paid_access) for one in self._settings}

    def by_authorization(self, header: str | None) -> Account:
        """Find the account of an ``Authorization`` header.

        :raises Refusal: when the header is missing, is not ``Bearer KEY`` or names no account
        """
        scheme, _, key = (header or "").partition(" ")
        account = self._by_key.get(key.strip()) if scheme.lower() == "bearer" else None
        if account is None:
            raise Refusal("unauthorized", "Missing or invalid API key.")
        return account

    @property
    def by_key(self) -> Mapping[str, Account]:
        """All accounts, in the order they were given."""
        return self._by_key
