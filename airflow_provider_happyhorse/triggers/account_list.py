"""One reading of an account's list for all who watch it in an event loop: one HTTP session, one pace, one request per page and moment.

It has the poller's connection and a pace of its own: a few requests a minute, which the poller sees in the service's headers as it sees
those of other processes.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Hashable
from contextlib import asynccontextmanager
from dataclasses import replace
from importlib import import_module
from itertools import count
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

from airflow_provider_happyhorse.api.errors import RateLimited, Rejected, ServiceError
from airflow_provider_happyhorse.polling.budget import Budget
from airflow_provider_happyhorse.triggers.poller import poller_of

if TYPE_CHECKING:
    from airflow_provider_happyhorse.api.calls import Call
    from airflow_provider_happyhorse.api.generation import Generation, ListPage
    from airflow_provider_happyhorse.hooks.settings import ConnectionSettings
    from airflow_provider_happyhorse.transports.aio import AioTransport

T = TypeVar("T")

#: Page from which on a reading leaves half of what the key allows to everybody else.
UNHURRIED = 10
#: How often a page is asked for before a reading is given up, and the seconds between.
TRIES, PAUSE = 4, 5.0

#: Per event loop, because locks and sessions belong to one; weakly, because tests and triggerers make and drop loops.
_LISTS: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, AccountList]] = WeakKeyDictionary()


class AccountList:
    """What one connection's account has generated.

    An answer is handed to everybody who asks for the same within ``max_age`` seconds, and to those who ask while it is under way.
    """

    def __init__(self, happyhorse_conn_id: str) -> None:
        self._connection = poller_of(happyhorse_conn_id).connection
        self._transport: AioTransport | None = None
        self._budget = Budget(requests_per_minute=60)
        self._one_at_a_time = asyncio.Lock()
        self._answers: dict[Hashable, tuple[float, Any]] = {}
        self.watchers = 0

    async def service(self) -> str:
        """Return the service's name.

        :raises ValueError: the connection cannot be used, or its service has no list.
        """
        settings = await self._settings()
        if "list" not in settings.service.capabilities:
            raise ValueError(f"{settings.service.name} does not list an account's videos, so nobody can see which are new")
        return settings.service.name

    async def pages(self, *, rows: int, max_age: float) -> AsyncGenerator[ListPage, None]:
        """Yield the pages of one reading of the list, newest first, without what the service says beyond id, state, credits and time.

        None is older than the first: rows move on to later pages, and one that moved between an older page and a newer one before it
        would be in neither. From page ``UNHURRIED`` on they come at half the pace that the key allows, and one bad answer does not
        throw away what has been read.

        :param max_age: seconds that the first page may be old, where somebody else has asked for it.
        :raises ServiceError: no usable answer came.
        """
        oldest = time.time() - max_age
        for number in count(1):
            if number >= UNHURRIED:
                await asyncio.sleep(self._budget.seconds_per_request)
            settings = await self._settings()
            what, call = ("page", number, rows), settings.service.list_generations(number, rows)
            for tries in count(1):
                try:
                    page = await self._ask(what, call, oldest=oldest, max_age=max_age)
                    break
                except ServiceError as error:
                    if number == 1 or tries == TRIES or isinstance(error, Rejected):
                        raise
                    if not isinstance(error, RateLimited):  # which pauses by itself
                        self._budget.pause(PAUSE, now=time.time())
            if number == 1:
                oldest = self._answers[what][0]
            yield replace(page, generations=tuple(replace(row, raw={}, request={}, result_urls=()) for row in page.generations))

    async def one(self, generation_id: str, *, max_age: float) -> Generation:
        """Return one generation, about which the service looks anew; an answer to somebody else may be ``max_age`` seconds old."""
        settings = await self._settings()
        what, call = ("one", generation_id), settings.service.get(generation_id)
        return await self._ask(what, call, oldest=time.time() - max_age, max_age=max_age)

    def renew(self) -> None:
        """Look the connection up again before the next request; its key may have been rotated, or its service changed."""
        self._connection.renew()
        self._answers.clear()

    async def close(self) -> None:
        """Close the HTTP session."""
        if self._transport is not None:
            await self._transport.close()

    async def _settings(self) -> ConnectionSettings:
        return await self._connection.settings(lambda problem: logging.getLogger(__name__).info("%s; trying again", problem))

    async def _ask(self, what: Hashable, call: Call[T], *, oldest: float, max_age: float) -> T:
        """Return an answer that was given at ``oldest`` or later; what nobody has asked for in two ``max_age`` is forgotten."""
        async with self._one_at_a_time:
            asked_at, answer = self._answers.get(what, (0.0, None))
            if asked_at >= oldest:
                kept: T = answer
                return kept
            self._answers = {key: kept for key, kept in self._answers.items() if time.time() - kept[0] < 2 * max_age}
            transport, service = await self._opened(), (await self._settings()).service
            await asyncio.sleep(max(0.0, self._budget.ready_at(now=time.time()) - time.time()))
            sent_at = time.time()
            self._budget.spend(now=sent_at, random=random.random())
            try:
                answered, headers = await transport.send(call.with_headers())
            except ServiceError as error:
                if isinstance(error, RateLimited):
                    self._budget.refused(error.retry_after, now=time.time(), random=random.random())
                raise
            self._budget.heard(service.rate_limit(headers), sent_at=sent_at, now=time.time())
            self._answers[what] = (time.time(), answered)
            return answered

    async def _opened(self) -> AioTransport:
        # In a thread: loading aiohttp takes tenths of a second, which every trigger of this loop would wait.
        await asyncio.to_thread(import_module, "airflow_provider_happyhorse.transports.aio")
        from airflow_provider_happyhorse.transports.aio import AioTransport

        settings = await self._settings()
        if self._transport is None or self._transport.endpoint != settings.endpoint:
            await self.close()
            self._transport = AioTransport(settings.endpoint)
            self._budget = Budget(requests_per_minute=settings.requests_per_minute)
        return self._transport


@asynccontextmanager
async def account_list(happyhorse_conn_id: str) -> AsyncIterator[AccountList]:
    """Give the list of a connection's account, the same one to all of this event loop; the last to leave closes it."""
    lists = _LISTS.setdefault(asyncio.get_running_loop(), {})
    shared = lists.setdefault(happyhorse_conn_id, AccountList(happyhorse_conn_id))
    shared.watchers += 1
    try:
        yield shared
    finally:
        shared.watchers -= 1
        if not shared.watchers:
            lists.pop(happyhorse_conn_id, None)
            await shared.close()
