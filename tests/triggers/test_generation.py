"""The trigger against the emulator: every ending, whatever breaks."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_happyhorse.results import new_result
from airflow_provider_happyhorse.triggers.generation import HappyHorseGenerationTrigger
from tests.emulator_process import EmulatorProcess, ServiceName
from tests.operators.task_instances import Log


def trigger(generation_id: str, *, seconds: float = 20, **given: Any) -> HappyHorseGenerationTrigger:
    known = new_result(name="kettle", kind="video", service="happy-horse.ai", happyhorse_conn_id="happyhorse_default", credits_estimated=25)
    arguments = {"happyhorse_conn_id": "happyhorse_default", "end_time": time.time() + seconds, "first_poll_delay": 0.1, "known": known}
    return HappyHorseGenerationTrigger(generation_id=generation_id, **{**arguments, **given})


async def event(of: HappyHorseGenerationTrigger) -> dict[str, Any]:
    """Return the one event, and check that it is JSON and that there is only one."""
    events = [fired.payload async for fired in of.run()]
    assert len(events) == 1
    assert set(events[0]) == {"status", "generation_id", "message", "result"}
    return dict(json.loads(json.dumps(events[0])))


async def test_it_survives_the_database() -> None:
    path, arguments = trigger("v1", name="kettle").serialize()
    assert path == "airflow_provider_happyhorse.triggers.generation.HappyHorseGenerationTrigger"
    stored = json.loads(json.dumps(arguments))
    assert stored == arguments
    assert HappyHorseGenerationTrigger(**stored).serialize() == (path, arguments)


async def test_it_can_be_built_from_its_documented_arguments_alone(connect: Callable[..., str], emulator: EmulatorProcess) -> None:
    (generation_id,) = emulator.seed(render_seconds=0)
    fired = await event(HappyHorseGenerationTrigger(connect(), generation_id, time.time() + 20, 0.1))
    assert (fired["status"], fired["result"]["state"]) == ("success", "succeeded")


@pytest.mark.parametrize("service", ["happy-horse.ai", "happyhorse.app"])
async def test_success_carries_the_whole_result(connect: Callable[..., str], emulator: EmulatorProcess, service: ServiceName) -> None:
    connect(service)
    (generation_id,) = emulator.seed(service=service, render_seconds=0)
    fired = await event(trigger(generation_id))
    assert (fired["status"], fired["generation_id"]) == ("success", generation_id)
    assert fired["result"]["state"] == "succeeded"
    assert fired["result"]["name"] == "kettle"
    assert fired["result"]["result_urls"][0].startswith(emulator.url)
    assert fired["result"]["completed_at"]


async def test_a_failure_carries_the_reason(connect: Callable[..., str], emulator: EmulatorProcess) -> None:
    connect()
    (generation_id,) = emulator.seed(render_seconds=0, failure="Content policy")
    fired = await event(trigger(generation_id))
    assert (fired["status"], fired["result"]["state"]) == ("failed", "failed")
    assert "Content policy" in fired["message"]


async def test_the_deadline_is_absolute_so_a_restarted_triggerer_does_not_begin_anew(
    connect: Callable[..., str], emulator: EmulatorProcess
) -> None:
    connect()
    (generation_id,) = emulator.seed(render_seconds=600)
    began = time.monotonic()
    fired = await event(trigger(generation_id, seconds=0.4))
    assert fired["status"] == "timeout"
    assert time.monotonic() - began < 3
    assert (await event(trigger(generation_id, seconds=-5)))["status"] == "timeout"
    assert fired["result"]["state"] == "in_progress"


@pytest.mark.parametrize(
    "fault",
    [
        {"fault": "server_error", "times": 2},
        {"fault": "html", "times": 2},
        {"fault": "malformed_json", "times": 2},
        {"fault": "reset_after", "times": 2},
        {"fault": "close_before", "times": 2},
        {"fault": "forbidden_by_proxy", "times": 2},
        {"fault": "rate_limited", "seconds": 1, "times": 1},
        {"fault": "unknown_status", "times": 2},
        {"fault": "wrong_type", "times": 2},
        {"fault": "hang", "seconds": 5},
        {"fault": "unauthorized", "times": 1},
    ],
    ids=lambda fault: str(fault["fault"]),
)
async def test_an_outage_is_waited_out(connect: Callable[..., str], emulator: EmulatorProcess, fault: dict[str, Any]) -> None:
    connect(request_timeout=1)
    (generation_id,) = emulator.seed(render_seconds=0)
    emulator.fault(method="GET", path="/api/v1/videos/*", **fault)
    assert (await event(trigger(generation_id)))["status"] == "success"


async def test_an_outage_to_the_end_is_a_timeout(connect: Callable[..., str], emulator: EmulatorProcess) -> None:
    connect()
    (generation_id,) = emulator.seed(render_seconds=0)
    emulator.fault("server_error", method="GET", times=None)
    fired = await event(trigger(generation_id, seconds=0.8))
    assert fired["status"] == "timeout"
    assert "500" in fired["message"]


async def test_a_rotated_key_is_picked_up(connect: Callable[..., str], emulator: EmulatorProcess) -> None:
    connect(key="sk-old")
    (generation_id,) = emulator.seed(render_seconds=0)
    waiting = asyncio.create_task(event(trigger(generation_id, first_poll_delay=0.3)))
    await asyncio.sleep(0.15)
    connect()
    assert (await waiting)["status"] == "success"


async def test_a_revoked_key_ends_the_wait_after_one_more_look(connect: Callable[..., str], emulator: EmulatorProcess) -> None:
    connect(key="sk-old")
    (generation_id,) = emulator.seed(render_seconds=600)
    fired = await event(trigger(generation_id))
    assert fired["status"] == "error"
    assert generation_id in fired["message"]
    assert "sk-old" not in json.dumps(fired)
    assert len(emulator.requests()) == 2


async def test_an_unknown_id_ends_the_wait(connect: Callable[..., str]) -> None:
    connect()
    assert (await event(trigger("v-unknown")))["status"] == "error"


@pytest.mark.parametrize("conn_id", ["is_not_there", "happyhorse_default"])
async def test_a_broken_connection_is_told_and_the_task_does_not_hang(
    connect: Callable[..., str], emulator: EmulatorProcess, monkeypatch: pytest.MonkeyPatch, conn_id: str, airflow_database: None
) -> None:
    connect(host="http://example.com")
    fired = await event(trigger("v1", happyhorse_conn_id=conn_id, seconds=0))
    assert (fired["status"], fired["generation_id"]) == ("error", "v1")
    assert conn_id in fired["message"]
    assert fired["result"]["generation_id"] == "v1"
    assert emulator.requests() == []


async def test_a_connection_that_comes_back_is_tried_again(connect: Callable[..., str], emulator: EmulatorProcess) -> None:
    (generation_id,) = emulator.seed(render_seconds=0)
    connect(host="http://example.com")
    waiting = asyncio.create_task(event(trigger(generation_id)))
    await asyncio.sleep(0.3)
    connect()
    assert (await waiting)["status"] == "success"


async def test_a_cancelled_trigger_fires_nothing(connect: Callable[..., str], emulator: EmulatorProcess) -> None:
    connect()
    (generation_id,) = emulator.seed(render_seconds=600)
    waiting = asyncio.create_task(event(trigger(generation_id)))
    await asyncio.sleep(0.3)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_many_wait_at_once_in_one_loop(connect: Callable[..., str], emulator: EmulatorProcess) -> None:
    connect()
    ids = emulator.seed(30, render_seconds=0.3)
    fired = await asyncio.gather(*(event(trigger(generation_id)) for generation_id in ids))
    assert [one["status"] for one in fired] == ["success"] * 30
    assert emulator.charged() == 0


async def test_loading_the_http_library_does_not_stop_the_loop(
    connect: Callable[..., str], emulator: EmulatorProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "airflow_provider_happyhorse.transports.aio"

    class Slow:
        @staticmethod
        def find_spec(asked: str, path: Any = None, target: Any = None) -> None:
            if asked == name:
                time.sleep(0.6)

    monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setattr(sys, "meta_path", [Slow, *sys.meta_path])
    connect()
    (generation_id,) = emulator.seed(render_seconds=0)
    longest, waiting = 0.0, asyncio.create_task(event(trigger(generation_id)))
    while not waiting.done():
        before = time.monotonic()
        await asyncio.sleep(0.01)
        longest = max(longest, time.monotonic() - before)
    assert (await waiting)["status"] == "success"
    assert longest < 0.5


async def test_a_killed_wait_says_what_becomes_of_the_video_and_its_money() -> None:
    class Told(HappyHorseGenerationTrigger):
        log = Log()

    waiting = trigger("v1")
    told = Told(**waiting.serialize()[1])
    await told.on_kill()
    assert told.log.text("WARNING").startswith("[kettle] ")
    for said in ("v1", "about 25 credits (happy-horse.ai, estimated)", "Nothing was cancelled", "pays nothing again"):
        assert said in told.log.text("WARNING")


async def test_a_killed_wait_asks_for_nothing(connect: Callable[..., str], emulator: EmulatorProcess) -> None:
    connect()
    (generation_id,) = emulator.seed(render_seconds=600)
    await trigger(generation_id).on_kill()
    assert emulator.requests() == []
