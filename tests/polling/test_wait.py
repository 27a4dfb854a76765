"""One generation's wait, as tables of values: no clock, no network."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_happyhorse.api.errors import (
    Ambiguous,
    BadResponse,
    InvalidRequest,
    NotFound,
    PaidAccessRequired,
    RateLimited,
    Rejected,
    ServiceError,
    ServiceFault,
    Unauthorized,
    Unreachable,
)
from airflow_provider_happyhorse.api.models import Generation, GenerationState
from airflow_provider_happyhorse.polling.wait import NOT_FOUND_IN_A_ROW, Ask, Ended, Wait

START, PACE, LONG = 1000.0, 10.0, 1000.0 + 3600
IN_PROGRESS, SUCCEEDED, FAILED = GenerationState


def waiting(*, end_time: float = LONG, first_delay: float = PACE) -> Wait:
    return Wait(generation_id="v1", started_at=START, end_time=end_time, first_delay=first_delay)


def generation(state: GenerationState = IN_PROGRESS, word: str = "processing", **given: Any) -> Generation:
    return Generation("v1", state, word, **given)


def fault(**given: Any) -> ServiceFault:
    return ServiceFault("HTTP 500: x", status=500, **given)


PASSING = [
    Unreachable("no route"),
    Ambiguous("reset"),
    BadResponse("HTML"),
    fault(),
    fault(retry_after=5.0),
    RateLimited("429"),
    RateLimited("429", retry_after=30.0),
    NotFound("no such video", status=404),
]
REFUSALS = [
    InvalidRequest("x", status=400),
    PaidAccessRequired("x", status=403, code="paid_access_required"),
    Rejected("x", status=418),
]


class TestTheFirstRequest:
    def test_is_made_after_the_first_delay(self) -> None:
        assert waiting().first(now=START) == Ask(PACE)

    def test_is_made_at_the_deadline_when_that_is_sooner(self) -> None:
        assert waiting(end_time=START + 3).first(now=START) == Ask(3.0)

    def test_is_made_at_once_when_the_deadline_is_over(self) -> None:
        assert waiting(end_time=START - 3).first(now=START) == Ask(0.0)


class TestAnswers:
    def test_a_success_ends_the_wait_with_its_generation(self) -> None:
        done = generation(SUCCEEDED, "completed", result_urls=("https://cdn.example/v1.mp4",))
        assert waiting().on_answer(done, now=START + 60, random=0.5) == Ended("success", "v1 succeeded", done)

    def test_a_failure_ends_it_with_the_services_reason(self) -> None:
        ended = waiting().on_answer(generation(FAILED, "failed", error="content policy"), now=START + 60, random=0.5)
        assert isinstance(ended, Ended)
        assert (ended.ending, "content policy" in ended.message) == ("failed", True)

    @pytest.mark.parametrize("state", [SUCCEEDED, FAILED])
    def test_an_ending_counts_after_the_deadline_too(self, state: GenerationState) -> None:
        ended = waiting().on_answer(generation(state), now=LONG + 999, random=0.5)
        assert isinstance(ended, Ended)
        assert ended.ending in ("success", "failed")

    def test_the_deadline_ends_it_and_says_what_was_seen(self) -> None:
        ended = waiting().on_answer(generation(word="rendering"), now=LONG, random=0.5)
        assert isinstance(ended, Ended)
        assert (ended.ending, ended.generation) == ("timeout", generation(word="rendering"))
        assert "still running after 3600 s" in ended.message
        assert "'rendering'" in ended.message

    @pytest.mark.parametrize(("age", "least", "most"), [(0, 9, 11), (60, 9, 11), (200, 18, 22), (1000, 27, 33), (3000, 27, 33)])
    def test_an_older_generation_is_asked_about_less_often(self, age: float, least: float, most: float) -> None:
        for random in (0.0, 0.5, 1.0):
            ask = waiting().on_answer(generation(), now=START + age, random=random)
            assert isinstance(ask, Ask)
            assert least <= ask.after <= most

    def test_waits_that_began_together_are_spread(self) -> None:
        first, last = (waiting().on_answer(generation(), now=START, random=random) for random in (0.0, 1.0))
        assert first != last


class TestNotices:
    def test_there_is_one_for_every_change_and_none_in_between(self) -> None:
        wait = waiting()
        words = ["queued", "queued", "processing", "processing", "ON_HOLD", "ON_HOLD"]
        asks = [wait.on_answer(generation(word=word), now=START, random=0.5) for word in words]
        assert [bool(ask.notice) for ask in asks if isinstance(ask, Ask)] == [True, False, True, False, True, False]

    def test_an_outage_is_said_once_and_so_is_its_end(self) -> None:
        wait = waiting()
        wait.on_answer(generation(), now=START, random=0.5)
        during = [wait.on_error(fault(), now=START, random=0.5) for _ in range(4)]
        after = [wait.on_answer(generation(), now=START, random=0.5) for _ in range(2)]
        assert [bool(ask.notice) for ask in (*during, *after) if isinstance(ask, Ask)] == [True, False, False, False, True, False]
        assert isinstance(after[0], Ask)
        assert "answers again" in after[0].notice


class TestErrors:
    @pytest.mark.parametrize("error", PASSING, ids=repr)
    def test_a_passing_one_is_waited_out(self, error: ServiceError) -> None:
        assert isinstance(waiting().on_error(error, now=START, random=0.5), Ask)

    @pytest.mark.parametrize("error", PASSING, ids=repr)
    def test_a_passing_one_at_the_deadline_is_a_timeout_that_tells_it(self, error: ServiceError) -> None:
        ended = waiting().on_error(error, now=LONG, random=0.5)
        assert isinstance(ended, Ended)
        assert ended.ending == "timeout"
        assert str(error) in ended.message

    @pytest.mark.parametrize("error", REFUSALS, ids=repr)
    def test_the_services_own_refusal_ends_the_wait_without_a_word_on_the_generation(self, error: ServiceError) -> None:
        ended = waiting().on_error(error, now=START, random=0.5)
        assert isinstance(ended, Ended)
        assert ended.ending == "error"

    @pytest.mark.parametrize("error", [RateLimited("429", retry_after=42.0), fault(retry_after=42.0)])
    @pytest.mark.parametrize("random", [0.0, 1.0])
    def test_what_the_service_asks_to_wait_is_waited(self, error: ServiceError, random: float) -> None:
        ask = waiting().on_error(error, now=START, random=random)
        assert isinstance(ask, Ask)
        assert 42 <= ask.after <= 42 + PACE

    @pytest.mark.parametrize("asked", [0.0, 0.3])
    def test_being_asked_for_next_to_nothing_is_no_reason_to_hurry(self, asked: float) -> None:
        ask = waiting().on_error(RateLimited("429", retry_after=asked), now=START, random=0.0)
        assert isinstance(ask, Ask)
        assert ask.after >= PACE

    def test_the_wait_grows_up_to_a_minute(self) -> None:
        wait = waiting()
        asks = [wait.on_error(Unreachable("x"), now=START, random=0.5) for _ in range(6)]
        assert [ask.after for ask in asks if isinstance(ask, Ask)] == [10, 20, 40, 60, 60, 60]

    def test_an_outage_of_days_is_waited_out(self) -> None:
        wait = waiting(end_time=START + 1e9)
        for _ in range(3000):
            ask = wait.on_error(Unreachable("x"), now=START, random=0.5)
        assert ask == Ask(60.0)

    def test_an_unknown_id_is_believed_after_some_time_only(self) -> None:
        wait, unknown = waiting(), NotFound("no such video", status=404)
        steps = [wait.on_error(unknown, now=START, random=0.5) for _ in range(NOT_FOUND_IN_A_ROW)]
        assert [type(step) for step in steps] == [Ask] * (NOT_FOUND_IN_A_ROW - 1) + [Ended]
        assert isinstance(steps[-1], Ended)
        assert steps[-1].ending == "error"

    @pytest.mark.parametrize("between", [fault(), generation()])
    def test_an_unknown_id_is_believed_only_in_a_row(self, between: Any) -> None:
        wait, unknown = waiting(), NotFound("no such video", status=404)
        for _ in range(3):
            for _ in range(NOT_FOUND_IN_A_ROW - 1):
                assert isinstance(wait.on_error(unknown, now=START, random=0.5), Ask)
            if isinstance(between, Generation):
                wait.on_answer(between, now=START, random=0.5)
            else:
                wait.on_error(between, now=START, random=0.5)


class TestTheKey:
    refused = Unauthorized("revoked", status=401)

    def test_is_looked_up_again_once(self) -> None:
        wait = waiting()
        ask = wait.on_error(self.refused, now=START, random=0.5)
        assert isinstance(ask, Ask)
        assert ask.renew_connection
        assert ask.after == 0
        ended = wait.on_error(self.refused, now=START, random=0.5)
        assert isinstance(ended, Ended)
        assert ended.ending == "error"
        assert "v1" in ended.message

    def test_may_be_rotated_again_later(self) -> None:
        wait = waiting()
        for _ in range(3):
            ask = wait.on_error(self.refused, now=START, random=0.5)
            assert isinstance(ask, Ask)
            assert ask.renew_connection
            assert isinstance(wait.on_answer(generation(), now=START, random=0.5), Ask)


ANYTHING = st.one_of(
    st.sampled_from([*PASSING, Unauthorized("x", status=401)]),
    st.floats(0, 1e6).map(lambda seconds: RateLimited("429", retry_after=seconds)),
    st.sampled_from(["queued", "processing", "ON_HOLD"]).map(lambda word: generation(word=word)),
)


@given(steps=st.lists(ANYTHING, min_size=1, max_size=60), random=st.floats(0, 1), first_delay=st.floats(0, 60), length=st.floats(0, 300))
def test_whatever_comes_a_wait_ends_by_its_deadline_and_never_as_failed(
    steps: list[Any], random: float, first_delay: float, length: float
) -> None:
    end_time = START + length
    wait = waiting(end_time=end_time, first_delay=first_delay)
    step: Ask | Ended = wait.first(now=START)
    now, asked = START, 0
    while isinstance(step, Ask):
        assert step.after >= 0
        now += step.after
        assert now <= end_time + 1e-6
        seen = steps[asked % len(steps)]
        asked += 1
        take = wait.on_answer if isinstance(seen, Generation) else wait.on_error
        before = now
        step = take(seen, now=now, random=random)
        if isinstance(step, Ask) and not step.renew_connection and before + step.after < end_time:
            assert step.after >= 0.09, "no busy loop"
        assert asked < 10_000
    assert step.ending in ("timeout", "error")
    assert step.ending == "timeout" or any(isinstance(seen, (Unauthorized, NotFound)) for seen in steps)
    assert math.isfinite(now)
