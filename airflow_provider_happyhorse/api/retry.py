"""May a call be tried again, and after how long. Decided from values; the sleeping is done by the caller."""

from __future__ import annotations

from airflow_provider_happyhorse.api.errors import Ambiguous, BadResponse, RateLimited, ServiceError, ServiceFault, Unreachable
from airflow_provider_happyhorse.api.generation import RateLimit

#: Seconds before the second try when nobody says; doubled for every further one.
FIRST_DELAY = 1.0
LONGEST_DELAY = 30.0
#: A window of the vendor's rate limit is a minute; asked to wait much longer, a worker slot is worth more than the call.
LONGEST_RATE_LIMIT_DELAY = 90.0
#: Tries of one call, the first included.
ATTEMPTS = 5
#: Seconds before a refused submission is sent again when the service does not say; doubled up to the documented window of a minute.
FIRST_TURN, LONGEST_TURN = 5.0, 60.0
#: Seconds over which those that were refused together come back.
SPREAD = 5.0
#: Seconds without a question after a 429 that does not say for how long: half of the documented window.
UNTOLD_PAUSE = 30.0
#: Seconds after which somebody asks again, however long a refusal says: one wrong header must neither stop all who wait for what is paid
#: for, nor fail a submission that has an hour to go.
LONGEST_PAUSE = 600.0
#: Part of a window that those who only ask leave to submissions.
LEFT_TO_SUBMISSIONS = 0.05


def delay_before_retry(error: ServiceError, *, attempt: int, pays: bool, random: float) -> float | None:
    """Return the seconds to wait before trying the call again, or None when it must not be.

    A paying call is repeated only after :class:`Unreachable` or :class:`RateLimited`, which prove that it was not accepted.

    :param error: what the last try ended with.
    :param attempt: how many tries there have been, from 1.
    :param pays: the call costs credits when it is accepted.
    :param random: 0 to 1, spreads callers that failed together.
    """
    if attempt >= ATTEMPTS:
        return None
    backoff = min(FIRST_DELAY * 2.0 ** (attempt - 1), LONGEST_DELAY)
    if isinstance(error, RateLimited):
        asked = backoff if error.retry_after is None else error.retry_after
        return None if asked > LONGEST_RATE_LIMIT_DELAY else asked + random * max(1.0, backoff)
    if isinstance(error, Unreachable):
        return backoff * (0.5 + random)
    if isinstance(error, (Ambiguous, ServiceFault, BadResponse)) and not pays:
        asked = (error.retry_after if isinstance(error, ServiceFault) else None) or 0.0
        return None if asked > LONGEST_RATE_LIMIT_DELAY else max(asked, backoff * (0.5 + random))
    return None


def delay_before_turn(error: RateLimited, *, refusals: int, random: float) -> float:
    """Return the seconds before a submission that was refused for too many requests may be sent again.

    :param refusals: how often it has been refused, from 1.
    :param random: 0 to 1, spreads those that were refused together.
    """
    doubling = 2.0 ** min(refusals - 1, 10)
    if error.retry_after is None:
        return min(FIRST_TURN * doubling, LONGEST_TURN) + random * SPREAD
    # "In 0 s", again and again, is no way to wait; nor is "in two hours" once.
    return max(min(error.retry_after, LONGEST_PAUSE), min(doubling, LONGEST_TURN)) + random * SPREAD


def pause_asked_for(answer: RateLimited | RateLimit | None, *, now: float, random: float) -> float:
    """Return the seconds for which no more should be asked with this key, 0 when nothing speaks against it.

    :param answer: a refusal, or what the headers of an answer say: the last requests of a window are left to submissions.
    :param now: Unix time.
    :param random: 0 to 1, spreads those who wait for the same reset.
    """
    if isinstance(answer, RateLimited):
        return (UNTOLD_PAUSE if answer.retry_after is None else min(answer.retry_after, LONGEST_PAUSE)) + random * SPREAD
    if answer is None or answer.remaining is None or answer.reset_at is None or answer.reset_at <= now:
        return 0.0
    if answer.remaining > LEFT_TO_SUBMISSIONS * (answer.limit or 0):
        return 0.0
    return min(answer.reset_at - now, LONGEST_TURN) + random * SPREAD
