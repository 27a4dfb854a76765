"""What holds for the schedule whatever comes: budget, starvation, deadlines, tokens. Played in virtual time."""

from __future__ import annotations

import math
from itertools import pairwise
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_happyhorse.api.errors import Ambiguous, RateLimited, ServiceError, ServiceFault, Unauthorized, Unreachable
from airflow_provider_happyhorse.api.generation import Generation, GenerationState, RateLimit
from airflow_provider_happyhorse.polling.holding import SIDE_BY_SIDE
from airflow_provider_happyhorse.polling.schedule import GRACE, Schedule
from airflow_provider_happyhorse.polling.steps import AskList, AskOne, Heard, Idle, Told, Waiter
from airflow_provider_happyhorse.polling.wait import Ended
from tests.benchmarks.simulator import MINUTE, Run, Service, WindowKind, burst, run, run_together, steady

IN_PROGRESS, SUCCEEDED, FAILED = GenerationState


def most_in_a_minute(asked_at: list[float]) -> int:
    """Return the most requests in any stretch of a minute."""
    most, first = 0, 0
    for last, moment in enumerate(asked_at):
        while asked_at[first] <= moment - MINUTE:
            first += 1
        most = max(most, last - first + 1)
    return most


def played(
    seed: int, *, per_minute: float = 0.0, count: int, window: WindowKind, tells: bool = True, latency: float = 0.0, **service: Any
) -> tuple[Run, Service]:
    random = Random(seed)
    videos = steady(random, per_minute=per_minute, count=count) if per_minute else burst(random, count=count)
    there = Service(videos=videos, window=window, tells=tells, phase=random.random() * MINUTE, **service)
    return run(Schedule(list_rows=50), there, random=random, latency=latency), there


class TestTheBudget:
    @pytest.mark.parametrize("tells", [True, False], ids=["headers", "no headers"])
    @pytest.mark.parametrize("window", ["fixed", "anchored", "sliding"])
    @settings(max_examples=6, deadline=None)
    @given(seed=st.integers(0, 10**6), count=st.integers(1, 150), per_minute=st.sampled_from([0.0, 5.0, 30.0]), fresh=st.booleans())
    def test_is_never_overdrawn_by_one_client(
        self, window: WindowKind, tells: bool, seed: int, count: int, per_minute: float, fresh: bool
    ) -> None:
        _, service = played(seed, per_minute=per_minute, count=count, window=window, tells=tells, fresh_list=fresh)
        assert service.refused == 0

    @pytest.mark.parametrize("tells", [True, False], ids=["headers", "no headers"])
    @settings(max_examples=8, deadline=None)
    @given(seed=st.integers(0, 10**6), count=st.integers(1, 150), limit=st.integers(5, 60), latency=st.floats(0, 3))
    def test_is_kept_in_every_stretch_of_a_minute_where_no_fixed_window_is_proven(
        self, tells: bool, seed: int, count: int, limit: int, latency: float
    ) -> None:
        random = Random(seed)
        service = Service(videos=burst(random, count=count), window="sliding", limit=limit, tells=tells)
        came = run(Schedule(requests_per_minute=limit), service, random=random, latency=latency)
        assert most_in_a_minute(came.asked_at) <= limit
        assert service.refused == 0

    def test_of_a_slow_service_is_spent_as_far_as_it_goes(self) -> None:
        came, service = played(1, count=40, window="fixed", latency=2.0)
        assert service.refused == 0
        assert came.mean < 60

    def test_a_limit_that_the_headers_tell_replaces_the_setting(self) -> None:
        random = Random(1)
        service = Service(videos=burst(random, count=60), window="sliding", limit=20)
        came = run(Schedule(requests_per_minute=20), service, random=random)
        roomy = Service(videos=burst(Random(1), count=60), window="sliding", limit=120)
        faster = run(Schedule(requests_per_minute=20), roomy, random=random)
        assert most_in_a_minute(faster.asked_at) > 60
        assert faster.mean < came.mean / 3


@pytest.mark.parametrize("fresh", [True, False])
def test_whether_the_list_is_fresh_can_be_told_after_a_batch(fresh: bool) -> None:
    schedule = Schedule(list_rows=50)
    run(schedule, Service(videos=burst(Random(1), count=60), fresh_list=fresh), random=Random(1))
    assert schedule.list_is_fresh is fresh


def client(*, count: int, begin: float = 1000.0, **given: Any) -> Schedule:
    schedule = Schedule(**given)
    for number in range(count):
        schedule.add(number, Waiter(generation_id=str(number), end_time=begin + 36_000, submitted_at=begin, first_delay=1.0), now=begin)
    return schedule


