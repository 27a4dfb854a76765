"""One process of the lag benchmark: many triggers of one kind in one event loop; each line of its input is a batch, the last one counts."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

from tests.benchmarks.trigger_kinds import STATUSES, trigger_of


async def measure(kind: str) -> dict[str, Any]:
    told: dict[str, float] = {}
    delays: list[float] = []
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)

    async def wait(generation_id: str, submitted_at: float) -> None:
        async for _ in trigger_of(kind, generation_id, submitted_at).run():
            told[generation_id] = time.time()

    async def batches() -> None:
        while line := await asyncio.to_thread(sys.stdin.readline):
            told.clear()
            delays.clear()
            await asyncio.gather(*(wait(generation_id, submitted_at) for generation_id, submitted_at in json.loads(line).items()))
            print("told", flush=True)

    async def watch_the_loop() -> None:
        while True:
            before = time.perf_counter()
            await asyncio.sleep(0.05)
            delays.append(time.perf_counter() - before - 0.05)

    tasks = [asyncio.create_task(each) for each in (batches(), stop.wait(), watch_the_loop())]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    delays.sort()
    return {"told": told, "loop_delay_p99": delays[int(0.99 * (len(delays) - 1))] if delays else 0.0, "statuses": dict(STATUSES)}


if __name__ == "__main__":
    # What is imported at the first request is imported now.
    import_module("airflow_provider_happyhorse.transports.aio")
    print("ready", flush=True)
    Path(sys.argv[2]).write_text(json.dumps(asyncio.run(measure(sys.argv[1]))))
