"""Which generations of an account's list have newly succeeded, whoever started them.

The list's shape is not documented beyond its pages (happy-horse.ai: ``GET /videos``), so this relies on little: rows have an id and a
status, and the newest come first. Where rows also tell when they were created, a moment before which everything is dealt with (the
*floor*) keeps what must be remembered small.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from airflow_provider_happyhorse.api.generation import Generation, GenerationState, ListPage

#: Rows of one page, the most that happy-horse.ai documents.
ROWS = 50
#: Pages that one look reads at most, and where rows do not tell when they were created, so that nothing tells where to stop.
MOST_PAGES, MOST_UNTIMED_PAGES = 200, 10
#: Seconds by which a row may appear in the list later than another that was created after it.
LAG = 600.0
#: Seconds after which a generation that has not ended is given up; it would keep the floor from rising.
LONGEST = 86_400.0
#: Ids of what has ended that are remembered at most.
MOST_KNOWN = 500
#: The list may be stale, and asking for one video refreshes it (happy-horse.ai): that often, and so many of them after each look.
ASK_EVERY, MOST_ASKED = 60.0, 3


class NewVideos:
    """Remembers what has been dealt with, and picks out what has not.

    :param since: Unix time: what was created from then on counts as new, also when it has ended before the first look. None: what has
        ended before the first look is old.
    :param remembered: what :meth:`remember` has returned in an earlier life; it wins over ``since``.
    """

    def __init__(self, *, since: float | None = None, remembered: Mapping[str, Any] | None = None) -> None:
        known, running, floor = ((remembered or {}).get(what) for what in ("known", "open", "floor"))
        self._goes_on = isinstance(known, Mapping)
        self._known: dict[str, float | None] = dict(known) if isinstance(known, Mapping) else {}
        self._floor = float(floor) if self._goes_on and isinstance(floor, int | float) else since
        self._since = since
        self._open: dict[str, float | None] = dict(running) if isinstance(running, Mapping) else {}
        self._asked: dict[str, float] = {}
        self._seen_open_before: set[str] = set()

    def needs_more(self, rows: Sequence[Generation], page: ListPage, *, number: int) -> bool:
        """Say whether a look must read another page.

        :param rows: of all pages so far.
        :param page: the last of them.
        :param number: its number, from 1.
        """
        if page.rows < ROWS or number >= MOST_PAGES:
            return False
        shown = {row.generation_id for row in rows}
        unseen = [time for known, time in self._open.items() if known not in shown]
        runs = any(not row.state.ended for row in page.generations)
        times = [time for row in page.generations if (time := created(row)) is not None]
        if not times:
            # Where nothing on a page can be read, but others tell times, those behind it do too.
            timed = any(created(row) is not None for row in rows)
            return number < MOST_UNTIMED_PAGES and (runs or bool(unseen) or timed)
        # One that is not where it should be was deleted; it is asked about, and not searched for in the whole list at every look.
        if any(time is not None and min(times) >= time - LAG for time in unseen):
            return True
        if self._floor is not None:
            return min(times) >= self._floor
        # What the first look leaves above the floor, which it will set, would be news at the second, also what had ended long before.
        return runs or min(times) >= max(time for row in rows if (time := created(row)) is not None) - LAG

    def may_be_missed(self, page: ListPage) -> str:
        """Return between which times a look that ends with this page, the last of ``MOST_PAGES``, may miss news, ``""`` for none.

        To be asked before :meth:`look`. A later look would read no further, so what stands beyond is never seen.
        """
        times = [time for row in page.generations if (time := created(row)) is not None]
        if self._floor is None or page.rows < ROWS or not times or min(times) < self._floor:
            return ""
        if any(row.generation_id in self._known for row in page.generations):
            return ""  # an earlier look has come as far
        first, last = (datetime.fromtimestamp(time, UTC).isoformat(timespec="seconds") for time in (self._floor, min(times)))
        return f"{first} and {last}"

    def look(self, rows: Sequence[Generation], *, now: float) -> list[Generation]:
        """Return what has newly succeeded among the rows of one look, the oldest first.

        :param now: Unix time.
        """
        first, new = not self._goes_on, []
        self._goes_on = True
        self._seen_open_before = set(self._open)
        for row in {row.generation_id: row for row in rows}.values():
            time = created(row)
            below = self._floor is not None and time is not None and time < self._floor
            if row.generation_id in self._known or (below and row.generation_id not in self._open):
                continue
            if not row.state.ended:
                self._open.setdefault(row.generation_id, time)
                continue
            old = first and (self._since is None or time is None)
            new += [] if old else self._ended(row)
            self._known[row.generation_id] = time
        self._forget(rows, now=now)
        return sorted(new, key=lambda row: (created(row) or 0.0, row.generation_id))

    def to_ask(self, *, now: float) -> list[str]:
        """Return the ids to be asked about one by one, because the list may be stale; they count as asked."""
        due = [known for known in self._seen_open_before & self._open.keys() if now - self._asked.get(known, -ASK_EVERY) >= ASK_EVERY]
        chosen = sorted(due, key=lambda known: (self._asked.get(known, 0.0), known))[:MOST_ASKED]
        self._asked |= dict.fromkeys(chosen, now)
        return chosen

    def told(self, generation: Generation) -> list[Generation]:
        """Return the generation if it has newly succeeded by its own answer."""
        if not generation.state.ended or generation.generation_id in self._known:
            return []
        time = self._open.get(generation.generation_id)
        new = self._ended(generation)
        self._known[generation.generation_id] = time
        return new

    def unknown(self, generation_id: str) -> None:
        """Take in that the service does not know a generation that its list has shown."""
        self._open.pop(generation_id, None)
        self._asked.pop(generation_id, None)

    def remember(self) -> dict[str, Any]:
        """Return what a later life needs, as JSON."""
        return {"floor": self._floor, "known": dict(self._known), "open": dict(self._open)}

    def _ended(self, row: Generation) -> list[Generation]:
        self.unknown(row.generation_id)
        return [row] if row.state is GenerationState.SUCCEEDED else []

    def _forget(self, rows: Sequence[Generation], *, now: float) -> None:
        """Raise the floor to where everything older is dealt with, and forget what lies below it."""
        for generation_id, time in list(self._open.items()):
            if time is not None and now - time > LONGEST:
                self.unknown(generation_id)
                self._known[generation_id] = time
        # What is said to be created in the future tells nothing of what is old.
        times = [time for row in rows if (time := created(row)) is not None and time <= now + LAG]
        if times:
            # Whoever began with `since` may have begun with a list that ends before it.
            reached = min([*(time for time in self._open.values() if time is not None), max(times)]) - LAG
            self._floor = reached if self._floor is None else max(self._floor, reached)
        floor = self._floor
        self._known = {known: time for known, time in self._known.items() if time is None or floor is None or time >= floor}
        # The oldest go; what was created no later is dealt with, or is remembered as running.
        for oldest in sorted(self._known, key=lambda known: self._known[known] or 0.0)[: max(0, len(self._known) - MOST_KNOWN)]:
            time = self._known.pop(oldest)
            self._floor = self._floor if time is None else max(self._floor or 0.0, time + 1e-3)


def created(row: Generation) -> float | None:
    """Return the Unix time at which a row was created, None where it does not tell."""
    try:
        time = datetime.fromisoformat(row.created_at)
    except ValueError:
        return None
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