def asks_until(
    schedule: Schedule, *, now: float, end: float, rates: Any = None, answers: Any = None
) -> list[tuple[float, AskOne | AskList]]:
    """Let the schedule ask until a moment; everything runs on, unless ``answers`` says otherwise."""
    random, made = Random(7), []
    while now < end:
        step = schedule.next(now=now, random=random.random())
        if isinstance(step, Idle):
            assert step.until > now, "a busy loop"
            now = min(step.until, end)
            continue
        made.append((now, step))
        rate = rates(now, len(made)) if rates else None
        answer = answers(now, len(made)) if answers else None
        if isinstance(answer, ServiceError):
            schedule.on_error(step, answer, now=now, random=random.random(), rate=rate)
        elif isinstance(step, AskOne):
            schedule.on_answer(step, Generation(step.generation_id, IN_PROGRESS, "processing"), now=now, random=random.random(), rate=rate)
        else:
            schedule.on_list(step, [], now=now, random=random.random(), rate=rate)
    return made


class TestThePace:
    def test_halves_after_a_429_where_nobody_tells_the_limit_and_comes_back_slowly(self) -> None:
        schedule = client(count=300)
        before = len(asks_until(schedule, now=1000, end=1120))
        asks_until(schedule, now=1120, end=1122, answers=lambda now, _: RateLimited("429"))
        after = len(asks_until(schedule, now=1182, end=1302))
        much_later = len(asks_until(schedule, now=2302, end=2422))
        assert 110 <= before <= 120
        assert before * 0.4 <= after <= before * 0.8
        assert after < much_later <= before + 1

    def test_leaves_others_what_the_headers_show_them_using(self) -> None:
        """Twenty requests a minute of somebody else's, in a sliding window."""
        schedule = client(count=300)
        ours: list[float] = []

        def rates(now: float, _: int) -> RateLimit:
            ours.append(now)
            used = sum(1 for sent in ours if sent > now - 60) + 20
            return RateLimit(60, max(0, 60 - used), float(math.ceil(max(ours[0], now - 60) + 60)), math.floor(now))

        asks_until(schedule, now=1000, end=1500, rates=rates)
        late = [moment for moment in ours if moment >= 1380]
        assert 30 <= len(late) / 2 <= 41

    def test_begins_gently_where_headers_tell_until_it_knows_that_it_is_alone(self) -> None:
        def rates(now: float, number: int) -> RateLimit:
            return RateLimit(60, 60 - number, 1061.0, math.floor(now))

        made = [moment for moment, _ in asks_until(client(count=300), now=1001, end=1059, rates=rates)]
        assert len([moment for moment in made if moment < 1021]) <= 11
        assert len([moment for moment in made if 1025 <= moment < 1055]) >= 29

    @pytest.mark.parametrize("remaining", [0, 10])
    def test_is_not_ruled_for_ever_by_a_header_that_counts_nothing(self, remaining: int) -> None:
        def rates(now: float, _: int) -> RateLimit:
            return RateLimit(60, remaining, math.ceil(now / MINUTE) * MINUTE, math.floor(now))

        made = [moment for moment, _ in asks_until(client(count=300), now=1001, end=1601, rates=rates)]
        assert len([moment for moment in made if moment < 1061]) <= 12
        assert len([moment for moment in made if moment >= 1301]) > 200

    def test_is_ruled_by_one_that_says_that_nothing_is_left_as_long_as_requests_are_refused(self) -> None:
        def rates(now: float, _: int) -> RateLimit:
            return RateLimit(60, 0, math.ceil(now / MINUTE) * MINUTE, math.floor(now))

        def answers(now: float, _: int) -> RateLimited | None:
            return RateLimited("429", retry_after=20.0) if now % 60 > 5 else None

        made = [moment for moment, _ in asks_until(client(count=300), now=1001, end=2801, rates=rates, answers=answers)]
        assert len(made) < 90

    def test_after_a_429_takes_no_more_than_was_its_own_part_of_the_limit(self) -> None:
        """Nobody tells the limit, and 40 of the 60 requests were somebody else's."""
        schedule = client(count=300)
        asks_until(schedule, now=1001, end=1021)
        asks_until(schedule, now=1021, end=1022, answers=lambda now, _: RateLimited("429"))
        assert len(asks_until(schedule, now=1060, end=1180)) <= 2 * 20

    @given(retry_after=st.one_of(st.none(), st.floats(0, 120)), chance=st.floats(0, 1))
    def test_a_429_pauses_everybody(self, retry_after: float | None, chance: float) -> None:
        schedule = client(count=5)
        ask = schedule.next(now=1010, random=0.5)
        assert isinstance(ask, AskOne)
        schedule.on_error(ask, RateLimited("429", retry_after=retry_after), now=1010, random=chance)
        step = schedule.next(now=1010, random=0.5)
        assert isinstance(step, Idle)
        assert step.until >= 1010 + (30 if retry_after is None else max(1.0, retry_after))

    def test_in_an_outage_hardly_anything_is_asked(self) -> None:
        made = asks_until(client(count=300), now=1000, end=1600, answers=lambda now, _: Unreachable("down"))
        assert len(made) < 30

    def test_one_poisoned_generation_slows_nobody(self) -> None:
        made = asks_until(
            client(count=300), now=1000, end=1300, answers=lambda now, number: ServiceFault("x", status=500) if number % 3 == 0 else None
        )
        assert len(made) > 280


