"""One process of the waiting benchmark: many triggers of one kind in one event loop, as in a triggerer; writes what it saw as JSON.

Kinds: ``ours``; ``naive``, a trigger per video that asks every 5 s with a session of its own; ``http``, which like ``HttpSensor``'s
trigger looks the connection up and opens a session for every question; ``empty``, which only sleeps.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
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


class Empty(BaseTrigger):
    """Sleeps."""

    def __init__(self, generation_id: str) -> None:
        super().__init__()
        self.generation_id = generation_id

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return "tests.benchmarks.waiting_client.Empty", {"generation_id": self.generation_id}

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
    if kind != "ours":
        return {"empty": Empty, "naive": Naive, "http": Http}[kind](generation_id)
    submitted = datetime.fromtimestamp(submitted_at, UTC).isoformat()
    known = new_result(
        name=generation_id,
        kind="video",
        service="happy-horse.ai",
        happyhorse_conn_id=CONN_ID,
        submitted_at=submitted,
        model="m",
        duration=5,
    )
    return HappyHorseGenerationTrigger(CONN_ID, generation_id, time.time() + 86_400, 10.0, known, generation_id)


def resident_bytes() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


async def measure(kind: str, jobs: dict[str, float]) -> dict[str, Any]:
    told: dict[str, float] = {}
    delays: list[float] = []
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)

    async def wait(generation_id: str) -> None:
        async for _ in trigger_of(kind, generation_id, jobs[generation_id]).run():
            told[generation_id] = time.time()

    async def watch_the_loop() -> None:
        while True:
            before = time.perf_counter()
            await asyncio.sleep(0.05)
            delays.append(time.perf_counter() - before - 0.05)

    await asyncio.wait_for(async_settings(CONN_ID), 60)
    memory, cpu, begun = resident_bytes(), time.process_time(), time.time()
    waiting = asyncio.gather(*(wait(generation_id) for generation_id in jobs))
    watching, stopped = asyncio.create_task(watch_the_loop()), asyncio.create_task(stop.wait())
    await asyncio.wait({waiting, stopped}, return_when=asyncio.FIRST_COMPLETED)
    seconds, cpu, memory = time.time() - begun, time.process_time() - cpu, resident_bytes() - memory
    for task in (waiting, watching, stopped):
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    delays.sort()
    return {
        "told": told,
        "seconds": seconds,
        "cpu_seconds_per_minute": cpu / seconds * 60,
        "bytes_per_trigger": memory / len(jobs),
        "loop_delay_p99": delays[int(0.99 * (len(delays) - 1))] if delays else 0.0,
        "statuses": dict(STATUSES),
    }


if __name__ == "__main__":
    # What is imported at the first request is imported now: it is not what waiting costs.
    import_module("airflow_provider_happyhorse.transports.aio")
    print("ready", flush=True)
    Path(sys.argv[2]).write_text(json.dumps(asyncio.run(measure(sys.argv[1], json.loads(sys.stdin.read())))))
