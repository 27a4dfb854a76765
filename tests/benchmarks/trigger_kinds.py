"""The kinds of triggers that the benchmarks compare; each waits for one video.

``ours`` waits at a service whose list is fresh, ``stale`` is ours at one whose list shows nothing new, and ``single`` at one that neither
lists nor tells its limit. ``naive`` asks about its own video every 5 s with a session of its own; ``http`` does so, too, and like
``HttpSensor``'s trigger looks the connection up and opens a session for every question. ``empty`` only sleeps.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import aiohttp
from airflow.providers.common.compat.connection import get_async_connection
from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_happyhorse.hooks.settings import async_settings
from airflow_provider_happyhorse.results import new_result
from airflow_provider_happyhorse.triggers.generation import HappyHorseGenerationTrigger

CONN_ID = "happyhorse_default"
INTERVAL = 5.0
STATUSES: Counter[int] = Counter()
#: At which of the emulator's services each kind waits; happyhorse.app has no list and no rate headers.
SERVICE = {"single": "happyhorse.app"}


class Empty(BaseTrigger):
    """Sleeps."""

    def __init__(self, generation_id: str) -> None:
        super().__init__()
        self.generation_id = generation_id

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return f"{type(self).__module__}.{type(self).__qualname__}", {"generation_id": self.generation_id}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        await asyncio.sleep(86_400)
        yield TriggerEvent({})


class Naive(Empty):
    """Asks every 5 s."""

    async def run(self) -> AsyncIterator[TriggerEvent]:
        settings = await async_settings(CONN_ID)
        url = settings.endpoint.url(f"/videos/{self.generation_id}")
        async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {settings.endpoint.api_key}"}) as session:
            while not await ended(session, url):  # noqa: ASYNC110  that is how it is done
                await asyncio.sleep(INTERVAL)
        yield TriggerEvent({})


class Http(Empty):
    """Asks every 5 s, each time as if it had never asked before."""

    async def run(self) -> AsyncIterator[TriggerEvent]:
        while True:
            connection = await get_async_connection(CONN_ID)
            headers = {"Authorization": f"Bearer {connection.password}"}
            async with aiohttp.ClientSession(headers=headers) as session:
                if await ended(session, f"{connection.host}/videos/{self.generation_id}"):
                    break
            await asyncio.sleep(INTERVAL)
        yield TriggerEvent({})


async def ended(session: aiohttp.ClientSession, url: str) -> bool:
    async with session.get(url) as answer:
        STATUSES[answer.status] += 1
        return answer.status == 200 and (await answer.json())["data"]["status"] != "processing"


def trigger_of(kind: str, generation_id: str, submitted_at: float) -> BaseTrigger:
    if kind in (others := {"empty": Empty, "naive": Naive, "http": Http}):
        return others[kind](generation_id)
    known = new_result(
        name=generation_id,
        kind="video",
        service=service_of(kind),
        happyhorse_conn_id=CONN_ID,
        submitted_at=datetime.fromtimestamp(submitted_at, UTC).isoformat(),
        model="m",
        duration=5,
        credits_estimated=20,
        request={"prompt": f"A kettle on a stove, morning light, take {generation_id}", "duration": 5},
    )
    return HappyHorseGenerationTrigger(CONN_ID, generation_id, time.time() + 86_400, 10.0, known, generation_id)


def service_of(kind: str) -> Any:
    return SERVICE.get(kind, "happy-horse.ai")
