"""What a service answers, in our words. Plain values: reading this costs a DAG file no pydantic."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

#: What is generated.
Kind = Literal["video", "image"]


class GenerationState(enum.StrEnum):
    """Where a generation stands, in our words; the vendor's word is kept beside it."""

    IN_PROGRESS = "in_progress"
    SUCCEEDED = "succeeded"
    FAILED = "failed"

    @property
    def ended(self) -> bool:
        """The service will not change it any more."""
        return self is not GenerationState.IN_PROGRESS


@dataclass(frozen=True)
class Generation:
    """One paid job as the service describes it. An unknown status word counts as in progress.

    :param raw_status: the vendor's word.
    :param result_urls: where the results are; empty until it has succeeded, and possibly short-lived.
    :param credits: credits the service says it took, None when it does not say.
    :param error: the vendor's reason for a failure, ``""`` otherwise.
    :param created_at: ISO 8601, as the vendor gives it, or ``""``.
    :param request: the vendor's echo of the request.
    :param raw: the object the above was read from.
    """

    generation_id: str
    state: GenerationState
    raw_status: str = ""
    result_urls: tuple[str, ...] = ()
    credits: float | None = None
    error: str = ""
    created_at: str = ""
    request: Mapping[str, Any] = field(default_factory=dict, repr=False)
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class ListPage:
    """One page of an account's list.

    :param generations: those of its rows that can be read, in the service's order.
    :param rows: how many rows came, those without a readable id too; only fewer than were asked for make it the last page.
    """

    generations: tuple[Generation, ...]
    rows: int


@dataclass(frozen=True)
class Credits:
    """What the account may still spend (happy-horse.ai; the field names of its answer are not documented, see ``raw``)."""

    remaining: float | None
    paid_access: bool | None
    subscription: str | None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class RateLimit:
    """What the headers of an answer say of the key's request budget (happy-horse.ai ``X-RateLimit-*``).

    :param limit: requests per minute.
    :param remaining: requests left in the window.
    :param reset_at: Unix time at which the window resets, on the service's clock.
    :param told_at: Unix time of the answer on the service's clock (its ``Date`` header), in whole seconds, None when it does not say.
    """

    limit: int | None = None
    remaining: int | None = None
    reset_at: float | None = None
    told_at: float | None = None
