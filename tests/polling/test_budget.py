"""What a 429 says of our part of the limit, and what it does not. Played in virtual time."""

from __future__ import annotations

from random import Random

import pytest

from airflow_provider_happyhorse.polling.budget import Budget
from airflow_provider_happyhorse.polling.schedule import Schedule
from airflow_provider_happyhorse.polling.windows import Window
from tests.benchmarks.references import RoundRobin
from tests.benchmarks.simulator import Client, Run, Service, Video, WindowKind, burst, run_together

START = 1000.0


def spread(count: int, *, over: float) -> list[Video]:
    """Return a batch that is submitted within some seconds."""
    videos = burst(Random(1), count=count, begin=START)
    moments = [over * number / count for number in range(count)]
    return [Video(video.id, START + later, video.ends_at + later) for video, later in zip(videos, moments, strict=True)]


def played(client: Client, videos: list[Video], *, window: WindowKind, tells: bool = False, others: list[float]) -> tuple[Run, Service]:
    service = Service(videos=videos, window=window, tells=tells)
    return run_together([client], service, random=Random(1), latency=0.05, others=others), service


class TestABatchWhoseOwnSubmissionsUseUpTheWindow:
    @pytest.mark.parametrize("window", ["anchored", "sliding"])
    @pytest.mark.parametrize(("submissions", "over"), [(60, 1.0), (60, 5.0), (40, 5.0), (50, 20.0), (60, 40.0)])
    def test_is_noticed_hardly_later_than_one_that_costs_nothing(self, submissions: int, over: float, window: WindowKind) -> None:
        videos = spread(100, over=over)
        came, service = played(
            Schedule(), videos, window=window, others=[START + over * number / submissions for number in range(submissions)]
        )
        free, _ = played(RoundRobin(), videos, window=window, others=[])
        assert came.mean < 1.5 * free.mean
        assert service.refused <= submissions / 4

    @pytest.mark.parametrize("window", ["anchored", "sliding"])
    def test_is_so_too_where_headers_tell(self, window: WindowKind) -> None:
        videos = spread(100, over=5.0)
        came, _ = played(Schedule(), videos, window=window, tells=True, others=[START + number / 12 for number in range(60)])
        free, _ = played(RoundRobin(), videos, window=window, tells=True, others=[])
        assert came.mean < 1.5 * free.mean

    def test_is_not_waited_out_for_ever_where_the_limit_may_be_higher(self) -> None:
        """A thousand submissions, two a second, of which a limit of 60 a minute would have refused half."""
        window = Window(limit=60)
        open_at = []
        for number in range(1000):
            now = START + number / 2
            window.submitted(now, now=now)
            if window.left(now=now) >= 1:
                window.spend(now=now)
                open_at.append(now)
        assert len([moment for moment in open_at if moment >= START + 60]) >= 5 * 7


class TestARefusal:
    @pytest.mark.parametrize("tells", [True, False], ids=["headers", "no headers"])
    @pytest.mark.parametrize("window", ["anchored", "sliding"])
    def test_of_strangers_making_slows_a_later_batch_hardly(self, window: WindowKind, tells: bool) -> None:
        """Somebody spends a whole window while one video is waited for; three minutes later a batch of ours begins."""
        few = [Video(f"e{number:02}", START + 180 * number, START + 180 * number + 80) for number in range(10)]
        last = few[-1].submitted_at
        batch = burst(Random(1), count=100, begin=last + 240)
        came, service = played(Schedule(), [*few, *batch], window=window, tells=tells, others=[last + 20 + n / 60 for n in range(60)])
        free, _ = played(Schedule(), [*few, *batch], window=window, tells=tells, others=[])
        assert service.refused > 0
        assert sum(came.lags[-100:]) < 1.5 * sum(free.lags[-100:])

    def test_while_hardly_anything_was_asked_costs_half_of_the_pace_at_most_and_for_minutes_only(self) -> None:
        budget, now = Budget(requests_per_minute=60), START
        before = budget.seconds_per_request
        budget.spend(now=now, random=0.5)
        budget.refused(30.0, now=now, random=0.5)
        assert budget.seconds_per_request == pytest.approx(2 * before)
        for now in range(1035, 1155, 5):
            budget.heard(None, sent_at=now - 1.0, now=float(now))
        assert budget.seconds_per_request == pytest.approx(before)

    def test_does_not_let_the_pace_grow_for_the_time_of_its_own_pause(self) -> None:
        budget = Budget(requests_per_minute=60)
        budget.spend(now=START, random=0.5)
        budget.refused(60.0, now=START, random=0.0)
        slow = budget.seconds_per_request
        budget.heard(None, sent_at=START, now=START + 1)  # was under way
        budget.heard(None, sent_at=START + 60, now=START + 60)
        assert budget.seconds_per_request == pytest.approx(slow)
