"""The next request: about which generation or which page, and whether now is the time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from airflow_provider_happyhorse.api.errors import Rejected, ServiceError, Unauthorized, Unsupported
from airflow_provider_happyhorse.api.generation import Generation
from airflow_provider_happyhorse.polling.budget import Budget
from airflow_provider_happyhorse.polling.holding import SIDE_BY_SIDE, SWEEP_GAP, Holder
from airflow_provider_happyhorse.polling.lists import Freshness, Places
from airflow_provider_happyhorse.polling.render_times import RenderTimes
from airflow_provider_happyhorse.polling.steps import AskList, AskOne, Idle
from airflow_provider_happyhorse.polling.watched import BELIEVED, FIRST, OWED, Ranking, Watched, rank, starving_after, worth

#: Seconds of unnoticed waiting that a request must be expected to end: a three minutes' render is not asked about in its first seconds.
LEAST_WORTH = 0.01
#: Seconds after which somebody may be worth a request who was not.
LOOK_AGAIN = 1.0
#: The order is renewed after this many seconds, and later the more there are: it changes slowly, and is made from everybody.
RANK_SECONDS, RANKED_PER_SECOND = 0.5, 200.0
#: Seconds in which the answer to a window's first request is waited for.
OPENING_SECONDS = 5.0
#: Seconds between two looks, at least.
LEAST_IDLE = 0.05
#: A list that is taken for a stale one is looked at again after so many seconds,
PROBE_SECONDS = 60.0
#: and when that long an unnoticed waiting would end if it were fresh after all: endings are what tells.
PROBE_WORTH = 2.0
#: Seconds in which the list is not asked for, after it was refused, after it was refused to this key, and after another error.
LIST_REFUSED, LIST_FORBIDDEN, LIST_FAILED = 3600.0, 300.0, 60.0


class Choice:
    """Chooses among everybody who is watched.

    :param budget: of the key.
    :param watched: by generation; shared with the schedule, which changes it.
    :param list_rows: rows of a page of the list, None when there is none.
    """

    def __init__(self, budget: Budget, watched: Mapping[str, Watched], *, list_rows: int | None) -> None:
        self.freshness = Freshness()
        self.renders = RenderTimes()
        self._budget = budget
        self._watched = watched
        self._list_rows = list_rows
        self._places = Places(rows=list_rows or 1)
        self._pages_under_way: set[int] = set()
        self._list_not_before = -math.inf if list_rows else math.inf
        self._ranking = Ranking(-math.inf, [], {})
        self._sent_at = self._listed_at = -math.inf
        #: The last request was one that was owed: now a page may go before the next of those, which it may answer too.
        self._owed_had_one = False
        self._holder = Holder(budget.window, self.renders)

    def added(self, watched: Watched) -> None:
        """Take in a generation that is now waited for."""
        self._places.submitted(watched.generation_id, watched.begun)

    def removed(self, watched: Watched) -> None:
        """Forget a generation that nobody waits for any more."""
        self._places.forget(watched.generation_id)
        self.freshness.forget(watched.generation_id)

    def next(self, *, now: float) -> AskOne | AskList | Idle:
        """Return the request to make now."""
        step = self._next(now)
        if not isinstance(step, Idle):
            self._sent_at = now
            self._owed_had_one = isinstance(step, AskOne) and now >= self._watched[step.generation_id].end_time
            if isinstance(step, AskList):
                self._pages_under_way.add(step.page)
                self._listed_at = now
        return step

    def asked(self, watched: Watched, *, ended: bool, sent_at: float) -> float | None:
        """Learn from a single answer; returns for how long an ending is expected to have gone unnoticed, None without one."""
        belief, listed, since = self.renders.of(watched.key), watched.listed - watched.begun, watched.seen - watched.begun
        if not ended:
            self.freshness.asked_running(watched.generation_id, belief, listed=listed, since=since)
            watched.seen = max(watched.seen, sent_at)
            return None
        self.freshness.asked_ended(
            watched.generation_id, belief, listed=listed, since=since, age=max(watched.listed, sent_at) - watched.begun
        )
        return self._learn(watched, sent_at)

    def listed(self, ask: AskList, generation_ids: Sequence[str], rows: Sequence[tuple[Watched, Generation]]) -> list[float | None]:
        """Learn from a page; returns for each row that is waited for what :meth:`asked` returns."""
        now = ask.sent_at
        expected = [
            watched
            for watched in self._watched.values()
            if watched.kind == "video" and self._places.page(watched.generation_id, now=now) == ask.page
        ]
        there = dict.fromkeys(watched.generation_id for watched in [*expected, *(watched for watched, _ in rows)])
        self._places.listed(ask.page, generation_ids, there, now=now)
        self._ranking.pages.pop(ask.page, None)
        # What has ended comes last: one ending that the list shows first speaks for all of its rows.
        inorder = sorted(range(len(rows)), key=lambda index: rows[index][1].state.ended)
        lags = {index: self._row(*rows[index], now) for index in inorder}
        return [lags[index] for index in range(len(rows))]

    def list_back(self, ask: AskList) -> None:
        """Note that a page has come back, or has not."""
        self._pages_under_way.discard(ask.page)

    def list_failed(self, error: ServiceError, *, now: float) -> None:
        """Leave the list alone for some time; a service that refuses it is not asked again soon."""
        seconds = LIST_FAILED
        if isinstance(error, (Rejected, Unsupported)):
            seconds = LIST_FORBIDDEN if isinstance(error, Unauthorized) else LIST_REFUSED
        self._list_not_before = max(self._list_not_before, now + seconds)

    def list_again(self) -> None:
        """Ask for the list again, if there is one: with another key it may not be refused."""
        self._list_not_before = -math.inf if self._list_rows else math.inf

    def _row(self, watched: Watched, generation: Generation, now: float) -> float | None:
        since, belief = max(watched.seen, watched.listed) - watched.begun, self.renders.of(watched.key)
        age = max(since, now - watched.begun)
        if not generation.state.ended:
            self.freshness.listed_running(watched.generation_id, belief, since=since, age=age)
            watched.listed = max(watched.listed, now)
            return None
        if not watched.ended:
            self.freshness.listed_ended(belief, since=since, age=age)
        return self._learn(watched, now)

    def _learn(self, watched: Watched, now: float) -> float:
        seen = watched.seen if self.freshness.probability < BELIEVED else max(watched.seen, watched.listed)
        since, age, belief = seen - watched.begun, now - watched.begun, self.renders.of(watched.key)
        if watched.dated and not watched.ended:
            alike = (other.seen - other.begun for other in self._watched.values() if other.key == watched.key and other.dated)
            self.renders.ended(watched.key, since=since, age=age, running=alike)
        return belief.unnoticed(since, age) / max(1e-6, belief.ended(since, age)) if age > since else 0.0

    def _next(self, now: float) -> AskOne | AskList | Idle:
        if not self._watched:
            return Idle(math.inf)
        lists = now >= self._list_not_before
        doubted = lists and self.freshness.probability < BELIEVED
        if doubted and now >= self._listed_at + PROBE_SECONDS and self._budget.open_at(now=now) <= now:
            self._best(now)
            page, value = self._page()
            if value >= PROBE_WORTH:
                return self._list(page, now)
        if (not lists or doubted) and self._budget.window.fixed(now=now) and self._holder.is_batch(self._watched.values(), now=now):
            return self._held(now)
        ready = self._budget.ready_at(now=now)
        if ready > now:
            return Idle(ready)
        best, value = self._best(now)
        if lists:
            page, page_value = self._page()
            before = 0.0 if value >= OWED and self._owed_had_one else value
            if page_value * self.freshness.probability > max(before, LEAST_WORTH):
                return self._list(page, now)
        if best is None or value < LEAST_WORTH:
            best = self._spare()
        return self._idle(now) if best is None else AskOne(best.generation_id, best.kind, now)

    def _spare(self) -> Watched | None:
        """Return who has not been asked about for some time; what is believed of render times may be wrong."""
        while self._ranking.spare:
            watched = self._ranking.spare.pop()
            if self._stands(watched):
                return watched
        return None

    def _stands(self, watched: Watched) -> bool:
        """Say whether a generation is still to be asked about as when the order was made."""
        free = watched.under_way is None and (not watched.hung or self._room_for_hung())
        return bool(watched.waits) and free and watched.answered < self._ranking.at

    def _room_for_hung(self) -> bool:
        """Say whether one more request may be made that will probably hang: all that are under way would leave nothing to the others."""
        return sum(1 for watched in self._watched.values() if watched.hung and watched.under_way is not None) < SIDE_BY_SIDE // 2

    def _page(self) -> tuple[int, float]:
        """Return the page that is worth most, if the list is fresh, and how much."""
        pages = {page: value for page, value in self._ranking.pages.items() if page not in self._pages_under_way}
        return max(pages.items(), key=lambda each: each[1], default=(1, 0.0))

    def _list(self, page: int, now: float) -> AskList:
        return AskList(page, self._list_rows or 1, now)

    def _held(self, now: float) -> AskOne | Idle:
        """Return the request to make now where a window's requests may be spent whenever it is best."""
        window = self._budget.window
        ready = max(self._budget.open_at(now=now), self._sent_at + SWEEP_GAP)
        if ready > now:
            return Idle(ready)
        best, value = self._best(now)
        if best is None:
            return self._idle(now)
        reset = window.reset(now=now)
        if reset is None:
            # The first request of a window tells when it ends, and where windows begin with it, begins it.
            if self._sent_at > window.told_for and now < self._sent_at + OPENING_SECONDS:
                return Idle(self._sent_at + OPENING_SECONDS)
            return AskOne(best.generation_id, best.kind, now)
        least, look = self._holder.least_worth(self._watched.values(), reset=reset, now=now)
        if value >= max(least, LEAST_WORTH):
            return AskOne(best.generation_id, best.kind, now)
        return Idle(look if math.isinf(least) else min(now + LOOK_AGAIN, look))

    def _best(self, now: float) -> tuple[Watched | None, float]:
        """Return who is worth a request most, and how much; who was asked about since the order was made is in it no more."""
        old = now >= self._old_at()
        for _ in range(2):
            if old:
                self._rank(now)
            order = self._ranking.singles
            while order:
                value, watched = order[-1]
                if self._stands(watched):
                    return watched, value if value >= FIRST else worth(watched, self.renders, self.freshness.probability, now)
                order.pop()
            if old:
                break
            old = True
        return None, 0.0

    def _rank(self, now: float) -> None:
        starving = starving_after(len(self._watched), self._budget.seconds_per_request)
        places = self._places if now >= self._list_not_before else None
        self._ranking = rank(
            self._watched.values(),
            self.renders,
            places=places,
            fresh=self.freshness.probability,
            starving=starving,
            now=now,
            hung_too=self._room_for_hung(),
        )

    def _idle(self, now: float) -> Idle:
        again = max(self._ranking.again, now + LEAST_IDLE)
        return Idle(min(now + LOOK_AGAIN, again, max(self._old_at(), now + LEAST_IDLE)) if self._ranking.singles else again)

    def _old_at(self) -> float:
        return self._ranking.at + RANK_SECONDS + len(self._watched) / RANKED_PER_SECOND
