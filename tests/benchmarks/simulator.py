"""A service, its request limit and its videos in virtual time, driving the very schedule that runs in the triggerer.

Everything is a value: no clock, no network, no sleep. A *client* is the schedule of ``polling/`` or a reference that meets the same
interface. Lag is the time from a video's end at the service to the moment its waiter is told, in seconds.
"""

from __future__ import annotations

import heapq
import itertools
import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Literal, Protocol

from airflow_provider_happyhorse.api.errors import RateLimited, ServiceError
from airflow_provider_happyhorse.api.generation import Generation, GenerationState, RateLimit
from airflow_provider_happyhorse.emulator.limits import FixedWindow, SlidingWindow, Verdict, Window
from airflow_provider_happyhorse.polling.steps import AskList, AskOne, Heard, Idle, Told, Waiter
from airflow_provider_happyhorse.polling.wait import Ended

MINUTE = 60.0
KEY = ("simulated", "model", "5")

WindowKind = Literal["fixed", "anchored", "sliding"]


class Client(Protocol):
    """Who decides about requests; see ``polling/schedule.py``."""

    def add(self, token: object, waiter: Waiter, *, now: float) -> None: ...

    def overdue(self, *, now: float) -> tuple[Told, ...]: ...

    def next(self, *, now: float, random: float) -> AskOne | AskList | Idle: ...

    def on_answer(self, ask: AskOne, generation: Generation, *, now: float, random: float, rate: RateLimit | None = None) -> Heard: ...

    def on_list(
        self, ask: AskList, generations: Sequence[Generation], *, now: float, random: float, rate: RateLimit | None = None
    ) -> Heard: ...

    def on_error(
        self, ask: AskOne | AskList, error: ServiceError, *, now: float, random: float, rate: RateLimit | None = None
    ) -> Heard: ...


@dataclass(frozen=True)
class Video:
    """One video: when it was submitted and when it ends at the service."""

    id: str
    submitted_at: float
    ends_at: float


def steady(random: Random, *, per_minute: float, count: int, begin: float = 0.0, median: float = 90.0, sigma: float = 0.4) -> list[Video]:
    """Return videos that arrive at random (Poisson), with lognormal render times."""
    at, videos = begin, []
    for number in range(count):
        at += random.expovariate(per_minute / MINUTE)
        videos.append(Video(f"v{number:05}", at, at + random.lognormvariate(math.log(median), sigma)))
    return videos


def burst(random: Random, *, count: int, begin: float = 0.0, name: str = "v", median: float = 90.0, sigma: float = 0.4) -> list[Video]:
    """Return videos that are submitted at one moment."""
    renders = (random.lognormvariate(math.log(median), sigma) for _ in range(count))
    return [Video(f"{name}{number:05}", begin, begin + render) for number, render in enumerate(renders)]


class CalendarWindow:
    """A window that begins every minute on the service's own clock, whoever asks."""

    def __init__(self, *, limit: int, phase: float) -> None:
        self._limit, self._phase, self._window, self._used = limit, phase, -1.0, 0

    def ask(self, now: float) -> Verdict:
        window = math.floor((now - self._phase) / MINUTE)
        if window != self._window:
            self._window, self._used = window, 0
        allowed = self._used < self._limit
        self._used += allowed
        return Verdict(allowed=allowed, limit=self._limit, remaining=self._limit - self._used, reset_at=self._phase + (window + 1) * MINUTE)


@dataclass(kw_only=True)
class Service:
    """The service's side.

    :param videos: all there will be, by time of submission.
    :param window: how requests are counted: fixed by the service's clock, fixed from the first request on, or sliding.
    :param limit: requests per minute.
    :param tells: answers carry ``X-RateLimit-*``.
    :param fresh_list: the list knows what has ended; a stale one shows what the last single request saw.
    :param date_behind: seconds by which the ``Date`` header is late; many servers write it anew once a second.
    """

    videos: Sequence[Video]
    window: WindowKind = "fixed"
    limit: int = 60
    phase: float = 0.0
    tells: bool = True
    fresh_list: bool = True
    date_behind: float = 0.0
    requests: int = 0
    refused: int = 0
    _seen: dict[str, GenerationState] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._by_id = {video.id: video for video in self.videos}
        self._submitted = [video.submitted_at for video in self.videos]
        self._window: Window
        if self.window == "fixed":
            self._window = CalendarWindow(limit=self.limit, phase=self.phase)
        else:
            kind = FixedWindow if self.window == "anchored" else SlidingWindow
            self._window = kind(limit=self.limit, seconds=MINUTE)

    def count(self, now: float) -> None:
        """Count a request that is nobody's here."""
        self.requests += 1
        self.refused += not self._window.ask(now).allowed

    def answer(self, ask: AskOne | AskList, now: float) -> tuple[Generation | list[Generation] | ServiceError, RateLimit | None]:
        """Return what the service answers, and its rate headers as the client reads them: whole seconds, reset rounded up."""
        self.requests += 1
        verdict = self._window.ask(now)
        told = RateLimit(verdict.limit, verdict.remaining, float(math.ceil(verdict.reset_at)), float(math.floor(now - self.date_behind)))
        rate = told if self.tells else None
        if not verdict.allowed:
            self.refused += 1
            return RateLimited("429", retry_after=math.ceil(verdict.reset_at) - math.floor(now) if self.tells else None), rate
        if isinstance(ask, AskOne):
            return self._generation(self._by_id[ask.generation_id], now, fresh=True), rate
        there = bisect_right(self._submitted, now)
        first = there - (ask.page - 1) * ask.limit
        rows = [self.videos[index] for index in range(first - 1, max(-1, first - 1 - ask.limit), -1)]
        return [self._generation(video, now, fresh=self.fresh_list) for video in rows], rate

    def _generation(self, video: Video, now: float, *, fresh: bool) -> Generation:
        if fresh:
            self._seen[video.id] = GenerationState.SUCCEEDED if now >= video.ends_at else GenerationState.IN_PROGRESS
        state = self._seen.get(video.id, GenerationState.IN_PROGRESS)
        urls = (f"https://cdn.example/{video.id}",) if state.ended else ()
        return Generation(video.id, state, "completed" if state.ended else "processing", urls)


