"""What happens between a submission and its end, for every task that waits: the generate operators and the sensor."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from random import random
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowException, conf

from airflow_provider_happyhorse.api.errors import NotFound, Rejected, ServiceError
from airflow_provider_happyhorse.api.generation import GenerationState
from airflow_provider_happyhorse.exceptions import GenerationFailed, GenerationTimeout, GenerationUnreachable
from airflow_provider_happyhorse.polling.wait import Ask, Ended, Ending, Wait
from airflow_provider_happyhorse.results import event_of, kind_of, money, new_result

if TYPE_CHECKING:
    from airflow_provider_happyhorse._compat import TaskLog
    from airflow_provider_happyhorse.hooks.happyhorse import HappyHorseHook
    from airflow_provider_happyhorse.triggers.generation import HappyHorseGenerationTrigger

#: How much later than the trigger's own deadline Airflow ends a deferral, should the trigger be lost. A framework timeout reaches
#: neither ``execute_complete`` nor ``on_kill``, so it must never be the one that fires; the trigger's last request may take
#: ``request_timeout``, at most 10 minutes, beyond its deadline.
BACKSTOP = timedelta(minutes=20)


#: A year; Airflow stores the deferral's end as a date.
LONGEST_TIMEOUT = 31_536_000


def deferrable_by_default() -> bool:
    """Return ``[happyhorse] deferrable``. Not Airflow's own switch, which is off: a thousand waiting videos would hold a thousand slots."""
    return bool(conf.getboolean("happyhorse", "deferrable", fallback=True))


def first_poll_delay() -> float:
    """Return ``[happyhorse] first_poll_delay`` in seconds."""
    return max(0.0, float(conf.getfloat("happyhorse", "first_poll_delay", fallback=10.0)))


def timeout_problems(timeout: Any) -> list[str]:
    """Return what is wrong with a wait's length; one that overflows a date would be found out only after paying."""
    try:
        seconds = seconds_of(timeout)
    except (TypeError, ValueError):
        seconds = math.nan
    if 0 < seconds <= LONGEST_TIMEOUT:
        return []
    return [f"`timeout` must be more than 0 and at most {LONGEST_TIMEOUT} seconds (or a timedelta), not {timeout!r}"]


def seconds_of(timeout: float | timedelta) -> float:
    """Return a wait's length in seconds."""
    if isinstance(timeout, bool):
        raise TypeError("a truth value is no time")
    return timeout.total_seconds() if isinstance(timeout, timedelta) else float(timeout)


def end_of_wait(*, timeout: float | timedelta, execution_timeout: timedelta | None, try_started: datetime | None, now: float) -> float:
    """Return the Unix time at which this try gives up waiting.

    :param timeout: seconds from now, or a timedelta.
    :param execution_timeout: of the task, from the start of the try. Airflow 3 does not apply it to a deferral, so it is applied here.
    """
    ends = [now + seconds_of(timeout)]
    if execution_timeout is not None:
        ends.append((try_started.timestamp() if try_started else now) + execution_timeout.total_seconds())
    return min(ends)


def trigger_for(
    *, happyhorse_conn_id: str, generation_id: str, end_time: float, known: Mapping[str, Any], name: str
) -> HappyHorseGenerationTrigger:
    """Return the trigger that waits for a generation."""
    from airflow_provider_happyhorse.triggers.generation import HappyHorseGenerationTrigger

    return HappyHorseGenerationTrigger(
        happyhorse_conn_id=happyhorse_conn_id,
        generation_id=generation_id,
        end_time=end_time,
        first_poll_delay=first_poll_delay(),
        known=dict(known),
        name=name,
    )


def backstop(end_time: float, now: float) -> timedelta:
    """Return the ``timeout`` of a deferral that ends at ``end_time``."""
    return timedelta(seconds=max(0.0, end_time - now)) + BACKSTOP