def test_many_who_give_up_at_one_moment_keep_a_fresh_list_from_nobody() -> None:
    schedule, random = Schedule(list_rows=50), Random(1)
    run(schedule, Service(videos=burst(Random(1), count=60)), random=Random(1))
    assert schedule.list_is_fresh
    begin, ends = 2000.0, {f"w{number:03}": 2320.0 + 5 * number for number in range(30)}
    names = [*(f"v{number:03}" for number in range(300)), *ends]
    for name in names:
        end_time = begin + (300 if name not in ends else 9000)
        schedule.add(name, Waiter(generation_id=name, end_time=end_time, submitted_at=begin), now=begin)
    now, lags, given_up = begin, {}, {}
    while (len(lags) < 30 or len(given_up) < 300) and now < begin + 3000:
        told = list(schedule.overdue(now=now))
        step = schedule.next(now=now, random=random.random())

        def seen(name: str, at: float = now) -> Generation:
            over = at >= ends.get(name, math.inf)
            return Generation(name, SUCCEEDED if over else IN_PROGRESS, "x", ("https://cdn.example/v",) if over else ())

        if isinstance(step, AskOne):
            told += schedule.on_answer(step, seen(step.generation_id), now=now, random=0.5).told
        elif isinstance(step, AskList):
            rows = names[::-1][(step.page - 1) * 50 : step.page * 50]
            told += schedule.on_list(step, [seen(name) for name in rows], now=now, random=0.5).told
        for each in told:
            if isinstance(each.step, Ended) and each.step.ending == "success":
                lags[str(each.token)] = now - ends[str(each.token)]
            elif isinstance(each.step, Ended):
                assert "last seen 'x'" in each.step.message
                given_up[str(each.token)] = now - begin - 300
        now += 0.25
    assert sum(lags.values()) / 30 < 15
    assert max(given_up.values()) < 120


class TestStarvation:
    def test_requests_that_hang_leave_half_of_those_under_way_to_others(self) -> None:
        """One of five generations is such that every request about it takes a minute and brings nothing."""
        schedule, now = client(count=100, begin=900.0), 1010.0
        under_way: list[tuple[float, AskOne]] = []
        asked: dict[str, list[float]] = {}
        while now < 1610:
            for back, ask in [each for each in under_way if each[0] <= now]:
                under_way.remove((back, ask))
                if int(ask.generation_id) % 5 == 0:
                    schedule.on_error(ask, Ambiguous("it was not whole after 60 s"), now=now, random=0.5)
                else:
                    schedule.on_answer(ask, Generation(ask.generation_id, IN_PROGRESS, "processing"), now=now, random=0.5)
            while len(under_way) < SIDE_BY_SIDE and isinstance(step := schedule.next(now=now, random=0.5), AskOne):
                under_way.append((now + (0.2 if int(step.generation_id) % 5 else 60.0), step))
                asked.setdefault(step.generation_id, []).append(now)
            now += 0.1
        others = [moment for number in range(100) if number % 5 for moment in asked[str(number)] if moment >= 1310]
        assert max(later - earlier for earlier, later in pairwise(sorted([1310, *others, 1610]))) < 10
        assert len(others) > 200
        assert sum(len(asked[str(number)]) for number in range(0, 100, 5)) > 30, "none of them is given up"

    @settings(max_examples=10, deadline=None)
    @given(seed=st.integers(0, 10**6), count=st.integers(1, 100), age=st.floats(0, 5000), old=st.integers(0, 50))
    def test_everybody_is_asked_about_in_good_time(self, seed: int, count: int, age: float, old: int) -> None:
        """Also the very old among young ones, and also those whose render times are believed to be over or far away."""
        schedule, now = Schedule(), 10_000.0
        random = Random(seed)
        for number in range(count):
            submitted = now - (age if number < old else random.random() * 200)
            schedule.add(number, Waiter(generation_id=str(number), end_time=now + 10**6, submitted_at=submitted), now=now)
        bound = max(120.0, 3 * count * 1.1) + count * 1.1 + 20
        made = asks_until(schedule, now=now, end=now + 3 * bound)
        for number in range(count):
            moments = [
                now,
                *(moment for moment, ask in made if isinstance(ask, AskOne) and ask.generation_id == str(number)),
                now + 3 * bound,
            ]
            assert max(later - earlier for earlier, later in pairwise(moments)) <= bound


