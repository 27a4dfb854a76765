"""Wait for the turn to submit, without a worker."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_happyhorse.triggers.turns import turns_of


class HappyHorseSubmitTrigger(BaseTrigger):
    """Wait until a submission that was refused for too many requests (429) may be sent again, and fire once. Sends nothing.

    The event is ``{"status": "due" | "timeout", "message"}``. Every argument is a JSON primitive.

    :param happyhorse_conn_id: whose queue to wait in; the connection is not looked up.
    :param not_before: Unix time before which the service accepts nothing.
    :param end_time: Unix time at which to give up.
    :param per_minute: requests the key may make; turns after a refusal take half of them, more beside a list that is fresh.
    :param name: how log lines name the clip.
    :param asked: Unix time at which it was first tried, which is its place in the queue; one that an earlier version stored comes first.
    """

    def __init__(
        self,
        happyhorse_conn_id: str,
        not_before: float,
        end_time: float,
        per_minute: float = 60.0,
        name: str = "",
        asked: float = 0.0,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # untyped in Airflow
        self.happyhorse_conn_id = happyhorse_conn_id
        self.not_before = not_before
        self.end_time = end_time
        self.per_minute = per_minute
        self.name = name
        self.asked = asked

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments, as Airflow stores them."""
        return (
            "airflow_provider_happyhorse.triggers.submit.HappyHorseSubmitTrigger",
            {
                "happyhorse_conn_id": self.happyhorse_conn_id,
                "not_before": self.not_before,
                "end_time": self.end_time,
                "per_minute": self.per_minute,
                "name": self.name,
                "asked": self.asked,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Fire when it is this submission's turn, or too late."""
        turns = turns_of(self.happyhorse_conn_id, per_minute=self.per_minute)
        since = time.time()
        if await turns.take(asked=self.asked, not_before=self.not_before, end_time=self.end_time):
            event = {"status": "due", "message": f"it may be sent after {time.time() - since:.0f} s"}
        else:
            event = {"status": "timeout", "message": "its turn did not come in time"}
        self.log.info("[%s] %s", self.name, event["message"])
        yield TriggerEvent(event)  # type: ignore[no-untyped-call]  # untyped in Airflow

    async def on_kill(self) -> None:
        """Say in the task's log that nothing was paid, when somebody clears or marks its task while it waits (Airflow 3.3)."""
        self.log.warning(
            "[%s] the task was cleared or marked while it waited for its turn. Nothing was submitted or paid for; the next try submits it",
            self.name,
        )
