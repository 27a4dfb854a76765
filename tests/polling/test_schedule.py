"""Many waits on one budget, as values: no clock, no network."""

from __future__ import annotations

import math
from typing import Any

import pytest

from airflow_provider_happyhorse.api.errors import (
    Ambiguous,
    NotFound,
    PaidAccessRequired,
    RateLimited,
    ServiceFault,
    Unauthorized,
    Unreachable,
)
from airflow_provider_happyhorse.api.generation import RateLimit
from airflow_provider_happyhorse.api.models import Generation, GenerationState
from airflow_provider_happyhorse.polling.schedule import GRACE, Schedule
from airflow_provider_happyhorse.polling.steps import AskList, AskOne, Heard, Idle, Told, Waiter
from airflow_provider_happyhorse.polling.wait import NOT_FOUND_IN_A_ROW, Ended

START, LONG = 1000.0, 1000.0 + 3600
IN_PROGRESS, SUCCEEDED, FAILED = GenerationState


def waiter(generation_id: str = "v1", **given: Any) -> Waiter:
    return Waiter(generation_id=generation_id, **{"end_time": LONG, "submitted_at": START, **given})


def running(generation_id: str = "v1") -> Generation:
    return Generation(generation_id, IN_PROGRESS, "processing")


def done(generation_id: str = "v1") -> Generation:
    return Generation(generation_id, SUCCEEDED, "completed", result_urls=(f"https://cdn.example/{generation_id}.mp4",))


def schedule_of(*generation_ids: str, **given: Any) -> Schedule:
    """Return a schedule with one waiter per generation; the generation's id is its token."""
    schedule = Schedule()
    for generation_id in generation_ids:
        schedule.add(generation_id, waiter(generation_id, **given), now=START)
    return schedule


def next_ask(schedule: Schedule, *, now: float, by: float = math.inf) -> tuple[AskOne | AskList, float]:
    """Return the next request and when it is made."""
    for _ in range(1000):
        step = schedule.next(now=now, random=0.5)
        if not isinstance(step, Idle):
            return step, now
        assert step.until > now, "a busy loop"
        now = step.until
        assert now <= by
    raise AssertionError("nothing is ever asked")


def ask_about(schedule: Schedule, *, now: float) -> tuple[AskOne, float]:
    ask, now = next_ask(schedule, now=now)
    assert isinstance(ask, AskOne)
    return ask, now


def endings(heard: Heard | tuple[Told, ...]) -> dict[Any, str]:
    told = heard.told if isinstance(heard, Heard) else heard
    return {each.token: each.step.ending for each in told if isinstance(each.step, Ended)}


class TestWhoWaits:
    def test_nobody_needs_no_request(self) -> None:
        assert Schedule().next(now=START, random=0.5) == Idle(math.inf)

    def test_the_first_request_is_made_after_the_first_delay(self) -> None:
        _, at = ask_about(schedule_of("v1", first_delay=10.0), now=START)
        assert at >= START + 10

    def test_one_answer_ends_every_wait_for_the_generation(self) -> None:
        schedule = schedule_of("v1", "v2")
        schedule.add("again", waiter("v1"), now=START)
        ended = {}
        now = START
        while len(schedule):
            ask, now = ask_about(schedule, now=now)
            ended |= endings(schedule.on_answer(ask, done(ask.generation_id), now=now, random=0.5))
        assert ended == {"v1": "success", "again": "success", "v2": "success"}

    def test_a_token_waits_once(self) -> None:
        schedule = schedule_of("v1")
        with pytest.raises(ValueError, match="waiting already"):
            schedule.add("v1", waiter("v2"), now=START)

    def test_whoever_is_removed_is_asked_for_no_more(self) -> None:
        schedule = schedule_of("v1")
        schedule.remove("v1")
        schedule.remove("v1")
        assert (len(schedule), schedule.next(now=START + 999, random=0.5)) == (0, Idle(math.inf))

    def test_the_others_go_on_waiting_for_the_generation(self) -> None:
        schedule = schedule_of("v1")
        schedule.add("again", waiter("v1"), now=START)
        schedule.remove("v1")
        ask, now = ask_about(schedule, now=START)
        assert endings(schedule.on_answer(ask, done(), now=now, random=0.5)) == {"again": "success"}

    def test_an_answer_for_nobody_any_more_is_heard_in_silence(self) -> None:
        schedule = schedule_of("v1", "v2")
        ask, now = ask_about(schedule, now=START)
        schedule.remove(ask.generation_id)
        assert schedule.on_answer(ask, done(ask.generation_id), now=now, random=0.5) == Heard()
        assert schedule.on_error(ask, Unreachable("x"), now=now, random=0.5) == Heard()

    def test_there_is_one_request_about_a_generation_at_a_time(self) -> None:
        schedule = schedule_of("v1", "v2")
        first, now = ask_about(schedule, now=START)
        second, now = ask_about(schedule, now=now)
        assert {first.generation_id, second.generation_id} == {"v1", "v2"}
        assert isinstance(schedule.next(now=now + 30, random=0.5), Idle)


