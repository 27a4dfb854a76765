"""What the headers of one key's answers say of its window: how much is left, until when, and whether the window is a fixed one."""

from __future__ import annotations

import math
from bisect import bisect_right, insort
from collections import deque
from dataclasses import dataclass

from airflow_provider_happyhorse.api.generation import RateLimit

#: The vendor counts per minute (https://happy-horse.ai/docs/api-reference, "Rate Limiting").
WINDOW = 60.0
#: Resets at which a window behaved as a fixed one before it is believed to be one.
PROOFS = 2
#: So many requests must have been counted in a window for its reset to prove anything.
TELLING = 5
#: Seconds after a refusal, and after somebody else was seen on the key, in which nothing is held back.
CAUTION, COMPANY = 300.0, 60.0
#: Requests by which the count of the key may differ from ours (the reset is told in whole seconds) without anybody else being there.
TOLERANCE = 2.0
#: Seconds in which most of what was believed of others fades where answers show less.
FADING = 20.0
#: Submissions of what is waited for are counted while they are this part of the limit, and in a batch that goes on for longer than a window
#: no more than that part of it: whoever is to learn that the limit is higher must ask.
BATCH, MOST_OF_BATCH = 0.5, 0.9
#: Seconds after which a number of requests left that never changes is taken for no count, where it is less than this part of the limit.
NO_COUNT, TOO_FEW = 180.0, 0.5
#: Seconds by which a ``Date`` header may be late: many servers write it anew once a second. The reset beside it is not late.
DATE_BEHIND = 1.0


class Clock:
    """How far the service's clock is ahead of ours, from ``Date`` headers, which tell whole seconds, and at many servers late."""

    def __init__(self) -> None:
        self._least, self._most = -math.inf, math.inf

    def heard(self, told_at: float | None, *, sent_at: float, now: float) -> None:
        """Learn from an answer to a request."""
        if told_at is None:
            return
        least, most = told_at - now, told_at + 1.0 + DATE_BEHIND - sent_at
        self._least, self._most = max(self._least, least), min(self._most, most)
        if self._least > self._most:  # a clock was set
            self._least, self._most = least, most

    def latest(self, there: float) -> float:
        """Return the latest time here at which it is ``there`` on the service's clock."""
        return there - self._least if math.isfinite(self._least) else there

    def earliest(self, there: float) -> float:
        """Return the earliest time here at which it is ``there`` on the service's clock."""
        return there - self._most if math.isfinite(self._most) else there


@dataclass(frozen=True)
class _Told:
    remaining: int
    reset_at: float


