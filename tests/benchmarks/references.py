"""What our schedule is measured against. Each knows the true distribution of render times, which ours has to learn."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

from airflow_provider_happyhorse.api.errors import RateLimited, ServiceError
from airflow_provider_happyhorse.api.generation import Generation, GenerationState, RateLimit
from airflow_provider_happyhorse.polling.holding import Group, price
from airflow_provider_happyhorse.polling.steps import AskList, AskOne, Heard, Idle, Told, Waiter
from airflow_provider_happyhorse.polling.wait import Ended

#: Measured: an even pace of up to 0.98 requests a second drew no 429 at 60 a minute, whatever the window.
GAP = 1 / 0.98
HORIZON = 2000


class Renders:
    """The true render times, tabled: how probable it is that a video still runs, and the integral of that."""

    def __init__(self, *, median: float = 90.0, sigma: float = 0.4) -> None:
        normal = NormalDist()
        self._alive = [1.0] + [normal.cdf(-math.log(age / median) / sigma) for age in range(1, HORIZON)]
        self._area = [0.0]
        for before, after in zip(self._alive, self._alive[1:], strict=False):
            self._area.append(self._area[-1] + (before + after) / 2)

    def alive(self, age: float) -> float:
        return max(1e-9, self._at(self._alive, age))

    def ended(self, since: float, age: float) -> float:
        """Return the probability that a video has ended by ``age`` that still ran at ``since``."""
        return 1 - self.alive(age) / self.alive(since)

    def unnoticed(self, since: float, age: float) -> float:
        """Return for how many seconds a video that still ran at ``since`` is expected to have been ready unnoticed."""
        return (age - since) - (self._at(self._area, age) - self._at(self._area, since)) / self.alive(since)

    @staticmethod
    def _at(table: Sequence[float], age: float) -> float:
        low = int(max(0.0, min(age, HORIZON - 2)))
        return table[low] + (table[low + 1] - table[low]) * (min(max(age, 0.0), HORIZON - 1) - low)


class Reference:
    """What all references share: who waits, and that an answer ends a wait."""

    def __init__(self) -> None:
        self.waiting: dict[str, Waiter] = {}
        self.submitted: dict[str, float] = {}
        self.asked: dict[str, float] = {}
        self.under_way: set[str] = set()

    def add(self, token: object, waiter: Waiter, *, now: float) -> None:
        self.waiting[waiter.generation_id] = waiter
        self.submitted[waiter.generation_id] = now
        self.asked[waiter.generation_id] = now

    def overdue(self, *, now: float) -> tuple[Told, ...]:
        return ()

    def next(self, *, now: float, random: float) -> AskOne | AskList | Idle:
        raise NotImplementedError

    def about(self, generation_id: str, now: float) -> AskOne:
        self.under_way.add(generation_id)
        return AskOne(generation_id, "video", now)

    def on_answer(self, ask: AskOne, generation: Generation, *, now: float, random: float, rate: RateLimit | None = None) -> Heard:
        self.under_way.discard(ask.generation_id)
        self.asked[ask.generation_id] = ask.sent_at
        return Heard(self.ended([generation]))

    def on_list(
        self, ask: AskList, generations: Sequence[Generation], *, now: float, random: float, rate: RateLimit | None = None
    ) -> Heard:
        return Heard(self.ended(generations))

    def on_error(self, ask: AskOne | AskList, error: ServiceError, *, now: float, random: float, rate: RateLimit | None = None) -> Heard:
        if isinstance(ask, AskOne):
            self.under_way.discard(ask.generation_id)
        return Heard()

    def ended(self, generations: Sequence[Generation]) -> tuple[Told, ...]:
        over = [each for each in generations if each.state is GenerationState.SUCCEEDED and each.generation_id in self.waiting]
        for generation in over:
            self.gone(generation.generation_id)
        return tuple(Told(each.generation_id, Ended("success", "", each)) for each in over)

    def gone(self, generation_id: str) -> None:
        del self.waiting[generation_id]


class Naive(Reference):
    """A trigger per video that asks every 5 s, and after a 429 waits for the reset it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.due: dict[str, float] = {}

    def add(self, token: object, waiter: Waiter, *, now: float) -> None:
        super().add(token, waiter, now=now)
        self.due[waiter.generation_id] = now + 5.0

    def next(self, *, now: float, random: float) -> AskOne | AskList | Idle:
        idle = [(due, generation_id) for generation_id, due in self.due.items() if generation_id not in self.under_way]
        if not idle:
            return Idle(math.inf)
        due, generation_id = min(idle)
        return self.about(generation_id, now) if due <= now else Idle(due)

    def on_answer(self, ask: AskOne, generation: Generation, *, now: float, random: float, rate: RateLimit | None = None) -> Heard:
        self.due[ask.generation_id] = now + 5.0
        return super().on_answer(ask, generation, now=now, random=random, rate=rate)

    def on_error(self, ask: AskOne | AskList, error: ServiceError, *, now: float, random: float, rate: RateLimit | None = None) -> Heard:
        assert isinstance(ask, AskOne)
        assert isinstance(error, RateLimited)
        self.due[ask.generation_id] = now + (error.retry_after or 5.0)
        return super().on_error(ask, error, now=now, random=random, rate=rate)

    def gone(self, generation_id: str) -> None:
        super().gone(generation_id)
        del self.due[generation_id]


class Paced(Reference):
    """One request about every second, about the video that ``worth`` says; the first one 10 s after submission."""

    def __init__(self, *, gap: float = GAP) -> None:
        super().__init__()
        self.gap = gap
        self.free_at = 0.0

    def worth(self, generation_id: str, now: float) -> float:
        raise NotImplementedError

    def next(self, *, now: float, random: float) -> AskOne | AskList | Idle:
        ready = [each for each in self.waiting if each not in self.under_way and now >= self.submitted[each] + 10]
        if not ready:
            return Idle(min((self.submitted[each] + 10 for each in self.waiting if each not in self.under_way), default=math.inf))
        if now < self.free_at:
            return Idle(self.free_at)
        self.free_at = now + self.gap
        return self.about(max(ready, key=lambda each: self.worth(each, now)), now)


