"""When to spend a window's requests, where the window is proven to be a fixed one.

In a batch all videos have the same age, so whom to ask hardly matters, but when does: a request that is made while few have ended is
wasted, and the next window brings as many again. What is decided is a price: a video is asked about as soon as it is expected to have been
ready unnoticed for so many seconds, and what is left is spent shortly before the reset.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from airflow_provider_happyhorse.polling.windows import WINDOW, Window

if TYPE_CHECKING:
    from airflow_provider_happyhorse.polling.render_times import RenderTimes
    from airflow_provider_happyhorse.polling.watched import Watched

#: Prices that are compared, in seconds of unnoticed waiting.
PRICES = tuple(0.25 * 1.7**power for power in range(11))
#: Steps of a window in which the future is played through.
STEPS = 30
#: Seconds that whoever is left unnoticed at the end of the second window counts as waiting on.
AFTERWARDS = 10.0
#: Seconds after which the price is calculated anew.
PLAN_SECONDS = 4.0
#: Videos of about one age (in seconds) are one to the plan; coarser when there would be more groups than this.
ALIKE, MOST_GROUPS = 3.0, 24
#: So many are a batch when half of them were submitted within so many seconds; the last ones of a batch still are.
LEAST_BATCH, REST_OF_BATCH, TOGETHER = 8, 2, 20.0
#: Requests of a window that are not touched.
UNTOUCHED = 1
#: Seconds between two requests of a window that are spent at once, and before the earliest reset at which the last one is made.
SWEEP_GAP, BEFORE_RESET = 0.02, 0.25
#: Requests that a driver has under way at once; a sweep takes the longer the slower the answers come. More would help only where an answer
#: takes longer than eight turns of the budget.
SIDE_BY_SIDE = 8


class Renders(Protocol):
    """A belief about render times, see :class:`~airflow_provider_happyhorse.polling.render_times.RenderTime`."""

    def alive(self, age: float) -> float:
        """Return the probability that a render takes longer."""

    def unnoticed(self, since: float, age: float) -> float:
        """Return the expected seconds for which a render that ran at ``since`` has been ready."""


@dataclass(frozen=True)
class Group:
    """Videos that are alike for the plan.

    :param renders: what is believed of their render times.
    :param begun: when they were submitted.
    :param seen: when they were last seen running.
    :param count: how many, expected.
    """

    renders: Renders
    begun: float
    seen: float
    count: float


class Holder:
    """Holds a window's requests back.

    :param window: of the key.
    :param renders: what is believed of render times.
    """

    def __init__(self, window: Window, renders: RenderTimes) -> None:
        self._window = window
        self._renders = renders
        self._batch, self._batch_at = False, -WINDOW
        self._price, self._planned_at, self._planned_for = 0.0, -WINDOW, -WINDOW

    def is_batch(self, everybody: Collection[Watched], *, now: float) -> bool:
        """Say whether most of those who wait were submitted together; only then it matters more when to ask than whom."""
        if now >= self._batch_at + PLAN_SECONDS:
            self._batch_at = now
            begun = sorted(watched.begun for watched in everybody)
            half = len(begun) // 2
            together = any(later - earlier <= TOGETHER for earlier, later in zip(begun, begun[half:], strict=False))
            self._batch = together and len(begun) >= (REST_OF_BATCH if self._batch else LEAST_BATCH)
        return self._batch

    def least_worth(self, everybody: Collection[Watched], *, reset: tuple[float, float], now: float) -> tuple[float, float]:
        """Return what a request must be worth to be made now, in seconds of unnoticed waiting, and until when to look again at most.

        :param reset: between which times the window resets.
        """
        left = self._window.left(now=now) - UNTOUCHED
        if left < 1:
            return math.inf, reset[1]
        latency = self._window.latency
        sweep = reset[0] - BEFORE_RESET - latency - left * max(SWEEP_GAP, latency / SIDE_BY_SIDE)
        if sweep <= now <= reset[0]:
            return 0.0, reset[1]
        if now >= self._planned_at + PLAN_SECONDS or reset[1] > self._planned_for + 1:
            self._planned_at, self._planned_for = now, reset[1]
            limit = self._window.limit - UNTOUCHED
            self._price = price(self._groups(everybody), now=now, reset=reset[0], left=left, limit=limit)
        return self._price, sweep if sweep > now else reset[1]

    def _groups(self, everybody: Collection[Watched]) -> list[Group]:
        width = ALIKE
        while True:
            alike: dict[tuple[object, int, int], list[Watched]] = defaultdict(list)
            for watched in everybody:
                alike[watched.key, int(watched.begun / width), int(watched.seen / width)].append(watched)
            if len(alike) <= MOST_GROUPS or width > WINDOW:
                break
            width *= 2
        return [
            Group(
                self._renders.of(members[0].key),
                sum(watched.begun for watched in members) / len(members),
                sum(watched.seen for watched in members) / len(members),
                len(members),
            )
            for members in alike.values()
        ]


def price(groups: Sequence[Group], *, now: float, reset: float, left: float, limit: float) -> float:
    """Return the price at which waiting is expected to be shortest over this window and the next.

    :param reset: when the window resets.
    :param left: requests left until then.
    :param limit: requests of the next window.
    """
    return min(PRICES, key=lambda each: expected_waiting(groups, each, now=now, reset=reset, left=left, limit=limit))


def expected_waiting(groups: Sequence[Group], at_price: float, *, now: float, reset: float, left: float, limit: float) -> float:
    """Return for how many seconds videos are expected to be ready unnoticed until the end of the next window, if that is the price."""
    step = WINDOW / STEPS
    total, moment, end = 0.0, now, reset + WINDOW
    # Last seen, probability of running then, belief, begun, count; the longest unseen first, because they are asked first.
    known = sorted((group.seen, group.renders.alive(group.seen - group.begun), group.renders, group.begun, group.count) for group in groups)
    while moment < end:
        if moment >= reset:
            reset, left = reset + WINDOW, limit
        at_any_price = reset - moment <= step
        later, asked = [], []
        for seen, alive_then, renders, begun, count in known:
            age = moment - begun
            if left > 0 and (at_any_price or renders.unnoticed(seen - begun, age) >= at_price):
                answered = min(count, left)
                left -= answered
                count -= answered
                alive = renders.alive(age)
                asked.append((moment, alive, renders, begun, answered * alive / alive_then))
            if count > 0.01:
                later.append((seen, alive_then, renders, begun, count))
        known = later + asked
        moment += step
        for _, alive_then, renders, begun, count in known:
            total += step * count * (1 - renders.alive(moment - step / 2 - begun) / alive_then)
    return total + AFTERWARDS * sum(
        count * (1 - renders.alive(moment - begun) / alive_then) for _, alive_then, renders, begun, count in known
    )
