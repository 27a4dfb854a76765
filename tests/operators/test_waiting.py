"""How a worker waits when it holds its slot: the same manners as the triggerer."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_happyhorse.hooks.happyhorse import HappyHorseHook
from airflow_provider_happyhorse.operators.waiting import look_once, wait_in_worker
from tests.emulator_process import EmulatorProcess
from tests.operators.task_instances import Log, Task


@pytest.fixture
def waited(connect: Callable[..., str], emulator: EmulatorProcess) -> Callable[..., tuple[dict[str, Any], list[float]]]:
    """Give the function that waits for a generation and returns the event and the seconds it wanted to sleep."""

    def wait(generation_id: str, *, seconds: float = 600, **given: Any) -> tuple[dict[str, Any], list[float]]:
        slept: list[float] = []
        now = time.time()
        hook = HappyHorseHook(connect())
        event = wait_in_worker(
            hook,
            generation_id,
            end_time=now + seconds,
            known={},
            log=Log(),
            name="kettle",
            clock=lambda: now + sum(slept),
            sleep=slept.append,
            **given,
        )
        return event, slept

    return wait


def test_after_a_429_it_asks_no_sooner_than_told(
    waited: Callable[..., tuple[dict[str, Any], list[float]]], emulator: EmulatorProcess
) -> None:
    (generation_id,) = emulator.seed(render_seconds=0)
    emulator.fault("rate_limited", method="GET", seconds=40)
    event, slept = waited(generation_id)
    assert event["status"] == "success"
    assert len(slept) == 2
    assert 39 <= slept[1] <= 60


def test_the_last_requests_of_a_window_are_left_to_submissions(connect: Callable[..., str]) -> None:
    with EmulatorProcess("--requests-per-minute", "20") as scarce:
        (generation_id,) = scarce.seed(render_seconds=600)
        hook = HappyHorseHook(connect(host=scarce.base_url("happy-horse.ai"), key=scarce.key))
        pauses = [look_once(hook, generation_id, known={}, log=Log()).pause for _ in range(19)]
        assert pauses[:18] == [0.0] * 18
        assert 30 <= pauses[18] <= 65
        assert {request["status"] for request in scarce.requests()} == {200}


def test_a_pause_is_cut_at_the_deadline(waited: Callable[..., tuple[dict[str, Any], list[float]]], emulator: EmulatorProcess) -> None:
    (generation_id,) = emulator.seed(render_seconds=600)
    event, slept = waited(generation_id, seconds=30, pause=300)
    assert event["status"] == "timeout"
    assert sum(slept) == pytest.approx(30)


def test_what_a_retry_is_told_before_it_defers_the_trigger_keeps_to(task: Callable[..., Task], emulator: EmulatorProcess) -> None:
    running = task(prompt="a kettle [emulator: render_seconds=600]")
    running.deferred()
    emulator.fault("rate_limited", method="GET", seconds=40)
    assert 39 <= running.deferred().trigger.first_poll_delay <= 60