class RoundRobin(Paced):
    """Whoever has not been asked about for the longest time."""

    def worth(self, generation_id: str, now: float) -> float:
        return now - self.asked[generation_id]


class Learning(Paced):
    """Whoever is expected to have been ready unnoticed for the longest time, from the true render times."""

    def __init__(self, *, gap: float = GAP, renders: Renders | None = None) -> None:
        super().__init__(gap=gap)
        self.renders = renders or Renders()

    def worth(self, generation_id: str, now: float) -> float:
        submitted = self.submitted[generation_id]
        return self.renders.unnoticed(self.asked[generation_id] - submitted, now - submitted)


class WindowsAware(Learning):
    """Knows the window from its headers and the true render times: it asks when that is planned to be best, and sweeps before the reset."""

    def __init__(self, *, renders: Renders | None = None) -> None:
        super().__init__(renders=renders)
        self.reset = -math.inf
        self.left = 0
        self.price, self.planned_at = 0.0, -math.inf

    def next(self, *, now: float, random: float) -> AskOne | AskList | Idle:
        ready = [
            each for each in self.waiting if each not in self.under_way and now >= max(self.submitted[each] + 10, self.asked[each] + 1)
        ]
        if not ready:
            return Idle(now + 0.5 if self.waiting else math.inf)
        best = max(ready, key=lambda each: self.worth(each, now))
        if now >= self.reset:
            return self.about(best, now)  # tells, or begins, the window
        if self.left <= 0:
            return Idle(self.reset)
        if now >= self.planned_at + 4:
            self.planned_at = now
            self.price = price(self.groups(), now=now, reset=self.reset - 1, left=self.left, limit=60)
        worth = self.worth(best, now)
        if worth >= self.price or (self.reset - now <= 2 and worth > 0.01):
            return self.about(best, now)
        return Idle(min(now + 0.5, self.reset))

    def groups(self) -> list[Group]:
        alike: dict[tuple[int, int], int] = {}
        for each in self.waiting:
            of = round(self.submitted[each] / 3), round(self.asked[each] / 3)
            alike[of] = alike.get(of, 0) + 1
        return [Group(self.renders, begun * 3.0, max(begun, asked) * 3.0, count) for (begun, asked), count in alike.items()]

    def on_answer(self, ask: AskOne, generation: Generation, *, now: float, random: float, rate: RateLimit | None = None) -> Heard:
        assert rate is not None
        assert rate.remaining is not None
        assert rate.reset_at is not None
        if rate.reset_at > self.reset:
            self.planned_at = -math.inf
        self.reset, self.left = rate.reset_at, rate.remaining
        return super().on_answer(ask, generation, now=now, random=random, rate=rate)


class FreshList(Learning):
    """One page of a list that is fresh about every second: the one that shows the longest unnoticed waiting, from the true render times."""

    def __init__(self, *, renders: Renders | None = None) -> None:
        super().__init__(renders=renders)
        self.order: list[str] = []
        self.place: dict[str, int] = {}

    def add(self, token: object, waiter: Waiter, *, now: float) -> None:
        super().add(token, waiter, now=now)
        self.place[waiter.generation_id] = len(self.order)
        self.order.append(waiter.generation_id)

    def next(self, *, now: float, random: float) -> AskOne | AskList | Idle:
        pages: dict[int, float] = {}
        for each in self.waiting:
            page = (len(self.order) - 1 - self.place[each]) // 50 + 1
            pages[page] = pages.get(page, 0.0) + self.worth(each, now)
        if not pages:
            return Idle(math.inf)
        if now < self.free_at:
            return Idle(self.free_at)
        self.free_at = now + self.gap
        return AskList(max(pages, key=pages.__getitem__), 50, now)

    def on_list(
        self, ask: AskList, generations: Sequence[Generation], *, now: float, random: float, rate: RateLimit | None = None
    ) -> Heard:
        for each in generations:
            self.asked[each.generation_id] = ask.sent_at
        return super().on_list(ask, generations, now=now, random=random, rate=rate)


def bound(requests_per_video: float, renders: Renders | None = None, *, step: float = 2.0, longest: float = 400.0) -> float:
    """Return the mean lag when every video is asked about at the best ages, and the limit holds only on average. Nothing can be better.

    For each price of a request the best ages are found backwards from the longest; the price is the one at which a video costs so many.
    """
    renders = renders or Renders()
    ages = [step * number for number in range(int(longest / step) + 1)]
    alive = [renders.alive(age) for age in ages]
    areas = [renders._at(renders._area, age) for age in ages]
    least, most = 1e-3, 1e3
    lag = 0.0
    for _ in range(18):
        cost = math.sqrt(least * most)
        # Of a video that runs at an age: expected price and lag from there on, requests, lag.
        best: list[tuple[float, float, float]] = [(0.0, 0.0, 0.0)] * len(ages)
        for here in range(len(ages) - 2, -1, -1):
            found = (math.inf, 0.0, 0.0)
            for there in range(here + 1, len(ages)):
                wait = (ages[there] - ages[here]) * alive[here] - (areas[there] - areas[here])
                after = best[there]
                total = wait + cost * alive[here] + after[0]
                if total < found[0]:
                    found = (total, alive[here] + after[1], wait + after[2])
            best[here] = found
        lag = best[0][2]
        least, most = (cost, most) if best[0][1] > requests_per_video else (least, cost)
    return lag