@dataclass(frozen=True)
class Run:
    """What came of it: lags in seconds by the order of submission, requests, and how many of them were refused."""

    lags: list[float]
    requests: int
    refused: int
    asked_at: list[float]

    @property
    def mean(self) -> float:
        return sum(self.lags) / len(self.lags)


def run(client: Client, service: Service, *, random: Random, latency: float = 0.0, first_delay: float = 10.0, until: float = 1e7) -> Run:
    """Let all videos be submitted, waited for by one client, and told; see :func:`run_together`."""
    return run_together([client], service, random=random, latency=latency, first_delay=first_delay, until=until)


def run_together(
    clients: Sequence[Client],
    service: Service,
    *,
    random: Random,
    latency: float = 0.0,
    first_delay: float = 10.0,
    until: float = 1e7,
    others: Sequence[float] = (),
) -> Run:
    """Let all videos be submitted, waited for by several clients with one key, and told.

    :param clients: each waits for every so many-th video.
    :param latency: seconds a request takes there, and an answer back.
    :param until: seconds at which to stop; whoever is not told by then counts with the lag it has.
    :param others: when requests are made with the key that are nobody's here.
    """
    arrivals, foreign = list(reversed(service.videos)), sorted(others, reverse=True)
    back: list[tuple[float, int, Client, AskOne | AskList, Generation | list[Generation] | ServiceError, RateLimit | None]] = []
    order, turns = itertools.count(), itertools.cycle(clients)
    lag: dict[str, float] = {}
    ends = {video.id: video.ends_at for video in service.videos}
    asked_at: list[float] = []
    now = service.videos[0].submitted_at
    while len(lag) < len(ends) and now < until:
        while foreign and foreign[-1] <= now:
            service.count(foreign.pop())
        while arrivals and arrivals[-1].submitted_at <= now:
            video = arrivals.pop()
            waiter = Waiter(
                generation_id=video.id, end_time=now + 1e6, learning_key=KEY, submitted_at=video.submitted_at, first_delay=first_delay
            )
            next(turns).add(video.id, waiter, now=now)
        told: list[Told] = []
        while back and back[0][0] <= now:
            _, _, client, ask, answer, rate = heapq.heappop(back)
            told += _taken_in(client, ask, answer, rate, now=now, random=random.random()).told
        for each in told:
            if isinstance(each.step, Ended):
                assert each.step.ending == "success"
                lag[str(each.token)] = now - ends[str(each.token)]
        moments = [arrivals[-1].submitted_at] if arrivals else []
        moments += [foreign[-1]] if foreign else []
        for client in clients:
            step = client.next(now=now, random=random.random())
            if isinstance(step, Idle):
                assert step.until > now, "a busy loop"
                moments.append(step.until)
                continue
            asked_at.append(now)
            answer, rate = service.answer(step, now + latency)
            heapq.heappush(back, (now + 2 * latency, next(order), client, step, answer, rate))
            moments.append(now)
        now = max(now, min([*moments, *(back[0][:1] if back else ())]))
    lags = [lag.get(video.id, max(0.0, now - video.ends_at)) for video in service.videos]
    return Run(lags, service.requests, service.refused, asked_at)


def _taken_in(
    client: Client,
    ask: AskOne | AskList,
    answer: Generation | list[Generation] | ServiceError,
    rate: RateLimit | None,
    *,
    now: float,
    random: float,
) -> Heard:
    if isinstance(answer, ServiceError):
        return client.on_error(ask, answer, now=now, random=random, rate=rate)
    if isinstance(ask, AskList):
        assert isinstance(answer, list)
        return client.on_list(ask, answer, now=now, random=random, rate=rate)
    assert isinstance(answer, Generation)
    return client.on_answer(ask, answer, now=now, random=random, rate=rate)
