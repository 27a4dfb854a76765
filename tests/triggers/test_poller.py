"""What triggers share: one lookup, one session, one budget, one schedule; and what becomes of all when it breaks for one."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_happyhorse.hooks.settings import async_settings
from airflow_provider_happyhorse.results import new_result
from airflow_provider_happyhorse.transports.aio import AioTransport
from airflow_provider_happyhorse.triggers import connection, poller
from airflow_provider_happyhorse.triggers.generation import HappyHorseGenerationTrigger
from tests.emulator_process import EmulatorProcess
from tests.operators.task_instances import Log


async def event(generation_id: str, *, seconds: float = 20, log: Log | None = None, **given: Any) -> dict[str, Any]:
    """Wait as a deferred task does, and return the event."""
    name = str(given.pop("name", generation_id))
    known = new_result(name=name, kind="video", service="happy-horse.ai", happyhorse_conn_id="happyhorse_default")
    logged = type("Logged", (HappyHorseGenerationTrigger,), {"log": log or Log()})
    arguments = {"happyhorse_conn_id": "happyhorse_default", "end_time": time.time() + seconds, "first_poll_delay": 0.1, "known": known}
    fired = [one.payload async for one in logged(generation_id=generation_id, **{**arguments, **given}).run()]
    assert len(fired) == 1
    return dict(fired[0])


def waits(generation_id: str, **given: Any) -> asyncio.Task[dict[str, Any]]:
    return asyncio.create_task(event(generation_id, **given))


async def asked(emulator: EmulatorProcess, times: int = 1) -> None:
    """Return when so many requests have been made."""
    deadline = time.monotonic() + 20
    while len(await asyncio.to_thread(emulator.requests)) < times:
        assert time.monotonic() < deadline, "nobody asks"
        await asyncio.sleep(0.02)


async def left_alone() -> set[asyncio.Task[Any]]:
    """Return the tasks that are still there once everything has had its chance to end."""
    for _ in range(50):
        if len(asyncio.all_tasks()) == 1:
            break
        await asyncio.sleep(0.02)
    return asyncio.all_tasks() - {asyncio.current_task()}  # type: ignore[arg-type]


@pytest.fixture
def lookups(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Give the list of all lookups of connections."""
    made: list[str] = []

    async def looked_up(conn_id: str) -> Any:
        made.append(conn_id)
        return await async_settings(conn_id)

    monkeypatch.setattr(connection, "async_settings", looked_up)
    return made


