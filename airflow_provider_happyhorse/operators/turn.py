"""Waiting to submit while the key has used up its requests: for a short time in the worker, for a longer one in the triggerer."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.providers.common.compat.sdk import conf

from airflow_provider_happyhorse.api.table_values import as_json
from airflow_provider_happyhorse.exceptions import NotAcceptedYet
from airflow_provider_happyhorse.operators.waiting import backstop, end_of_wait, first_poll_delay

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_happyhorse.hooks.happyhorse import HappyHorseHook
    from airflow_provider_happyhorse.triggers.submit import HappyHorseSubmitTrigger


class NotItsTurn(Exception):
    """The submission was refused for too many requests, and a worker slot is worth more than the wait; the record says ``not_sent``.

    :param turn: what the next attempt goes on with.
    :param not_before: Unix time.
    """

    def __init__(self, turn: Turn, *, not_before: float) -> None:
        super().__init__("too many requests")
        self.turn, self.not_before = turn, not_before


@dataclass(frozen=True)
class Turn:
    """How a submission stands with its refusals for too many requests.

    :param until: Unix time at which it is given up.
    :param slot_wait: seconds that a worker may wait for it.
    :param refusals: so far, in all workers.
    :param asked: Unix time at which it was first tried, 0 where it is not known; who asked first goes first.
    """

    until: float
    slot_wait: float
    refusals: int = 0
    asked: float = 0.0

    @classmethod
    def first(cls, *, deferrable: bool, execution_timeout: timedelta | None, try_started: datetime | None) -> Turn:
        """Return where a submission begins: ``[happyhorse] submit_timeout`` and ``submit_slot_wait``."""
        timeout = max(0.0, float(conf.getfloat("happyhorse", "submit_timeout", fallback=3600.0)))
        now = time.time()
        until = end_of_wait(timeout=timeout, execution_timeout=execution_timeout, try_started=try_started, now=now)
        slot_wait = max(0.0, float(conf.getfloat("happyhorse", "submit_slot_wait", fallback=30.0)))
        return cls(until=until, slot_wait=slot_wait if deferrable else math.inf, asked=now)

    @classmethod
    def resumed(cls, event: Any, *, name: str, until: float, asked: float, refusals: int) -> Turn:
        """Return where a submission goes on whose turn has come.

        :raises NotAcceptedYet: its turn did not come in time; nothing was paid.
        """
        if not isinstance(event, Mapping) or event.get("status") != "due":
            message = event.get("message") if isinstance(event, Mapping) else f"not an event of ours: {event!r}"
            why = f"refused {refusals} times for too many requests, and {message}; a retry tries again"
            raise NotAcceptedYet(f"[{name}] not submitted, nothing was paid: {why}")
        slot_wait = max(0.0, float(conf.getfloat("happyhorse", "submit_slot_wait", fallback=30.0)))
        return cls(until=until, slot_wait=slot_wait, asked=asked, refusals=refusals)

    def trigger(self, hook: HappyHorseHook, *, name: str, not_before: float) -> HappyHorseSubmitTrigger:
        """Return the trigger that waits for the turn."""
        from airflow_provider_happyhorse.triggers.submit import HappyHorseSubmitTrigger

        return HappyHorseSubmitTrigger(
            happyhorse_conn_id=hook.happyhorse_conn_id,
            not_before=not_before,
            end_time=self.until,
            per_minute=hook.settings.requests_per_minute,
            name=name,
            asked=self.asked,
        )


class SubmitsInTurn:
    """What an operator does whose submission was refused for too many requests: it leaves its worker slot, and comes back."""

    task_id: str
    grid_name: str
    deferrable: bool
    execution_timeout: timedelta | None
    log: Any
    defer: Callable[..., NoReturn]
    #: How a submission that was refused for too many requests goes on, None for one that was not.
    _turn: Turn | None = None
    #: What a decorated function has returned, kept while its submission waits for its turn.
    _computed: Mapping[str, Any] | None = None

    def execute_in_turn(
        self,
        context: Context,
        event: Any = None,
        *,
        until: float | None = None,
        asked: float = 0.0,
        refusals: int = 0,
        computed: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Go on with a submission that was refused for too many requests, now that it may be sent again; it decides anew.

        :param until: Unix time at which it is given up; None where Airflow hands no arguments on, as 3.3's ``dag.test()`` does not.
        """
        until = self._turn_now(context).until if until is None else until
        self._turn = Turn.resumed(event, name=self.grid_name or self.task_id, until=until, asked=asked, refusals=refusals)
        self._computed = computed
        resumed: dict[str, Any] = self.execute(context)  # type: ignore[attr-defined]  # of the operator
        return resumed

    def _turn_now(self, context: Context) -> Turn:
        if self._turn is not None:
            return self._turn
        return Turn.first(deferrable=self.deferrable, execution_timeout=self.execution_timeout, try_started=context["ti"].start_date)

    def _wait_for_the_turn(self, hook: HappyHorseHook, name: str, refused: NotItsTurn) -> NoReturn:
        turn, now = refused.turn, time.time()
        # Not sooner than any other trigger: a task that is resumed at once may be taken for a failed one, see `first_poll_delay`.
        not_before = max(refused.not_before, now + first_poll_delay())
        self.log.info(
            "[%s] not submitted, nothing was paid: too many requests. Leaving the worker slot; its turn comes in %.0f s or later, refusals "
            "so far: %d",
            name,
            not_before - now,
            turn.refusals,
        )
        self.defer(
            trigger=turn.trigger(hook, name=name, not_before=not_before),
            method_name="execute_in_turn",
            kwargs={
                "until": turn.until,
                "asked": turn.asked,
                "refusals": turn.refusals,
                "computed": None if self._computed is None else as_json(self._computed),
            },
            timeout=backstop(turn.until, now),
        )
