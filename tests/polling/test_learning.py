"""What the schedule learns: render times, the list's freshness and order, the kind of window. Values only."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_happyhorse.api.generation import RateLimit
from airflow_provider_happyhorse.emulator.limits import FixedWindow, SlidingWindow, Verdict
from airflow_provider_happyhorse.polling.holding import Group, expected_waiting, price
from airflow_provider_happyhorse.polling.lists import Freshness, Places
from airflow_provider_happyhorse.polling.render_times import FIRST_MEDIAN, RenderTime, RenderTimes
from airflow_provider_happyhorse.polling.windows import DATE_BEHIND, PROOFS, Clock, Window
from tests.benchmarks.references import Renders
from tests.benchmarks.simulator import CalendarWindow

KEY, OTHER = ("happy-horse.ai", "lite", "5"), ("happy-horse.ai", "lite", "10")
BELIEF = RenderTime(90, 0.4)


def learned(median: float, sigma: float, *, count: int, seen_every: float, seed: int = 1) -> RenderTimes:
    random, renders = Random(seed), RenderTimes()
    for _ in range(count):
        takes = random.lognormvariate(math.log(median), sigma)
        since = max(0.0, takes - random.random() * seen_every)
        renders.ended(KEY, since=since, age=since + seen_every)
    return renders


class TestRenderTimes:
    @pytest.mark.parametrize(("median", "sigma"), [(20, 0.3), (90, 0.4), (400, 0.6)])
    @pytest.mark.parametrize("seen_every", [1.0, 15.0])
    def test_are_learned_from_when_a_generation_was_last_seen_running_and_first_seen_ended(
        self, median: float, sigma: float, seen_every: float
    ) -> None:
        belief = learned(median, sigma, count=200, seen_every=seen_every).of(KEY)
        assert belief.median == pytest.approx(median, rel=0.15)
        assert belief.sigma == pytest.approx(sigma, abs=0.15)

    def test_are_not_believed_to_be_known_from_a_look_that_came_late(self) -> None:
        """A batch of a thousand is asked about once, after ten minutes: that says "at most", and nothing more."""
        renders = RenderTimes()
        for _ in range(100):
            renders.ended(KEY, since=0.0, age=600.0)
        assert renders.of(KEY).median < 1.5 * FIRST_MEDIAN

    def test_of_the_first_of_a_batch_are_not_taken_for_the_usual(self) -> None:
        early, fair = RenderTimes(), RenderTimes()
        for _ in range(8):
            early.ended(KEY, since=48.0, age=50.0)
            fair.ended(KEY, since=48.0, age=50.0, running=[50.0] * 92)
        assert early.of(KEY).median < 60 < fair.of(KEY).median

    def test_of_an_unknown_key_are_those_of_all(self) -> None:
        renders = learned(400, 0.3, count=100, seen_every=5.0)
        assert renders.of(OTHER).median == pytest.approx(400, rel=0.2)

    def test_follow_a_service_that_has_become_slower(self) -> None:
        random, renders = Random(3), RenderTimes()
        for median in (60, 240):
            for _ in range(250):
                takes = random.lognormvariate(math.log(median), 0.3)
                renders.ended(KEY, since=takes - 1, age=takes + 1)
        assert renders.of(KEY).median == pytest.approx(240, rel=0.15)

    @given(since=st.floats(0, 2000), lengths=st.lists(st.floats(0, 5000), min_size=2, max_size=5))
    def test_expect_the_more_unnoticed_waiting_the_longer_nobody_looks(self, since: float, lengths: list[float]) -> None:
        expected = [BELIEF.unnoticed(since, since + length) for length in sorted(lengths)]
        assert all(shorter + 1e-6 >= 0 and shorter <= longer + 1e-6 for shorter, longer in pairwise(expected))
        assert all(waiting <= length + 1e-6 for waiting, length in zip(expected, sorted(lengths), strict=True))

    def test_leave_nobody_out_who_takes_longer_than_all_others_did(self) -> None:
        assert BELIEF.unnoticed(5000, 5060) > 1

    @pytest.mark.parametrize("age", [10, 60, 90, 150, 300])
    def test_are_tabled_as_the_formula_says(self, age: float) -> None:
        assert BELIEF.alive(age) == pytest.approx(Renders(median=90, sigma=0.4).alive(age), abs=0.05)
        assert BELIEF.area(age) == pytest.approx(sum(BELIEF.alive(step / 10) for step in range(int(age * 10))) / 10, rel=0.01)


class TestFreshness:
    def test_is_not_known_at_first(self) -> None:
        assert Freshness().probability == 0.5

    def test_is_believed_when_the_list_shows_an_ending_first(self) -> None:
        freshness = Freshness()
        freshness.listed_ended(BELIEF, since=70, age=80)
        assert freshness.probability > 0.8

    def test_is_doubted_when_a_single_request_finds_ended_what_the_list_has_just_shown_running(self) -> None:
        freshness = Freshness()
        for number in range(3):
            freshness.listed_running(str(number), BELIEF, since=40, age=100)
            freshness.asked_ended(str(number), BELIEF, listed=100, since=40, age=101)
        assert freshness.probability < 0.05

    @pytest.mark.parametrize(("before", "after"), [(True, False), (False, True)])
    def test_is_revised_when_evidence_contradicts_it(self, before: bool, after: bool) -> None:
        freshness = Freshness()
        for fresh in (before, after):
            for number in range(30 if fresh is before else 8):
                if fresh:
                    freshness.listed_ended(BELIEF, since=70, age=80)
                else:
                    freshness.listed_running(str(number), BELIEF, since=40, age=100)
                    freshness.asked_ended(str(number), BELIEF, listed=100, since=40, age=101)
            assert (freshness.probability > 0.9) is fresh
            assert (freshness.probability < 0.1) is not fresh

    def test_is_not_doubted_for_long_when_render_times_were_believed_wrongly(self) -> None:
        """Everything takes four times as long as believed, and single requests say so too."""
        freshness = Freshness()
        for number in range(50):
            freshness.listed_running(str(number), BELIEF, since=0, age=130)
        doubted = freshness.probability
        for number in range(50):
            freshness.asked_running(str(number), BELIEF, listed=130, since=0)
        assert doubted < 0.2
        assert freshness.probability >= 0.5

    def test_of_a_list_that_has_proven_itself_is_not_overruled_by_a_small_mistake_about_a_thousand_render_times(self) -> None:
        freshness = Freshness()
        for _ in range(3):
            freshness.listed_ended(BELIEF, since=70, age=80)
        for number in range(1000):
            freshness.listed_running(str(number), BELIEF, since=30, age=60)
        assert freshness.probability > 0.5

    def test_of_a_list_that_has_proven_itself_outlives_seconds_in_which_nothing_ends(self) -> None:
        freshness = Freshness()
        for _ in range(3):
            freshness.listed_ended(BELIEF, since=70, age=80)
        for number in range(40):
            freshness.listed_running(str(number), BELIEF, since=80, age=84)
        assert freshness.probability > 0.95


class TestPlaces:
    def newest_first(self, count: int) -> tuple[Places, list[str]]:
        places = Places(rows=50)
        for number in range(count):
            places.submitted(str(number), float(number // 10))
        return places, [str(number) for number in reversed(range(count))]

    def test_are_guessed_from_the_order_of_submission(self) -> None:
        places, order = self.newest_first(120)
        assert [places.page(order[index], now=0) for index in (0, 49, 50, 99, 100, 119)] == [1, 1, 2, 2, 3, 3]

    def test_move_on_with_every_submission(self) -> None:
        places, order = self.newest_first(50)
        assert places.page(order[-1], now=0) == 1
        places.submitted("newer", 1e6)
        assert places.page(order[-1], now=0) == 2

    def test_take_into_account_what_others_have_submitted(self) -> None:
        places, order = self.newest_first(60)
        everything = [f"other{number}" for number in range(70)] + order
        for _ in range(6):
            pages = {generation_id: places.page(generation_id, now=0) for generation_id in order}
            for page in set(pages.values()):
                assert page is not None
                rows = everything[(page - 1) * 50 : page * 50]
                places.listed(page, rows, [each for each in order if pages[each] == page or each in rows], now=0)
        assert all(places.page(each, now=0) == everything.index(each) // 50 + 1 for each in order)

    def test_of_an_order_that_is_oldest_first_are_found_too(self) -> None:
        places, order = self.newest_first(160)
        everything = order[::-1]
        for _ in range(30):
            page = places.page(order[0], now=0)
            assert page is not None
            rows = everything[(page - 1) * 50 : page * 50]
            if order[0] in rows:
                break
            places.listed(page, rows, [order[0]], now=0)
        assert places.page(order[0], now=0) == 4

    def test_of_whoever_is_not_in_the_list_are_looked_for_again_later_only(self) -> None:
        places, order = self.newest_first(10)
        places.listed(1, order[1:], order, now=0)
        assert (places.page(order[0], now=1), places.page(order[1], now=1)) == (None, 1)
        assert places.page(order[0], now=1000) is not None


Counts = Callable[[float], Verdict]


def watched(
    counts: Counts, *, minutes: int, gap: float = 1.1, others_every: float | None = None, begin: float = 1000.0, date_behind: float = 0.0
) -> tuple[Window, float]:
    window, now, others_at = Window(limit=60), begin, begin
    while now < begin + 60 * minutes:
        if others_every is not None and now >= others_at:
            counts(now)
            others_at += others_every
        window.spend(now=now)
        verdict = counts(now)
        told = RateLimit(verdict.limit, verdict.remaining, float(math.ceil(verdict.reset_at)), float(math.floor(now - date_behind)))
        window.heard(told, sent_at=now, now=now)
        now += gap
    return window, now


class TestTheWindow:
    @pytest.mark.parametrize("phase", [0.0, 17.3, 59.9])
    def test_is_proven_to_be_fixed_by_its_resets(self, phase: float) -> None:
        window, now = watched(CalendarWindow(limit=60, phase=phase).ask, minutes=PROOFS + 2)
        assert window.fixed(now=now)
        assert window.others == 0

    def test_that_begins_with_the_first_request_is_a_fixed_one_too(self) -> None:
        window, now = watched(FixedWindow(limit=60, seconds=60).ask, minutes=PROOFS + 2)
        assert window.fixed(now=now)

    @pytest.mark.parametrize("behind", [0.5, 0.97])
    @pytest.mark.parametrize("begin", [1000.0, 1000.02, 1000.4, 1000.9])
    def test_is_proven_though_the_date_header_is_written_once_a_second(self, behind: float, begin: float) -> None:
        window, now = watched(FixedWindow(limit=60, seconds=60).ask, minutes=PROOFS + 2, begin=begin, date_behind=behind)
        assert window.fixed(now=now)
        assert window.others == 0

    def test_that_slides_is_never_taken_for_a_fixed_one(self) -> None:
        for minutes in range(1, 12):
            window, now = watched(SlidingWindow(limit=60, seconds=60).ask, minutes=minutes)
            assert not window.fixed(now=now)
            assert window.others == 0

    def test_is_not_played_with_while_somebody_else_spends_it(self) -> None:
        window, now = watched(CalendarWindow(limit=60, phase=0).ask, minutes=6, gap=2.0, others_every=3.0)
        assert not window.fixed(now=now)
        assert window.others == pytest.approx(20, abs=6)

    def test_is_to_be_proven_again_after_a_429(self) -> None:
        window, now = watched(CalendarWindow(limit=60, phase=0).ask, minutes=PROOFS + 2)
        window.refused(now=now)
        assert not window.fixed(now=now)

    def test_is_seen_through_a_clock_that_is_wrong(self) -> None:
        clock = Clock()
        for step in range(50):
            now = 1000 + step * 1.37
            clock.heard(math.floor(now + 77.4), sent_at=now - 0.2, now=now + 0.2)
        assert clock.earliest(2000.0) <= 2000 - 77.4 <= clock.latest(2000.0)
        assert clock.latest(2000.0) - clock.earliest(2000.0) < 0.6 + DATE_BEHIND


class TestThePrice:
    def test_has_everybody_asked_at_once_when_there_is_plenty(self) -> None:
        groups = [Group(BELIEF, 0.0, 95.0, 5)]
        assert price(groups, now=100, reset=150, left=59, limit=59) < 1

    def test_holds_back_what_would_be_wasted_on_the_young(self) -> None:
        groups = [Group(BELIEF, 0.0, 0.0, 100)]
        held = price(groups, now=40, reset=100, left=59, limit=59)
        assert BELIEF.unnoticed(0, 60) < held
        waited = {each: expected_waiting(groups, each, now=40, reset=100, left=59, limit=59) for each in (0.25, held)}
        assert waited[held] < waited[0.25]
