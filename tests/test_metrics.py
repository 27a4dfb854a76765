"""What Airflow's metrics say of us."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_happyhorse import _compat, metrics
from airflow_provider_happyhorse.api.errors import BadResponse, RateLimited
from airflow_provider_happyhorse.hooks.happyhorse import HappyHorseHook
from airflow_provider_happyhorse.metrics import Metrics
from airflow_provider_happyhorse.operators.waiting import look_once
from tests.documentation import PAGES, rows, section, words
from tests.emulator_process import EmulatorProcess
from tests.operators.task_instances import Log, Task
from tests.triggers.test_poller import event


class Told:
    """Airflow's metrics, as they would be sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, Any, dict[str, str]]] = []

    def incr(self, name: str, count: int = 1, rate: float = 1, *, tags: dict[str, str]) -> None:
        self.sent.append((name, count, tags))

    def gauge(self, name: str, value: float, rate: float = 1, delta: bool = False, *, tags: dict[str, str]) -> None:
        self.sent.append((name, value, tags))

    def timing(self, name: str, value: Any, *, tags: dict[str, str]) -> None:
        self.sent.append((name, value.total_seconds(), tags))

    def of(self, name: str) -> list[Any]:
        return [value for sent, value, tags in self.sent if sent == f"happyhorse.{name}" and tags["service"] == "happy-horse.ai"]


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    told = Told()
    monkeypatch.setattr(metrics, "stats", lambda in_triggerer: told)
    return told


def everything(of: Metrics) -> None:
    of.submitted(25)
    of.submitted(None)
    of.asked(None)
    of.asked(RateLimited("429"))
    of.asked(BadResponse("html"))
    of.waiting("happyhorse_default", 3)
    of.noticed(1.5)


def test_waiting_triggers_tell_how_many_they_are_and_what_it_costs(
    connect: Callable[..., str], emulator: EmulatorProcess, told: Told
) -> None:
    connect()
    ids = emulator.seed(3, render_seconds=0)
    emulator.fault("rate_limited", seconds=1)

    async def wait() -> None:
        await asyncio.gather(*(event(generation_id) for generation_id in ids))

    asyncio.run(wait())
    requests = emulator.requests()
    assert sum(told.of("polls")) == len(requests)
    assert sum(told.of("too_many_requests")) == 1
    assert told.of("waiting")[0] == 3
    assert told.of("waiting")[-1] == 0
    assert len(told.of("detection_lag")) == 3
    assert {tags["conn_id"] for name, _, tags in told.sent if name == "happyhorse.waiting"} == {"happyhorse_default"}


def test_a_submission_and_its_credits_are_counted(connect: Callable[..., str], emulator: EmulatorProcess, told: Told) -> None:
    connect()
    Task(prompt="a kettle", wait_for_completion=False).run()
    assert told.of("submissions") == [1]
    assert told.of("credits") == [25]


def test_a_worker_that_asks_counts_too(connect: Callable[..., str], emulator: EmulatorProcess, told: Told) -> None:
    hook = HappyHorseHook(connect())
    (generation_id,) = emulator.seed(render_seconds=0)
    emulator.fault("server_error")
    for _ in range(2):
        look_once(hook, generation_id, known={}, log=Log())
    assert (sum(told.of("polls")), sum(told.of("polls_unanswered"))) == (2, 1)


@pytest.mark.parametrize("in_triggerer", [True, False])
def test_this_airflow_takes_every_metric(in_triggerer: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Metrics, "_tell", lambda self, what: what(_compat.stats(in_triggerer=in_triggerer)))
    everything(Metrics("happy-horse.ai", in_triggerer=in_triggerer))


def test_a_metric_that_cannot_be_sent_fails_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "stats", lambda in_triggerer: None)
    everything(Metrics("happy-horse.ai"))


def test_all_of_them_are_documented(told: Told) -> None:
    everything(Metrics("happy-horse.ai"))
    documented = {words(row[0])[0] for row in rows(section(PAGES["performance.md"], "## Metrics"))}
    assert documented == {name for name, _, _ in told.sent}
