"""Why a request is refused, in words that belong to neither service; each wire format has its own status and code for every kind."""

from __future__ import annotations

from typing import Literal

RefusalKind = Literal[
    "unauthorized",
    "insufficient_credits",
    "paid_access_required",
    "invalid",
    "not_found",
    "method_not_allowed",
    "rate_limited",
    "internal",
    "upstream",
]


class Refusal(Exception):
    """The service does not do what it was asked; nothing was created and nothing was charged.

    :param kind: what is wrong
    :param message: a sentence for the client's author; for ``invalid`` it starts with the name of the field
    :param field: the offending field (``duration``, ``multi_prompt.0.duration``), empty where no single field is to blame
    """

    def __init__(self, kind: RefusalKind, message: str, *, field: str = "") -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.field = field


def invalid(field: str, reason: str) -> Refusal:
    """Build the refusal of one field."""
    return Refusal("invalid", f"{field}: {reason}", field=field)
