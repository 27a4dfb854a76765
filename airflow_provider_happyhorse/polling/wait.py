"""One generation's wait: what an answer or an error means at a given moment.

Every driver feeds the same object, so they cannot drift: the worker's loop, which asks when it says, and the shared schedule, which asks
about many generations on one budget and takes from here only what an answer means, and how long a generation without one is left alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from airflow_provider_happyhorse.api.errors import NotFound, RateLimited, Rejected, ServiceError, ServiceFault, Unauthorized
from airflow_provider_happyhorse.api.generation import Generation, GenerationState
from airflow_provider_happyhorse.api.retry import LONGEST_PAUSE

#: An old generation is asked about every tenth of its age, at the latest after this many times ``first_delay``.
LONGEST_INTERVAL = 3.0
#: The same while the service does not answer.
LONGEST_BACKOFF = 6.0
#: Seconds between two requests about one generation, whatever ``first_delay`` says.
LEAST_SECONDS = 0.1
#: An id may be unknown for a moment after submission; neither vendor documents a 404 at all.
NOT_FOUND_IN_A_ROW = 6

Ending = Literal["success", "failed", "timeout", "error"]


@dataclass(frozen=True)
class Ask:
    """Ask again after some seconds.

    :param after: seconds, at least 0.
    :param notice: a line for the log, ``""`` for none: only changes are worth one.
    :param renew_connection: look the connection up again first; the key may have been rotated.
    """

    after: float
    notice: str = ""
    renew_connection: bool = False


@dataclass(frozen=True)
class Ended:
    """The wait is over.

    :param ending: ``success`` and ``failed`` are the generation's own; ``timeout`` and ``error`` say nothing about it.
    :param message: what happened, for a person.
    :param generation: the last answer, None without one.
    """

    ending: Ending
    message: str
    generation: Generation | None = None


class Wait:
    """Decides, answer by answer.

    :param generation_id: whom to ask about.
    :param started_at: Unix time at which this wait began.
    :param end_time: Unix time at which it gives up; nothing is cancelled.
    :param first_delay: seconds before the first request, and the least between two about a generation that does not change.
    """

    def __init__(self, *, generation_id: str, started_at: float, end_time: float, first_delay: float) -> None:
        self.generation_id = generation_id
        self.end_time = end_time
        self._started_at = started_at
        self._pace = max(first_delay, LEAST_SECONDS)
        self._last: Generation | None = None
        self._errors_in_a_row = 0
        self._not_found_in_a_row = 0
        self._key_refused = False
        #: What the last request ended with, None if it was answered: a timeout says it.
        self._trouble: ServiceError | None = None

    @property
    def owed_from(self) -> float:
        """Unix time from which it is owed one last request: its deadline, which may have passed while no triggerer ran."""
        return max(self.end_time, self._started_at)

    def first(self, *, now: float) -> Ask:
        """Return when to ask for the first time."""
        return Ask(self._until_deadline(self._pace, now))

    def on_answer(self, generation: Generation, *, now: float, random: float) -> Ask | Ended:
        """Return what an answer means.

        :param random: 0 to 1, spreads waits that began together.
        """
        before, self._last, self._trouble = self._last, generation, None
        recovered = "; the service answers again" if self._errors_in_a_row else ""
        self._errors_in_a_row = self._not_found_in_a_row = 0
        self._key_refused = False
        if generation.state is GenerationState.SUCCEEDED:
            return Ended("success", f"{self.generation_id} succeeded", generation)
        if generation.state is GenerationState.FAILED:
            return Ended("failed", f"{self.generation_id} failed at the service: {generation.error or 'no reason given'}", generation)
        if now >= self.end_time:
            return self.timeout(now=now)
        changed = before is None or before.raw_status != generation.raw_status
        notice = f"{self.generation_id} is {generation.raw_status!r}{recovered}" if changed or recovered else ""
        age = now - self._started_at
        interval = min(max(self._pace, age / 10), self._pace * LONGEST_INTERVAL)
        return Ask(self._until_deadline(interval * (0.9 + 0.2 * random), now), notice)

    def on_error(self, error: ServiceError, *, now: float, random: float, grace: float = 0.0) -> Ask | Ended:
        """Return what a request without a usable answer means. It never means that the generation has failed.

        :param grace: seconds after the deadline in which the request that is owed may be tried again.
        """
        self._trouble = error
        if isinstance(error, Unauthorized):
            if self._key_refused:
                return self.key_refused(error)
            self._key_refused = True
            return Ask(0.0, f"the service refuses the API key ({error}); reading the connection again", renew_connection=True)
        if not isinstance(error, NotFound):
            self._not_found_in_a_row = 0
        else:
            self._not_found_in_a_row += 1
            if self._not_found_in_a_row >= NOT_FOUND_IN_A_ROW:
                return Ended("error", f"the service does not know {self.generation_id} ({error})", self._last)
        if isinstance(error, Rejected) and not isinstance(error, NotFound):
            return Ended("error", f"the service refuses to tell about {self.generation_id} ({error})", self._last)
        self._errors_in_a_row += 1
        # Capped before the power is taken: an outage of a thousand errors in a row would overflow, and end the wait.
        backoff = self._pace * min(2.0 ** min(self._errors_in_a_row - 1, 10), LONGEST_BACKOFF)
        asked = error.retry_after if isinstance(error, (RateLimited, ServiceFault)) else None
        # "Try again in 0 s" comes from windows that have just been reset; asking at once would meet the next refusal.
        delay = backoff if asked is None else max(min(asked, LONGEST_PAUSE), self._pace) + random * self._pace
        if now >= self.end_time and now + delay >= self.owed_from + grace:
            return self.timeout(now=now)
        notice = f"no answer about {self.generation_id} ({error}); still waiting" if self._errors_in_a_row == 1 else ""
        if now >= self.end_time:
            return Ask(delay, notice)
        return Ask(self._until_deadline(delay, now), notice)

    def listed(self, generation: Generation) -> None:
        """Note what a list that knows says of a generation that has not ended: a timeout says it."""
        self._last = generation

    def _until_deadline(self, delay: float, now: float) -> float:
        """Return the delay, cut so that the last request is made at the deadline and not after it."""
        return max(0.0, min(delay, self.end_time - now))

    def key_refused(self, error: Unauthorized) -> Ended:
        """Return the end of a wait whose key the service has refused after it was looked up again."""
        why = f"the service refuses the API key while {self.generation_id} is waited for ({error}); the video is not affected"
        return Ended("error", why, self._last)

    def timeout(self, *, now: float) -> Ended:
        """Return the end of a wait whose deadline is over."""
        status = f"last seen {self._last.raw_status!r}" if self._last else "never seen"
        trouble = f", last request: {self._trouble}" if self._trouble else ""
        running = "is still running" if self._last else "was not seen to end"
        waited = f"{self.generation_id} {running} after {now - self._started_at:.0f} s ({status}{trouble})"
        return Ended("timeout", waited, self._last)