def wait_in_worker(
    hook: HappyHorseHook,
    generation_id: str,
    *,
    end_time: float,
    known: Mapping[str, Any],
    log: TaskLog,
    name: str,
    clock: Callable[[], float] = time.time,
    sleep: Callable[[float], object] = time.sleep,
) -> dict[str, Any]:
    """Wait in this process, and return what the trigger's event would hold."""
    started = clock()
    wait = Wait(generation_id=generation_id, started_at=started, end_time=end_time, first_delay=first_poll_delay())
    step: Ask | Ended = wait.first(now=started)
    while isinstance(step, Ask):
        if step.notice:
            log.info("[%s] %s", name, step.notice)
        if step.renew_connection:
            hook.get_conn().close()
            hook = type(hook)(hook.happyhorse_conn_id)
            try:
                hook.get_conn()
            except (ValueError, AirflowException) as problem:
                step = Ended("error", f"waiting for {generation_id} broke: {problem}")
                break
        sleep(step.after)
        try:
            generation = hook.send(hook.service.get(generation_id, kind=kind_of(known)), attempts=1)
        except ServiceError as error:
            step = wait.on_error(error, now=clock(), random=random())
        else:
            step = wait.on_answer(generation, now=clock(), random=random())
    return event_of(step, known=known, generation_id=generation_id, seen_at=_now())


def look_once(
    hook: HappyHorseHook, generation_id: str, *, known: Mapping[str, Any], log: TaskLog, refusals: bool = False
) -> dict[str, Any] | None:
    """Return the event of a generation that has ended already, None while it runs or when the service does not answer just now.

    :param refusals: let the service's own refusals out (a revoked key), for a caller that would ask like this for ever.
    """
    try:
        generation = hook.send(hook.service.get(generation_id, kind=kind_of(known)), attempts=1)
    except ServiceError as error:
        if refusals and isinstance(error, Rejected) and not isinstance(error, NotFound):
            raise
        log.info("%s could not be looked at (%s); waiting for it", generation_id, error)
        return None
    if not generation.state.ended:
        return None
    ending: Ending = "success" if generation.state is GenerationState.SUCCEEDED else "failed"
    message = generation_id + (" succeeded" if ending == "success" else f" failed at the service: {generation.error or 'no reason given'}")
    return event_of(Ended(ending, message, generation), known=known, generation_id=generation_id, seen_at=_now())


def result_of_event(event: Any, *, resumes: bool = True) -> tuple[dict[str, Any], Exception | None]:
    """Return the result in a trigger's event, and the exception it means for the task, None for a success.

    :param resumes: a retry finds the generation again: there is a record of it, or the task is about a given id.
    :raises AirflowException: for what is no event of ours; nothing is known then, and a retry re-attaches.
    """
    if not isinstance(event, Mapping) or event.get("status") not in ("success", "failed", "timeout", "error"):
        raise AirflowException(f"the trigger's event is not one of ours: {event!r}; a retry waits for the same generation again")
    generation_id = str(event.get("generation_id") or "")
    given = event.get("result")
    known = dict(given) if isinstance(given, Mapping) else new_result(name="", kind="", service="", happyhorse_conn_id="")
    known["generation_id"] = generation_id
    message = f"[{known.get('name') or generation_id}] {event.get('message') or ''}"
    stops = f"a retry stops, since nothing keeps a record here: wait for {generation_id} with HappyHorseGenerationSensor"
    match event["status"]:
        case "success":
            return known, None
        case "failed":
            return known, GenerationFailed(f"{message}; it cost {money(known)}, unless the service gives failed ones back")
        case "timeout":
            then = "a retry waits for it again" if resumes else stops
            return known, GenerationTimeout(f"{message}; {money(known)} are committed, nothing was cancelled; {then}")
        case _:
            then = f"a retry asks for {generation_id} again" if resumes else stops
            return known, GenerationUnreachable(f"{message}; {money(known)} are committed; {then}")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
