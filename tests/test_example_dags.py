"""The example DAGs, run on the installed Airflow against the emulator."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_0_PLUS
from PIL import Image

from tests.conftest import DAGS_FOLDER
from tests.dag_runs import DagRunSeen, run_dag
from tests.emulator_process import EmulatorProcess

pytestmark = [pytest.mark.airflow, pytest.mark.usefixtures("airflow_database")]


def load(name: str, dag: str = "dag") -> Any:
    spec = importlib.util.spec_from_file_location(name, DAGS_FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, dag)


@pytest.fixture
def product_image(tmp_path: Path) -> str:
    path = tmp_path / "product.png"
    Image.new("RGB", (640, 360), "navy").save(path)
    return str(path)


def test_product_teaser_uploads_generates_and_publishes(
    connect: Callable[..., str], emulator: EmulatorProcess, product_image: str, tmp_path: Path
) -> None:
    connect()
    run = run_dag(load("product_teaser"), {"image": product_image, "destination": f"file://{tmp_path}/out/"})

    assert run.state == "success"
    generated, published = run.xcom("generate"), run.xcom("publish")
    assert run.xcom("generate", "generation_id") == generated["generation_id"] == published["generation_id"]
    assert run.xcom("upload").startswith(emulator.url)
    assert Path(published["uri"].removeprefix("file://")).stat().st_size == published["bytes"]
    assert published["seconds"] == pytest.approx(5, abs=0.1)
    assert emulator.charged() == 1
    job = emulator.state()["jobs"][0]
    assert job["request"]["generation_type"] == "image_to_video"
    assert generated["credits_estimated"] == 25


def test_product_clips_maps_rows_with_and_without_a_group(connect: Callable[..., str], emulator: EmulatorProcess, tmp_path: Path) -> None:
    connect()
    run = run_dag(load("product_clips"), {"destination": f"file://{tmp_path}/out/"})

    assert run.state == "success"
    names = ["kettle_16x9", "kettle_9x16", "teapot_1x1"]
    assert run.names("clips") == names
    assert run.names("clip.generate") == names
    assert emulator.charged() == 6
    assert len(list(tmp_path.glob("out/**/*.mp4"))) == 6
    assert len(list(tmp_path.glob("out/**/*.json"))) == 6


def test_coffee_scenes_publishes_a_story_of_the_summed_length_and_a_scene_from_a_picture(
    connect: Callable[..., str], emulator: EmulatorProcess, tmp_path: Path
) -> None:
    connect("happyhorse.app", conn_id="happyhorse_app")
    run = run_dag(load("coffee_scenes"), {"image_url": "https://example.com/cafe.jpg", "destination": f"file://{tmp_path}/"})

    assert run.state == "success"
    seconds = {}
    for sidecar in tmp_path.glob("**/*.json"):
        read = json.loads(sidecar.read_text())
        seconds[read["name"]] = read["seconds"]
    assert seconds == {"coffee-story": pytest.approx(7, abs=0.1), "coffee-opening": pytest.approx(4, abs=0.1)}
    story, opening = run.xcom("story"), run.xcom("opening")
    assert story["credits"] == story["credits_estimated"] == 7 * 40
    assert opening["credits"] == opening["credits_estimated"] == 4 * 54
    assert emulator.charged() == 2


@pytest.mark.skipif(not AIRFLOW_V_3_0_PLUS, reason="asset watchers came with Airflow 3.0")
def test_more_new_videos_than_airflow_maps_are_published_by_one_run_after_another(
    connect: Callable[..., str], emulator: EmulatorProcess, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """That an event starts the first run takes a triggerer: ``tests/live``."""
    connect()
    monkeypatch.setenv("ARCHIVE", f"file://{tmp_path}/")
    monkeypatch.setenv("AIRFLOW__CORE__MAX_MAP_LENGTH", "2")
    archive = load("new_videos")
    archive.get_task("first").python_callable.__globals__["MOST"] = 2
    videos = [{"generation_id": generation_id} for generation_id in emulator.seed(5, render_seconds=0)]
    conf: dict[str, Any] | None = {"videos": [*videos, videos[0]]}
    run_ids = []
    while conf:
        run = run_dag(archive, conf)
        assert run.state == "success"
        run_ids.append(run.run.run_id)
        conf = started_by(run)

    assert len(run_ids) == 3
    assert {json.loads(path.read_text())["generation_id"] for path in tmp_path.rglob("*.json")} == {
        video["generation_id"] for video in videos
    }


def started_by(run: DagRunSeen) -> dict[str, Any] | None:
    """Return the conf of the run that a run has started, None when it has started none; a scheduler would run it."""
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session

    with create_session() as session:
        started = session.query(DagRun).filter_by(dag_id=run.run.dag_id, run_id=f"{run.run.run_id}.").one_or_none()
        return None if started is None else dict(started.conf)


def test_the_clip_of_the_gallery_tells_what_the_gallery_needs(
    connect: Callable[..., str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What the second DAG makes of it takes a scheduler: ``tests/live``."""
    connect()
    monkeypatch.setenv("GALLERY", str(tmp_path))
    clip, gallery = load("clips_gallery", "clip_dag"), load("clips_gallery", "gallery_dag")
    run = run_dag(clip, {"name": "teapot"})

    assert run.state == "success"
    ((_, _, facts),) = run.asset_events()
    assert facts["name"] == "teapot"
    assert Path(facts["uri"].removeprefix("file://")).is_relative_to(tmp_path)
    events = {"x-gallery://clips": [SimpleNamespace(extra=facts)]}
    assert gallery.get_task("add_to_page").python_callable(triggering_asset_events=events) == ["teapot"]
    assert f"teapot: 3.0 s, {facts['width']}x{facts['height']}, AI-generated" in (tmp_path / "index.html").read_text()
