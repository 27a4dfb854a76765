"""Start a DAG whenever a video is finished in the account, whoever has asked for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any

from airflow.providers.common.compat.triggers import BaseEventTrigger
from airflow.triggers.base import TriggerEvent

from airflow_provider_happyhorse._compat import HAS_ASSET_WATCHERS
from airflow_provider_happyhorse.api.errors import NotFound, RateLimited, Rejected, ServiceError
from airflow_provider_happyhorse.api.generation import Generation
from airflow_provider_happyhorse.exceptions import InvalidArguments
from airflow_provider_happyhorse.polling.new_videos import MOST_PAGES, ROWS, NewVideos
from airflow_provider_happyhorse.triggers.account_list import AccountList, account_list

#: Seconds after which a connection that cannot be used is looked up again. A watcher that ended would be started anew every second.
LOOK_AGAIN = 300.0
#: The least seconds between two looks; a key has 60 requests a minute for everything.
LEAST_INTERVAL = 10.0
#: Ids that one line of the log names.
MOST_NAMED = 50


class HappyHorseNewVideosTrigger(BaseEventTrigger):
    """Fire when videos of the account have newly succeeded: for an ``AssetWatcher`` (Airflow 3.0 and later).

    The service must list an account's videos (happy-horse.ai). An event is ``{"seen_at", "videos"}``, one for all that a look has found: of
    several events at once, Airflow 3.3 may leave all but the first to the next run. Each video is ``{"generation_id", "happyhorse_conn_id",
    "service", "kind", "state", "credits", "created_at"}``, without URLs, which may be signed, and is a ``generation=`` for the publish
    operator. Watchers of one connection share every request in a triggerer. Whatever fails, it goes on: a watcher that ends is started
    anew by Airflow at once, and would end again.

    :param happyhorse_conn_id: connection of type ``happyhorse``.
    :param poll_interval: seconds between two looks at the list, at least 10.
    :param since: ISO 8601 time with UTC offset. Videos created from then on are new, also those that have ended before the first look.
        None: what has ended before the first look is old.
    """

    def __init__(self, *, happyhorse_conn_id: str = "happyhorse_default", poll_interval: float = 60.0, since: str | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # untyped in Airflow
        if not HAS_ASSET_WATCHERS:
            raise InvalidArguments("HappyHorseNewVideosTrigger is for asset watchers, which came with Airflow 3.0")
        if isinstance(poll_interval, bool) or not isinstance(poll_interval, int | float) or not poll_interval >= LEAST_INTERVAL:
            raise InvalidArguments(f"`poll_interval` must be at least {LEAST_INTERVAL:g} seconds, not {poll_interval!r}")
        self.happyhorse_conn_id = happyhorse_conn_id
        self.poll_interval = float(poll_interval)
        self.since = since
        self._since = None if since is None else _time(since)

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments, as Airflow stores them."""
        arguments = {"happyhorse_conn_id": self.happyhorse_conn_id, "poll_interval": self.poll_interval, "since": self.since}
        return "airflow_provider_happyhorse.triggers.new_videos.HappyHorseNewVideosTrigger", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look at the list again and again, and fire for what is new."""
        news = NewVideos(since=self._since, remembered=await self._remembered())
        trouble = ""
        async with account_list(self.happyhorse_conn_id) as account:
            while True:
                found: list[Generation] = []
                pause = self.poll_interval
                try:
                    service = await account.service()
                    found = await self._look(account, news)
                    said = ""
                except ServiceError as error:
                    said = f"{error}"
                    if isinstance(error, Rejected):
                        account.renew()
                        pause = max(pause, LOOK_AGAIN)
                    elif isinstance(error, RateLimited):
                        pause = max(pause, error.retry_after or 0.0)
                except Exception as problem:  # noqa: BLE001  a connection that is missing or unusable may be repaired; see the class
                    said = str(problem) if isinstance(problem, ValueError) else f"{type(problem).__name__}: {problem}"
                    account.renew()
                    pause = max(pause, LOOK_AGAIN)
                if said and said != trouble:
                    self.log.error("new videos of %r cannot be seen: %s; looking again in %.0f s", self.happyhorse_conn_id, said, pause)
                elif trouble and not said:
                    self.log.info("new videos of %r can be seen again", self.happyhorse_conn_id)
                trouble = said
                if found:
                    ids = ", ".join(generation.generation_id for generation in found[:MOST_NAMED])
                    more = ", ..." if len(found) > MOST_NAMED else ""
                    self.log.info("%s: %d new (%s%s)", self.happyhorse_conn_id, len(found), ids, more)
                    seen_at = datetime.now(UTC).isoformat(timespec="seconds")
                    videos = [self._video(generation, service) for generation in found]
                    yield TriggerEvent({"seen_at": seen_at, "videos": videos})  # type: ignore[no-untyped-call]  # untyped in Airflow
                await asyncio.sleep(pause)
                # Only now: by now Airflow has stored the events. Were this triggerer killed before, they would be fired again, never lost.
                await self._remember(news)

    async def _look(self, account: AccountList, news: NewVideos) -> list[Generation]:
        # Almost as old as a look of one's own: watchers that are out of step share a reading, and one alone never reads its own.
        max_age = 0.9 * self.poll_interval
        rows: list[Generation] = []
        number = 0
        async with aclosing(account.pages(rows=ROWS, max_age=max_age)) as pages:
            async for page in pages:
                number += 1
                rows += page.generations
                if not news.needs_more(rows, page, number=number):
                    break
        if number >= MOST_PAGES and (missed := news.may_be_missed(page)):
            text = "%s: more videos than the %d that one look reads; some created between %s may never fire, publish those by their ids"
            self.log.warning(text, self.happyhorse_conn_id, len(rows), missed)
        found = news.look(rows, now=time.time())
        for generation_id in news.to_ask(now=time.time()):
            try:
                found += news.told(await account.one(generation_id, max_age=max_age))
            except NotFound:
                news.unknown(generation_id)
            except ServiceError as error:
                # What the list has told must be fired; the list itself is read again soon, and says what is wrong.
                self.log.warning("%s could not be asked about (%s)", generation_id, error)
                break
        return found

    def _video(self, generation: Generation, service: str) -> dict[str, Any]:
        return {
            "generation_id": generation.generation_id,
            "happyhorse_conn_id": self.happyhorse_conn_id,
            "service": service,
            "kind": "video",
            "state": generation.state.value,
            "credits": generation.credits,
            "created_at": generation.created_at or None,
        }

    # -- what survives a restart ---------------------------------------------------------------------------------------------------------

    @property
    def _key(self) -> str:
        return f"happyhorse_new_videos.{self.happyhorse_conn_id}"

    async def _remembered(self) -> Mapping[str, Any] | None:
        """Return what an earlier life has left in the asset's state (Airflow 3.3), None without; another ``since`` begins anew."""
        store = getattr(self, "asset_state_store", None)
        if store is None:
            return None
        try:
            kept = await store.aget(self._key)
        except Exception as problem:  # noqa: BLE001  Airflow's; without it, this is a first start
            self.log.warning("what was seen before a restart cannot be read (%s)", problem)
            return None
        return kept if isinstance(kept, Mapping) and kept.get("since") == self.since else None

    async def _remember(self, news: NewVideos) -> None:
        store = getattr(self, "asset_state_store", None)
        if store is None:
            return
        kept = {**news.remember(), "since": self.since}
        if kept == getattr(self, "_kept", None):
            return
        try:
            await store.aset(self._key, kept)
            self._kept = kept
        except Exception as problem:  # noqa: BLE001  Airflow's; what is new now must still be fired
            self.log.warning("what has been seen cannot be kept across a restart (%s)", problem)


def _time(since: str) -> float:
    try:
        moment = datetime.fromisoformat(since)
    except (TypeError, ValueError):
        moment = None
    if moment is None or moment.tzinfo is None:
        raise InvalidArguments(f"`since` must be an ISO 8601 time with UTC offset, such as 2026-11-20T09:00:00+00:00, not {since!r}")
    return moment.timestamp()