@pytest.fixture
def always_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look the connection up before every request."""
    monkeypatch.setattr(connection, "TIME_TO_LIVE", 0.0)


async def test_a_hundred_wait_on_one_lookup_and_one_session(
    connect: Callable[..., str], emulator: EmulatorProcess, lookups: list[str]
) -> None:
    connect()
    ids = emulator.seed(100, render_seconds=0)
    fired = await asyncio.gather(*(event(generation_id) for generation_id in ids))
    assert [one["status"] for one in fired] == ["success"] * 100
    assert [one["generation_id"] for one in fired] == ids
    assert lookups == ["happyhorse_default"]
    requests = emulator.requests()
    assert len({request["client_port"] for request in requests}) <= 8
    assert len(requests) <= 100
    assert await left_alone() == set()


async def test_two_connections_have_a_poller_each(connect: Callable[..., str], emulator: EmulatorProcess, lookups: list[str]) -> None:
    connect()
    connect(conn_id="other")
    first, second = emulator.seed(2, render_seconds=0)
    fired = await asyncio.gather(event(first), event(second, happyhorse_conn_id="other"))
    assert [one["status"] for one in fired] == ["success"] * 2
    assert sorted(lookups) == ["happyhorse_default", "other"]


async def test_after_a_clear_two_wait_for_one_generation_and_cost_one_request(
    connect: Callable[..., str], emulator: EmulatorProcess
) -> None:
    connect()
    (generation_id,) = emulator.seed(render_seconds=0)
    fired = await asyncio.gather(event(generation_id), event(generation_id))
    assert [one["status"] for one in fired] == ["success"] * 2
    assert len(emulator.requests()) == 1


async def test_the_old_trigger_of_a_cleared_task_ends_and_takes_nothing_from_the_new_one(
    connect: Callable[..., str], emulator: EmulatorProcess
) -> None:
    connect()
    (generation_id,) = emulator.seed(render_seconds=600)
    old = waits(generation_id)
    await asked(emulator)
    new = waits(generation_id)
    await asyncio.sleep(0.1)
    old.cancel()
    with pytest.raises(asyncio.CancelledError):
        await old
    emulator.finish()
    assert (await new)["status"] == "success"


async def test_one_that_is_cancelled_while_it_is_asked_about_leaves_the_others(
    connect: Callable[..., str], emulator: EmulatorProcess
) -> None:
    connect()
    slow, other = emulator.seed(2, render_seconds=0)
    emulator.fault("slow", path=f"*{slow}", seconds=0.5, times=None)
    cancelled, twin, beside = waits(slow), waits(slow), waits(other)
    await asyncio.sleep(0.4)
    cancelled.cancel()
    assert (await twin)["status"] == "success"
    assert (await beside)["status"] == "success"
    assert cancelled.cancelled()


async def test_the_last_to_leave_ends_the_poller_also_while_it_asks(connect: Callable[..., str], emulator: EmulatorProcess) -> None:
    connect()
    (generation_id,) = emulator.seed(render_seconds=0)
    emulator.fault("hang", seconds=20)
    only = waits(generation_id)
    await asyncio.sleep(0.4)
    only.cancel()
    with pytest.raises(asyncio.CancelledError):
        await only
    assert await left_alone() == set()
    assert (await event(generation_id))["status"] == "success"


async def test_what_breaks_the_poller_is_told_to_everybody_and_the_next_one_is_whole(
    connect: Callable[..., str], emulator: EmulatorProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect()
    ids = emulator.seed(20, render_seconds=600)

    async def broken(self: AioTransport, request: Any) -> Any:
        raise ZeroDivisionError("a mistake of ours")

    with monkeypatch.context() as patched:
        patched.setattr(AioTransport, "answer", broken)
        log = Log()
        fired = await asyncio.gather(*(event(generation_id, log=log) for generation_id in ids))
    assert [one["status"] for one in fired] == ["error"] * 20
    assert all(
        generation_id in one["message"] and "ZeroDivisionError" in one["message"] for generation_id, one in zip(ids, fired, strict=True)
    )
    assert log.text("ERROR").count("broke") == 20
    assert await left_alone() == set()
    emulator.finish()
    assert (await event(ids[0]))["status"] == "success"


async def test_a_poller_that_is_stopped_from_outside_leaves_nobody_hanging(connect: Callable[..., str], emulator: EmulatorProcess) -> None:
    connect()
    (generation_id,) = emulator.seed(render_seconds=600)
    before = asyncio.all_tasks()
    waiting = waits(generation_id)
    await asked(emulator)
    (task,) = (task for task in asyncio.all_tasks() - before if task.get_name() == "happyhorse poller of happyhorse_default")
    task.cancel()
    assert (await waiting)["status"] == "error"


async def test_a_clock_that_is_set_back_keeps_nobody_from_being_asked_about(
    connect: Callable[..., str], emulator: EmulatorProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect()
    (generation_id,) = emulator.seed(render_seconds=600)
    waiting, real = waits(generation_id), time.time
    await asked(emulator)
    monkeypatch.setattr(time, "time", lambda: real() - 3600)
    emulator.finish()
    async with asyncio.timeout(30):
        assert (await waiting)["status"] == "success"


async def test_a_rotated_key_is_read_once_for_everybody(connect: Callable[..., str], emulator: EmulatorProcess, lookups: list[str]) -> None:
    connect(key="sk-old")
    ids = emulator.seed(10, render_seconds=0)
    waiting = [waits(generation_id, first_poll_delay=0.5) for generation_id in ids]
    await asyncio.sleep(0.2)
    assert lookups == ["happyhorse_default"]
    connect()
    assert [(await one)["status"] for one in waiting] == ["success"] * 10
    assert len(lookups) == 2


async def test_a_revoked_key_is_told_to_everybody(connect: Callable[..., str], emulator: EmulatorProcess, lookups: list[str]) -> None:
    connect(key="sk-old")
    ids = emulator.seed(10, render_seconds=0)
    fired = await asyncio.gather(*(event(generation_id) for generation_id in ids))
    assert [one["status"] for one in fired] == ["error"] * 10
    assert all(generation_id in one["message"] for generation_id, one in zip(ids, fired, strict=True))
    assert len(lookups) == 2


async def test_who_waits_goes_on_when_the_connection_is_deleted(
    connect: Callable[..., str], emulator: EmulatorProcess, monkeypatch: pytest.MonkeyPatch, airflow_database: None, always_looked_up: None
) -> None:
    connect()
    (generation_id,) = emulator.seed(render_seconds=600)
    waiting = waits(generation_id)
    await asked(emulator)
    monkeypatch.delenv("AIRFLOW_CONN_HAPPYHORSE_DEFAULT")
    await asked(emulator, 2)
    emulator.finish()
    assert (await waiting)["status"] == "success"


async def test_a_connection_that_is_deleted_and_whose_key_is_refused_ends_the_wait(
    connect: Callable[..., str], emulator: EmulatorProcess, monkeypatch: pytest.MonkeyPatch, airflow_database: None
) -> None:
    connect(key="sk-old")
    (generation_id,) = emulator.seed(render_seconds=600)
    log = Log()
    waiting = waits(generation_id, seconds=1, first_poll_delay=0.3, log=log)
    await asyncio.sleep(0.2)
    monkeypatch.delenv("AIRFLOW_CONN_HAPPYHORSE_DEFAULT")
    fired = await waiting
    assert fired["status"] == "error"
    assert "happyhorse_default" in fired["message"]
    assert "could not be read" in log.text("INFO")


async def test_a_connection_that_says_something_else_now_is_followed(
    connect: Callable[..., str], emulator: EmulatorProcess, always_looked_up: None
) -> None:
    connect(requests_per_minute=600)
    (generation_id,) = emulator.seed(render_seconds=600)
    waiting = waits(generation_id)
    await asked(emulator)
    connect(requests_per_minute=1200, request_timeout=30)
    await asked(emulator, 2)
    emulator.finish()
    assert (await waiting)["status"] == "success"


async def test_one_429_pauses_everybody_until_the_reset(connect: Callable[..., str], emulator: EmulatorProcess) -> None:
    connect()
    ids = emulator.seed(10, render_seconds=0)
    emulator.fault("rate_limited", seconds=2, limit=6000, after=1)
    fired = await asyncio.gather(*(event(generation_id) for generation_id in ids))
    assert [one["status"] for one in fired] == ["success"] * 10
    requests = emulator.requests()
    refused = [request["time"] for request in requests if request["status"] == 429]
    assert len(refused) == 1
    # Besides what was under way when the refusal came.
    assert [request for request in requests if refused[0] + 0.3 < request["time"] < refused[0] + 1.5] == []


async def test_the_answer_that_ends_a_wait_is_the_last_request(connect: Callable[..., str], emulator: EmulatorProcess) -> None:
    connect()
    ids = emulator.seed(5, render_seconds=0)
    await asyncio.gather(*(event(generation_id) for generation_id in ids))
    asked_about = [request["path"].rsplit("/", 1)[-1] for request in emulator.requests()]
    assert len(asked_about) <= 5


async def test_every_line_is_in_the_log_of_the_task_it_is_about(connect: Callable[..., str], emulator: EmulatorProcess) -> None:
    connect()
    first, second = emulator.seed(2, render_seconds=0)
    of_first, of_second = Log(), Log()
    await asyncio.gather(event(first, name="kettle", log=of_first), event(second, name="teapot", log=of_second))
    for log, name, generation_id in ((of_first, "kettle", first), (of_second, "teapot", second)):
        assert log.lines == [("INFO", f"[{name}] {generation_id} succeeded")]


def test_loops_come_and_go(connect: Callable[..., str], emulator: EmulatorProcess) -> None:
    connect()
    for _ in range(5):
        (generation_id,) = emulator.seed(render_seconds=0)
        assert asyncio.run(event(generation_id))["status"] == "success"
    gc.collect()
    # Python keeps the last loop that ran.
    assert len([loop for loop in poller._POLLERS if loop.is_closed()]) <= 1


def test_a_loop_that_ends_while_one_waits_takes_its_poller_with_it(connect: Callable[..., str], emulator: EmulatorProcess) -> None:
    connect()
    (generation_id,) = emulator.seed(render_seconds=600)

    async def leave() -> None:
        waits(generation_id)
        await asked(emulator)

    for _ in range(3):
        asyncio.run(leave())
    gc.collect()
    assert len([loop for loop in poller._POLLERS if loop.is_closed()]) <= 1
