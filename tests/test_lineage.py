"""What OpenLineage is told of a published video; with the provider installed (``nox -s lineage``), also what it emits."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pendulum
import pytest
from airflow.providers.common.compat.sdk import DAG

from airflow_provider_happyhorse.operators import HappyHorseGenerateVideoOperator, HappyHorsePublishOperator
from airflow_provider_happyhorse.operators.lineage import dataset_of
from tests.dag_runs import run_dag

pytestmark = [pytest.mark.airflow, pytest.mark.usefixtures("airflow_database")]

INSTALLED = find_spec("airflow.providers.openlineage") is not None
CLIP = {"prompt": "a kettle", "duration": 3}


def dag(name: str) -> Any:
    return DAG(dag_id=name, schedule=None, start_date=pendulum.datetime(2026, 1, 1, tz="UTC"), catchup=False)


@pytest.mark.parametrize(
    ("uri", "dataset"),
    [
        ("file:///data/a b/Küche.mp4", ("file", "/data/a b/Küche.mp4")),
        ("file:///data/what?#1.mp4", ("file", "/data/what?#1.mp4")),
        ("s3://aws_default@bucket/a/b.mp4", ("s3://bucket", "a/b.mp4")),
    ],
)
def test_a_dataset_is_named_as_openlineage_names_it(uri: str, dataset: tuple[str, str]) -> None:
    assert dataset_of(uri) == dataset


@pytest.mark.skipif(INSTALLED, reason="the openlineage provider is installed")
def test_without_the_openlineage_provider_there_is_no_lineage_and_no_harm(connect: Callable[..., str], tmp_path: Path) -> None:
    connect()
    with dag("without_lineage") as made:
        generate = HappyHorseGenerateVideoOperator(task_id="generate", request=CLIP, destination=f"file://{tmp_path}/")
    assert run_dag(made).state == "success"
    generate._told = ({"generation_id": "n92abc"}, {"uris": ["file:///a.mp4"], "service": "happy-horse.ai"})
    assert generate.get_openlineage_facets_on_complete(None) is None


@pytest.mark.skipif(not INSTALLED, reason="needs the openlineage provider: nox -s lineage")
def test_the_openlineage_provider_emits_the_objects_with_their_facets(
    connect: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect()
    emitted = tmp_path / "events.jsonl"
    transport = {"type": "file", "log_file_path": str(emitted), "append": True}
    # Before anything has asked for the listeners, which are made once: this test has a process of its own.
    monkeypatch.setenv("AIRFLOW__OPENLINEAGE__TRANSPORT", json.dumps(transport))
    with dag("with_lineage") as made:
        generate = HappyHorseGenerateVideoOperator(task_id="generate", request=CLIP, name="kettle", destination=f"{tmp_path}/one/")
        publish = HappyHorsePublishOperator(task_id="publish", generation=generate.output, destination=f"{tmp_path}/two.mp4")
        again = HappyHorsePublishOperator(task_id="again", generation=generate.output, destination=f"{tmp_path}/two.mp4")
        generate >> publish >> again
    run = run_dag(made)
    assert run.state == "success"
    published = run.xcom("publish")

    events = complete(emitted, tasks=3)
    for task_id, path in (("generate", run.xcom("generate")["uri"]), ("publish", published["uri"]), ("again", published["uri"])):
        event = events[f"with_lineage.{task_id}"]
        assert [(dataset["namespace"], dataset["name"]) for dataset in event["inputs"]] == [
            ("https://happy-horse.ai", published["generation_id"])
        ]
        (output,) = event["outputs"]
        assert (output["namespace"], output["name"]) == ("file", path.removeprefix("file://"))
        assert output["facets"]["version"]["datasetVersion"] == published["sha256"]
        assert "AI-generated video kettle, generation" in output["facets"]["documentation"]["description"]
        statistics = output.get("outputFacets", {}).get("outputStatistics")
        written = None if statistics is None else (statistics["size"], statistics["fileCount"])
        assert written == (None if task_id == "again" else (published["bytes"], 1))


def complete(emitted: Path, *, tasks: int) -> dict[str, Any]:
    """Return the events of tasks that have ended, by job; they are written by processes that Airflow does not wait for."""
    for _ in range(200):
        lines = emitted.read_text().splitlines() if emitted.exists() else []
        events = [event for line in lines if (event := json.loads(line))["eventType"] == "COMPLETE"]
        found = {event["job"]["name"]: event for event in events if "." in event["job"]["name"]}
        if len(found) >= tasks:
            return found
        time.sleep(0.1)
    raise AssertionError(f"{len(found)} of {tasks} tasks were told")
