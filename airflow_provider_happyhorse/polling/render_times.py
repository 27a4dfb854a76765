"""How long renders take, learned per service, model and length while they are waited for."""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Iterable
from statistics import NormalDist

from airflow_provider_happyhorse.polling.steps import LearningKey

#: Before anything is known: half of all renders take at most 90 s, two thirds between 50 and 160 s.
FIRST_MEDIAN, FIRST_SIGMA = 90.0, 0.6
#: How many renders that belief weighs as much as.
PRIOR_WEIGHT = 4.0
#: Renders that are remembered per key; older ones are forgotten, since services get faster and slower.
REMEMBERED = 200
#: One of so many renders belongs to no pattern (a queue at the service, a stuck one), and takes several medians on average.
STRAY, STRAY_MEDIANS = 0.04, 4.0
#: The table's steps per median, and its length in medians.
STEPS, MEDIANS = 40, 8
#: Fitted anew when so many ended renders have come in, or a tenth of what is known.
FIT_EVERY = 4

_NORMAL = NormalDist()


class RenderTime:
    """A distribution of render times, tabled: lognormal, and a few strays, so that a render that outlives the pattern is never given up.

    :param median: seconds.
    :param sigma: standard deviation of the logarithm.
    """

    def __init__(self, median: float, sigma: float) -> None:
        self.median = median
        self.sigma = sigma
        self._step = median / STEPS
        self._table = [1.0] + [self._alive(self._step * number) for number in range(1, STEPS * MEDIANS + 2)]
        self._areas = [0.0]
        for before, after in itertools.pairwise(self._table):
            self._areas.append(self._areas[-1] + self._step * (before + after) / 2)

    def _alive(self, age: float) -> float:
        usual = _NORMAL.cdf(-math.log(age / self.median) / self.sigma)
        return (1 - STRAY) * usual + STRAY * math.exp(-age / (STRAY_MEDIANS * self.median))

    def alive(self, age: float) -> float:
        """Return the probability that a render takes longer than ``age`` seconds."""
        if age <= 0:
            return 1.0
        place = age / self._step
        low = int(place)
        table = self._table
        if low + 1 >= len(table):
            return table[-1] * math.exp(-(place - len(table) + 1) * self._step / (STRAY_MEDIANS * self.median))
        return table[low] + (table[low + 1] - table[low]) * (place - low)

    def area(self, age: float) -> float:
        """Return the integral of :meth:`alive` from 0 to ``age``."""
        if age <= 0:
            return 0.0
        place = age / self._step
        low = int(place)
        table, areas = self._table, self._areas
        if low + 1 >= len(areas):
            return areas[-1] + STRAY_MEDIANS * self.median * (table[-1] - self.alive(age))
        # The exact area below the table's straight lines: anything else is now and then negative between two ages.
        part = place - low
        return areas[low] + self._step * part * (table[low] + (table[low + 1] - table[low]) * part / 2)

    def ended(self, since: float, age: float) -> float:
        """Return the probability that a render has ended by ``age`` that still ran at ``since``."""
        return 1.0 - self.alive(age) / self.alive(since)

    def unnoticed(self, since: float, age: float) -> float:
        """Return for how many seconds a render that still ran at ``since`` is expected to have been ready unnoticed at ``age``."""
        return (age - since) - (self.area(age) - self.area(since)) / self.alive(since)


class RenderTimes:
    """What has been learned, per key; a key of which nothing is known is believed to be like all others."""

    def __init__(self) -> None:
        self._of_all = _Learned()
        self._of_key: dict[LearningKey, _Learned] = {}

    def of(self, key: LearningKey) -> RenderTime:
        """Return what is believed of a key now."""
        learned = self._of_key.get(key)
        return self._of_all.now if learned is None else learned.now

    def ended(self, key: LearningKey, *, since: float, age: float, running: Iterable[float] = ()) -> bool:
        """Learn from a render that still ran at ``since`` and had ended at ``age``; returns whether the belief was fitted anew.

        :param running: ages of those of the key that still run: without them, the first of a batch to end would be taken for the usual.
        """
        seen = (max(0.0, since), max(since + 0.01, age))
        self._of_all.add(seen)
        learned = self._of_key.setdefault(key, _Learned())
        learned.add(seen)
        if not learned.due:
            return False
        if self._of_all.due:
            self._of_all.fit((), FIRST_MEDIAN, FIRST_SIGMA)
        learned.fit(running, self._of_all.now.median, self._of_all.now.sigma)
        return True


class _Learned:
    """The renders of one key, and the distribution fitted to them."""

    def __init__(self) -> None:
        self.now = RenderTime(FIRST_MEDIAN, FIRST_SIGMA)
        self._seen: deque[tuple[float, float]] = deque(maxlen=REMEMBERED)
        self._new = 0

    @property
    def due(self) -> bool:
        return self._new >= max(FIT_EVERY, len(self._seen) / 10)

    def add(self, seen: tuple[float, float]) -> None:
        self._seen.append(seen)
        self._new += 1

    def fit(self, running: Iterable[float], prior_median: float, prior_sigma: float) -> None:
        """Fit mean and deviation of the logarithm to intervals, by expectation and maximisation: each is known only as "between"."""
        self._new = 0
        within = [(math.log(max(since, 0.01)), math.log(age)) for since, age in self._seen]
        within += [(math.log(max(age, 0.01)), math.inf) for age, _ in zip(running, range(REMEMBERED), strict=False)]
        prior = math.log(prior_median)
        mean, sigma = math.log(self.now.median), self.now.sigma
        for _ in range(6):
            moments = [_within(low, high, mean, sigma) for low, high in within]
            weight = len(moments) + PRIOR_WEIGHT
            mean_then = (sum(first for first, _ in moments) + PRIOR_WEIGHT * prior) / weight
            spread = sum(second - 2 * mean_then * first + mean_then**2 for first, second in moments)
            spread += PRIOR_WEIGHT * (prior_sigma**2 + (prior - mean_then) ** 2)
            mean, sigma = mean_then, min(1.5, max(0.1, math.sqrt(spread / weight)))
        self.now = RenderTime(math.exp(mean), sigma)


def _within(low: float, high: float, mean: float, sigma: float) -> tuple[float, float]:
    """Return the first two moments of a normal variable that is known to lie between two values."""
    left, right = (low - mean) / sigma, (high - mean) / sigma
    mass = _NORMAL.cdf(right) - _NORMAL.cdf(left) if left < 0 else _NORMAL.cdf(-left) - _NORMAL.cdf(-right)
    if mass < 1e-9:
        # Nothing of the belief is there: it is taken for what lies nearest to it.
        at = low if left > 0 else high
        return at, at * at
    density_left = _NORMAL.pdf(left)
    density_right = 0.0 if math.isinf(right) else _NORMAL.pdf(right)
    shift = (density_left - density_right) / mass
    right_term = 0.0 if math.isinf(right) else right * density_right
    variance = max(0.0, 1 + (left * density_left - right_term) / mass - shift**2)
    first = mean + sigma * shift
    return first, sigma**2 * variance + first**2
