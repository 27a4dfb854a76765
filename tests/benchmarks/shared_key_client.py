"""One triggerer of the shared-key benchmark, and the workers whose tasks it takes over: real tasks, whose halves run in threads.

A task submits as an operator does; what is refused goes back to its queue of turns here. Each line of the output is a task that has ended.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import Any

from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_happyhorse.triggers.submit import HappyHorseSubmitTrigger
from tests.operators.task_instances import Store, Task

#: Each of them waits for a turn in its slot for some time.
WORKERS = 64


async def fired(trigger: Any) -> Any:
    return await anext(event.payload async for event in trigger.run())


def half(run: Callable[[], Any]) -> TaskDeferred:
    try:
        ended = run()
    except TaskDeferred as deferred:
        return deferred
    raise AssertionError(f"it did not defer but returned {ended}")


async def one(name: str, at: float, render: float, workers: ThreadPoolExecutor) -> None:
    """Let a task be submitted at a moment, waited for and told."""
    loop = asyncio.get_running_loop()
    await asyncio.sleep(at - time.time())
    task = Task(store=Store(), retries=0, name=name, prompt=f"{name} [emulator: render_seconds={render:.1f}]")
    step = await loop.run_in_executor(workers, task.deferred)
    turns = 0
    while isinstance(step.trigger, HappyHorseSubmitTrigger):
        turns += 1
        event, kwargs = await fired(step.trigger), step.kwargs or {}
        step = await loop.run_in_executor(
            workers, half, lambda event=event, kwargs=kwargs: task.build().execute_in_turn(task.context, event, **kwargs)
        )
    submitted = time.time()
    event = await fired(step.trigger)
    told = {"id": event["generation_id"], "status": event["status"], "turns": turns, "waited": submitted - at, "told": time.time()}
    print(json.dumps(told), flush=True)


async def main(arrivals: list[tuple[str, float, float]]) -> None:
    with ThreadPoolExecutor(WORKERS) as workers:
        await asyncio.gather(*(one(name, at, render, workers) for name, at, render in arrivals))


if __name__ == "__main__":
    import_module("airflow_provider_happyhorse.transports.aio")
    print("ready", flush=True)
    asyncio.run(main(json.loads(sys.stdin.readline())))
