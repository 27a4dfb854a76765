"""What authors write, and what then happens to their money. Each case was found by trying (see the case's own words)."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pendulum
import pytest
from airflow.providers.common.compat.sdk import DAG, task, task_group

from airflow_provider_happyhorse.exceptions import InvalidArguments
from airflow_provider_happyhorse.operators import (
    HappyHorseGenerateVideoOperator,
    HappyHorsePublishOperator,
    HappyHorseUploadImageOperator,
)
from airflow_provider_happyhorse.sensors.generation import HappyHorseGenerationSensor
from tests.dag_runs import DagRunSeen, run_dag
from tests.emulator_process import EmulatorProcess

pytestmark = [pytest.mark.airflow]

START = pendulum.datetime(2026, 1, 1, tz="UTC")
JINJA = "A cat beside {{ var.value.SECRET }}"
ROWS: list[dict[str, Any]] = [
    {"name": "plain", "prompt": "A cat", "duration": "3", "aspect_ratio": "1:1"},
    {"name": "bad", "prompt": "A dog", "duration": "3", "sku": "A-17"},
    {"name": "jinja", "prompt": JINJA, "duration": 3.0, "aspect_ratio": None},
]


def dag(dag_id: str, **arguments: Any) -> DAG:
    return DAG(dag_id=dag_id, schedule=None, start_date=START, catchup=False, **arguments)


@pytest.fixture(scope="module")
def campaign_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("campaign")


@pytest.fixture(scope="module")
def campaign(running_emulator: EmulatorProcess, airflow_database: None, campaign_folder: Path) -> tuple[DagRunSeen, dict[str, Any]]:
    """Three rows, one of them bad, in every shape in which authors map them, with habits from other DAGs in ``default_args``."""
    running_emulator.reset()
    connection = {
        "conn_type": "happyhorse",
        "host": running_emulator.url,
        "password": running_emulator.key,
        "extra": {"service": "happy-horse.ai"},
    }
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AIRFLOW_CONN_HAPPYHORSE_DEFAULT", json.dumps(connection))
        habits = {"mode": "reschedule", "model": "seedance-9", "image_url": "https://example.com/x.png", "retries": 2}
        with dag("authoring_campaign", default_args={**habits, "retry_delay": pendulum.duration(seconds=0)}) as written:

            @task
            def rows() -> list[dict[str, Any]]:
                return ROWS

            HappyHorseGenerateVideoOperator.partial(task_id="clips", destination=f"{campaign_folder}/clips/").expand(request=rows())

            @task_group
            def clip(row: dict[str, Any]) -> None:
                generate = HappyHorseGenerateVideoOperator(task_id="generate", request=row)
                HappyHorsePublishOperator(task_id="publish", generation=generate.output, destination=f"{campaign_folder}/group/")

            clip.expand(row=rows.override(task_id="group_rows")())

            naive = HappyHorseGenerateVideoOperator.partial(task_id="naive").expand(request=rows.override(task_id="naive_rows")())
            HappyHorsePublishOperator.partial(task_id="naive_publish", destination=f"{campaign_folder}/naive/").expand(
                generation=naive.output
            )
            HappyHorsePublishOperator.partial(
                task_id="shifted_publish", destination=f"{campaign_folder}/shifted/", trigger_rule="all_done"
            ).expand(generation=naive.output)
        return run_dag(written), running_emulator.state()


Campaign = tuple[DagRunSeen, dict[str, Any]]


def published(folder: Path) -> list[str]:
    return sorted(path.name.partition("--")[0] for path in folder.glob("**/*.mp4"))


@pytest.mark.parametrize("task_id", ["clips", "clip.generate", "naive"])
def test_one_bad_row_fails_alone_and_once(campaign: Campaign, task_id: str) -> None:
    """Rows 15 and 20: a bad value burns no retries, and the other rows are paid for once and finish."""
    run, _ = campaign
    assert run.states(task_id) == ["success", "failed", "success"]
    assert run.task(task_id, 1).try_number == 1


def test_every_good_row_is_paid_for_once_in_each_shape(campaign: Campaign) -> None:
    _, service = campaign
    assert service["keys"]["sk-sd_emulator"]["charged_submissions"] == 6
    assert sorted(job["prompt"] for job in service["jobs"]) == ["A cat"] * 3 + [JINJA] * 3


def test_the_right_shapes_publish_the_good_rows(campaign: Campaign, campaign_folder: Path) -> None:
    """Row 1: `destination` on generate, or a mapped group; a bad row loses no other."""
    run, _ = campaign
    assert published(campaign_folder / "clips") == ["jinja", "plain"]
    assert published(campaign_folder / "group") == ["jinja", "plain"]
    assert run.states("clip.publish") == ["success", "upstream_failed", "success"]


def test_generate_expand_then_publish_expand_publishes_nothing_while_a_row_is_bad(campaign: Campaign, campaign_folder: Path) -> None:
    """Row 1, as it is naively written: Airflow expands the publish over all rows or none. Documented as wrong; no money is lost."""
    run, _ = campaign
    assert set(run.states("naive_publish")) == {"upstream_failed"}
    assert published(campaign_folder / "naive") == []


def test_a_shifted_publish_still_writes_each_clip_under_its_own_name(campaign: Campaign, campaign_folder: Path) -> None:
    """Row 2: with `all_done` the indexes shift by the missing row; the name travels in the result, so no clip gets another's."""
    for path in (campaign_folder / "shifted").glob("**/*.json"):
        sidecar = json.loads(path.read_text())
        prompt = next(row["prompt"] for row in ROWS if row["name"] == sidecar["name"])
        job = next(job for job in campaign[1]["jobs"] if job["id"] == sidecar["generation_id"])
        assert job["prompt"] == prompt
    assert published(campaign_folder / "shifted") == ["jinja", "plain"]


