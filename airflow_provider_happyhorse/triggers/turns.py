"""Whose submission goes next: paced for each connection in one event loop, so that a hundred refused ones do not all come back at once."""

from __future__ import annotations

import asyncio
import time
import weakref
from bisect import insort
from collections.abc import Callable
from itertools import count

from airflow_provider_happyhorse.api.retry import LONGEST_PAUSE
from airflow_provider_happyhorse.triggers.poller import poller_of

#: The part of the request budget that submissions after a refusal may use; the rest is for the polls of what is already paid for.
#: Simulated, 600 videos: at 0.8 all are done 31 % sooner than at 0.5 and noticed 13 s later where the list is fresh; where there is none,
#: no sooner and 450 s later. At 0.9 up to 4 % of all requests are refused.
SHARE, SHARE_BESIDE_LIST = 0.5, 0.8


class Turns:
    """The queue of one connection. First come, first served; one that is refused again comes back to its old place.

    The first in the queue waits for what its own refusal said, and everybody behind it waits along: so a turn that is refused stops all
    the others until the reset. What newcomers are told moves nobody who was there before them: where they come faster than the key
    allows, they are refused all the time, and nobody's turn would ever come.

    :param per_minute: requests the key may make.
    :param list_is_fresh: says whether polls get along with a few requests for pages of the service's list.
    """

    def __init__(self, *, per_minute: float, list_is_fresh: Callable[[], bool] = lambda: False) -> None:
        self._per_minute, self._list_is_fresh = per_minute, list_is_fresh
        #: Who asked first is first; of those who asked together, who came first. The event says that one may be at the head now.
        self._waiting: list[tuple[float, int, asyncio.Event]] = []
        self._numbers = count()
        #: When the next one goes at the earliest, on the loop's clock: the system's may be set back.
        self._next = 0.0

    async def take(self, *, asked: float, not_before: float, end_time: float) -> bool:
        """Wait for a turn; False when there is none before ``end_time``.

        :param asked: Unix time at which it was first tried; the earliest goes first.
        :param not_before: Unix time before which the service has said that it accepts nothing.
        :param end_time: Unix time at which to give up.
        """
        loop = asyncio.get_running_loop()
        # One that was told to come back tomorrow must not keep those away who come after it.
        earliest = loop.time() + min(not_before - time.time(), LONGEST_PAUSE)
        place = (asked, next(self._numbers), asyncio.Event())
        insort(self._waiting, place)
        try:
            async with asyncio.timeout(max(0.0, end_time - time.time())):
                # After every wait anew: one that asked earlier may have come back.
                while True:
                    if self._waiting[0] is not place:
                        place[-1].clear()
                        await place[-1].wait()
                    elif (wait := max(self._next, earliest) - loop.time()) > 0:
                        await asyncio.sleep(wait)
                    else:
                        break
        except TimeoutError:
            return False
        else:
            share = SHARE_BESIDE_LIST if self._list_is_fresh() else SHARE
            self._next = loop.time() + 60.0 / (self._per_minute * share)
            return True
        finally:
            self._waiting.remove(place)
            if self._waiting:
                self._waiting[0][-1].set()


#: Loops held weakly and as objects: a closed loop's id is used again.
_TURNS: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, Turns]] = weakref.WeakKeyDictionary()


def turns_of(happyhorse_conn_id: str, *, per_minute: float) -> Turns:
    """Return the queue of a connection in the running loop; a changed limit makes a new one."""
    queues = _TURNS.setdefault(asyncio.get_running_loop(), {})
    key = f"{happyhorse_conn_id} {per_minute:g}"
    if key not in queues:
        poller = poller_of(happyhorse_conn_id)
        queues[key] = Turns(per_minute=per_minute, list_is_fresh=lambda: poller.list_is_fresh)
    return queues[key]
