"""Wait for one generation without a worker."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_happyhorse.polling.steps import Waiter
from airflow_provider_happyhorse.polling.wait import Ended
from airflow_provider_happyhorse.results import event_of, kind_of, money, new_result
from airflow_provider_happyhorse.triggers.poller import poller_of


class HappyHorseGenerationTrigger(BaseTrigger):
    """Wait until a generation has ended, and fire once. All triggers of a connection share one poller, see ``triggers/poller.py``.

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
        """Wait until the generation has ended, the deadline is over, or the service refuses to answer."""
        try:
            ended = await self._wait()
        except Exception as fault:  # noqa: BLE001  it is logged and told, whatever it is
            ended = self._broke(fault)
        known = self.known or new_result(name=self.name, kind="", service="", happyhorse_conn_id=self.happyhorse_conn_id)
        seen_at = datetime.now(UTC).isoformat(timespec="seconds")
        event = event_of(ended, known=known, generation_id=self.generation_id, seen_at=seen_at)
        yield TriggerEvent(event)  # type: ignore[no-untyped-call]  # untyped in Airflow

    async def on_kill(self) -> None:
        """Say in the task's log what becomes of the generation when somebody clears or marks its task while it waits (Airflow 3.3).

        Airflow calls it neither when the triggerer stops nor when a deferral times out. It must touch nothing: of a cleared task, the
        next try may have taken the generation over before this one hears of the clear, and no ledger is in reach of a trigger.
        """
        self.log.warning(
            "[%s] the task was cleared or marked while it waited for %s. Nothing was cancelled, neither service can: it goes on at the "
            "service and stays paid for, %s. The next try, also after a later clear, finds it and pays nothing again for the same request",
            self.name,
            self.generation_id,
            money(self.known),
        )

    async def _wait(self) -> Ended:
        with poller_of(self.happyhorse_conn_id).waiting(self._waiter()) as steps:
            while True:
                step = await steps.get()
                if isinstance(step, Exception):
                    return self._broke(step)
                message = step.message if isinstance(step, Ended) else step.notice
                self.log.info("[%s] %s", self.name, message)
                if isinstance(step, Ended):
                    return step

    def _broke(self, fault: Exception) -> Ended:
        """Return the end of a wait that broke: the generation is paid for and runs on, and the task must learn it instead of hanging."""
        self.log.error("[%s] waiting for %s broke", self.name, self.generation_id, exc_info=fault)
        return Ended("error", f"waiting for {self.generation_id} broke: {type(fault).__name__}: {fault}")

    def _waiter(self) -> Waiter:
        learned_by = tuple(str(self.known.get(name) or "") for name in ("service", "model", "duration"))
        return Waiter(
            generation_id=self.generation_id,
            end_time=self.end_time,
            kind=kind_of(self.known),
            learning_key=(learned_by[0], learned_by[1], learned_by[2]),
            submitted_at=_unix_time(self.known.get("submitted_at")),
            first_delay=self.first_poll_delay,
        )


def _unix_time(given: Any) -> float | None:
    try:
        return datetime.fromisoformat(given).timestamp()
    except (TypeError, ValueError):
        return None