class TestDeadlines:
    def test_a_waiter_gets_its_last_request_at_the_deadline(self) -> None:
        schedule = schedule_of("v1", end_time=START + 4)
        assert schedule.overdue(now=START + 4) == ()
        ask, now = ask_about(schedule, now=START)
        assert now == START + 4
        heard = schedule.on_answer(ask, running(), now=now, random=0.5)
        assert endings(heard) == {"v1": "timeout"}
        assert len(schedule) == 0

    def test_an_ending_at_the_deadline_counts(self) -> None:
        schedule = schedule_of("v1", end_time=START + 4)
        ask, now = ask_about(schedule, now=START)
        assert endings(schedule.on_answer(ask, done(), now=now + 3, random=0.5)) == {"v1": "success"}

    def test_everybody_gets_the_last_request_they_are_owed_however_many_they_are(self) -> None:
        schedule = schedule_of(*map(str, range(200)), end_time=START + 20)
        now, ended = START, {}
        while len(schedule):
            ended |= endings(schedule.overdue(now=now))
            step = schedule.next(now=now, random=0.5)
            if isinstance(step, AskOne):
                # All of them have ended ten seconds before their time was over.
                one = done(step.generation_id) if now >= START + 10 else running(step.generation_id)
                ended |= endings(schedule.on_answer(step, one, now=now, random=0.5))
            now += 0.5
        assert ended == dict.fromkeys(map(str, range(200)), "success")
        assert now <= START + 20 + 240

    @pytest.mark.parametrize("answer", [Unreachable("x"), RateLimited("x", retry_after=30.0)], ids=repr)
    def test_whom_no_request_can_be_made_for_is_told_within_a_minute(self, answer: Any) -> None:
        schedule = schedule_of(*map(str, range(200)), end_time=START + 20)
        now, ended = START, {}
        while len(schedule):
            ended |= endings(schedule.overdue(now=now))
            step = schedule.next(now=now, random=0.5)
            if isinstance(step, AskOne):
                ended |= endings(schedule.on_error(step, answer, now=now, random=0.5))
            now += 0.5
        assert (len(ended), set(ended.values())) == (200, {"timeout"})
        assert now <= START + 20 + GRACE + 1

    def test_who_comes_after_the_deadline_is_owed_a_request_all_the_same(self) -> None:
        """No triggerer ran when it was over."""
        schedule = schedule_of("v1", end_time=START - 300, submitted_at=START - 3000)
        assert schedule.overdue(now=START) == ()
        ask, now = ask_about(schedule, now=START)
        assert endings(schedule.on_answer(ask, done(), now=now, random=0.5)) == {"v1": "success"}

    @pytest.mark.parametrize("error", [ServiceFault("x", status=503), Ambiguous("reset"), RateLimited("x", retry_after=1.0)], ids=repr)
    @pytest.mark.parametrize("back", [-4.0, -1.0, 0.0, 0.5])
    def test_an_error_about_then_is_not_the_answer_that_is_owed(self, back: float, error: Any) -> None:
        """The video is ready."""
        schedule = schedule_of("v1", end_time=START + 100)
        ask, now = next_ask(schedule, now=START)
        while now < START + 94:
            schedule.on_answer(ask, running(), now=now, random=0.5)
            ask, now = next_ask(schedule, now=now)
        assert endings(schedule.on_error(ask, error, now=START + 100 + back, random=0.5)) == {}
        assert schedule.overdue(now=START + 100.5) == ()
        ask, now = ask_about(schedule, now=START + 100.5)
        assert now < START + 100 + GRACE
        assert endings(schedule.on_answer(ask, done(), now=now, random=0.5)) == {"v1": "success"}

    def test_who_has_never_an_answer_is_asked_about_a_few_times_more_only(self) -> None:
        schedule, now, asked, ended = schedule_of("v1", "other", end_time=START + 100), START, 0, {}
        schedule.add("long", waiter("long"), now=START)
        while "v1" not in ended:
            ended |= endings(schedule.overdue(now=now))
            step = schedule.next(now=now, random=0.5)
            if isinstance(step, AskOne) and step.generation_id == "v1":
                ended |= endings(schedule.on_error(step, ServiceFault("x", status=500), now=now, random=0.5))
                asked += now >= START + 100
            elif isinstance(step, AskOne):
                schedule.on_answer(step, running(step.generation_id), now=now, random=0.5)
            now += 0.5
        assert now <= START + 100 + GRACE + 1
        assert 1 <= asked <= 6


