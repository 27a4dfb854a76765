"""One task instance through its tries, without a scheduler: what of Airflow the operators touch, as plain values."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from airflow.providers.common.compat.sdk import BaseOperator, TaskDeferred

from airflow_provider_happyhorse.ledger.stores import KEY
from airflow_provider_happyhorse.operators.video import HappyHorseGenerateVideoOperator
from airflow_provider_happyhorse.triggers.generation import HappyHorseGenerationTrigger
from tests.emulator_process import EmulatorProcess

#: Renders before the first poll, and is cheap: 25 credits at happy-horse.ai.
QUICK = "a kettle [emulator: render_seconds=0.05]"
TEAPOT = QUICK.replace("kettle", "teapot")


@dataclass
class Store:
    """Airflow 3.3's task state store, in memory; JSON goes in and out, as it does there.

    :param before_set: called with the value before it is stored; what it raises, the store raises.
    """

    entries: dict[str, str] = field(default_factory=dict)
    before_set: Callable[[Any], None] = lambda value: None
    states: list[str] = field(default_factory=list)

    def get(self, key: str, default: Any = None) -> Any:
        return json.loads(self.entries[key]) if key in self.entries else default

    def set(self, key: str, value: Any, *, retention: timedelta | None = None) -> None:
        assert retention == timedelta.max, "an entry that expires is paid for again"
        self.before_set(value)
        self.entries[key] = json.dumps(value)
        if "state" in value:
            self.states.append(value["state"])

    def delete(self, key: str) -> None:
        del self.entries[key]

    @property
    def record(self) -> dict[str, Any]:
        """The record, as a person sees it in the UI."""
        return dict(self.get(KEY))

    def edit(self, **changes: Any) -> None:
        """Change the record as a person would."""
        self.entries[KEY] = json.dumps({**self.record, **changes})


@dataclass
class Log:
    """A task's log."""

    lines: list[tuple[str, str]] = field(default_factory=list)

    def _say(self, level: str, event: str, *args: Any) -> None:
        self.lines.append((level, event % args if args else event))

    def info(self, event: str, *args: Any) -> None:
        self._say("INFO", event, *args)

    def warning(self, event: str, *args: Any) -> None:
        self._say("WARNING", event, *args)

    def error(self, event: str, *args: Any, exc_info: BaseException | None = None) -> None:
        self._say("ERROR", event, *args)

    def exception(self, event: str, *args: Any) -> None:
        self._say("ERROR", event, *args)

    def text(self, level: str = "") -> str:
        return "\n".join(line for of, line in self.lines if level in ("", of))


@dataclass
class TaskInstance:
    """``context["ti"]``."""

    dag_id: str = "campaign"
    run_id: str = "manual__2026-11-20T10:00:00+00:00"
    task_id: str = "generate"
    map_index: int = -1
    try_number: int = 0
    max_tries: int = 1
    start_date: datetime = field(default_factory=lambda: datetime.now(UTC))
    xcoms: dict[str, Any] = field(default_factory=dict)
    #: The other task instances of the same mapped task.
    others: list[TaskInstance] = field(default_factory=list)

    def xcom_pull(self, *, task_ids: str, key: str) -> list[Any]:
        assert task_ids == self.task_id
        return [ti.xcoms[key] for ti in (self, *self.others) if key in ti.xcoms]

    def xcom_push(self, key: str, value: Any) -> None:
        json.dumps(value)
        assert value is not None
        self.xcoms[key] = value


class Task:
    """A task instance whose operator is built anew for every try, as Airflow does.

    :param store: None for an Airflow that has no task state store.
    """

    def __init__(
        self,
        operator: type[BaseOperator] = HappyHorseGenerateVideoOperator,
        *,
        store: Store | None = None,
        map_index: int = -1,
        retries: int = 1,
        slept: list[float] | None = None,
        **arguments: Any,
    ) -> None:
        self.store, self.retries, self.arguments = store, retries, arguments
        #: How often Airflow says that the run was cleared.
        self.clear_number = 0
        self.log = Log()
        self.slept: list[float] = [] if slept is None else slept
        self.ti = TaskInstance(map_index=map_index, max_tries=retries)
        self._operator = type(operator.__name__, (operator,), {"log": self.log, "_sleep_before_looking": self.slept.append})
        self.current: Any = None

    @property
    def xcoms(self) -> dict[str, Any]:
        return self.ti.xcoms

    @property
    def context(self) -> dict[str, Any]:
        dag_run = SimpleNamespace(clear_number=self.clear_number)
        task = SimpleNamespace(retries=self.retries)
        context = {"ti": self.ti, "run_id": self.ti.run_id, "dag_run": dag_run, "task": task}
        return {**context, **({"task_state_store": self.store} if self.store else {})}

    def build(self, **changed: Any) -> Any:
        return self._operator(**{"task_id": self.ti.task_id, "deferrable": False, **self.arguments, **changed})

    def run(self, *, rendered: dict[str, Any] | None = None, **changed: Any) -> Any:
        """Run the next try to its end, with these arguments changed from now on.

        :param rendered: what template fields are rendered to: no check of the DAG file has seen it.
        """
        self.arguments |= changed
        self.ti.try_number += 1
        self.ti.start_date = datetime.now(UTC)
        self.ti.xcoms = {}
        self.current = self.build()
        for name, value in (rendered or {}).items():
            setattr(self.current, name, value)
        return self.current.execute(self.context)

    def clear(self) -> None:
        """Clear it, as ``clear_task_instances`` does."""
        self.ti.max_tries = self.ti.try_number + self.retries

    def deferred(self, **changed: Any) -> TaskDeferred:
        """Run the next try until it defers."""
        try:
            ended = self.run(**{"deferrable": True, **changed})
        except TaskDeferred as deferred:
            return deferred
        raise AssertionError(f"it did not defer but returned {ended}")

    def resume(self, event: Any) -> Any:
        """Run the second half of the try, in another process as it were."""
        return self.build().execute_complete(self.context, event)


def killed_while_waiting(running: Task, emulator: EmulatorProcess) -> None:
    """Run the next try and send SIGTERM to it once it asks how its generation is doing, as Airflow kills a task."""

    class Terminated(BaseException):
        pass

    def terminate(signum: int, frame: Any) -> None:
        running.current.on_kill()
        raise Terminated

    def kill_once_it_waits() -> None:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and not any(request["method"] == "GET" for request in emulator.requests()):
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, terminate)
    kill = threading.Thread(target=kill_once_it_waits)
    kill.start()
    try:
        running.run(deferrable=False)
    except Terminated:
        return
    finally:
        kill.join()
        signal.signal(signal.SIGTERM, before)
    raise AssertionError("it was not killed")


def event_of(trigger: Any) -> dict[str, Any]:
    """Return what a trigger fires, after the journey through the database that Airflow sends it on."""
    path, arguments = trigger.serialize()
    assert path == f"{HappyHorseGenerationTrigger.__module__}.{HappyHorseGenerationTrigger.__qualname__}"

    async def first() -> Any:
        async for event in HappyHorseGenerationTrigger(**json.loads(json.dumps(arguments))).run():
            return event.payload
        raise AssertionError("no event")

    return dict(json.loads(json.dumps(asyncio.run(first()))))
