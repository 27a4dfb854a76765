"""One lookup of a connection for everybody in a triggerer who waits with it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from airflow_provider_happyhorse.hooks.settings import ConnectionSettings, async_settings

#: Seconds after which the connection is looked up again; each lookup goes through the triggerer's supervisor, one at a time.
TIME_TO_LIVE = 60.0
#: Tries of a lookup that is needed before the waiters are told.
TRIES = 5
#: Seconds one lookup may take: Airflow's supervisor never answers what it does not understand.
LONGEST_LOOKUP = 30.0


class SharedConnection:
    """The settings of a connection, looked up when they are needed and old, and after a refused key.

    :param conn_id: the connection's id.
    """

    def __init__(self, conn_id: str) -> None:
        self.conn_id = conn_id
        self._settings: ConnectionSettings | None = None
        self._looked_up_at = 0.0

    def renew(self) -> None:
        """Have the next use look the connection up: what it said before is refused."""
        self._settings = None

    async def settings(self, failed: Callable[[Exception], None]) -> ConnectionSettings:
        """Return what the connection says.

        :param failed: is told of a lookup that is tried again.
        :raises Exception: whatever the last of the tries ended with. What was read before and is not refused outlives a failing lookup:
            somebody may have deleted the connection, and what waits is paid for.
        """
        known = self._settings
        if known is not None and 0 <= time.monotonic() - self._looked_up_at < TIME_TO_LIVE:
            return known
        for attempt in range(1, TRIES + 1):
            try:
                async with asyncio.timeout(LONGEST_LOOKUP):
                    read = await async_settings(self.conn_id)
            except Exception as problem:
                if known is not None:
                    self._looked_up_at = time.monotonic()
                    return known
                if attempt == TRIES:
                    raise
                failed(problem)
                await asyncio.sleep(2.0**attempt)
            else:
                self._settings, self._looked_up_at = read, time.monotonic()
                return read
        raise AssertionError("the last try returns or raises")