class TestErrors:
    @pytest.mark.parametrize("error", [NotFound("x", status=404), PaidAccessRequired("x", status=403)], ids=repr)
    def test_one_about_another_generation_is_nobody_elses(self, error: Any) -> None:
        schedule = schedule_of("good", *map(str, range(50)))
        now = START
        while now < START + 300:
            step = schedule.next(now=now, random=0.5)
            if isinstance(step, AskOne) and step.generation_id == "good":
                break
            if isinstance(step, AskOne):
                schedule.on_error(step, error, now=now, random=0.5)
            now += 0.5
        assert now <= START + 120

    @pytest.mark.parametrize("retry_after", [1e9, 86400.0])
    def test_a_429_that_names_a_far_time_stops_nobody_for_long(self, retry_after: float) -> None:
        schedule = schedule_of("v1")
        ask, now = ask_about(schedule, now=START)
        schedule.on_error(ask, RateLimited("x", retry_after=retry_after), now=now, random=0.5)
        _, later = ask_about(schedule, now=now)
        assert now + 590 <= later <= now + 620

    @pytest.mark.parametrize("remaining", [0, 50])
    @pytest.mark.parametrize("away", [86400.0, 1.7e12])
    def test_headers_that_name_a_far_reset_stop_nobody(self, remaining: int, away: float) -> None:
        schedule = schedule_of("v1")
        ask, now = ask_about(schedule, now=START)
        rate = RateLimit(limit=60, remaining=remaining, reset_at=now + away)
        schedule.on_answer(ask, running(), now=now, random=0.5, rate=rate)
        _, later = ask_about(schedule, now=now)
        assert later <= now + 60

    @pytest.mark.parametrize("error", [Unreachable("x"), ServiceFault("x", status=502), RateLimited("x", retry_after=3.0)], ids=repr)
    def test_a_passing_one_is_waited_out(self, error: Any) -> None:
        schedule = schedule_of("v1")
        ask, now = ask_about(schedule, now=START)
        assert endings(schedule.on_error(ask, error, now=now, random=0.5)) == {}
        ask, now = ask_about(schedule, now=now)
        assert endings(schedule.on_answer(ask, done(), now=now, random=0.5)) == {"v1": "success"}

    def test_a_429_pauses_everybody_until_the_reset(self) -> None:
        schedule = schedule_of("v1", "v2", "v3")
        ask, now = ask_about(schedule, now=START)
        schedule.on_error(ask, RateLimited("x", retry_after=42.0), now=now, random=0.5)
        _, later = ask_about(schedule, now=now)
        assert later >= now + 42

    def test_an_unknown_id_ends_the_wait_after_some_time_only(self) -> None:
        schedule, now = schedule_of("v1"), START
        for turn in range(1, NOT_FOUND_IN_A_ROW + 1):
            ask, now = ask_about(schedule, now=now)
            ended = endings(schedule.on_error(ask, NotFound("x", status=404), now=now, random=0.5))
            assert ended == ({"v1": "error"} if turn == NOT_FOUND_IN_A_ROW else {})
        assert now >= START + 60

    def test_the_services_refusal_ends_the_wait_for_that_generation(self) -> None:
        schedule = schedule_of("v1", "v2")
        ask, now = ask_about(schedule, now=START)
        heard = schedule.on_error(ask, PaidAccessRequired("x", status=403), now=now, random=0.5)
        assert (endings(heard), len(schedule)) == ({ask.generation_id: "error"}, 1)


