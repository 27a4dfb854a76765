"""Whether a call is tried again, and when."""

from __future__ import annotations

import pytest

from airflow_provider_happyhorse.api import errors
from airflow_provider_happyhorse.api.errors import ServiceError
from airflow_provider_happyhorse.api.generation import RateLimit
from airflow_provider_happyhorse.api.retry import (
    ATTEMPTS,
    LONGEST_DELAY,
    LONGEST_RATE_LIMIT_DELAY,
    delay_before_retry,
    delay_before_turn,
    pause_asked_for,
)

ENDINGS: dict[str, ServiceError] = {
    "unreachable": errors.Unreachable("refused"),
    "rate limited": errors.RateLimited("429"),
    "rate limited for 7 s": errors.RateLimited("429", retry_after=7.0),
    "rate limited for an hour": errors.RateLimited("429", retry_after=3600.0),
    "fault": errors.ServiceFault("502", status=502),
    "fault, back in 5 s": errors.ServiceFault("503", status=503, retry_after=5.0),
    "fault, back in an hour": errors.ServiceFault("503", status=503, retry_after=3600.0),
    "bad response": errors.BadResponse("html"),
    "ambiguous": errors.Ambiguous("reset"),
    "rejected": errors.Rejected("no", status=403),
    "invalid": errors.InvalidRequest("no", status=400),
    "unauthorized": errors.Unauthorized("no", status=401),
    "credits": errors.InsufficientCredits("no", status=402),
    "paid access": errors.PaidAccessRequired("no", status=403),
    "not found": errors.NotFound("no", status=404),
    "unsupported": errors.Unsupported("no"),
}
#: ending -> (delay of a free call, delay of the paying call) before the second try, without jitter (random 0).
TABLE: dict[str, tuple[float | None, float | None]] = {
    "unreachable": (0.5, 0.5),
    "rate limited": (1.0, 1.0),
    "rate limited for 7 s": (7.0, 7.0),
    "rate limited for an hour": (None, None),
    "fault": (0.5, None),
    "fault, back in 5 s": (5.0, None),
    "fault, back in an hour": (None, None),
    "bad response": (0.5, None),
    "ambiguous": (0.5, None),
    "rejected": (None, None),
    "invalid": (None, None),
    "unauthorized": (None, None),
    "credits": (None, None),
    "paid access": (None, None),
    "not found": (None, None),
    "unsupported": (None, None),
}


def every_error_class(parent: type[ServiceError] = ServiceError) -> set[type[ServiceError]]:
    return {parent} | {found for child in parent.__subclasses__() for found in every_error_class(child)}


def test_the_table_knows_every_ending() -> None:
    assert {type(error) for error in ENDINGS.values()} == every_error_class() - {ServiceError}
    assert TABLE.keys() == ENDINGS.keys()


@pytest.mark.parametrize("name", TABLE)
def test_delay_before_the_second_try(name: str) -> None:
    free, paying = TABLE[name]
    assert delay_before_retry(ENDINGS[name], attempt=1, pays=False, random=0.0) == free
    assert delay_before_retry(ENDINGS[name], attempt=1, pays=True, random=0.0) == paying


@pytest.mark.parametrize("name", TABLE)
@pytest.mark.parametrize("pays", [True, False])
def test_tries_end_and_waits_are_bounded(name: str, pays: bool) -> None:
    longest = LONGEST_RATE_LIMIT_DELAY + LONGEST_DELAY
    for attempt in range(1, ATTEMPTS):
        for random in (0.0, 0.5, 1.0):
            delay = delay_before_retry(ENDINGS[name], attempt=attempt, pays=pays, random=random)
            assert delay is None or 0 <= delay <= longest
    for attempt in (ATTEMPTS, ATTEMPTS + 1, 10**6):
        assert delay_before_retry(ENDINGS[name], attempt=attempt, pays=pays, random=0.0) is None


def test_a_paying_call_is_repeated_only_after_proof_that_it_was_not_accepted() -> None:
    repeated = {name for name in ENDINGS if delay_before_retry(ENDINGS[name], attempt=1, pays=True, random=0.3) is not None}
    assert repeated == {"unreachable", "rate limited", "rate limited for 7 s"}


def test_waits_double_and_spread() -> None:
    waits = [delay_before_retry(errors.Unreachable("no"), attempt=attempt, pays=False, random=0.5) for attempt in range(1, ATTEMPTS)]
    assert waits == [1.0, 2.0, 4.0, 8.0]
    early, late = (delay_before_retry(errors.RateLimited("429", retry_after=7), attempt=1, pays=False, random=at) for at in (0.0, 1.0))
    assert (early, late) == (7.0, 8.0), "nobody asks again before the time the service named"


def test_a_wait_of_a_whole_window_is_kept_and_a_longer_one_given_up() -> None:
    kept, given_up = (errors.RateLimited("429", retry_after=LONGEST_RATE_LIMIT_DELAY + more) for more in (0, 0.1))
    assert delay_before_retry(kept, attempt=1, pays=True, random=0.0) == LONGEST_RATE_LIMIT_DELAY
    assert delay_before_retry(given_up, attempt=1, pays=True, random=0.0) is None


@pytest.mark.parametrize(
    ("answer", "least", "most"),
    [
        (None, 0, 0),
        (RateLimit(), 0, 0),
        (RateLimit(limit=60, remaining=30, reset_at=1050.0), 0, 0),
        (RateLimit(limit=60, remaining=4, reset_at=1050.0), 0, 0),
        (RateLimit(limit=60, remaining=3, reset_at=1050.0), 50, 55),
        (RateLimit(limit=60, remaining=0, reset_at=1050.0), 50, 55),
        (RateLimit(limit=60, remaining=0, reset_at=999.0), 0, 0),
        (RateLimit(limit=60, remaining=0, reset_at=9999.0), 60, 65),
        (errors.RateLimited("429", retry_after=7), 7, 12),
        (errors.RateLimited("429", retry_after=300), 300, 305),
        (errors.RateLimited("429"), 30, 35),
    ],
)
def test_who_only_asks_stays_away_as_long_as_it_is_told(answer: errors.RateLimited | RateLimit | None, least: float, most: float) -> None:
    assert [pause_asked_for(answer, now=1000.0, random=random) for random in (0.0, 1.0)] == [least, most]


@pytest.mark.parametrize(
    ("retry_after", "refusals", "least", "most"),
    [
        (None, 1, 5, 10),
        (None, 3, 20, 25),
        (None, 99, 60, 65),
        (0, 1, 1, 6),
        (0, 99, 60, 65),
        (300, 1, 300, 305),
        (5000, 1, 600, 605),
        (1e12, 99, 600, 605),
    ],
)
def test_a_refused_submission_comes_back_within_ten_minutes(retry_after: float | None, refusals: int, least: float, most: float) -> None:
    refused = errors.RateLimited("429", retry_after=retry_after)
    assert [delay_before_turn(refused, refusals=refusals, random=random) for random in (0.0, 1.0)] == [least, most]
