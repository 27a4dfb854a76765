"""What happens between a submission and its end, for every task that waits: the generate operators and the sensor."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import random
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowException, conf

from airflow_provider_happyhorse.api.errors import NotFound, RateLimited, Rejected, ServiceError
from airflow_provider_happyhorse.api.generation import Generation, GenerationState
from airflow_provider_happyhorse.api.retry import pause_asked_for
from airflow_provider_happyhorse.exceptions import GenerationFailed, GenerationTimeout, GenerationUnreachable
from airflow_provider_happyhorse.metrics import Metrics
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


#: How much of ``execution_timeout`` is kept for saying what became of the video, and the most seconds of it: Airflow's own end of a task
#: tells nobody, and Airflow 2.11 does not let a deferred task resume after it.
LAST_WORDS, LONGEST_LAST_WORDS = 0.1, 30.0

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
    :param execution_timeout: of the task, from the start of the try; the wait ends a little before it. Airflow 3 does not apply it to a
        deferral, so it is applied here.
    """
    ends = [now + seconds_of(timeout)]
    if execution_timeout is not None:
        allowed = execution_timeout.total_seconds()
        allowed -= min(LAST_WORDS * allowed, LONGEST_LAST_WORDS)
        ends.append((try_started.timestamp() if try_started else now) + allowed)
    return min(ends)


def trigger_for(
    *, happyhorse_conn_id: str, generation_id: str, end_time: float, known: Mapping[str, Any], name: str, pause: float = 0.0
) -> HappyHorseGenerationTrigger:
    """Return the trigger that waits for a generation.

    :param pause: seconds for which the service wants no question.
    """
    from airflow_provider_happyhorse.triggers.generation import HappyHorseGenerationTrigger

    return HappyHorseGenerationTrigger(
        happyhorse_conn_id=happyhorse_conn_id,
        generation_id=generation_id,
        end_time=end_time,
        first_poll_delay=max(first_poll_delay(), pause),
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
    pause: float = 0.0,
    clock: Callable[[], float] = time.time,
    sleep: Callable[[float], object] = time.sleep,
) -> dict[str, Any]:
    """Wait in this process, and return what the trigger's event would hold.

    :param pause: seconds for which the service wants no question.
    """
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
            except Exception as problem:  # noqa: BLE001  Airflow's own errors have no common kind, and what is paid for must be said
                step = Ended("error", f"waiting for {generation_id} broke: {problem}")
                break
        # The last question is due at the deadline, whatever the service asks for: this try gets no other.
        sleep(max(step.after, min(pause, end_time - clock())))
        try:
            generation, pause = _ask(hook, generation_id, known, now=clock())
        except ServiceError as error:
            pause = 0.0  # a refusal's own time is in the step
            step = wait.on_error(error, now=clock(), random=random())
        else:
            step = wait.on_answer(generation, now=clock(), random=random())
    return event_of(step, known=known, generation_id=generation_id, seen_at=_now())


@dataclass(frozen=True)
class Look:
    """What one question brought.

    :param event: the event of a generation that has ended already, None while it runs or when the service does not answer just now.
    :param pause: seconds for which the service wants no further question.
    :param missing: the service says that it does not know the generation.
    """

    event: dict[str, Any] | None = None
    pause: float = 0.0
    missing: bool = False


def look_once(hook: HappyHorseHook, generation_id: str, *, known: Mapping[str, Any], log: TaskLog, refusals: bool = False) -> Look:
    """Ask once, and return what came of it.

    :param refusals: let the service's own refusals out (a revoked key), for a caller that would ask like this for ever.
    """
    try:
        generation, pause = _ask(hook, generation_id, known, now=time.time())
    except ServiceError as error:
        if refusals and isinstance(error, Rejected) and not isinstance(error, NotFound):
            raise
        log.info("%s could not be looked at (%s); waiting for it", generation_id, error)
        limited = error if isinstance(error, RateLimited) else None
        return Look(pause=pause_asked_for(limited, now=time.time(), random=random()), missing=isinstance(error, NotFound))
    if not generation.state.ended:
        return Look(pause=pause)
    ending: Ending = "success" if generation.state is GenerationState.SUCCEEDED else "failed"
    message = generation_id + (" succeeded" if ending == "success" else f" failed at the service: {generation.error or 'no reason given'}")
    ended = Ended(ending, message, generation)
    return Look(event_of(ended, known=known, generation_id=generation_id, seen_at=_now()))


def _ask(hook: HappyHorseHook, generation_id: str, known: Mapping[str, Any], *, now: float) -> tuple[Generation, float]:
    """Return the answer, and the seconds for which its headers want no further question."""
    metrics = Metrics(hook.service.name)
    try:
        generation, headers = hook.send(hook.service.get(generation_id, kind=kind_of(known)).with_headers(), attempts=1)
    except ServiceError as error:
        metrics.asked(error)
        raise
    metrics.asked(None)
    return generation, pause_asked_for(hook.service.rate_limit(headers), now=now, random=random())


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
