"""Submissions that are refused for too many requests: nothing is paid, the worker slot is left, and each comes back in its turn."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG

from airflow_provider_happyhorse.decorators.video import _HappyHorseVideoDecoratedOperator
from airflow_provider_happyhorse.exceptions import NotAcceptedYet
from airflow_provider_happyhorse.operators import HappyHorseGenerateVideoOperator
from airflow_provider_happyhorse.triggers.submit import HappyHorseSubmitTrigger
from tests.dag_runs import run_dag
from tests.emulator_process import EmulatorProcess
from tests.operators.task_instances import QUICK, Task


@pytest.fixture
def task(connect: Callable[..., str], emulator: EmulatorProcess, tmp_path: Path) -> Callable[..., Task]:
    """Give the function that makes a deferrable task with a ledger, on every Airflow."""
    connect(ledger_path=str(tmp_path), requests_per_minute=120)
    return lambda **arguments: Task(**{"prompt": QUICK, "deferrable": True, **arguments})


def record(ledger: Path) -> dict[str, Any]:
    return dict(json.loads(max(ledger.glob("ledger/*/*/*/-1/*.json")).read_text()))


def resume(running: Task, deferred: Any, event: dict[str, Any]) -> Any:
    """Run the second half in another process as it were, after the journey of its arguments through the database."""
    assert deferred.method_name == "execute_in_turn"
    return running.build().execute_in_turn(running.context, event, **json.loads(json.dumps(deferred.kwargs)))


def test_what_a_function_returned_survives_the_database_and_is_not_asked_for_again(
    connect: Callable[..., str], emulator: EmulatorProcess, tmp_path: Path
) -> None:
    """Rows of data frames and SQL have NaN and Decimal, of which JSON and Airflow's serialisation know nothing."""
    connect(ledger_path=str(tmp_path))
    calls: list[float] = []

    def described() -> dict[str, Any]:
        calls.append(time.time())
        return {"prompt": QUICK, "duration": Decimal("5.0"), "seed": math.nan, "image_urls": [math.nan]}

    emulator.fault("rate_limited", method="POST", seconds=300)
    running = Task(_HappyHorseVideoDecoratedOperator, python_callable=described, op_args=[], op_kwargs={})
    deferred = running.deferred()
    assert json.loads(json.dumps(deferred.kwargs, allow_nan=False)) == deferred.kwargs
    running.arguments["deferrable"] = False
    assert resume(running, deferred, DUE)["duration"] == 5
    assert len(calls) == 1
    (submitted,) = emulator.state()["jobs"]
    assert submitted["request"]["duration"] == 5


DUE = {"status": "due", "message": "it may be sent"}


