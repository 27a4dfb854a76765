"""One reading of an account's list for all who watch it in an event loop: one HTTP session, one pace, one request per page and moment.

It has the poller's connection and a pace of its own: a few requests a minute, which the poller sees in the service's headers as it sees
those of other processes.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

from airflow_provider_happyhorse.api.errors import RateLimited, ServiceError
from airflow_provider_happyhorse.polling.budget import Budget
from airflow_provider_happyhorse.triggers.poller import poller_of

if TYPE_CHECKING:
    from airflow_provider_happyhorse.api.calls import Call
    from airflow_provider_happyhorse.api.generation import Generation
    from airflow_provider_happyhorse.hooks.settings import ConnectionSettings
    from airflow_provider_happyhorse.transports.aio import AioTransport

T = TypeVar("T")

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

    async def page(self, number: int, *, rows: int, max_age: float) -> list[Generation]:
        """Return a page of the list, newest first.

        :param number: from 1.
        :param max_age: seconds that an answer to somebody else may be old.
        :raises ServiceError: no usable answer came.
        """
        settings = await self._settings()
        return await self._ask(("page", number, rows), settings.service.list_generations(number, rows), max_age)

    async def one(self, generation_id: str, *, max_age: float) -> Generation:
        """Return one generation, about which the service looks anew."""
        settings = await self._settings()
        return await self._ask(("one", generation_id), settings.service.get(generation_id), max_age)

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

    async def _ask(self, what: Hashable, call: Call[T], max_age: float) -> T:
        async with self._one_at_a_time:
            asked_at, answer = self._answers.get(what, (0.0, None))
            if time.time() - asked_at < max_age:
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