def test_cells_are_data_and_never_rendered(campaign: Campaign) -> None:
    """Row 7: a cell with Jinja in it goes to the service as it stands; it must not read the author's Variables."""
    _, service = campaign
    assert JINJA in [job["prompt"] for job in service["jobs"]]


def test_a_row_may_lack_optional_columns_and_hold_table_values(campaign: Campaign) -> None:
    """Rows 5 and 6: the whole row is one argument; text numbers and empty cells are understood."""
    _, service = campaign
    sent = {job["prompt"]: job["request"] for job in service["jobs"]}
    assert sent["A cat"] == {"prompt": "A cat", "duration": 3, "aspect_ratio": "1:1"}
    assert sent[JINJA] == {"prompt": JINJA, "duration": 3}


def test_habits_in_default_args_do_not_reach_the_request(campaign: Campaign) -> None:
    """Row 10: `mode` of sensors, `model` and `image_url` of other operators."""
    _, service = campaign
    assert not any({"mode", "model", "image_url"} & job["request"].keys() for job in service["jobs"])


@pytest.mark.parametrize("task_id", ["clips", "clip.generate"])
def test_the_grid_shows_the_names(campaign: Campaign, task_id: str) -> None:
    """Rows 13 and 14; that they show while deferred is seen on a whole Airflow."""
    assert campaign[0].names(task_id) == ["plain", "bad", "jinja"]


@pytest.mark.usefixtures("airflow_database")
def test_the_joints_between_tasks(connect: Callable[..., str], emulator: EmulatorProcess, tmp_path: Path) -> None:
    """Rows 3, 4 and 11: the id by subscript, the whole result, and a decorated function whatever its annotation."""
    connect()
    calls: list[str] = []
    with dag("authoring_joints") as written:
        generate = HappyHorseGenerateVideoOperator(task_id="generate", prompt="A cat", wait_for_completion=False)
        by_id = HappyHorseGenerationSensor(task_id="by_id", generation=generate.output["generation_id"])
        HappyHorsePublishOperator(task_id="publish_id", generation=by_id.output["generation_id"], destination=f"{tmp_path}/id.mp4")
        HappyHorsePublishOperator(task_id="publish_whole", generation=by_id.output, destination=f"{tmp_path}/whole.mp4")

        @task.happyhorse_video(name="asked", request={"duration": 3})
        def a_dict(animal: str) -> dict[str, Any]:
            calls.append(animal)
            return {"prompt": f"A {animal} {{{{ not rendered }}}}", "aspect_ratio": "1:1"}

        @task.happyhorse_video
        def a_text() -> str:
            return "A fish"

        dict_video, text_video = a_dict("dog"), a_text()
        HappyHorsePublishOperator(task_id="publish_dict", generation=dict_video["generation_id"], destination=f"{tmp_path}/dict.mp4")
        HappyHorsePublishOperator(task_id="publish_text", generation=text_video["generation_id"], destination=f"{tmp_path}/text.mp4")

    run = run_dag(written)

    assert run.state == "success"
    assert emulator.charged() == 3
    assert sorted(path.name for path in tmp_path.glob("*.mp4")) == ["dict.mp4", "id.mp4", "text.mp4", "whole.mp4"]
    assert calls == ["dog"]
    sent = {job["prompt"]: job["request"] for job in emulator.state()["jobs"]}
    assert sent["A dog {{ not rendered }}"] == {"prompt": "A dog {{ not rendered }}", "duration": 3, "aspect_ratio": "1:1"}
    assert run.xcom("a_dict")["name"] == "asked"
    assert run.xcom("a_text")["generation_id"] == run.xcom("a_text", "generation_id")
    assert run.xcom("generate")["state"] == "in_progress"
    assert run.xcom("by_id")["state"] == "succeeded"


