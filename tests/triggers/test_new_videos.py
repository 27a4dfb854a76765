"""The watcher's trigger against the emulator: what it fires, once, and what it costs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_0_PLUS

from airflow_provider_happyhorse.api.generation import Generation
from airflow_provider_happyhorse.exceptions import InvalidArguments
from airflow_provider_happyhorse.results import read_reference
from airflow_provider_happyhorse.triggers import account_list
from airflow_provider_happyhorse.triggers import new_videos as module
from airflow_provider_happyhorse.triggers.account_list import AccountList
from airflow_provider_happyhorse.triggers.new_videos import HappyHorseNewVideosTrigger
from tests.emulator_process import EmulatorProcess
from tests.operators.task_instances import Log

before_assets_had_watchers = pytest.mark.skipif(not AIRFLOW_V_3_0_PLUS, reason="asset watchers came with Airflow 3.0")
pytestmark = before_assets_had_watchers


class AssetState:
    """``asset_state_store`` of Airflow 3.3, in memory; JSON goes in and out, as it does there."""

    def __init__(self) -> None:
        self.entries: dict[str, str] = {}

    async def aget(self, key: str, default: Any = None) -> Any:
        return json.loads(self.entries[key]) if key in self.entries else default

    async def aset(self, key: str, value: Any) -> None:
        self.entries[key] = json.dumps(value)


def trigger(store: AssetState | None = None, **given: Any) -> HappyHorseNewVideosTrigger:
    made = HappyHorseNewVideosTrigger(**given)
    made.poll_interval = 0.2  # an author may give 10 s and more
    made.asset_state_store = store  # type: ignore[assignment]  # as the triggerer of Airflow 3.3 does
    return made


@asynccontextmanager
async def watching(of: HappyHorseNewVideosTrigger) -> AsyncIterator[list[str]]:
    """Run a trigger as the triggerer does; its events appear in the list, and it is cancelled in the end."""
    fired: list[str] = []

    async def run() -> None:
        async for event in of.run():
            assert json.loads(json.dumps(event.payload)) == event.payload
            fired.extend(video["generation_id"] for video in event.payload["videos"])

    running = asyncio.create_task(run())
    try:
        yield fired
        assert not running.done(), "a watcher never ends"
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110  what is waited for happens in another process
            await asyncio.sleep(0.05)


def looks(emulator: EmulatorProcess, path: str = "/api/v1/videos") -> int:
    return sum(request["path"] == path for request in emulator.requests())


async def looked(emulator: EmulatorProcess, times: int = 2) -> None:
    """Wait until the list has been read so many times from now on."""
    enough = looks(emulator) + times
    await until(lambda: looks(emulator) >= enough)


async def test_it_fires_for_what_succeeds_from_now_on_whoever_started_it(connect: Callable[..., str], emulator: EmulatorProcess) -> None:
    connect()
    emulator.seed(render_seconds=0)
    (running,) = emulator.seed(render_seconds=600)
    async with watching(trigger()) as fired:
        await looked(emulator)
        assert fired == []
        emulator.finish(running)
        (quick,) = emulator.seed(render_seconds=0)
        emulator.seed(render_seconds=0, failure="Content policy")
        await until(lambda: len(fired) == 2)
        await looked(emulator)
        assert fired == [running, quick]


async def test_what_one_look_has_found_is_one_event(connect: Callable[..., str], emulator: EmulatorProcess) -> None:
    """Of several at once, Airflow may leave all but the first to the next run."""
    connect()
    ids = emulator.seed(3, render_seconds=0, age_seconds=[3, 2, 1])
    events = trigger(since=(datetime.now(UTC) - timedelta(hours=1)).isoformat()).run()
    event = await anext(events)
    await events.aclose()
    assert [video["generation_id"] for video in event.payload["videos"]] == ids


async def test_a_video_of_an_event_is_a_generation_for_the_publish_operator_and_has_no_url(
    connect: Callable[..., str], emulator: EmulatorProcess
) -> None:
    connect(conn_id="studio")
    (generation_id,) = emulator.seed(render_seconds=0)
    watcher = trigger(happyhorse_conn_id="studio", since=(datetime.now(UTC) - timedelta(hours=1)).isoformat())
    events = watcher.run()
    event = await anext(events)
    await events.aclose()
    (video,) = event.payload["videos"]
    reference = read_reference(video)
    assert (reference.generation_id, reference.happyhorse_conn_id) == (generation_id, "studio")
    assert video["service"] == "happy-horse.ai"
    assert video["state"] == "succeeded"
    assert emulator.url not in json.dumps(event.payload)
    assert emulator.key not in json.dumps(event.payload)


async def test_watchers_of_one_connection_share_every_request(connect: Callable[..., str], emulator: EmulatorProcess) -> None:
    class Counting(HappyHorseNewVideosTrigger):
        looks = 0

        async def _look(self, *arguments: Any) -> Any:
            Counting.looks += 1
            return await super()._look(*arguments)

    connect()
    (running,) = emulator.seed(render_seconds=600)
    watchers = [Counting(since=f"2026-01-0{day}T00:00:00+00:00") for day in (1, 2, 3, 4)]
    for watcher in watchers:
        watcher.poll_interval = 1.0
    async with watching(watchers[0]) as one, watching(watchers[1]) as two, watching(watchers[2]) as three, watching(watchers[3]) as four:
        await until(lambda: Counting.looks >= 16)
        assert looks(emulator) <= Counting.looks / 2  # a quarter of them, were all in step
        emulator.finish(running)
        await until(lambda: one == two == three == four == [running])


async def test_a_stale_list_is_made_fresh_by_asking(connect: Callable[..., str]) -> None:
    with EmulatorProcess("--list-freshness", "stale", "--requests-per-minute", "100000") as emulator:
        connect(host=emulator.base_url("happy-horse.ai"), key=emulator.key)
        (running,) = emulator.seed(render_seconds=600)
        async with watching(trigger()) as fired:
            await looked(emulator, 3)
            emulator.finish(running)
            # Asked about once a minute, and that was a moment ago; somebody else's question makes the list fresh as well.
            (other,) = emulator.seed(render_seconds=0)
            await until(lambda: fired == [other])
        assert looks(emulator, f"/api/v1/videos/{other}") == 1


async def test_a_restart_loses_nothing_and_repeats_nothing_where_airflow_keeps_state(
    connect: Callable[..., str], emulator: EmulatorProcess
) -> None:
    connect()
    store = AssetState()
    (running,) = emulator.seed(render_seconds=600)
    async with watching(trigger(store)) as fired:
        (told,) = emulator.seed(render_seconds=0)
        await looked(emulator, 3)
        (told_too,) = emulator.seed(render_seconds=0)
        await until(lambda: told_too in fired)
        await looked(emulator, 3)
    emulator.finish(running)
    (while_away,) = emulator.seed(render_seconds=0)
    async with watching(trigger(store)) as fired:
        await until(lambda: len(fired) == 2)
        await looked(emulator)
        assert fired == [running, while_away]
    assert told not in fired


async def test_what_ended_while_nobody_looked_is_told_once_however_much_it_is_and_whatever_goes_wrong_on_the_way(
    connect: Callable[..., str], emulator: EmulatorProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(account_list, "PAUSE", 0.05)
    connect()
    store = AssetState()
    async with watching(trigger(store)):
        await looked(emulator, 3)
    ids = emulator.seed(1200, render_seconds=0)
    emulator.fault("server_error", path="/api/v1/videos", after=5, times=2)
    before = looks(emulator)
    async with watching(trigger(store)) as fired:
        await until(lambda: len(fired) >= len(ids))
        assert looks(emulator) - before in range(25, 35), "one reading of 25 pages, not one for each error"
        await looked(emulator, 3)
        assert sorted(fired) == sorted(ids)


async def test_no_page_of_a_reading_is_older_than_the_page_before_it(connect: Callable[..., str], emulator: EmulatorProcess) -> None:
    """Rows move on to later pages: between an older page and a newer one before it, one would be in neither."""
    connect()
    emulator.seed(60, render_seconds=0)

    async def read(account: AccountList, pages: int) -> list[Generation]:
        rows: list[Generation] = []
        async with aclosing(account.pages(rows=50, max_age=1.0)) as reading:
            async for page in reading:
                rows += page.generations
                pages -= 1
                if not pages:
                    break
        return rows

    async with account_list.account_list("happyhorse_default") as account:
        await read(account, 1)
        await asyncio.sleep(0.6)
        await read(account, 2)  # the first page again from before, the second new
        emulator.seed(20, render_seconds=0)
        await asyncio.sleep(0.5)
        rows = await read(account, 2)
        assert len({row.generation_id for row in rows}) == 80


async def test_without_kept_state_a_restart_begins_with_what_is_there(connect: Callable[..., str], emulator: EmulatorProcess) -> None:
    connect()
    async with watching(trigger()):
        await looked(emulator)
    emulator.seed(render_seconds=0)
    async with watching(trigger()) as fired:
        await looked(emulator)
        (new,) = emulator.seed(render_seconds=0)
        await until(lambda: bool(fired))
        assert fired == [new]


async def test_trouble_is_said_once_and_waited_out(connect: Callable[..., str], emulator: EmulatorProcess) -> None:
    connect()
    watcher = trigger()
    watcher._log = log = Log()  # type: ignore[assignment]  # what LoggingMixin reads
    async with watching(watcher) as fired:
        await looked(emulator)
        emulator.fault("server_error", path="/api/v1/videos", times=None)
        await looked(emulator, 3)
        (new,) = emulator.seed(render_seconds=0)
        emulator.clear_faults()
        await until(lambda: fired == [new])
    assert log.text("ERROR").count("cannot be seen") == 1
    assert "can be seen again" in log.text("INFO")


@pytest.mark.parametrize(
    ("service", "key", "why"),
    [
        ("happyhorse.app", None, "happyhorse.app does not list an account's videos"),
        ("happy-horse.ai", "sk-wrong", "unauthorized"),
    ],
)
async def test_what_cannot_be_watched_is_said_with_the_reason_and_looked_at_again_later(
    connect: Callable[..., str], monkeypatch: pytest.MonkeyPatch, emulator: EmulatorProcess, service: Any, key: str | None, why: str
) -> None:
    monkeypatch.setattr(module, "LOOK_AGAIN", 0.3)  # five minutes
    connect(service, key=key)
    watcher = trigger()
    watcher._log = log = Log()  # type: ignore[assignment]  # what LoggingMixin reads
    async with watching(watcher) as fired:
        await until(lambda: why in log.text("ERROR").lower())
        connect()  # somebody repairs the connection
        await looked(emulator)
        (new,) = emulator.seed(render_seconds=0)
        await until(lambda: fired == [new])


def test_it_survives_the_database() -> None:
    path, arguments = HappyHorseNewVideosTrigger(happyhorse_conn_id="c", poll_interval=30, since="2026-11-20T09:00:00+01:00").serialize()
    stored = json.loads(json.dumps(arguments))
    assert stored == arguments == {"happyhorse_conn_id": "c", "poll_interval": 30.0, "since": "2026-11-20T09:00:00+01:00"}
    assert HappyHorseNewVideosTrigger(**stored).serialize() == (path, arguments)


@pytest.mark.parametrize(
    "wrong",
    [{"poll_interval": 1}, {"poll_interval": True}, {"poll_interval": "60"}, {"since": "yesterday"}, {"since": "2026-11-20T09:00:00"}],
)
def test_a_mistake_is_an_error_in_the_dag_file(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidArguments, match=next(iter(wrong))):
        HappyHorseNewVideosTrigger(**wrong)
