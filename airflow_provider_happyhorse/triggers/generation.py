"""Wait for one generation without a worker."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from importlib import import_module
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_happyhorse.api.errors import ServiceError
from airflow_provider_happyhorse.hooks.settings import async_settings
from airflow_provider_happyhorse.polling.wait import Ask, Ended, Wait
from airflow_provider_happyhorse.results import event_of, kind_of, new_result

if TYPE_CHECKING:
    from airflow_provider_happyhorse.hooks.settings import ConnectionSettings

#: Tries of the connection lookup before the task is told; each goes through the triggerer's supervisor.
CONNECTION_TRIES = 5


class HappyHorseGenerationTrigger(BaseTrigger):
    """Wait until a generation has ended, and fire once.

    The event is ``{"status": "success" | "failed" | "timeout" | "error", "generation_id", "message", "result"}``. Only ``success`` and
    ``failed`` say something about the generation; after the other two it may still finish. Every argument is a JSON primitive: since
    Airflow 3.2 anything else fails to serialise after the submission has been paid for.

    :param happyhorse_conn_id: connection of type ``happyhorse``, looked up when the trigger runs.
    :param generation_id: whom to wait for.
    :param end_time: Unix time at which to give up. Absolute, so that a restarted triggerer does not start the wait anew.
    :param first_poll_delay: seconds from now to the first request.
    :param known: the result so far, which the event completes.
    :param name: how log lines name the clip.
    """

    def __init__(
        self,
        happyhorse_conn_id: str,
        generation_id: str,
        end_time: float,
        first_poll_delay: float = 10.0,
        known: Mapping[str, Any] | None = None,
        name: str = "",
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # untyped in Airflow
        self.happyhorse_conn_id = happyhorse_conn_id
        self.generation_id = generation_id
        self.end_time = end_time
        self.first_poll_delay = first_poll_delay
        self.known = dict(known or {})
        self.name = name or self.known.get("name") or generation_id

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments, as Airflow stores them."""
        return (
            "airflow_provider_happyhorse.triggers.generation.HappyHorseGenerationTrigger",
            {
                "happyhorse_conn_id": self.happyhorse_conn_id,
                "generation_id": self.generation_id,
                "end_time": self.end_time,
                "first_poll_delay": self.first_poll_delay,
                "known": self.known,
                "name": self.name,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Poll until the generation has ended, the deadline is over, or the service refuses to answer."""
        try:
            ended = await self._wait()
        except Exception as fault:
            # The generation is paid for and runs on; whatever broke here, the task must learn it instead of hanging.
            self.log.exception("[%s] waiting for %s broke", self.name, self.generation_id)
            ended = Ended("error", f"waiting for {self.generation_id} broke: {type(fault).__name__}: {fault}")
        known = self.known or new_result(name=self.name, kind="", service="", happyhorse_conn_id=self.happyhorse_conn_id)
        seen_at = datetime.now(UTC).isoformat(timespec="seconds")
        event = event_of(ended, known=known, generation_id=self.generation_id, seen_at=seen_at)
        yield TriggerEvent(event)  # type: ignore[no-untyped-call]  # untyped in Airflow

    async def _wait(self) -> Ended:
        # Imported here: serialising a trigger in a worker or the scheduler needs no HTTP library. In a thread: loading aiohttp takes
        # tenths of a second, which every trigger of this loop would wait.
        await asyncio.to_thread(import_module, "airflow_provider_happyhorse.transports.aio")
        from airflow_provider_happyhorse.transports.aio import AioTransport

        started = time.time()
        wait = Wait(generation_id=self.generation_id, started_at=started, end_time=self.end_time, first_delay=self.first_poll_delay)
        settings = await self._settings()
        transport = AioTransport(settings.endpoint)
        call = settings.service.get(self.generation_id, kind=kind_of(self.known))
        step: Ask | Ended = wait.first(now=started)
        try:
            while isinstance(step, Ask):
                if step.notice:
                    self.log.info("[%s] %s", self.name, step.notice)
                if step.renew_connection:
                    await transport.close()
                    settings = await self._settings()
                    transport = AioTransport(settings.endpoint)
                await asyncio.sleep(step.after)
                try:
                    generation = await transport.send(call)
                except ServiceError as error:
                    step = wait.on_error(error, now=time.time(), random=random.random())
                else:
                    step = wait.on_answer(generation, now=time.time(), random=random.random())
        finally:
            await transport.close()
        self.log.info("[%s] %s", self.name, step.message)
        return step

    async def _settings(self) -> ConnectionSettings:
        attempt = 1
        while True:
            try:
                return await async_settings(self.happyhorse_conn_id)
            except Exception as problem:
                if attempt == CONNECTION_TRIES or time.time() >= self.end_time:
                    raise
                self.log.warning("[%s] connection %r could not be read (%s); trying again", self.name, self.happyhorse_conn_id, problem)
            await asyncio.sleep(2.0**attempt)
            attempt += 1
