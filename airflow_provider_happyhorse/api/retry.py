"""May a call be tried again, and after how long. Decided from values; the sleeping is done by the caller."""

from __future__ import annotations

from airflow_provider_happyhorse.api.errors import Ambiguous, BadResponse, RateLimited, ServiceError, ServiceFault, Unreachable

#: Seconds before the second try when nobody says; doubled for every further one.
FIRST_DELAY = 1.0
LONGEST_DELAY = 30.0
#: A window of the vendor's rate limit is a minute; asked to wait much longer, a worker slot is worth more than the call.
LONGEST_RATE_LIMIT_DELAY = 90.0
#: Tries of one call, the first included.
ATTEMPTS = 5


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
