"""One life of a poller's task: from the first who waits to the last who leaves."""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
import time
from importlib import import_module
from typing import TYPE_CHECKING

from airflow_provider_happyhorse.api.errors import Ambiguous, ServiceError
from airflow_provider_happyhorse.metrics import Metrics
from airflow_provider_happyhorse.polling.holding import SIDE_BY_SIDE
from airflow_provider_happyhorse.polling.schedule import Schedule
from airflow_provider_happyhorse.polling.steps import AskList, AskOne, Heard, Idle

if TYPE_CHECKING:
    from airflow_provider_happyhorse.api.calls import Call, Response
    from airflow_provider_happyhorse.api.generation import Generation, ListPage, RateLimit
    from airflow_provider_happyhorse.api.service import Service
    from airflow_provider_happyhorse.hooks.settings import ConnectionSettings
    from airflow_provider_happyhorse.transports.aio import AioTransport
    from airflow_provider_happyhorse.triggers.poller import Poller

#: Seconds by which the clock may go wrong against one that nobody sets, before what was learned and planned by it is given up.
CLOCK_WAS_SET = 5.0
#: Seconds between two looks at the clock, which may be set while we wait.
LONGEST_REST, SHORTEST_REST = 10.0, 0.01


class PollingRun:
    """Sends what the schedule says for as long as its task runs.

    :param poller: who waits.
    """

    def __init__(self, poller: Poller) -> None:
        self._poller = poller
        self._wake = asyncio.Event()
        self._transport: AioTransport | None = None
        self._replaced: list[AioTransport] = []
        self._under_way = 0
        self._service = ""
        self._clock = time.time() - time.monotonic()

    def wake(self) -> None:
        """Look at the schedule again: somebody has come, or an answer."""
        self._wake.set()

    async def until_cancelled(self) -> None:
        """Poll. Whatever breaks here, everybody who waits learns it: what they wait for is paid for, and a task must not hang."""
        fault: Exception = RuntimeError("the task that polls for everybody was stopped")
        try:
            # Imported here: serialising a trigger in a worker or the scheduler needs no HTTP library. In a thread: loading aiohttp takes
            # tenths of a second, which every trigger of this loop would wait.
            await asyncio.to_thread(import_module, "airflow_provider_happyhorse.transports.aio")
            async with asyncio.TaskGroup() as requests:
                while True:
                    await self._rest(await self._ask_what_is_due(requests))
        except* Exception as faults:  # noqa: BLE001  every waiter is told, whatever it is
            fault = _first(faults)
        finally:
            self._poller.broke(self, fault)
            if self._service:
                Metrics(self._service, in_triggerer=True).waiting(self._poller.connection.conn_id, len(self._poller))
            for transport in (*self._replaced, *([self._transport] if self._transport else [])):
                await transport.close()

    async def _ask_what_is_due(self, requests: asyncio.TaskGroup) -> float:
        """Begin all requests that may be made now; return the time of the next one."""
        settings = await self._poller.connection.settings(self._poller.unavailable)
        if abs((clock := time.time() - time.monotonic()) - self._clock) > CLOCK_WAS_SET:
            self._clock = clock
            self._poller.begin_anew()
        self._service = settings.service.name
        transport, schedule = await self._transport_to(settings), self._poller.schedule(settings)
        while self._under_way < SIDE_BY_SIDE:
            now = time.time()
            self._poller.tell(schedule.overdue(now=now))
            step = schedule.next(now=now, random=random.random())
            if isinstance(step, Idle):
                return step.until
            self._under_way += 1
            requests.create_task(self._send(step, settings, transport, schedule))
        return math.inf

    async def _transport_to(self, settings: ConnectionSettings) -> AioTransport:
        from airflow_provider_happyhorse.transports.aio import AioTransport

        if self._under_way == 0:
            while self._replaced:
                await self._replaced.pop().close()
        if self._transport is not None and self._transport.endpoint != settings.endpoint:
            self._replaced.append(self._transport)  # requests may be under way on it
            self._transport = None
        self._transport = self._transport or AioTransport(settings.endpoint)
        return self._transport

    async def _send(self, ask: AskOne | AskList, settings: ConnectionSettings, transport: AioTransport, schedule: Schedule) -> None:
        """Send one request and hand the schedule what came of it, exactly once."""
        rate: RateLimit | None = None
        trouble: ServiceError | None = None
        try:
            response = await transport.answer(_call(settings.service, ask).request)
            rate = settings.service.rate_limit(response.headers)
            heard = _taken_in(schedule, settings.service, ask, response, rate)
        except ServiceError as error:
            trouble = error
            heard = schedule.on_error(ask, error, now=time.time(), random=random.random(), rate=rate)
        except BaseException:
            # Nobody waits for an answer any more. A page is given back, or it would never be asked for again; a generation is forgotten,
            # and as an error it would count towards an outage that is none.
            if isinstance(ask, AskList):
                schedule.on_error(ask, Ambiguous("nobody waits for this page any more"), now=time.time(), random=random.random())
            raise
        finally:
            self._under_way -= 1
            self.wake()
        if heard.renew_connection:
            self._poller.connection.renew()
        self._poller.tell(heard.told)
        metrics = Metrics(settings.service.name, in_triggerer=True)
        metrics.asked(trouble)
        metrics.waiting(settings.conn_id, len(self._poller))
        for told in heard.told:
            if told.lag is not None:
                metrics.noticed(told.lag)

    async def _rest(self, until: float) -> None:
        now = time.time()
        seconds = min(max(min(until, self._poller.next_deadline(now=now)) - now, SHORTEST_REST), LONGEST_REST)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        self._wake.clear()


def _call(service: Service, ask: AskOne | AskList) -> Call[Generation] | Call[ListPage]:
    return service.get(ask.generation_id, kind=ask.kind) if isinstance(ask, AskOne) else service.list_generations(ask.page, ask.limit)


def _taken_in(schedule: Schedule, service: Service, ask: AskOne | AskList, response: Response, rate: RateLimit | None) -> Heard:
    now, chance = time.time(), random.random()
    if isinstance(ask, AskOne):
        generation = service.get(ask.generation_id, kind=ask.kind).read(response)
        return schedule.on_answer(ask, generation, now=now, random=chance, rate=rate)
    rows = service.list_generations(ask.page, ask.limit).read(response).generations
    return schedule.on_list(ask, rows, now=now, random=chance, rate=rate)


def _first(fault: BaseException) -> Exception:
    while isinstance(fault, BaseExceptionGroup):
        fault = fault.exceptions[0]
    return fault if isinstance(fault, Exception) else RuntimeError(f"{type(fault).__name__}: {fault}")
