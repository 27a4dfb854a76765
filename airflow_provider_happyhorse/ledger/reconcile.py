"""Was an ambiguous submission accepted? Read from the service's list of generations (happy-horse.ai). Pure.

The list's shape is not documented, so its silence proves nothing: reconciliation can find a generation and can never prove that there is
none. What it finds may be another task's, or another run's, with the same prompt; so it is adopted only when everything agrees, exactly
one fits, and a claim that only one task can make succeeds (made by the caller).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from airflow_provider_happyhorse.api.generation import Generation
from airflow_provider_happyhorse.ledger.record import MEDIA_FIELDS

#: Seconds that two clocks of which one is only known to the second may differ without anybody noticing.
CLOCK_MARGIN = 5.0


@dataclass(frozen=True)
class SendWindow:
    """When the submission can have been accepted, Unix time on the worker's clock.

    :param opened: the intent was written.
    :param closed: its answer failed, or the request's timeout after the intent when nobody saw it fail.
    """

    opened: float
    closed: float

    def on(self, ahead: float) -> SendWindow:
        """Return the window on the service's clock, widened by what neither clock tells.

        :param ahead: seconds by which the service's clock is ahead of ours.
        """
        return SendWindow(self.opened + ahead - CLOCK_MARGIN, self.closed + ahead + CLOCK_MARGIN)


@dataclass(frozen=True)
class Findings:
    """What a listing says about one submission.

    :param candidates: generations that may be it: made in the window, and nothing in them contradicts the request.
    :param certain: the one that echoes every field that was sent, when it is the only candidate and the listing reaches past the window.
    :param why_not: why nothing is certain, ``""`` when something is.
    :param reaches_past: the listing goes back beyond the time of the submission, so that further pages tell nothing more.
    """

    candidates: tuple[Generation, ...]
    certain: Generation | None
    why_not: str = ""
    reaches_past: bool = False


def may_start(window: SendWindow, *, now: float, margin: float) -> bool:
    """Say whether the service has had the time to list it: before, another try may still be sending.

    :param margin: seconds after the window in which the list may lag.
    """
    return now >= window.closed + margin


def find(listing: Sequence[Generation], *, sent: Mapping[str, Any], window: SendWindow, ahead: float, whole: bool) -> Findings:
    """Return what a listing says about a submission.

    :param listing: rows of the service's list, of all pages that were read.
    :param sent: the fields that were given; those that were left out are the service's to choose.
    :param window: when it was sent, on our clock.
    :param ahead: seconds by which the service's clock is ahead of ours (its ``Date`` against our time of asking).
    :param whole: the listing has been read to its end.
    """
    there = window.on(ahead)
    created = {row.generation_id: _time(row.created_at) for row in listing}
    undated = sum(time is None for time in created.values())
    within = [row for row in listing if (time := created[row.generation_id]) is not None and there.opened <= time <= there.closed]
    candidates = tuple(row for row in within if not any(_contradicts(row, name, value) for name, value in sent.items()))
    times = [time for time in created.values() if time is not None]
    # Its order is not documented: unless the newest come first, an old row says nothing of the pages that were not read.
    newest_first = all(later >= earlier for later, earlier in pairwise(times))
    reaches_past = whole or (newest_first and any(time < there.opened for time in times))

    def unsettled(why_not: str) -> Findings:
        return Findings(candidates, None, why_not, reaches_past)

    if undated:
        return unsettled(f"{undated} of {len(listing)} rows of the list have no readable created_at")
    if not reaches_past:
        return unsettled("the pages that were read do not reach back to the time of the submission")
    if len(candidates) != 1:
        return unsettled(f"{len(candidates)} generations fit" if candidates else "no generation in the list fits")
    missing = [name for name, value in sent.items() if not _echoes(candidates[0], name, value)]
    if missing:
        return unsettled(f"{candidates[0].generation_id} fits and does not echo {', '.join(missing)}")
    return Findings(candidates, candidates[0], "", reaches_past)


def _echoes(row: Generation, name: str, value: Any) -> bool:
    return any(_same(told, value) for told in _told(row, name))


def _contradicts(row: Generation, name: str, value: Any) -> bool:
    told = list(_told(row, name))
    # A service may tell a picture by its own copy's address.
    return name not in MEDIA_FIELDS and bool(told) and not any(_same(one, value) for one in told)


def _told(row: Generation, name: str) -> Iterator[Any]:
    """Return what a row says of a field, in its echo of the request or beside its id."""
    for source in (row.request, row.raw):
        if source.get(name) is not None:
            yield source[name]


def _same(told: Any, sent: Any) -> bool:
    if isinstance(sent, (int, float)) and not isinstance(sent, bool):
        try:
            return float(told) == float(sent)
        except (TypeError, ValueError):
            return False
    return bool(told == sent)


def _time(created_at: str) -> float | None:
    """Return an ISO 8601 time or a Unix timestamp (seconds or milliseconds) as Unix time, None for anything else."""
    try:
        stamp = float(created_at)
    except ValueError:
        stamp = 0.0
    if stamp > 10**8:
        return stamp / 1000 if stamp > 10**11 else stamp
    try:
        read = datetime.fromisoformat(created_at)
    except ValueError:
        return None
    return (read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp()