class TestTheKey:
    refused = Unauthorized("revoked", status=401)

    def test_is_looked_up_again_once_and_then_ends_every_wait(self) -> None:
        schedule = schedule_of("v1", "v2", "v3")
        ask, now = ask_about(schedule, now=START)
        heard = schedule.on_error(ask, self.refused, now=now, random=0.5)
        assert (heard.renew_connection, endings(heard)) == (True, {})
        ask, now = ask_about(schedule, now=now + 1)
        heard = schedule.on_error(ask, self.refused, now=now, random=0.5)
        assert not heard.renew_connection
        assert endings(heard) == {"v1": "error", "v2": "error", "v3": "error"}

    def test_a_late_refusal_of_the_old_key_says_nothing_about_the_new_one(self) -> None:
        schedule = schedule_of("v1", "v2")
        (first, _), (second, now) = ask_about(schedule, now=START), ask_about(schedule, now=START + 20)
        assert schedule.on_error(first, self.refused, now=now, random=0.5).renew_connection
        assert schedule.on_error(second, self.refused, now=now, random=0.5) == Heard()

    def test_may_be_rotated_again_later(self) -> None:
        schedule, now = schedule_of("v1"), START
        for _ in range(3):
            ask, now = ask_about(schedule, now=now)
            assert schedule.on_error(ask, self.refused, now=now, random=0.5).renew_connection
            ask, now = ask_about(schedule, now=now + 1)
            schedule.on_answer(ask, running(), now=now, random=0.5)

    def test_that_may_not_list_ends_no_wait(self) -> None:
        schedule = Schedule(list_rows=50)
        for number in range(100):
            schedule.add(number, waiter(f"v{number}"), now=START)
        now, lists, ended = START, 0, {}
        while len(ended) < 100:
            ask, now = next_ask(schedule, now=now)
            if isinstance(ask, AskList):
                lists += 1
                heard = schedule.on_error(ask, self.refused, now=now, random=0.5)
            else:
                heard = schedule.on_answer(ask, done(ask.generation_id), now=now, random=0.5)
            assert not heard.renew_connection
            ended |= endings(heard)
        assert set(ended.values()) == {"success"}
        assert lists == 1

    def test_that_was_rotated_may_list_again_at_once(self) -> None:
        schedule = Schedule(list_rows=50)
        for number in range(100):
            schedule.add(number, waiter(f"v{number}"), now=START)
        now, renewed, lists = START, False, 0
        while now < START + 300:
            ask, now = next_ask(schedule, now=now)
            if not renewed:
                renewed = schedule.on_error(ask, self.refused, now=now, random=0.5).renew_connection
                now += 0.1
            elif isinstance(ask, AskOne):
                schedule.on_answer(ask, running(ask.generation_id), now=now, random=0.5)
            else:
                lists += 1
                schedule.on_list(ask, [running(f"v{number}") for number in range(99, 49, -1)], now=now, random=0.5)
        assert lists > 1
