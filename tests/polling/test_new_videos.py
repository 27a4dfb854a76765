"""Which rows of an account's list are news."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from airflow_provider_happyhorse.api.generation import Generation, GenerationState, ListPage
from airflow_provider_happyhorse.polling.new_videos import (
    ASK_EVERY,
    LAG,
    LONGEST,
    MOST_ASKED,
    MOST_KNOWN,
    MOST_PAGES,
    MOST_UNTIMED_PAGES,
    ROWS,
    NewVideos,
)

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC).timestamp()
STATES = {"runs": GenerationState.IN_PROGRESS, "done": GenerationState.SUCCEEDED, "failed": GenerationState.FAILED}


def row(name: str, state: str, *, at: float | None = 0.0) -> Generation:
    """Return a row that was created ``at`` seconds after noon, None for a list that does not tell."""
    created = "" if at is None else datetime.fromtimestamp(NOON + at, UTC).isoformat()
    return Generation(name, STATES[state], created_at=created)


def page_of(rows: Sequence[Generation | None]) -> ListPage:
    """Return a page of the list; None is a row that cannot be read."""
    return ListPage(tuple(row for row in rows if row is not None), len(rows))


def looked(news: NewVideos, *rows: Generation, now: float = 0.0) -> list[str]:
    return [new.generation_id for new in news.look(rows, now=NOON + now)]


def reborn(news: NewVideos) -> NewVideos:
    return NewVideos(remembered=json.loads(json.dumps(news.remember())))


class TestWhatIsNew:
    def test_what_has_ended_before_the_first_look_is_old(self) -> None:
        news = NewVideos()
        assert looked(news, row("b", "runs", at=5), row("a", "done")) == []
        assert looked(news, row("b", "done", at=5), row("a", "done")) == ["b"]

    def test_it_is_told_once(self) -> None:
        news = NewVideos()
        looked(news, row("a", "runs"))
        assert looked(news, row("a", "done")) == ["a"]
        assert looked(news, row("a", "done")) == []
        assert news.told(row("a", "done")) == []

    def test_one_that_came_and_ended_between_two_looks_is_new(self) -> None:
        news = NewVideos()
        looked(news)
        assert looked(news, row("quick", "done", at=30)) == ["quick"]

    def test_a_failed_one_is_no_news(self) -> None:
        news = NewVideos()
        looked(news, row("a", "runs"))
        assert looked(news, row("a", "failed")) == []
        assert looked(news, row("a", "failed")) == []

    def test_several_come_in_the_order_of_their_creation(self) -> None:
        news = NewVideos()
        looked(news)
        assert looked(news, row("c", "done", at=3), row("b", "done", at=2), row("a", "done", at=1)) == ["a", "b", "c"]

    def test_a_list_without_times_is_watched_too(self) -> None:
        news = NewVideos()
        assert looked(news, row("b", "runs", at=None), row("a", "done", at=None)) == []
        assert looked(news, row("c", "done", at=None), row("b", "done", at=None), row("a", "done", at=None)) == ["b", "c"]
        assert looked(news, row("c", "done", at=None), row("b", "done", at=None), row("a", "done", at=None)) == []

    def test_one_that_says_it_is_from_the_future_silences_nobody(self) -> None:
        news = NewVideos()
        assert looked(news, row("ahead", "done", at=365 * 86_400)) == []
        for hour in range(1, 5):
            assert looked(
                news, row("ahead", "done", at=365 * 86_400), row(f"n{hour}", "done", at=hour * 3600.0), now=hour * 3600.0 + 60
            ) == [f"n{hour}"]

    def test_one_that_appears_late_is_new_within_the_lag(self) -> None:
        news = NewVideos()
        looked(news, row("newest", "done", at=LAG))
        assert looked(news, row("newest", "done", at=LAG), row("late", "done", at=1)) == ["late"]


class TestSince:
    def test_what_was_created_since_then_is_new_at_the_first_look(self) -> None:
        news = NewVideos(since=NOON)
        assert looked(news, row("b", "done", at=1), row("a", "done", at=0), row("old", "done", at=-1)) == ["a", "b"]
        assert looked(news, row("b", "done", at=1), row("a", "done", at=0), row("old", "done", at=-1)) == []

    def test_a_row_that_does_not_tell_when_it_was_created_is_old_then(self) -> None:
        assert looked(NewVideos(since=NOON), row("a", "done", at=None)) == []


class TestARestart:
    def test_what_ended_meanwhile_is_new_and_what_was_told_is_not(self) -> None:
        news = NewVideos()
        looked(news, row("b", "runs", at=2), row("a", "done", at=1), row("old", "done", at=-9999))
        looked(news, row("told", "done", at=3), row("b", "runs", at=2), row("a", "done", at=1))
        listing = [row("d", "done", at=9), row("told", "done", at=3), row("b", "done", at=2), row("a", "done", at=1)]
        assert looked(reborn(news), *listing, row("old", "done", at=-9999)) == ["b", "d"]

    def test_it_wins_over_since(self) -> None:
        news = NewVideos(since=NOON)
        assert looked(news, row("a", "done", at=1)) == ["a"]
        assert looked(NewVideos(since=NOON, remembered=news.remember()), row("a", "done", at=1)) == []

    @pytest.mark.parametrize("remembered", [{}, {"known": None}, {"known": [], "floor": 1}])
    def test_what_cannot_be_read_is_a_first_start(self, remembered: dict[str, object]) -> None:
        assert looked(NewVideos(remembered=remembered), row("a", "done")) == []

    def test_what_is_remembered_stays_small(self) -> None:
        news = NewVideos()
        for number in range(50):
            rows = [row(f"{number}-{of}", "done", at=number * 600 + of) for of in range(50)]
            looked(news, *reversed(rows), now=number * 600)
        assert len(news.remember()["known"]) <= MOST_KNOWN
        assert looked(news, row("0-0", "done", at=0), row("10-3", "done", at=6003)) == []

    def test_a_burst_beyond_memory_is_not_told_again(self) -> None:
        news = NewVideos()
        looked(news)
        burst = [row(f"{number:04}", "done", at=number / 1000) for number in range(2 * MOST_KNOWN)]
        assert len(looked(news, *burst)) == 2 * MOST_KNOWN
        assert looked(reborn(news), *burst) == []


class TestPages:
    def pages(self, news: NewVideos, *listing: Generation | None) -> int:
        """Return how many pages a look reads."""
        rows: list[Generation] = []
        number = 0
        while True:
            page = page_of(listing[number * ROWS : (number + 1) * ROWS])
            rows += page.generations
            number += 1
            if not news.needs_more(rows, page, number=number):
                news.look(rows, now=NOON)
                return number

    def test_the_first_look_reads_as_far_as_something_runs(self) -> None:
        done = [row(f"d{number}", "done", at=-60 * number) for number in range(500)]
        assert self.pages(NewVideos(), *done) == 1
        assert self.pages(NewVideos(), row("r", "runs", at=1), *done) == 2
        assert self.pages(NewVideos()) == 1

    def test_a_later_look_reads_one_page_where_nothing_older_can_be_new(self) -> None:
        news = NewVideos()
        done = [row(f"d{number}", "done", at=-60 * number) for number in range(500)]
        self.pages(news, *done)
        assert self.pages(news, row("new", "done", at=30), *done) == 1

    def test_it_reads_on_to_one_that_still_runs(self) -> None:
        news = NewVideos()
        old = [row("r", "runs", at=-9000)]
        self.pages(news, *old)
        newer = [row(f"n{number}", "done", at=-number) for number in range(2 * ROWS)]
        assert self.pages(news, *newer, *old) == 3

    def test_rows_that_cannot_be_read_end_no_look(self) -> None:
        news = NewVideos(since=NOON - 10**6)
        readable = [row(f"d{number}", "done", at=-60 * number) for number in range(4 * ROWS)]
        assert self.pages(news, *readable[:20], None, *readable[20:]) == 5
        news = NewVideos(since=NOON - 10**6)
        assert self.pages(news, *readable[:ROWS], *[None] * ROWS, *readable[ROWS:]) == 6
        assert self.pages(NewVideos(since=NOON - 10**6), *[None] * (3 * ROWS)) == 1, "where nothing is readable, nobody turns pages"
        assert NewVideos(since=NOON - 10**6).may_be_missed(page_of([*readable[: ROWS - 1], None]))

    def test_what_had_ended_before_a_first_look_never_fires_wherever_it_stood(self) -> None:
        news = NewVideos()
        listing = [row(f"d{number}", "done", at=-2 * number) for number in range(60)]
        assert self.pages(news, *listing) == 2
        assert looked(news, row("r", "done", at=1), *listing) == ["r"]

    def test_what_stands_beyond_the_last_page_is_said_once(self) -> None:
        news = NewVideos(since=NOON - 10**6)
        listing = [row(f"{number}", "done", at=-30 * number) for number in range((MOST_PAGES + 1) * ROWS)]
        last = page_of(listing[(MOST_PAGES - 1) * ROWS : MOST_PAGES * ROWS])
        assert news.may_be_missed(last) == "2026-11-08T22:13:20+00:00 and 2026-11-17T00:40:30+00:00"
        news.look(listing[: MOST_PAGES * ROWS], now=NOON)
        assert news.may_be_missed(last) == ""
        assert NewVideos().may_be_missed(last) == ""

    def test_it_ends_somewhere(self) -> None:
        listing = [row(f"{number}", "done", at=-number) for number in range((MOST_PAGES + 1) * ROWS)]
        assert self.pages(NewVideos(since=NOON - 10**6), *listing) == MOST_PAGES
        untimed = [row(f"{number}", "runs", at=None) for number in range((MOST_UNTIMED_PAGES + 1) * ROWS)]
        assert self.pages(NewVideos(), *untimed) == MOST_UNTIMED_PAGES

    def test_one_that_was_deleted_is_not_searched_for_in_the_whole_list(self) -> None:
        news = NewVideos()
        done = [row(f"d{number}", "done", at=-60 * number) for number in range(1000)]
        self.pages(news, row("deleted", "runs", at=1), *done)
        assert self.pages(news, row("new", "done", at=30), *done) == 1

    @pytest.mark.parametrize("seed", range(2))
    @pytest.mark.parametrize("restarts", [False, True])
    def test_of_thousands_that_end_between_two_looks_each_is_told_once(self, seed: int, restarts: bool) -> None:
        """Videos are created, and end in any order, also while a look turns the pages; what is new stands on top."""
        chance = random.Random(seed)
        made = [(at, f"v{number:04}") for number, at in enumerate(sorted(chance.uniform(0, 900) for _ in range(2500)))]
        ends = {name: at + chance.uniform(30, 3600) for at, name in made}
        news, told = NewVideos(), []
        looked(news)
        now = 0.0
        while now < 6000:
            now += chance.choice([60.0, 600.0, 1800.0])
            rows: list[Generation] = []
            number = 0
            while True:
                now += 2
                listing = [(at, name) for at, name in reversed(made) if at <= now][number * ROWS : (number + 1) * ROWS]
                page = page_of([row(name, "done" if ends[name] <= now else "runs", at=at) for at, name in listing])
                rows += page.generations
                number += 1
                if not news.needs_more(rows, page, number=number):
                    break
            told += looked(news, *rows, now=now)
            news = reborn(news) if restarts else news
        assert sorted(told) == sorted(ends)


class TestAStaleList:
    def test_one_that_is_shown_running_twice_is_asked_about_itself(self) -> None:
        news = NewVideos()
        looked(news, row("a", "runs"))
        assert news.to_ask(now=NOON) == []
        looked(news, row("a", "runs"))
        assert news.to_ask(now=NOON + 60) == ["a"]
        assert [new.generation_id for new in news.told(row("a", "done"))] == ["a"]
        assert looked(news, row("a", "runs")) == []

    def test_each_is_asked_about_seldom_and_all_in_turn(self) -> None:
        news = NewVideos()
        rows = [row(f"{number}", "runs") for number in range(2 * MOST_ASKED)]
        looked(news, *rows)
        looked(news, *rows)
        first, second = news.to_ask(now=NOON), news.to_ask(now=NOON + 1)
        assert sorted(first + second) == sorted(row.generation_id for row in rows)
        assert news.to_ask(now=NOON + ASK_EVERY - 1) == []
        assert news.to_ask(now=NOON + ASK_EVERY) == first

    def test_one_that_the_service_does_not_know_is_forgotten(self) -> None:
        news = NewVideos()
        looked(news, row("a", "runs"))
        looked(news, row("a", "runs"))
        news.unknown("a")
        assert news.to_ask(now=NOON) == []

    def test_one_that_never_ends_is_given_up_and_holds_nothing_back(self) -> None:
        news = NewVideos()
        looked(news, row("stuck", "runs"))
        looked(news, row("stuck", "runs"), row("b", "done", at=LONGEST + 1), now=LONGEST + 1)
        assert news.to_ask(now=NOON + LONGEST + 1) == []
        assert news.remember()["floor"] == NOON + LONGEST + 1 - LAG