class Window:
    """The window of one key.

    :param limit: requests per window, until a header tells it.
    """

    def __init__(self, *, limit: float) -> None:
        self.limit = limit
        #: Requests per minute that others make with the key, as far as the headers show.
        self.others = 0.0
        self._looked_at = -math.inf
        #: Seconds until an answer comes, lately.
        self.latency = 0.0
        self._clock = Clock()
        self._sent: deque[float] = deque()
        #: When what is waited for was submitted, sorted, and since when there has always been such a submission in the last minute.
        self._submitted: list[float] = []
        self._submitted_from = -math.inf
        self._told: _Told | None = None
        #: When the request was made whose answer told most lately.
        self.told_for = -math.inf
        self._proofs = 0
        self._careful_until = -math.inf
        #: The requests left that were told last, and since when nothing else was.
        self._same: tuple[int, float] | None = None

    def spend(self, *, now: float) -> None:
        """Count a request of ours."""
        self._sent.append(now)
        while self._sent[0] < now - 2 * WINDOW:
            self._sent.popleft()

    def sent_since(self, moment: float) -> int:
        """Return how many requests of ours were made after a moment."""
        return sum(1 for sent in self._sent if sent > moment)

    def submitted(self, moment: float, *, now: float) -> None:
        """Note the submission of what is waited for now: a request that somebody has made with this key."""
        if moment <= now - WINDOW:
            return
        del self._submitted[: bisect_right(self._submitted, now - WINDOW)]
        if not self._submitted:
            self._submitted_from = moment
        insort(self._submitted, moment)

    def in_batch(self, *, now: float) -> bool:
        """Say whether a batch of what is waited for now began to be submitted in the last minute."""
        return self._batch(now=now) > 0 and now < self._submitted_from + WINDOW

    def refused(self, *, now: float) -> None:
        """Note a 429: whatever was believed of the window is to be proven again."""
        self._proofs = 0
        self._careful_until = now + CAUTION
        self._same = None

    def heard(self, rate: RateLimit, *, sent_at: float, now: float) -> None:
        """Learn from the headers of an answer."""
        if rate.limit is not None:
            self.limit = float(rate.limit)
        self.latency += 0.1 * (now - sent_at - self.latency)
        self._clock.heard(rate.told_at, sent_at=sent_at, now=now)
        if rate.remaining is None or rate.reset_at is None or sent_at < self.told_for:
            return
        # A header in milliseconds, or two clocks an hour apart, must not silence everybody until that reset.
        if rate.reset_at - (now if rate.told_at is None else rate.told_at) > WINDOW + TOLERANCE:
            return
        if not self._counts(rate.remaining, now=now):
            self._told, self.others = None, 0.0
            return
        told = _Told(rate.remaining, rate.reset_at)
        before, self._told, self.told_for = self._told, told, sent_at
        self._see_others(told, now=now)
        if before is not None:
            self._see_kind(before, told, sent_at=sent_at)

    def _counts(self, remaining: int, *, now: float) -> bool:
        """Say whether what is told to be left can be a count; 0 for ever, with nothing refused, would be a request a minute."""
        if self._same is None or self._same[0] != remaining:
            self._same = (remaining, now)
        return remaining > TOO_FEW * self.limit or now < self._same[1] + NO_COUNT

    def fixed(self, *, now: float) -> bool:
        """Say whether requests may be held back: the window is proven to be a fixed one, and nobody else spends it meanwhile."""
        return self._proofs >= PROOFS and now >= self._careful_until and self._told is not None

    def left(self, *, now: float) -> float:
        """Return how many requests the key may still make before the reset, as far as we know."""
        if self._told is None:
            return self.limit - self.sent_since(now - WINDOW) - self._batch(now=now)
        reset = self._clock.latest(self._told.reset_at)
        if now >= reset:
            return self.limit - self.sent_since(reset)
        return self._told.remaining - self.sent_since(self.told_for)

    def _batch(self, *, now: float) -> float:
        """Return how much of the window a batch of submissions has taken, as far as it is known."""
        batch = len(self._submitted) - bisect_right(self._submitted, now - WINDOW)
        if not BATCH * self.limit <= batch <= 2 * self.limit:
            return 0.0  # of a fixed window's end and the next one's beginning: no more can have been accepted if that is the limit
        return batch if now < self._submitted_from + WINDOW else min(batch, MOST_OF_BATCH * self.limit)

    def reset(self, *, now: float) -> tuple[float, float] | None:
        """Return between which two times here the window resets, None when no running window is known."""
        if self._told is None:
            return None
        latest = self._clock.latest(self._told.reset_at)
        return (self._clock.earliest(self._told.reset_at - 1.0), latest) if latest > now else None

    def _see_others(self, told: _Told, *, now: float) -> None:
        # Also where the window slides: there the reset is when its oldest request leaves it.
        began = self._clock.earliest(told.reset_at - 1.0) - WINDOW
        elapsed = min(WINDOW, max(0.0, now - began))
        ours = self.sent_since(max(began - 0.5, now - WINDOW - 0.5))
        extra = self.limit - told.remaining - ours
        if extra <= TOLERANCE:
            extra = 0.0
        else:
            self._careful_until = max(self._careful_until, now + COMPANY)
        seen = min(self.limit, extra / max(elapsed, WINDOW / 4) * WINDOW)
        # A burst is over when a window shows nothing of it, however few answers of ours say so; one that has just begun shows nothing yet.
        less = 1 - math.exp(-min(elapsed, now - self._looked_at) / FADING)
        self._looked_at = now
        self.others += (seen - self.others) * (0.2 if seen > self.others else less)

    def _see_kind(self, before: _Told, told: _Told, *, sent_at: float) -> None:
        """Take each reset for a proof or a contradiction: a fixed window keeps its reset, and then gives everything back at once."""
        if abs(told.reset_at - before.reset_at) < 1.5:
            return
        passed = sent_at >= self._clock.earliest(before.reset_at - 1.0)
        counted, counted_before = self.limit - told.remaining, self.limit - before.remaining
        ours = self.sent_since(self._clock.earliest(before.reset_at - 1.0))
        if not passed or told.reset_at < before.reset_at + WINDOW / 2:
            self._proofs = 0
        elif counted <= ours + TOLERANCE:
            self._proofs += counted_before >= TELLING
        elif counted > counted_before / 2:
            self._proofs = 0
