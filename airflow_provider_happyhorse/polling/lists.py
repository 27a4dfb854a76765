"""Whether the service's list knows what has ended, learned from evidence, and on which page a generation is to be found."""

from __future__ import annotations

import math
from bisect import bisect_right, insort
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from airflow_provider_happyhorse.polling.render_times import RenderTime

#: How far evidence is believed, in logarithms of odds: a belief that cannot be overturned would not notice a change.
FIRM = 5.0
#: One piece of evidence, and all that has not been verified yet, count at most so much. The latter less than FIRM: the render times it
#: rests on are wrong for all rows at once, and of a thousand rows a small mistake would overrule everything that was verified.
ONE_PIECE, UNVERIFIED = 3.0, 4.5
#: So much may be unverified of a list that has proven itself without counting: by chance nothing ends for a while.
CHANCE = 5.0
#: Probability that a list that does not look for itself shows an ending first, because somebody else asked about that generation.
BY_CHANCE = 0.02
#: Submissions whose order is remembered.
REMEMBERED = 5000
#: So many pages further on a generation is looked for, and so many seconds it is then not looked for in the list.
FURTHEST, ABSENT = 30, 300.0


class Freshness:
    """The belief that the list is fresh.

    happy-horse.ai documents that asking about one video makes it look upstream, and says nothing of the list. Evidence, for a row that was
    last seen running at one moment: a fresh list shows it running only if it runs, a stale one always. That speaks at once, but rests on
    the render times that are believed, so it counts for little until a single request has verified it: still running speaks for neither
    (the list was right either way), ended speaks the more against the list the shorter ago it said running.
    """

    def __init__(self) -> None:
        self._verified = 0.0
        self._unverified: dict[str, float] = {}
        self._sum = 0.0

    @property
    def probability(self) -> float:
        """How probable it is that the list is fresh, 0 to 1."""
        by_chance = min(CHANCE, max(0.0, self._verified))
        return 1 / (1 + math.exp(-self._verified - max(-UNVERIFIED, min(0.0, self._sum + by_chance))))

    def listed_running(self, generation_id: str, renders: RenderTime, *, since: float, age: float) -> None:
        """Learn from a row that is shown as running, of a render that still ran at ``since``."""
        change = max(-1.0, math.log(max(1e-3, 1 - renders.ended(since, age))))
        self._unverified[generation_id] = self._unverified.get(generation_id, 0.0) + change
        self._sum += change

    def listed_ended(self, renders: RenderTime, *, since: float, age: float) -> None:
        """Learn from a row that shows an ending nobody has seen before: what else it shows is then to be believed too."""
        self._unverified.clear()
        self._sum = 0.0
        probable = max(0.2, renders.ended(since, age))
        self._verified = min(FIRM, self._verified + min(ONE_PIECE, math.log(probable / BY_CHANCE)))

    def asked_running(self, generation_id: str, renders: RenderTime, *, listed: float, since: float) -> None:
        """Learn from a single request that found it running, as the list said: that speaks for the list what its row spoke against it.

        :param listed: age at which the list showed it running.
        :param since: age at which a single request last found it running.
        """
        spoken = -self._unverified.get(generation_id, 0.0)
        self.forget(generation_id)
        if listed > since:
            # The render times made us expect too much, and not of this row alone.
            self._unverified = {generation: change / 2 for generation, change in self._unverified.items()}
            self._sum = math.fsum(self._unverified.values())
            row = math.log(renders.alive(since) / renders.alive(listed))
            self._verified = min(FIRM, self._verified + min(ONE_PIECE, max(0.0, row - spoken)))

    def asked_ended(self, generation_id: str, renders: RenderTime, *, listed: float, since: float, age: float) -> None:
        """Learn from a single request that found an ending.

        :param listed: age at which the list showed it running.
        :param since: age at which a single request last found it running.
        """
        self.forget(generation_id)
        if listed > since:
            ratio = renders.ended(listed, age) / max(1e-6, renders.ended(since, age))
            self._verified = max(-FIRM, self._verified + max(-ONE_PIECE, math.log(max(1e-3, ratio))))

    def forget(self, generation_id: str) -> None:
        """Drop what was not verified and never will be."""
        self._sum -= self._unverified.pop(generation_id, 0.0)


@dataclass
class _Row:
    row: int
    rank: int


class Places:
    """On which page a generation is to be found: newest first, behind whatever else was submitted after it.

    The order is not documented. Whoever is not on the page it was expected on is looked for on the next one, and so on around.

    :param rows: rows per page.
    """

    def __init__(self, *, rows: int) -> None:
        self._rows = rows
        self._submitted: list[tuple[float, int]] = []
        self._place: dict[str, tuple[float, int]] = {}
        self._count = 0
        self._seen: dict[str, _Row] = {}
        #: Pages further on than expected, for who was not found.
        self._further: dict[str, int] = {}
        self._absent_until: dict[str, float] = {}
        self._offset = 0
        self._last = FURTHEST

    def submitted(self, generation_id: str, moment: float) -> None:
        """Note a submission we know of; of two of one moment, what is noted later is newer."""
        self._count += 1
        self._place[generation_id] = (moment, self._count)
        insort(self._submitted, self._place[generation_id])
        if len(self._submitted) > REMEMBERED:
            del self._submitted[: REMEMBERED // 10]

    def page(self, generation_id: str, *, now: float) -> int | None:
        """Return on which page a generation is expected, from 1; None while the list does not seem to have it."""
        if now < self._absent_until.get(generation_id, -math.inf):
            return None
        rank, seen = self._rank(generation_id), self._seen.get(generation_id)
        row = max(0, rank + self._offset) if seen is None else seen.row + rank - seen.rank
        further = self._further.get(generation_id, 0)
        page = row // self._rows
        return (page + further) % self._last + 1 if further else page + 1

    def listed(self, page: int, generation_ids: Sequence[str], expected: Iterable[str], *, now: float) -> None:
        """Learn from a page.

        :param generation_ids: its rows.
        :param expected: the generations that were to be found on it, or are.
        """
        rows = {generation_id: (page - 1) * self._rows + index for index, generation_id in enumerate(generation_ids)}
        if len(generation_ids) < self._rows:
            self._last = max(1, page if generation_ids else page - 1)
        elif page >= self._last:
            self._last = page + 1
        for generation_id in expected:
            row = rows.get(generation_id)
            if row is not None:
                rank = self._rank(generation_id)
                self._seen[generation_id] = _Row(row, rank)
                self._further.pop(generation_id, None)
                offset = max(0, row - rank)
                if abs(offset - self._offset) >= self._rows / 2:
                    self._further.clear()  # whoever was looked for elsewhere may be where it is expected now
                self._offset = offset
                continue
            self._seen.pop(generation_id, None)
            further = self._further.pop(generation_id, 0) + 1
            if further >= min(self._last, FURTHEST):
                self._absent_until[generation_id] = now + ABSENT
            else:
                self._further[generation_id] = further

    def forget(self, generation_id: str) -> None:
        """Drop a generation nobody waits for any more; its row in the list stays."""
        for known in (self._place, self._seen, self._further, self._absent_until):
            known.pop(generation_id, None)

    def _rank(self, generation_id: str) -> int:
        return len(self._submitted) - bisect_right(self._submitted, self._place[generation_id])