class TestARefusalForLong:
    def test_leaves_the_worker_and_pays_once_when_its_turn_has_come(
        self, task: Callable[..., Task], emulator: EmulatorProcess, tmp_path: Path
    ) -> None:
        emulator.fault("rate_limited", method="POST", seconds=300)
        running = task()
        before = time.time()
        deferred = running.deferred()
        trigger = deferred.trigger
        assert isinstance(trigger, HappyHorseSubmitTrigger)
        assert before + 299 <= trigger.not_before <= time.time() + 310
        assert (trigger.per_minute, trigger.name) == (120, "generate")
        assert before + 3600 <= trigger.end_time <= time.time() + 3600
        assert deferred.timeout > timedelta(seconds=3600)
        assert record(tmp_path)["state"] == "not_sent"
        assert "nothing was paid: too many requests. Leaving the worker slot" in running.log.text("INFO")
        waiting = running.arguments | {"deferrable": False}
        running.arguments = waiting
        assert resume(running, deferred, DUE)["state"] == "succeeded"
        assert emulator.charged() == 1

    def test_may_be_refused_again_and_keeps_its_end_and_its_place(self, task: Callable[..., Task], emulator: EmulatorProcess) -> None:
        emulator.fault("rate_limited", method="POST", seconds=300, times=2)
        running = task()
        begun = time.time()
        first = running.deferred()
        assert begun <= first.trigger.asked <= time.time()
        with pytest.raises(type(first)) as again:
            resume(running, first, DUE)
        assert again.value.kwargs["refusals"] == 2
        assert again.value.kwargs["until"] == first.kwargs["until"]
        assert again.value.trigger.asked == first.trigger.asked
        assert emulator.charged() == 0

    def test_one_that_says_days_does_not_end_it_at_once(self, task: Callable[..., Task], emulator: EmulatorProcess) -> None:
        emulator.fault("rate_limited", method="POST", seconds=100_000)
        running, before = task(), time.time()
        deferred = running.deferred()
        assert before + 599 <= deferred.trigger.not_before <= time.time() + 606
        running.arguments |= {"deferrable": False}
        assert resume(running, deferred, DUE)["state"] == "succeeded"
        assert emulator.charged() == 1

    def test_ends_when_its_turn_does_not_come_and_a_retry_submits(self, task: Callable[..., Task], emulator: EmulatorProcess) -> None:
        emulator.fault("rate_limited", method="POST", seconds=300)
        running = task()
        deferred = running.deferred()
        with pytest.raises(NotAcceptedYet, match=r"nothing was paid: refused 1 times .* did not come in time"):
            resume(running, deferred, {"status": "timeout", "message": "its turn did not come in time"})
        assert emulator.charged() == 0
        assert running.run(deferrable=False)["state"] == "succeeded"
        assert emulator.charged() == 1

    def test_is_not_waited_for_beyond_submit_timeout_or_execution_timeout(
        self, task: Callable[..., Task], emulator: EmulatorProcess, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        emulator.fault("rate_limited", method="POST", seconds=300, times=2)
        with pytest.raises(NotAcceptedYet, match="a retry tries again"):
            task(execution_timeout=timedelta(seconds=60)).run()
        monkeypatch.setenv("AIRFLOW__HAPPYHORSE__SUBMIT_TIMEOUT", "60")
        with pytest.raises(NotAcceptedYet, match="a retry tries again"):
            task().run()

    def test_without_a_ledger_the_first_try_goes_on(self, connect: Callable[..., str], emulator: EmulatorProcess) -> None:
        connect()
        emulator.fault("rate_limited", method="POST", seconds=300)
        running = Task(prompt=QUICK)
        deferred = running.deferred()
        running.arguments |= {"deferrable": False}
        assert resume(running, deferred, DUE)["state"] == "succeeded"
        assert emulator.charged() == 1


def test_a_short_one_is_waited_out_in_the_worker(
    task: Callable[..., Task], emulator: EmulatorProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_provider_happyhorse.api.retry.SPREAD", 0.1)
    emulator.fault("rate_limited", method="POST", seconds=1)
    assert task().run(deferrable=False)["state"] == "succeeded"
    assert emulator.charged() == 1


def test_the_slot_wait_counts_all_waits_of_a_worker(
    task: Callable[..., Task], emulator: EmulatorProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_provider_happyhorse.api.retry.SPREAD", 0.1)
    monkeypatch.setenv("AIRFLOW__HAPPYHORSE__SUBMIT_SLOT_WAIT", "5.5")
    emulator.fault("rate_limited", method="POST", seconds=3, times=None)
    running = task()
    assert running.deferred().kwargs["refusals"] == 2
    assert emulator.charged() == 0


@pytest.mark.airflow
def test_its_turn_comes_in_dag_test_too(
    connect: Callable[..., str], emulator: EmulatorProcess, airflow_database: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """On 3.3 it hands the method none of the arguments of the deferral."""
    connect(ledger_path=str(tmp_path))
    monkeypatch.setenv("AIRFLOW__HAPPYHORSE__SUBMIT_SLOT_WAIT", "0")
    emulator.fault("rate_limited", method="POST", seconds=1)
    with DAG("too_many_requests", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)) as dag:
        HappyHorseGenerateVideoOperator(task_id="generate", prompt=QUICK, deferrable=True)
    assert run_dag(dag).state == "success"
    assert emulator.charged() == 1