ANYTHING = st.sampled_from(
    ["running", "running", "running", "ended", "failed", "odd", "429", "500", "reset", "nobody", "401", "list is old", "list is new"]
)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    happens=st.lists(ANYTHING, min_size=1, max_size=40),
    lengths=st.lists(st.floats(0, 400), min_size=1, max_size=12),
    lists=st.booleans(),
    latency=st.floats(0, 20),
)
def test_whatever_comes_everybody_is_told_once_and_by_the_deadline(
    seed: int, happens: list[str], lengths: list[float], lists: bool, latency: float
) -> None:
    random, now = Random(seed), 1000.0
    schedule = Schedule(list_rows=50 if lists else None)
    waiting = {}
    for token, length in enumerate(lengths):
        waiting[token] = now + length
        schedule.add(token, Waiter(generation_id=f"v{token // 2}", end_time=now + length, first_delay=random.choice([0.2, 10])), now=now)
    back: list[tuple[float, AskOne | AskList]] = []
    under_way: set[str] = set()

    def told(what: tuple[Told, ...]) -> None:
        for each in what:
            if isinstance(each.step, Ended):
                assert each.step.ending in ("success", "failed", "error") or now >= waiting[each.token] - 1e-6
                del waiting[each.token]  # told once

    for turn in range(20_000):
        if not waiting:
            break
        assert now <= max(waiting.values()) + GRACE + latency + 61
        told(schedule.overdue(now=now))
        while back and back[0][0] <= now:
            _, ask = back.pop(0)
            heard = answer(schedule, ask, happens[turn % len(happens)], now=now, random=random)
            if isinstance(ask, AskOne):
                under_way.remove(ask.generation_id)
            told(heard.told)
        step = schedule.next(now=now, random=random.random())
        if isinstance(step, Idle):
            moments = [step.until, *(moment for moment, _ in back[:1]), *(end for end in waiting.values() if end > now), now + 10]
            now = max(min(moments), now + 1e-3)
            continue
        if isinstance(step, AskOne):
            assert step.generation_id not in under_way, "one request about a generation at a time"
            under_way.add(step.generation_id)
        back.append((now + latency, step))
    assert not waiting
    assert len(schedule) == 0


def answer(schedule: Schedule, ask: AskOne | AskList, what: str, *, now: float, random: Random) -> Heard:
    chance = random.random()
    errors: dict[str, ServiceError] = {
        "429": RateLimited("429", retry_after=chance * 20),
        "500": ServiceFault("x", status=500),
        "reset": Ambiguous("x"),
        "nobody": Unreachable("x"),
        "401": Unauthorized("x", status=401),
    }
    if what in errors:
        return schedule.on_error(ask, errors[what], now=now, random=chance)
    if isinstance(ask, AskOne):
        state = {"ended": SUCCEEDED, "failed": FAILED}.get(what, IN_PROGRESS)
        return schedule.on_answer(ask, Generation(ask.generation_id, state, what), now=now, random=chance)
    state = SUCCEEDED if what == "list is new" else IN_PROGRESS
    rows = [Generation(f"v{number}", state, what, ("https://cdn.example/v",) if number % 2 else ()) for number in range(5)]
    return schedule.on_list(ask, rows, now=now, random=chance)


class TestTogether:
    """Two triggerers with one key, each with a schedule of its own, beside twenty submissions that arrive at random over each minute."""

    @pytest.mark.parametrize("lists", [None, 50])
    @pytest.mark.parametrize("window", ["fixed", "anchored", "sliding"])
    def test_under_one_in_a_hundred_requests_is_refused_where_headers_tell(self, window: WindowKind, lists: int | None) -> None:
        came, service = self.played(window, lists=lists, tells=True, count=400)
        assert service.refused < service.requests / 100
        assert came.mean < 60

    def test_few_are_where_nothing_tells(self) -> None:
        came, service = self.played("fixed", lists=None, tells=False, count=800)
        assert service.refused < service.requests / 60
        assert came.mean < 90

    def played(self, window: WindowKind, *, lists: int | None, tells: bool, count: int) -> tuple[Run, Service]:
        random = Random(3)
        videos = steady(random, per_minute=20, count=count)
        service = Service(videos=videos, window=window, phase=13.0, tells=tells)
        submissions = [video.submitted_at for video in videos]
        two = [Schedule(list_rows=lists), Schedule(list_rows=lists)]
        return run_together(two, service, random=random, latency=0.2, others=submissions), service
