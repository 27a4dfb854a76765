"""Two rows of one mapped task under one name: refused before either is paid for, however the rows are mapped."""

from __future__ import annotations

import json
from typing import Any

import pendulum
import pytest
from airflow.providers.common.compat.sdk import DAG, task, task_group

from airflow_provider_happyhorse.operators import HappyHorseGenerateVideoOperator
from tests.dag_runs import DagRunSeen, run_dag
from tests.emulator_process import EmulatorProcess

pytestmark = [pytest.mark.airflow]

TWICE: list[dict[str, Any]] = [
    {"name": "a", "prompt": "a kettle"},
    {"name": "b", "prompt": "a teapot"},
    {"name": "a", "prompt": "a cup"},
]
TAKES: list[dict[str, Any]] = [{"name": "a", "prompt": "a kettle"}, {"name": "a", "prompt": "a kettle", "take": 2}]
#: What comes of each row, by task: rows under one name fail, the others are paid for.
EXPECTED = {
    "from_a_task": ["failed", "success", "failed"],
    "literal": ["failed", "success", "failed"],
    "kwargs": ["failed", "success", "failed"],
    "group.generate": ["failed", "success", "failed"],
    "from_mapped_tasks": ["failed", "success", "failed"],
    "mapped_again": ["failed", "success", "failed"],
    "zipped": ["failed", "success", "failed"],
    "joined": ["failed", "success", "failed", "success", "success"],
    "names_apart": ["failed", "failed"],
    "one_name_for_all": ["failed", "failed"],
    "decorated": ["failed", "failed"],
    "takes": ["success", "success"],
    "product": ["success"] * 4,
    "without_names": ["success", "success"],
}


@pytest.fixture(scope="module")
def run(running_emulator: EmulatorProcess, airflow_database: None) -> DagRunSeen:
    running_emulator.reset()
    connection = {
        "conn_type": "happyhorse",
        "host": running_emulator.url,
        "password": running_emulator.key,
        "extra": {"service": "happy-horse.ai"},
    }
    video = HappyHorseGenerateVideoOperator
    shared: dict[str, Any] = {"wait_for_completion": False, "retries": 0}
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AIRFLOW_CONN_HAPPYHORSE_DEFAULT", json.dumps(connection))
        with DAG(dag_id="sibling_rows", schedule=None, start_date=pendulum.datetime(2026, 1, 1, tz="UTC"), catchup=False) as written:

            @task
            def rows() -> list[dict[str, Any]]:
                return TWICE

            @task
            def others() -> list[dict[str, Any]]:
                return [{"name": "c", "prompt": "a jug"}, {"name": "d", "prompt": "a bowl"}]

            @task
            def row(index: int) -> dict[str, Any]:
                return TWICE[index]

            @task_group
            def group(line: dict[str, Any]) -> None:
                video(task_id="generate", request=line, **shared)

            @task.happyhorse_video(name="the same", request={"duration": 5}, **shared)
            def decorated(text: str) -> str:
                return text

            given = rows()
            video.partial(task_id="from_a_task", **shared).expand(request=given)
            video.partial(task_id="literal", **shared).expand(request=TWICE)
            video.partial(task_id="kwargs", **shared).expand_kwargs([{"request": line} for line in TWICE])
            group.expand(line=given)
            video.partial(task_id="from_mapped_tasks", **shared).expand(request=row.expand(index=[0, 1, 2]))
            video.partial(task_id="mapped_again", **shared).expand(request=given.map(lambda line: {**line, "duration": 5}))
            video.partial(task_id="zipped", **shared).expand(request=given.zip(given).map(lambda pair: pair[0]))
            video.partial(task_id="joined", **shared).expand(request=given.concat(others()))
            video.partial(task_id="names_apart", prompt="a kettle", **shared).expand(name=["a", "a"])
            video.partial(task_id="one_name_for_all", name="a", **shared).expand(prompt=["a kettle", "a teapot"])
            decorated.expand(text=["a kettle", "a teapot"])
            video.partial(task_id="takes", **shared).expand(request=TAKES)
            video.partial(task_id="product", **shared).expand(
                name=["x", "y"], request=[{"prompt": "a kettle", "take": 1}, {"prompt": "a kettle", "take": 2}]
            )
            video.partial(task_id="without_names", **shared).expand(prompt=["a kettle", "a teapot"])
        return run_dag(written)


@pytest.mark.parametrize("task_id", list(EXPECTED))
def test_each_row(run: DagRunSeen, task_id: str) -> None:
    assert run.states(task_id) == EXPECTED[task_id]


def test_only_rows_with_a_name_of_their_own_were_paid_for(run: DagRunSeen, running_emulator: EmulatorProcess) -> None:
    assert running_emulator.charged() == 5 + 2 + 4 + 2 + 1 + 1 + 3
