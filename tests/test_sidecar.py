"""Sidecars of real runs are what the documented schema says, and tell the request as far as it is known."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pendulum
import pytest
from airflow.providers.common.compat.sdk import DAG
from jsonschema import Draft202012Validator

import airflow_provider_happyhorse.publishing.sidecar as module
from airflow_provider_happyhorse.operators import (
    HappyHorseGenerateImageOperator,
    HappyHorseGenerateVideoOperator,
    HappyHorsePublishOperator,
)
from airflow_provider_happyhorse.operators.asset_events import event_facts
from airflow_provider_happyhorse.results import new_result
from tests.dag_runs import run_dag
from tests.documentation import PAGES, section, table
from tests.emulator_process import EmulatorProcess, ServiceName

SCHEMA = json.loads(Path(module.__file__).with_name("sidecar.schema.json").read_text())
on_airflow = [pytest.mark.airflow, pytest.mark.usefixtures("airflow_database")]


def dag(name: str) -> Any:
    return DAG(dag_id=name, schedule=None, start_date=pendulum.datetime(2026, 1, 1, tz="UTC"), catchup=False)


def sidecar(folder: Path) -> dict[str, Any]:
    """Return the only sidecar below a folder, which must be what the schema says and nothing besides."""
    (path,) = folder.rglob("*.json")
    document: dict[str, Any] = json.loads(path.read_text())
    assert [error.message for error in Draft202012Validator(SCHEMA).iter_errors(document)] == []
    assert document.keys() == SCHEMA["properties"].keys()
    assert all(file.keys() == SCHEMA["properties"]["files"]["items"]["properties"].keys() for file in document["files"])
    return document


class TestRuns:
    pytestmark = on_airflow

    @pytest.mark.parametrize("service", ["happy-horse.ai", "happyhorse.app"])
    def test_a_generate_task_that_publishes_tells_the_whole_request(
        self, connect: Callable[..., str], tmp_path: Path, service: ServiceName
    ) -> None:
        connect(service)
        request = {"prompt": "a kettle, see https://x/?secret=1", "duration": 3, "aspect_ratio": "9:16"}
        with dag("sidecar_of_generate") as made:
            HappyHorseGenerateVideoOperator(task_id="generate", request=request, destination=f"file://{tmp_path}/")
        run_dag(made)

        document = sidecar(tmp_path)
        assert document["request"] == request
        assert document["request_from"] == "submission"
        assert (document["service"], document["duration"], document["ai_generated"]) == (service, 3, True)
        assert document["submitted_at"] <= document["completed_at"] <= document["published_at"]

    @pytest.mark.parametrize("service", ["happy-horse.ai", "happyhorse.app"])
    def test_a_publish_task_of_its_own_does_not_know_it_and_does_not_ask(
        self, connect: Callable[..., str], emulator: EmulatorProcess, tmp_path: Path, service: ServiceName
    ) -> None:
        connect(service)
        with dag("sidecar_of_publish") as made:
            generate = HappyHorseGenerateVideoOperator(task_id="generate", request={"prompt": "a kettle", "duration": 3})
            HappyHorsePublishOperator(task_id="publish", generation=generate.output, destination=f"file://{tmp_path}/")
        run_dag(made)

        document = sidecar(tmp_path)
        assert document["request"] is document["request_from"] is None
        assert document["duration"] == 3

    @pytest.mark.parametrize(("service", "told"), [("happy-horse.ai", None), ("happyhorse.app", "service")])
    def test_one_that_has_to_ask_takes_what_the_service_documents_to_repeat(
        self, connect: Callable[..., str], tmp_path: Path, service: ServiceName, told: str | None
    ) -> None:
        connect(service)
        with dag("sidecar_by_id") as made:
            generate = HappyHorseGenerateVideoOperator(task_id="generate", request={"prompt": "a kettle", "duration": 3})
            HappyHorsePublishOperator(task_id="publish", generation=generate.output["generation_id"], destination=f"file://{tmp_path}/")
        result = run_dag(made).xcom("generate")

        document = sidecar(tmp_path)
        assert document["request_from"] == told
        assert (document["request"] or {}).get("prompt") == (told and "a kettle")
        # What else it told is kept, too.
        assert document["credits"] == result["credits"] is not None
        assert document["duration"] == (3 if told else None)

    def test_what_was_published_can_be_published_again_by_the_connection_it_was_made_with(
        self, connect: Callable[..., str], tmp_path: Path
    ) -> None:
        conn_id = connect("happyhorse.app", conn_id="second_account")
        with dag("sidecar_of_second") as made:
            generate = HappyHorseGenerateVideoOperator(
                task_id="generate", request={"prompt": "a kettle", "duration": 3}, happyhorse_conn_id=conn_id
            )
            first = HappyHorsePublishOperator(task_id="first", generation=generate.output, destination=f"file://{tmp_path}/first/")
            HappyHorsePublishOperator(task_id="second", generation=first.output, destination=f"file://{tmp_path}/second/")
        run = run_dag(made)

        assert run.xcom("first")["happyhorse_conn_id"] == run.xcom("second")["happyhorse_conn_id"] == conn_id
        assert sidecar(tmp_path / "second")["sha256"] == sidecar(tmp_path / "first")["sha256"]
        assert sidecar(tmp_path / "second")["service"] == "happyhorse.app"

    def test_an_image_has_one_too(self, connect: Callable[..., str], tmp_path: Path) -> None:
        connect()
        with dag("sidecar_of_image") as made:
            HappyHorseGenerateImageOperator(task_id="generate", prompt="a kettle", destination=f"file://{tmp_path}/")
        run_dag(made)

        document = sidecar(tmp_path)
        assert (document["kind"], document["seconds"]) == ("image", None)


def test_the_downstream_page_has_every_key_of_the_sidecar() -> None:
    documented = table(section(PAGES["downstream.md"], "## The sidecar").split("Where the `request` comes from")[0])
    assert documented.keys() - {"file"} == SCHEMA["properties"].keys()
    assert SCHEMA["required"] == list(SCHEMA["properties"])
    assert SCHEMA["properties"]["schema"]["const"] == module.SCHEMA


def test_the_downstream_page_has_every_key_of_an_event() -> None:
    known = new_result(name="", kind="", service="", happyhorse_conn_id="")
    assert table(section(PAGES["downstream.md"], "## Asset events")).keys() == event_facts(known, None).keys()