def test_arguments_that_are_known_later_are_left_alone_when_the_dag_is_parsed() -> None:
    """Row 16: a validator in a constructor must not meet an XComArg, a MappedArgument or a template."""
    with dag("authoring_placeholders"):
        upload = HappyHorseUploadImageOperator(task_id="upload", image="{{ params.image }}")
        HappyHorseGenerateVideoOperator(task_id="nested", request={"prompt": "A cat", "image_url": upload.output})
        HappyHorseGenerateVideoOperator(task_id="whole", request=upload.output)
        HappyHorseGenerateVideoOperator(task_id="jinja", prompt="{{ params.prompt }}", max_credits="{{ params.cap }}", name="{{ ds }}")
        HappyHorsePublishOperator(task_id="publish", generation="{{ params.id }}", destination="{{ params.to }}")

        @task_group
        def group(row: dict[str, Any]) -> None:
            HappyHorseGenerateVideoOperator(task_id="mapped", request=row)
            HappyHorseGenerateVideoOperator(task_id="mapped_prompt", prompt=row)  # type: ignore[arg-type]
            HappyHorseGenerationSensor(task_id="wait", generation=row)

        group.expand(row=[{"prompt": "A cat"}])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({}, "give `prompt`"),
        ({"prompt": ""}, "`prompt` must be text and not blank"),
        ({"prompt": "   "}, "`prompt` must be text and not blank"),
        ({"prompt": 3}, "`prompt` must be text"),
        ({"prompt": "x", "request": {"prompt": "y"}}, "`prompt` is given twice"),
        ({"request": {"prompt": "x", "sku": "A-17"}}, "`sku`"),
        ({"request": {"prompt": "x", "duration": "five"}}, "`duration` must be a number"),
        ({"request": {"prompt": "x", "generation_type": "video_to_video"}}, "generation_type"),
        ({"request": {"duration": 5}}, "`prompt` is missing"),
        ({"prompt": "x", "max_credits": -1}, "`max_credits`"),
        ({"prompt": "x", "timeout": 0}, "`timeout`"),
        ({"prompt": "x", "pay_again_on": "always"}, "`pay_again_on`"),
        ({"prompt": "x", "wait_for_completion": False, "destination": "/tmp/"}, "`destination` needs"),
        ({"request": ["a", "b"]}, "`request` must be a mapping"),
    ],
)
def test_what_is_certainly_wrong_is_said_when_the_dag_is_parsed(arguments: dict[str, Any], says: str) -> None:
    with dag("authoring_mistakes"), pytest.raises(InvalidArguments) as refused:
        HappyHorseGenerateVideoOperator(task_id="generate", **arguments)
    assert says in str(refused.value)
    assert "generate" in str(refused.value)
    assert "Nothing was submitted" in str(refused.value)


def test_all_mistakes_come_in_one_message() -> None:
    with dag("authoring_many_mistakes"), pytest.raises(InvalidArguments) as refused:
        HappyHorseGenerateVideoOperator(
            task_id="generate", request={"prompt": "x", "duration": "five", "sku": "1", "sound": "maybe"}, timeout=-1, max_credits="lots"
        )
    for name in ("`duration`", "`sku`", "`sound`", "`timeout`", "`max_credits`"):
        assert name in str(refused.value)
