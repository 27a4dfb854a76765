"""The other examples on a whole Airflow: what only a scheduler and a triggerer can show."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.emulator_process import EmulatorProcess, ServiceName
from tests.live.airflow import LiveAirflow
from tests.live.processes import LINUX, adopt_orphans

pytestmark = [pytest.mark.live, pytest.mark.skipif(not LINUX, reason="reads the processes from /proc")]

EXAMPLES = Path(__file__).resolve().parents[2] / "example_dags"
NAMES = ["kettle_16x9", "kettle_9x16", "teapot_1x1"]


@pytest.fixture(scope="module")
def emulator() -> Iterator[EmulatorProcess]:
    with EmulatorProcess("--render-seconds", "25") as running:
        yield running


@pytest.fixture(scope="module")
def airflow(tmp_path_factory: pytest.TempPathFactory, emulator: EmulatorProcess) -> Iterator[LiveAirflow]:
    def connection(service: ServiceName) -> str:
        host = emulator.base_url(service)
        return json.dumps({"conn_type": "happyhorse", "host": host, "password": emulator.key, "extra": {"service": service}})

    adopt_orphans()
    connections = {
        "AIRFLOW_CONN_HAPPYHORSE_DEFAULT": connection("happy-horse.ai"),
        "AIRFLOW_CONN_HAPPYHORSE_APP": connection("happyhorse.app"),
    }
    with LiveAirflow(home=tmp_path_factory.mktemp("airflow"), dags_folder=EXAMPLES, environment=connections) as running:
        yield running


def test_the_examples_run_and_wait_under_their_names_without_a_worker(
    airflow: LiveAirflow, emulator: EmulatorProcess, tmp_path: Path
) -> None:
    runs = {}
    for dag_id in ("product_clips", "coffee_scenes"):
        airflow.wait_for_dag(dag_id)
        runs[dag_id] = airflow.rest.trigger(dag_id, conf={"destination": f"file://{tmp_path}/{dag_id}/"}, run_id=f"live-{dag_id}")

    def waiting() -> list[dict[str, Any]] | None:
        found = [ti for dag_id, run_id in runs.items() for ti in airflow.rest.task_instances(dag_id, run_id) if ti["state"] == "deferred"]
        idle = airflow.workers() and not airflow.busy_workers()
        return found if len(found) == 8 and idle else None

    deferred = airflow.wait_for("all eight generations wait and no worker is busy", waiting, timeout=120)
    names = sorted(ti["rendered_map_index"] for ti in deferred if ti["map_index"] >= 0)
    assert names == sorted(NAMES * 2)

    def ended() -> list[str] | None:
        states = [airflow.rest.dag_run(dag_id, run_id)["state"] for dag_id, run_id in runs.items()]
        return states if all(state in ("success", "failed") for state in states) else None

    assert airflow.wait_for("both runs ended", ended, timeout=180) == ["success", "success"]
    assert emulator.charged() == 8
    seconds = {path.name.partition("--")[0]: json.loads(path.read_text())["seconds"] for path in tmp_path.glob("coffee_scenes/**/*.json")}
    assert seconds == {"coffee-story": pytest.approx(7, abs=0.1), "coffee-opening": pytest.approx(4, abs=0.1)}
    assert len(list(tmp_path.glob("product_clips/**/*.mp4"))) == 6
