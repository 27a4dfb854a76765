"""Hundreds of waiting tasks and two triggerers, one of which is lost: every task ends, and nothing is paid for twice."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.emulator_process import EmulatorProcess
from tests.live.airflow import TRIGGERER, LiveAirflow
from tests.live.processes import LINUX, adopt_orphans

pytestmark = [pytest.mark.live, pytest.mark.skipif(not LINUX, reason="reads the processes from /proc")]

#: How many tasks are mapped; `HAPPYHORSE_LIVE_TASKS=200` is the measure of `docs/performance.md`.
TASKS = int(os.environ.get("HAPPYHORSE_LIVE_TASKS", "20"))
#: Triggers a triggerer may hold: neither can hold all of them.
CAPACITY = int(0.6 * TASKS)
DAG_ID = "two_triggerers"
DAG_FILE = f'''
from airflow.sdk import DAG

from airflow_provider_happyhorse.operators import HappyHorseGenerateVideoOperator

with DAG("{DAG_ID}", schedule=None, catchup=False, max_active_tasks=1000):
    HappyHorseGenerateVideoOperator.partial(task_id="clip", retries=0).expand(
        request=[{{"name": f"clip{{number}}", "prompt": f"A kettle, take {{number}}."}} for number in range({TASKS})]
    )
'''


@pytest.fixture
def emulator() -> Iterator[EmulatorProcess]:
    with EmulatorProcess("--render-seconds", "600", "--requests-per-minute", "600") as running:
        yield running


@pytest.fixture
def airflow(tmp_path: Path, emulator: EmulatorProcess) -> Iterator[LiveAirflow]:
    adopt_orphans()
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "two_triggerers.py").write_text(DAG_FILE)
    connection = {"conn_type": "happyhorse", "host": emulator.base_url("happy-horse.ai"), "password": emulator.key}
    environment = {
        "AIRFLOW_CONN_HAPPYHORSE_DEFAULT": json.dumps({**connection, "extra": {"service": "happy-horse.ai"}}),
        "AIRFLOW__TRIGGERER__CAPACITY": str(CAPACITY),
    }
    with LiveAirflow(home=tmp_path / "airflow", dags_folder=tmp_path / "dags", environment=environment) as running:
        yield running


def test_a_triggerer_that_is_lost_loses_nothing(airflow: LiveAirflow, emulator: EmulatorProcess) -> None:
    airflow.start_second(TRIGGERER)
    airflow.wait_for_dag(DAG_ID)
    run_id = airflow.rest.trigger(DAG_ID)

    def states() -> Counter[str]:
        return Counter(str(ti["state"]) for ti in airflow.rest.task_instances(DAG_ID, run_id) if ti["map_index"] >= 0)

    def triggerers() -> set[int]:
        tasks = airflow.rest.task_instances(DAG_ID, run_id)
        return {ti["triggerer_job"]["id"] for ti in tasks if ti["triggerer_job"]}

    airflow.wait_for("all tasks wait", lambda: states()["deferred"] == TASKS, timeout=120 + 6 * TASKS, interval=2)
    airflow.wait_for("both triggerers have some of them", lambda: len(triggerers()) == 2, timeout=120, interval=2)
    airflow.kill_component(TRIGGERER)
    assert len(emulator.finish()) == TASKS
    airflow.wait_for("all tasks have ended", lambda: states()["success"] + states()["failed"] == TASKS, timeout=240 + 3 * TASKS, interval=2)
    assert states() == {"success": TASKS}
    assert emulator.charged() == TASKS
    refused = [request for request in emulator.requests() if request["status"] == 429]
    assert refused == []
