"""Whose submission goes next: paced for each connection in one event loop, so that a hundred refused ones do not all come back at once."""

from __future__ import annotations

import asyncio
import time
import weakref
from collections import deque
from collections.abc import Callable

from airflow_provider_happyhorse.api.retry import LONGEST_PAUSE
from airflow_provider_happyhorse.triggers.poller import poller_of

#: The part of the request budget that submissions after a refusal may use; the rest is for the polls of what is already paid for.
#: Simulated, 600 videos: at 0.8 all are done 31 % sooner than at 0.5 and noticed 13 s later where the list is fresh; where there is none,
#: no sooner and 450 s later. At 0.9 up to 4 % of all requests are refused.
SHARE, SHARE_BESIDE_LIST = 0.5, 0.8


class Turns:
    """The queue of one connection. First come, first served.

    :param per_minute: requests the key may make.
    :param list_is_fresh: says whether polls get along with a few requests for pages of the service's list.
    """

    def __init__(self, *, per_minute: float, list_is_fresh: Callable[[], bool] = lambda: False) -> None:
        self._per_minute, self._list_is_fresh = per_minute, list_is_fresh
        self._waiting: deque[asyncio.Future[None]] = deque()
        #: When the next one goes, on the loop's clock: the system's may be set back.
        self._next = 0.0

    async def take(self, *, not_before: float, end_time: float) -> bool:
        """Wait for a turn; False when there is none before ``end_time``.

        :param not_before: Unix time before which the service has said that it accepts nothing; it holds for everybody who waits.
        :param end_time: Unix time at which to give up.
        """
        loop = asyncio.get_running_loop()
        # One that was told to come back tomorrow must not keep those away who come after it.
        self._next = max(self._next, loop.time() + min(not_before - time.time(), LONGEST_PAUSE))
        head: asyncio.Future[None] = loop.create_future()
        self._waiting.append(head)
        if self._waiting[0] is head:
            head.set_result(None)
        try:
            # At the head nobody overtakes; another's refusal may still move the turn.
            async with asyncio.timeout(max(0.0, end_time - time.time())):
                await head
                while (wait := self._next - loop.time()) > 0:  # noqa: ASYNC110  a time is waited for, and it may move
                    await asyncio.sleep(wait)
        except TimeoutError:
            return False
        else:
            share = SHARE_BESIDE_LIST if self._list_is_fresh() else SHARE
            self._next = loop.time() + 60.0 / (self._per_minute * share)
            return True
        finally:
            self._waiting.remove(head)
            if self._waiting and not self._waiting[0].done():
                self._waiting[0].set_result(None)


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
