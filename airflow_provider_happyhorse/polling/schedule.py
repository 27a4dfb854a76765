"""Which request to make now, for many waiters on one request budget.

The driver's loop, in full::

    for told in schedule.overdue(now=now): tell(told)
    match schedule.next(now=now, random=random()):
        case Idle(until): sleep until then, or until a waiter is added or an answer comes
        case AskOne() | AskList() as ask: send it, and then exactly one of
            heard = schedule.on_answer(ask, generation, now=..., random=..., rate=...)
            heard = schedule.on_list(ask, generations, now=..., random=..., rate=...)
            heard = schedule.on_error(ask, error, now=..., random=..., rate=...)

Several requests may be under way at once (the loop need not wait for an answer before it calls ``next`` again), never two about the same
generation. Every ask must come back by one of the three; one that never does keeps its generation from being asked about again.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

from airflow_provider_happyhorse.api.errors import RateLimited, Rejected, ServiceError, Unauthorized
from airflow_provider_happyhorse.api.generation import Generation, GenerationState, RateLimit
from airflow_provider_happyhorse.polling.budget import Budget
from airflow_provider_happyhorse.polling.choice import Choice
from airflow_provider_happyhorse.polling.steps import AskList, AskOne, Heard, Idle, Token, Told, Waiter
from airflow_provider_happyhorse.polling.wait import Ask, Ended, Wait
from airflow_provider_happyhorse.polling.watched import CERTAIN, Watched

#: Seconds after its deadline in which a waiter may still get the request it is owed, longer while others get theirs; then it is told
#: without one.
GRACE, LONGEST_GRACE = 60.0, 600.0
#: An answer of the last seconds before the deadline is as good as one at the deadline.
RECENT = 5.0
#: Requests in a row without an answer, about whatever, after which everything pauses, and for how many seconds at most.
OUTAGE, LONGEST_PAUSE = 3, 60.0
#: Seconds without an answer after which a request has hung.
HUNG = 10.0


class Schedule:
    """Decides about every request of one key.

    :param requests_per_minute: the key's limit until the service's headers tell it; adapted where they never do.
    :param list_rows: rows of one page of the service's list, None when it does not list.
    """

    def __init__(self, *, requests_per_minute: float = 60.0, list_rows: int | None = None) -> None:
        self._budget = Budget(requests_per_minute=requests_per_minute)
        self._watched: dict[str, Watched] = {}
        self._generation_of: dict[Token, str] = {}
        self._choice = Choice(self._budget, self._watched, list_rows=list_rows)
        #: Asks handed out before this moment carry the key that has since been looked up again.
        self._renewed_at = -math.inf
        self._key_refused = False
        self._unanswered = 0
        self._answered_at = -math.inf
        #: Before this moment nobody's deadline is over.
        self._first_deadline = math.inf

    def __len__(self) -> int:
        """Return how many waiters there are."""
        return len(self._generation_of)

    @property
    def list_is_fresh(self) -> bool:
        """Whether the service's list is asked for and has proven to know what has ended."""
        return self._choice.freshness.probability > CERTAIN

    def add(self, token: Token, waiter: Waiter, *, now: float) -> None:
        """Begin to wait.

        :raises ValueError: the token is waiting already.
        """
        if token in self._generation_of:
            raise ValueError(f"{token!r} is waiting already")
        wait = Wait(generation_id=waiter.generation_id, started_at=now, end_time=waiter.end_time, first_delay=waiter.first_delay)
        first = now + waiter.first_delay
        watched = self._watched.get(waiter.generation_id)
        if watched is None:
            begun = now if waiter.submitted_at is None else min(now, waiter.submitted_at)
            dated = waiter.submitted_at is not None
            watched = Watched(waiter.generation_id, waiter.kind, waiter.learning_key, begun, dated, waiter.first_delay, first, begun)
            self._watched[waiter.generation_id] = watched
            self._choice.added(watched)
            if dated:
                self._budget.window.submitted(begun, now=now)
        watched.not_before = min(watched.not_before, first)
        watched.patience = min(watched.patience, waiter.first_delay)
        watched.waits[token] = wait
        watched.end_time = min(watched.end_time, wait.end_time)
        self._first_deadline = min(self._first_deadline, wait.end_time)
        self._generation_of[token] = waiter.generation_id

    def remove(self, token: Token) -> None:
        """Forget a waiter; one that is not there is none."""
        generation_id = self._generation_of.pop(token, None)
        if generation_id is None:
            return
        watched = self._watched[generation_id]
        del watched.waits[token]
        watched.end_time = min((wait.end_time for wait in watched.waits.values()), default=math.inf)
        if not watched.waits:
            del self._watched[generation_id]
            self._choice.removed(watched)

    def overdue(self, *, now: float) -> tuple[Told, ...]:
        """Return the waiters whose deadline is over and for whom no request will be made any more; they have been removed.

        At its deadline a waiter is owed one last request, which goes before all others; a minute later it is told without one.
        """
        if now < self._first_deadline:
            return ()
        self._first_deadline = min((watched.end_time for watched in self._watched.values()), default=math.inf)
        grace = GRACE if now >= self._answered_at + GRACE else LONGEST_GRACE
        over = [
            (token, wait)
            for watched in self._watched.values()
            if now >= watched.end_time and watched.under_way is None
            for token, wait in watched.waits.items()
            if now >= wait.end_time and (self._last_told(watched) >= wait.end_time - RECENT or now >= wait.owed_from + grace)
        ]
        return tuple(self._tell([(token, wait.timeout(now=now)) for token, wait in over]))

    def _last_told(self, watched: Watched) -> float:
        """Return when it was last seen running; the rows of a list that has proven itself are as good as an answer."""
        return max(watched.told, watched.listed) if self.list_is_fresh and not watched.ended else watched.told

    def next(self, *, now: float, random: float) -> AskOne | AskList | Idle:
        """Return what to do now. An ask is counted as made.

        :param random: 0 to 1, new at every call.
        """
        step = self._choice.next(now=now)
        if isinstance(step, AskOne):
            self._watched[step.generation_id].under_way = now
        if not isinstance(step, Idle):
            self._budget.spend(now=now, random=random)
        return step

    def on_answer(self, ask: AskOne, generation: Generation, *, now: float, random: float, rate: RateLimit | None = None) -> Heard:
        """Take in the answer to a question about one generation; every waiter for it learns it.

        :param random: 0 to 1.
        :param rate: what the answer's headers say.
        """
        self._answered(ask, rate, now=now)
        watched = self._watched.get(ask.generation_id)
        if watched is None:
            return Heard()
        watched.hung = False
        lag = self._choice.asked(watched, ended=generation.state.ended, sent_at=ask.sent_at)
        steps = [(token, wait.on_answer(generation, now=now, random=random)) for token, wait in watched.waits.items()]
        return Heard(tuple(self._tell(steps, lag)))

    def on_list(
        self, ask: AskList, generations: Sequence[Generation], *, now: float, random: float, rate: RateLimit | None = None
    ) -> Heard:
        """Take in a page of the list. A row that has ended with all that is needed ends the wait, without another request.

        :param generations: the rows, newest first; fewer than ``ask.limit`` are the last page.
        """
        self._answered(ask, rate, now=now)
        rows = [(self._watched[row.generation_id], row) for row in generations if row.generation_id in self._watched]
        lags = self._choice.listed(ask, [row.generation_id for row in generations], rows)
        told: list[Told] = []
        for (watched, generation), lag in zip(rows, lags, strict=True):
            if generation.state is GenerationState.SUCCEEDED and not generation.result_urls:
                watched.ended = True
            elif generation.state.ended:
                steps = [(token, wait.on_answer(generation, now=now, random=random)) for token, wait in watched.waits.items()]
                told += self._tell(steps, lag)
            elif self.list_is_fresh:
                for wait in watched.waits.values():
                    wait.listed(generation)
        return Heard(tuple(told))

    def on_error(self, ask: AskOne | AskList, error: ServiceError, *, now: float, random: float, rate: RateLimit | None = None) -> Heard:
        """Take in a request that brought no usable answer. It never means that a generation has failed."""
        self._back(ask, rate, now=now)
        if isinstance(error, Unauthorized) and (isinstance(ask, AskOne) or ask.sent_at <= self._renewed_at):
            return self._on_refused_key(ask, error, now=now)
        if isinstance(error, RateLimited):
            self._budget.refused(error.retry_after, now=now, random=random)
        elif isinstance(error, Rejected):
            self._unanswered = 0  # a 404 is an answer, and nobody else's trouble
        else:
            self._unanswered += 1
            if self._unanswered >= OUTAGE:
                self._budget.pause(min(LONGEST_PAUSE, 2.0 ** min(self._unanswered - OUTAGE, 10)) * (0.75 + 0.5 * random), now=now)
        if isinstance(ask, AskList):
            self._choice.list_failed(error, now=now)
            return Heard()
        watched = self._watched.get(ask.generation_id)
        if watched is None:
            return Heard()
        watched.hung = now >= ask.sent_at + HUNG
        steps = [(token, wait.on_error(error, now=now, random=random, grace=GRACE)) for token, wait in watched.waits.items()]
        if not isinstance(error, RateLimited):
            watched.not_before = now + min((step.after for _, step in steps if isinstance(step, Ask)), default=0.0)
        return Heard(tuple(self._tell(steps)))

    def _on_refused_key(self, ask: AskOne | AskList, error: Unauthorized, *, now: float) -> Heard:
        """Have the connection looked up again once; a key that is refused after that ends every wait.

        Only a question about a generation says that of the key: one may be allowed to ask for a video, and not to list.
        """
        if ask.sent_at <= self._renewed_at:
            return Heard()  # it carried the old key
        if self._key_refused:
            waits = [(token, wait) for watched in self._watched.values() for token, wait in watched.waits.items()]
            return Heard(tuple(self._tell([(token, wait.key_refused(error)) for token, wait in waits])))
        self._key_refused, self._renewed_at = True, now
        self._choice.list_again()
        tokens = list(self._watched[ask.generation_id].waits if isinstance(ask, AskOne) and ask.generation_id in self._watched else ())
        notice = Ask(0.0, f"the service refuses the API key ({error}); reading the connection again")
        return Heard(tuple(Told(token, notice) for token in tokens), renew_connection=True)

    def _answered(self, ask: AskOne | AskList, rate: RateLimit | None, *, now: float) -> None:
        self._back(ask, rate, now=now)
        if isinstance(ask, AskOne) and ask.generation_id in self._watched:
            self._watched[ask.generation_id].told = now
        self._key_refused = False
        self._unanswered = 0
        self._answered_at = now

    def _back(self, ask: AskOne | AskList, rate: RateLimit | None, *, now: float) -> None:
        self._budget.heard(rate, sent_at=ask.sent_at, now=now)
        if isinstance(ask, AskList):
            self._choice.list_back(ask)
        elif (watched := self._watched.get(ask.generation_id)) is not None:
            watched.under_way = None
            watched.answered = now

    def _tell(self, steps: Iterable[tuple[Token, Ask | Ended]], lag: float | None = None) -> Iterator[Told]:
        for token, step in steps:
            if isinstance(step, Ended):
                self.remove(token)
                yield Told(token, step, lag)
            elif step.notice:
                yield Told(token, step)
