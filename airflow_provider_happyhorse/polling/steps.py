"""What goes into and comes out of the shared schedule: plain values."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from airflow_provider_happyhorse.api.generation import Kind
from airflow_provider_happyhorse.polling.wait import Ask, Ended

#: Whoever waits, told apart by identity or value: two triggers may wait for one generation.
Token = Hashable
#: What render times are learned by: service, model and length in seconds, ``""`` for what is not known.
LearningKey = tuple[str, str, str]


@dataclass(frozen=True, kw_only=True)
class Waiter:
    """One wait for one generation.

    :param generation_id: whom it waits for; several waiters may wait for the same.
    :param end_time: Unix time at which it gives up; nothing is cancelled.
    :param kind: what the generation is of; the service needs it to read an answer.
    :param learning_key: render times are learned per key.
    :param submitted_at: Unix time of the submission, None when nobody knows; then nothing is learned from it.
    :param first_delay: seconds from being added to the first request.
    """

    generation_id: str
    end_time: float
    kind: Kind = "video"
    learning_key: LearningKey = ("", "", "")
    submitted_at: float | None = None
    first_delay: float = 10.0


@dataclass(frozen=True)
class AskOne:
    """Ask the service about one generation now.

    :param sent_at: the ``now`` it was handed out at.
    """

    generation_id: str
    kind: Kind
    sent_at: float


@dataclass(frozen=True)
class AskList:
    """Ask the service for a page of its list now.

    :param page: from 1.
    :param limit: rows per page.
    :param sent_at: the ``now`` it was handed out at.
    """

    page: int
    limit: int
    sent_at: float


@dataclass(frozen=True)
class Idle:
    """Nothing is to be done before a moment, unless a waiter is added or an answer comes.

    :param until: Unix time, ``math.inf`` when nobody waits.
    """

    until: float


@dataclass(frozen=True)
class Told:
    """Something for one waiter: the end of its wait, or a line for its log.

    :param token: whose.
    :param step: ``Ended``: the token has been removed. ``Ask``: only its ``notice`` is of interest; the schedule decides when.
    :param lag: seconds for which the ending is expected to have gone unnoticed, None where it is not the generation's own.
    """

    token: Token
    step: Ask | Ended
    lag: float | None = None


@dataclass(frozen=True)
class Heard:
    """What an answer or an error meant.

    :param told: for whom it meant something.
    :param renew_connection: look the connection up again before the next request; the key may have been rotated.
    """

    told: tuple[Told, ...] = ()
    renew_connection: bool = False
