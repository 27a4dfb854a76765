"""What assets downstream learn, on the installed Airflow against the emulator."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pendulum
import pytest
from airflow.providers.common.compat.sdk import DAG, Asset, AssetAlias, task
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_0_PLUS

from airflow_provider_happyhorse.operators import HappyHorseGenerateVideoOperator, HappyHorsePublishOperator
from airflow_provider_happyhorse.operators.asset_events import announce, asset_uri, event_facts
from airflow_provider_happyhorse.results import new_result
from tests.dag_runs import DagRunSeen, run_dag
from tests.emulator_process import EmulatorProcess

pytestmark = [pytest.mark.airflow, pytest.mark.usefixtures("airflow_database")]

CLIPS = Asset("x-happyhorse://clips")
CLIP = {"prompt": "a kettle", "duration": 3}
ROWS = [CLIP | {"name": "one"}, CLIP | {"name": "two"}]


def dag(name: str) -> Any:
    return DAG(dag_id=name, schedule=None, start_date=pendulum.datetime(2026, 1, 1, tz="UTC"), catchup=False)


def sidecar_of(facts: dict[str, Any]) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(Path(facts["sidecar_uri"].removeprefix("file://")).read_text())
    return read


def facts_of(run: DagRunSeen) -> list[dict[str, Any]]:
    events = run.asset_events()
    assert {asset for asset, _, _ in events} <= {"x-happyhorse://clips"}
    return [extra for _, _, extra in events]


@pytest.mark.parametrize("deferrable", [True, False])
def test_a_generate_task_with_a_destination_tells_the_sidecar_s_facts(
    connect: Callable[..., str], tmp_path: Path, deferrable: bool
) -> None:
    connect()
    with dag(f"announce_{deferrable}") as made:
        HappyHorseGenerateVideoOperator(
            task_id="generate", request=CLIP, destination=f"file://{tmp_path}/", deferrable=deferrable, outlets=[CLIPS]
        )
    run = run_dag(made)

    assert run.state == "success"
    (facts,) = facts_of(run)
    sidecar = sidecar_of(facts)
    told_here_only = {"uri", "sidecar_uri", "already_there"}
    assert {key: facts[key] for key in facts.keys() - told_here_only} == {key: sidecar[key] for key in facts.keys() - told_here_only}
    assert Path(facts["uri"].removeprefix("file://")).stat().st_size == facts["bytes"]
    assert facts["seconds"] == pytest.approx(3, abs=0.1)
    assert facts["ai_generated"] is True
    assert facts["already_there"] is False


def test_every_mapped_clip_tells_its_own(connect: Callable[..., str], tmp_path: Path) -> None:
    connect()
    with dag("announce_mapped") as made:
        HappyHorseGenerateVideoOperator.partial(task_id="clips", destination=f"file://{tmp_path}/", outlets=[CLIPS]).expand(request=ROWS)
    run = run_dag(made)

    assert run.state == "success"
    assert sorted((map_index, extra["name"]) for _, map_index, extra in run.asset_events()) == [(0, "one"), (1, "two")]
    assert len({facts["sha256"] for facts in facts_of(run)}) >= 1
    assert {facts["uri"].rpartition("/")[2].partition("--")[0] for facts in facts_of(run)} == {"one", "two"}


def test_a_publish_task_tells_it_also_in_a_mapped_group_and_when_the_video_was_there_before(
    connect: Callable[..., str], emulator: EmulatorProcess, tmp_path: Path
) -> None:
    from airflow.providers.common.compat.sdk import task_group

    connect()
    with dag("announce_published") as made:

        @task
        def rows() -> list[dict[str, Any]]:
            return ROWS

        @task_group
        def clip(row: dict[str, Any]) -> None:
            generate = HappyHorseGenerateVideoOperator(task_id="generate", request=row)
            there = f"file://{tmp_path}/"
            first = HappyHorsePublishOperator(task_id="first", generation=generate.output, destination=there)
            first >> HappyHorsePublishOperator(task_id="again", generation=generate.output, destination=there, outlets=[CLIPS])

        clip.expand(row=rows())
    run = run_dag(made)

    assert run.state == "success"
    assert [run.xcom("clip.first", map_index=index)["already_there"] for index in (0, 1)] == [False, False]
    assert [facts["already_there"] for facts in facts_of(run)] == [True, True]
    assert sorted(facts["name"] for facts in facts_of(run)) == ["one", "two"]
    assert [facts["sha256"] for facts in facts_of(run)] == [sidecar_of(facts)["sha256"] for facts in facts_of(run)]
    assert emulator.charged() == 2


def test_a_task_that_publishes_nothing_tells_of_the_generation_alone(connect: Callable[..., str]) -> None:
    connect()
    with dag("announce_unpublished") as made:
        HappyHorseGenerateVideoOperator(task_id="generate", request=CLIP, outlets=[CLIPS])
    run = run_dag(made)

    (facts,) = facts_of(run)
    assert facts["generation_id"] == run.xcom("generate", "generation_id")
    assert facts["credits_estimated"] == 15
    assert facts["uri"] is facts["sha256"] is facts["published_at"] is None


def test_a_failed_video_is_no_event(connect: Callable[..., str], tmp_path: Path) -> None:
    connect()
    with dag("announce_failed") as made:
        HappyHorseGenerateVideoOperator(
            task_id="generate", prompt="a kettle [emulator: fail=moderated]", destination=f"file://{tmp_path}/", outlets=[CLIPS]
        )
    run = run_dag(made)

    assert run.state == "failed"
    assert facts_of(run) == []


def test_an_alias_gets_the_object_as_its_asset(connect: Callable[..., str], tmp_path: Path) -> None:
    connect()
    with dag("announce_by_alias") as made:
        HappyHorseGenerateVideoOperator(
            task_id="generate", request=CLIP, name="Küche", destination=f"file://{tmp_path}/", outlets=[AssetAlias("happyhorse clips")]
        )
    run = run_dag(made)

    assert run.state == "success"
    ((asset, _, facts),) = run.asset_events()
    assert asset == asset_uri(facts["uri"])
    assert asset.isascii()
    assert facts["bytes"] == sidecar_of(facts)["bytes"]


@pytest.mark.skipif(not AIRFLOW_V_3_0_PLUS, reason="Airflow 2 knows no references to assets")
def test_an_asset_may_be_named_without_its_uri(connect: Callable[..., str], tmp_path: Path) -> None:
    connect()
    with dag("announce_by_name") as made:
        HappyHorseGenerateVideoOperator(
            task_id="generate", request=CLIP, destination=f"file://{tmp_path}/", outlets=[Asset.ref(name=CLIPS.name)]
        )

        @task(outlets=[CLIPS])
        def knows_it() -> None: ...

        knows_it()
    run = run_dag(made)

    assert run.state == "success"
    assert {(asset, facts.get("seconds") is not None) for asset, _, facts in run.asset_events()} == {
        ("x-happyhorse://clips", True),
        ("x-happyhorse://clips", False),
    }


def test_an_event_is_small_and_flat_whatever_a_service_says() -> None:
    known = new_result(name="n" * 200, kind="video", service="happy-horse.ai", happyhorse_conn_id="c")
    long = f"s3://bucket/{'folder/' * 30}{'d' * 96}/{'r' * 96}/{'n' * 96}--{'i' * 96}"
    facts = event_facts(
        known | {"generation_id": "i" * 96, "request": {"prompt": "p" * 2500}, "result_urls": ["https://x/?secret"], "model": ["odd"]},
        {"uri": f"{long}.mp4", "uris": [f"{long}.mp4"] * 100, "sidecar_uri": f"{long}.json", "sha256": "0" * 64, "bytes": 10**9},
    )
    stored = json.dumps(facts)
    assert len(stored) < 2048
    assert "secret" not in stored
    assert "pppp" not in stored
    hash(frozenset(facts.items()))


@pytest.mark.parametrize(
    ("uri", "asset"),
    [
        ("file:///a/Küche/b.mp4", "file:///a/K%C3%BCche/b.mp4"),
        ("s3://aws_default@bucket/a/b~1.mp4", "s3://bucket/a/b~1.mp4"),
        ("s3://bucket/a b.mp4", "s3://bucket/a%20b.mp4"),
    ],
)
def test_an_asset_s_uri_is_ascii_and_names_no_connection(uri: str, asset: str) -> None:
    assert asset_uri(uri) == asset


def test_an_object_whose_uri_is_too_long_for_an_asset_fails_no_published_task(caplog: pytest.LogCaptureFixture) -> None:
    facts = {"name": "shoe", "uri": f"file:///{'a' * 4000}"}
    with caplog.at_level("WARNING"):
        announce({"outlet_events": {}}, [AssetAlias("clips")], facts)  # type: ignore[arg-type]  # all that it reads
    assert "shoe: no event for clips" in caplog.text
