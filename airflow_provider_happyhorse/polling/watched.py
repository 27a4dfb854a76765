"""The generations that are waited for, and what asking about each is worth now."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from airflow_provider_happyhorse.api.generation import Kind
from airflow_provider_happyhorse.polling.lists import Places
from airflow_provider_happyhorse.polling.render_times import RenderTimes
from airflow_provider_happyhorse.polling.steps import LearningKey, Token
from airflow_provider_happyhorse.polling.wait import Wait

#: Seconds between two requests about one generation, however few there are; less where the first one is to be made sooner.
LEAST_SECONDS_BETWEEN, LEAST_AT_ALL = 2.0, 0.1
#: Whoever has not been asked about for so many rounds of everybody, and so many seconds, goes first.
STARVING_ROUNDS, STARVING_SECONDS = 3.0, 120.0
#: Worth that goes before all learned ones, and that of who is owed a request.
FIRST, OWED = 1e9, 2e9
#: Generations that are kept in order; more are not asked about before the order is old.
RANKED = 64
#: A belief in the list's freshness beyond which the other possibility is not worth calculating.
CERTAIN = 0.95
#: Above this probability of a fresh list, one page a second is expected to tell more than single requests.
BELIEVED = 0.5


@dataclass
class Watched:
    """A generation, and everybody who waits for it.

    :param begun: when it was submitted, as far as anybody knows; else when it was first waited for.
    :param dated: the submission's time is known, so that its render time can be learned from.
    :param patience: seconds after which it is asked about where the budget has nothing better to do, whatever is believed of render times.
    :param not_before: before this it is not asked about, unless a deadline is over.
    :param seen: when a single request last found it running, else ``begun``.
    :param listed: the same of the list.
    :param answered: when the last single request came back, with an answer or without.
    :param told: when the last single answer came.
    :param ended: the list says it has ended, without what is needed: one request is owed.
    :param under_way: when the request about it was made that has not come back, None without one.
    :param hung: the last request about it was under way for long, and brought nothing.
    """

    generation_id: str
    kind: Kind
    key: LearningKey
    begun: float
    dated: bool
    patience: float
    not_before: float
    seen: float
    listed: float = -math.inf
    answered: float = -math.inf
    told: float = -math.inf
    end_time: float = math.inf
    ended: bool = False
    under_way: float | None = None
    hung: bool = False
    waits: dict[Token, Wait] = field(default_factory=dict)

    @property
    def again_at(self) -> float:
        """When it may be asked about again at the earliest."""
        return self.answered + min(LEAST_SECONDS_BETWEEN, max(LEAST_AT_ALL, self.patience))


@dataclass(frozen=True)
class Ranking:
    """What requests are worth at a moment, in seconds of unnoticed waiting.

    :param at: the moment.
    :param singles: (worth, generation), the worthiest last.
    :param pages: page -> what a fresh list's page is worth.
    :param spare: who may be asked about if nobody is worth it, the longest unasked last.
    :param again: when somebody may be asked about next who may not now.
    """

    at: float
    singles: list[tuple[float, Watched]]
    pages: dict[int, float]
    spare: list[Watched] = field(default_factory=list)
    again: float = math.inf


def worth(watched: Watched, renders: RenderTimes, fresh: float, now: float) -> float:
    """Return for how many seconds this generation is expected to have been ready unnoticed.

    :param fresh: the probability that the list is fresh.
    """
    return believed(watched, renders, worth_to_list(watched, renders, now), fresh, now)


def believed(watched: Watched, renders: RenderTimes, if_fresh: float, fresh: float, now: float) -> float:
    """Return the same where it is known already what it would be if the list were certainly fresh."""
    if watched.listed <= watched.seen or fresh > CERTAIN:
        return if_fresh
    if_stale = renders.of(watched.key).unnoticed(watched.seen - watched.begun, now - watched.begun)
    return if_stale if fresh < 1 - CERTAIN else fresh * if_fresh + (1 - fresh) * if_stale


def worth_to_list(watched: Watched, renders: RenderTimes, now: float) -> float:
    """Return the same if the list is fresh. Counted with doubts, one page would be asked for again and again."""
    return renders.of(watched.key).unnoticed(max(watched.seen, watched.listed) - watched.begun, now - watched.begun)


def starving_after(count: int, seconds_per_request: float) -> float:
    """Return the seconds without a request after which one of so many goes first."""
    return max(STARVING_SECONDS, STARVING_ROUNDS * count * seconds_per_request)


def rank(
    everybody: Iterable[Watched],
    renders: RenderTimes,
    *,
    places: Places | None,
    fresh: float,
    starving: float,
    now: float,
    hung_too: bool = True,
) -> Ranking:
    """Return who is to be asked about first.

    :param places: where generations are in the list, None when none is to be asked for.
    :param starving: seconds after which whoever has not been asked about goes first, by the time it has waited.
    :param hung_too: whether whom a request hung about may be asked about now.
    """
    singles: list[tuple[float, int, Watched]] = []
    pages: dict[int, float] = {}
    spare: list[tuple[float, int, Watched]] = []
    again = math.inf
    for number, watched in enumerate(everybody):
        owed = watched.ended or now >= watched.end_time
        # Whom the last request at a deadline brought nothing about waits as long for the next as after any other.
        if now < watched.not_before and not (watched.ended or now >= watched.end_time > watched.answered):
            again = min(again, watched.not_before, watched.end_time if now < watched.end_time else math.inf)
            continue
        if_fresh = worth_to_list(watched, renders, now)
        if places is not None and watched.kind == "video" and (page := places.page(watched.generation_id, now=now)):
            pages[page] = pages.get(page, 0.0) + if_fresh
        if watched.under_way is not None or (watched.hung and not hung_too):
            continue
        if now < watched.again_at:
            again = min(again, watched.again_at)
            continue
        told = max(watched.answered, watched.listed) if fresh > BELIEVED else watched.answered
        if now >= told + watched.patience:
            spare.append((now - told, -number, watched))
        else:
            again = min(again, told + watched.patience)
        again = min(again, max(watched.end_time, now))
        last = max(watched.seen, told)
        first = OWED if owed else FIRST if now - last >= starving else 0.0
        value = first + (now - last) if first else believed(watched, renders, if_fresh, fresh, now)
        singles.append((value, -number, watched))
    best, unasked = heapq.nlargest(RANKED, singles), heapq.nlargest(RANKED, spare)
    singles_in_order = [(value, watched) for value, _, watched in reversed(best)]
    return Ranking(now, singles_in_order, pages, [watched for _, _, watched in reversed(unasked)], again)
