"""Assets on a whole Airflow: what only a scheduler, a triggerer and a DAG processor can show."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.emulator_process import EmulatorProcess
from tests.live.airflow import TRIGGERER, LiveAirflow
from tests.live.processes import LINUX, adopt_orphans

pytestmark = [pytest.mark.live, pytest.mark.skipif(not LINUX, reason="reads the processes from /proc")]

EXAMPLES = Path(__file__).resolve().parents[2] / "example_dags"


@pytest.fixture(scope="module")
def emulator() -> Iterator[EmulatorProcess]:
    with EmulatorProcess("--render-seconds", "15") as running:
        yield running


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("published")


@pytest.fixture(scope="module")
def airflow(tmp_path_factory: pytest.TempPathFactory, emulator: EmulatorProcess, folder: Path) -> Iterator[LiveAirflow]:
    adopt_orphans()
    connection = {"conn_type": "happyhorse", "host": emulator.base_url("happy-horse.ai"), "password": emulator.key}
    environment = {
        "AIRFLOW_CONN_HAPPYHORSE_DEFAULT": json.dumps(connection | {"extra": {"service": "happy-horse.ai"}}),
        "GALLERY": str(folder / "gallery"),
        "ARCHIVE": f"file://{folder}/archive/",
    }
    with LiveAirflow(home=tmp_path_factory.mktemp("airflow"), dags_folder=EXAMPLES, environment=environment) as running:
        yield running


def runs(airflow: LiveAirflow, dag_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = airflow.rest.call("GET", f"/dags/{dag_id}/dagRuns")["dag_runs"]
    return found


def ended(airflow: LiveAirflow, dag_id: str, *, least: int = 1) -> list[str] | None:
    """Return the ids of a DAG's runs when there are enough and all have succeeded."""
    found = runs(airflow, dag_id)
    assert "failed" not in {run["state"] for run in found}
    return [run["dag_run_id"] for run in found] if len(found) >= least and {run["state"] for run in found} == {"success"} else None


def test_one_dag_runs_by_the_asset_event_of_another_and_knows_the_clip(airflow: LiveAirflow, folder: Path) -> None:
    for dag_id in ("gallery_clip", "gallery"):
        airflow.wait_for_dag(dag_id)
    airflow.rest.trigger("gallery_clip", run_id="clip")

    (run,) = airflow.wait_for("the gallery has run", lambda: ended(airflow, "gallery"), timeout=240)
    assert airflow.rest.xcom("gallery", run, "add_to_page") == ["kettle"]
    assert "kettle: 3.0 s" in (folder / "gallery" / "index.html").read_text()
    assert [run["run_type"] for run in runs(airflow, "gallery")] == ["asset_triggered"]


def test_a_dag_runs_for_what_somebody_else_has_made_also_while_the_triggerer_was_away(
    airflow: LiveAirflow, emulator: EmulatorProcess, folder: Path
) -> None:
    airflow.wait_for_dag("archive_new_videos")
    before = emulator.requests()
    airflow.rest.call("PATCH", "/dags/archive_new_videos", body={"is_paused": False})

    def looks() -> int:
        """Return how often the watcher has read the list; a task that waits may have read it before."""
        return sum(request["path"] == "/api/v1/videos" for request in emulator.requests()[len(before) :])

    def archived() -> set[str]:
        return {json.loads(path.read_text())["generation_id"] for path in folder.glob("archive/**/*.json")}

    airflow.wait_for("the watcher looks at the list", lambda: looks() > 0, timeout=120)
    some = set(emulator.seed(2, render_seconds=0))
    airflow.wait_for("the new videos are archived", lambda: some <= archived(), timeout=240)
    begun = looks()
    airflow.wait_for("the watcher has looked again, and keeps what it has seen", lambda: looks() >= begun + 2, timeout=120)

    airflow.kill_component(TRIGGERER)
    (meanwhile,) = emulator.seed(render_seconds=0)
    airflow.start_component(TRIGGERER)
    airflow.wait_for("the video that ended meanwhile is archived", lambda: meanwhile in archived(), timeout=240)
    airflow.wait_for("the runs have ended", lambda: ended(airflow, "archive_new_videos", least=2), timeout=120)

    events = airflow.rest.call("GET", "/assets/events", parameters={"limit": "100"})["asset_events"]
    payloads = [event["extra"]["payload"] for event in events if event["extra"].get("from_trigger")]
    assert sorted(video["generation_id"] for payload in payloads for video in payload["videos"]) == sorted({*some, meanwhile})
    assert emulator.url not in json.dumps(payloads)
