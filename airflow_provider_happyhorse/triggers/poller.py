"""One poller for all triggers of a connection in an event loop: one lookup, one HTTP session, one request budget, one schedule.

A trigger takes its place with :meth:`Poller.waiting` and reads its steps. The first to come starts the poller's task, the last
to leave ends it. The task has a context of its own, or its log lines would land in the log of the task that happened to come first; so it
logs nothing, and every trigger logs what it is told. It awaits nothing but asyncio's and compat's helpers: Airflow's synchronous calls work
only in the tasks that Airflow made.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import math
import time
import weakref
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from airflow_provider_happyhorse.hooks.settings import ConnectionSettings
from airflow_provider_happyhorse.polling.schedule import Schedule
from airflow_provider_happyhorse.polling.steps import Told, Waiter
from airflow_provider_happyhorse.polling.wait import Ask, Ended
from airflow_provider_happyhorse.triggers.connection import SharedConnection
from airflow_provider_happyhorse.triggers.polling_run import PollingRun

#: Rows of one page of the list, as many as the vendor gives (happy-horse.ai GET /videos).
LIST_ROWS = 50

#: What a waiter is told: ``Ask`` only for its notice, ``Ended`` once, or what broke the poller, and then nothing more.
Step = Ask | Ended | Exception


class Steps:
    """What one waiter is told, in order. An ``asyncio.Queue`` would take 3 KB for each of a thousand that wait."""

    __slots__ = ("_told", "_waiting")

    def __init__(self) -> None:
        self._told: list[Step] = []
        self._waiting: asyncio.Future[None] | None = None

    def put(self, step: Step) -> None:
        """Tell the next step."""
        self._told.append(step)
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    async def get(self) -> Step:
        """Return the next step, once there is one."""
        while not self._told:
            self._waiting = asyncio.get_running_loop().create_future()
            await self._waiting
        return self._told.pop(0)


@dataclass(eq=False, slots=True)
class Place:
    """One trigger's place; told apart by identity, since after a clear two triggers wait for one generation for a moment."""

    waiter: Waiter
    since: float
    steps: Steps = field(default_factory=Steps)


class Poller:
    """Everybody who waits with one connection, and what has been learned while they did.

    :param conn_id: the connection's id.
    """

    def __init__(self, conn_id: str) -> None:
        self.connection = SharedConnection(conn_id)
        self._places: set[Place] = set()
        self._schedule: Schedule | None = None
        self._about: tuple[str, str, float] | None = None
        self._next_deadline = math.inf
        self._run: PollingRun | None = None
        self._task: asyncio.Task[None] | None = None
        #: Loops hold their tasks weakly; one that is closing its session has no other holder.
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._places)

    @property
    def list_is_fresh(self) -> bool:
        """Whether the service's list has proven to know what has ended."""
        return self._schedule is not None and self._schedule.list_is_fresh

    @contextlib.contextmanager
    def waiting(self, waiter: Waiter) -> Iterator[Steps]:
        """Wait as one of many; its steps bring what is to be logged, and how it ends."""
        place = Place(waiter, time.time())
        self._places.add(place)
        self._next_deadline = min(self._next_deadline, waiter.end_time)
        if self._schedule is not None:
            self._schedule.add(place, waiter, now=place.since)
        self._started().wake()
        try:
            yield place.steps
        finally:
            self._leave(place)

    def schedule(self, settings: ConnectionSettings) -> Schedule:
        """Return the schedule; a connection that leads elsewhere begins a new one, in which everybody waits again."""
        about = (settings.service.name, settings.endpoint.base_url, settings.requests_per_minute)
        if self._schedule is None or about != self._about:
            rows = LIST_ROWS if "list" in settings.service.capabilities else None
            self._schedule, self._about = Schedule(requests_per_minute=settings.requests_per_minute, list_rows=rows), about
            for place in self._places:
                self._schedule.add(place, place.waiter, now=place.since)
        return self._schedule

    def begin_anew(self) -> None:
        """Give up what was planned by a clock that has been set since; everybody waits on, in a new schedule."""
        self._schedule = None
        for place in self._places:
            place.since = min(place.since, time.time())

    def tell(self, told: Iterable[Told]) -> None:
        """Hand each waiter what is for it."""
        for one in told:
            if isinstance(one.token, Place):
                one.token.steps.put(one.step)

    def next_deadline(self, *, now: float) -> float:
        """Return the Unix time at which the next of the waiters gives up, or one that has left would have."""
        if now >= self._next_deadline:
            self._next_deadline = min((place.waiter.end_time for place in self._places if place.waiter.end_time > now), default=math.inf)
        return self._next_deadline

    def unavailable(self, problem: Exception) -> None:
        """Tell everybody that the connection could not be read; for those whose time is over that is the end."""
        for place in list(self._places):
            over = time.time() >= place.waiter.end_time
            notice = f"connection {self.connection.conn_id!r} could not be read ({problem}); trying again"
            place.steps.put(problem if over else Ask(0.0, notice))

    def broke(self, run: PollingRun, fault: Exception) -> None:
        """Tell everybody what broke the run they wait in, and begin anew with the next who comes."""
        if self._run is not run:
            return
        places, self._places = self._places, set()
        self._schedule = self._run = self._task = None
        for place in places:
            place.steps.put(fault)

    def _started(self) -> PollingRun:
        if self._run is None:
            self._run = PollingRun(self)
            name = f"happyhorse poller of {self.connection.conn_id}"
            self._task = asyncio.get_running_loop().create_task(self._run.until_cancelled(), name=name, context=contextvars.Context())
            self._tasks.add(self._task)
            self._task.add_done_callback(self._tasks.discard)
        return self._run

    def _leave(self, place: Place) -> None:
        if place not in self._places:
            return  # of a run that broke
        self._places.remove(place)
        if self._schedule is not None:
            self._schedule.remove(place)
        if not self._places and self._task is not None:
            self._task.cancel()
            self._run = self._task = None


#: Loops held weakly and as objects: a closed loop's id is used again. A poller keeps no hold of its loop while nobody waits.
_POLLERS: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, Poller]] = weakref.WeakKeyDictionary()


def poller_of(happyhorse_conn_id: str) -> Poller:
    """Return the poller of a connection in the running loop."""
    pollers = _POLLERS.setdefault(asyncio.get_running_loop(), {})
    if happyhorse_conn_id not in pollers:
        pollers[happyhorse_conn_id] = Poller(happyhorse_conn_id)
    return pollers[happyhorse_conn_id]
