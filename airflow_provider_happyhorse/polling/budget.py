"""When one key may be asked next, so that no window refuses a request, and others with the same key have their share."""

from __future__ import annotations

import math

from airflow_provider_happyhorse.api.generation import RateLimit
from airflow_provider_happyhorse.api.retry import LONGEST_PAUSE
from airflow_provider_happyhorse.polling.windows import WINDOW, Window

#: Share of the limit that is spent. Measured: up to 0.98 of it no window refused a request, at 1.00 up to 1.3 %.
SHARE = 0.97
#: The least share a client keeps for itself, however much others spend: two that gave way to each other for ever would starve.
LEAST_SHARE = 0.1
#: Share of the limit that the pace gains per minute while nothing speaks against it; less from this part of the pace on that was refused.
GAIN, GAIN_NEAR, NEAR = 0.05, 0.002, 0.7
#: Share of the limit that it gains per minute after a refusal that says nothing of our part of the limit, up to where it was. One says
#: something where at least this part of our pace was really spent in the minute before.
GAIN_BACK, REALLY = 1.0, 0.25
#: Share of the limit that a client begins with where headers tell, and after how many seconds of them whoever shares the key would have
#: been seen.
BEGINNING, FIRST_LOOK = 0.5, 20.0
#: Seconds after which a refusal says nothing of the present any more.
FORGOTTEN = 1800.0
#: Requests per minute of others below which the key is taken to be ours alone, and so many standard deviations of theirs are left free.
ALONE, SPREAD = 1.0, 1.5
#: What is left of the pace after a refusal, and after the headers showed that all together were about to spend too much.
HALVED, SLOWED = 0.5, 0.8
#: Seconds in which the pace is slowed at most once: the headers show the effect late.
PATIENCE = 15.0
#: Seconds by which a driver may be late.
LATE = 0.5
#: Seconds after a reset before it is believed.
AFTER_RESET = 0.05
#: Seconds of jitter after a pause, so that processes that wait for the same reset do not return together.
JITTER = 5.0


class Budget:
    """The requests of one key.

    :param requests_per_minute: the limit until a header tells it; where none ever does, the pace never goes beyond it.
    """

    def __init__(self, *, requests_per_minute: float) -> None:
        self.window = Window(limit=max(1.0, requests_per_minute))
        #: Requests per minute we make at most now, which adapts.
        self._pace = self.window.limit * SHARE
        #: When headers told something first.
        self._told_from = math.inf
        self._free_at = 0.0
        self._paused_until = 0.0
        self._adapted_at: float | None = None
        self._slowed_at = -WINDOW
        #: The pace at which a request was refused last, and when.
        self._refused_at, self._refused_when = math.inf, -math.inf
        #: The pace before a refusal that told nothing of our part of the limit.
        self._back_to = 0.0

    @property
    def seconds_per_request(self) -> float:
        """Seconds between two requests at an even pace."""
        return WINDOW / self._pace

    def ready_at(self, *, now: float) -> float:
        """Return the time from which the next request may be made at an even pace."""
        return max(self._free_at, self.open_at(now=now))

    def open_at(self, *, now: float) -> float:
        """Return the time from which any request may be made, however urgent."""
        if self._paused_until > now:
            return self._paused_until
        left, reset = self.window.left(now=now), self.window.reset(now=now)
        if reset is None:
            return now if left >= 1 else now + self.seconds_per_request
        if self.window.others < ALONE:
            return now if left >= 1 else reset[1] + AFTER_RESET
        # What others are expected to need until the reset is not ours; the nearer it is, the less that is.
        per_second = self.window.others / WINDOW
        left -= per_second * max(0.0, now - self.window.told_for)
        return max(now, reset[1] + AFTER_RESET - max(0.0, left - 1) / per_second)

    def spend(self, *, now: float, random: float) -> None:
        """Count a request that is made now.

        :param random: 0 to 1; the pace trembles a little, so that processes that share a key do not march in step.
        """
        gap = self.seconds_per_request
        # A driver that comes a little late gets that back; one that comes later was held by the window, which must not see a burst then.
        # And one that has spent a window at once paces from its last request on.
        due = self._free_at if now - self._free_at < min(LATE, gap / 2) else now
        self._free_at = min(due, now + gap / 2) + gap * (0.98 + 0.04 * random)
        self.window.spend(now=now)

    def heard(self, rate: RateLimit | None, *, sent_at: float, now: float) -> None:
        """Learn from the headers of an answer, None when they say nothing."""
        limit = self.window.limit
        if rate is not None:
            if math.isinf(self._told_from):
                self._told_from = now
                self._pace = min(self._pace, limit * BEGINNING)
            self.window.heard(rate, sent_at=sent_at, now=now)
        self._pace *= self.window.limit / limit
        self._adapt(now=now)

    def refused(self, retry_after: float | None, *, now: float, random: float) -> None:
        """Pause everything after a 429: until the reset, and a moment that differs between processes.

        :param retry_after: seconds the service asks to wait, None when it does not say.
        """
        wait = WINDOW / 2 if retry_after is None else min(max(1.0, retry_after), LONGEST_PAUSE)
        self._paused_until = max(self._paused_until, now + wait + random * JITTER)
        self.window.refused(now=now)
        self._adapted_at = self._paused_until  # while everything pauses, nothing shows that there is room
        ours = min(self._pace, self.window.sent_since(now - WINDOW))
        if ours >= REALLY * self._pace and not self.window.in_batch(now=now):
            # All together have spent the limit, and no more than this of it was ours.
            if now >= self._slowed_at + PATIENCE:
                self._refused_at, self._back_to = ours, 0.0
            self._refused_when = now
            self._slow(min(HALVED, SLOWED * ours / self._pace), now=now)
        elif now >= self._slowed_at + WINDOW:
            # We had hardly asked, or a batch was being submitted: it was spent in a burst, which says nothing of our part from now on.
            self._back_to = max(self._back_to, self._pace)
            self._slow(HALVED, now=now)

    def pause(self, seconds: float, *, now: float) -> None:
        """Make no request for some time, because nothing answers."""
        self._paused_until = max(self._paused_until, now + seconds)

    def _adapt(self, *, now: float) -> None:
        elapsed = 0.0 if self._adapted_at is None else min(WINDOW, max(0.0, now - self._adapted_at))
        self._adapted_at = now if self._adapted_at is None else max(now, self._adapted_at)
        if now >= self._refused_when + FORGOTTEN:
            self._refused_at = math.inf
        most, others = self.window.limit * SHARE, self.window.others
        room = most if others < ALONE else most - others - SPREAD * math.sqrt(others)
        if self._pace > room + 1:
            self._slow(SLOWED, now=now)
        elif others < ALONE and math.isinf(self._refused_at) and now >= self._told_from + FIRST_LOOK:
            self._pace = most
        elif self._pace < room:
            gain = GAIN_NEAR if self._pace > NEAR * self._refused_at else GAIN_BACK if self._pace < self._back_to else GAIN
            self._pace += gain * self.window.limit * elapsed / WINDOW
        self._pace = min(self._pace, most)

    def _slow(self, factor: float, *, now: float) -> None:
        if now >= self._slowed_at + PATIENCE:
            self._slowed_at = now
            self._pace = max(self._pace * factor, self.window.limit * LEAST_SHARE)
