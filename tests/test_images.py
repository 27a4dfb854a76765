"""Images on happy-horse.ai, as emulated: their answers are not documented."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pendulum
import pytest
from airflow.providers.common.compat.sdk import DAG
from PIL import Image

from airflow_provider_happyhorse.hooks.happyhorse import HappyHorseHook
from airflow_provider_happyhorse.operators import HappyHorseGenerateImageOperator, HappyHorsePublishOperator
from tests.dag_runs import run_dag
from tests.emulator_process import EmulatorProcess

pytestmark = [pytest.mark.airflow]
START = pendulum.datetime(2026, 1, 1, tz="UTC")


@pytest.mark.usefixtures("airflow_database")
def test_an_image_is_generated_once_and_published(connect: Callable[..., str], emulator: EmulatorProcess, tmp_path: Path) -> None:
    connect()
    with DAG("images", schedule=None, start_date=START) as dag:
        image = HappyHorseGenerateImageOperator(
            task_id="image", name="poster", request={"prompt": "A kettle", "resolution": "1k", "output_format": "webp"}, max_credits=5
        )
        HappyHorsePublishOperator(task_id="publish", generation=image.output, destination=f"{tmp_path}/")
    run = run_dag(dag)

    assert run.state == "success"
    generated, published = run.xcom("image"), run.xcom("publish")
    assert (generated["kind"], generated["credits_estimated"]) == ("image", 5)
    assert published["content_type"] == "image/webp"
    with Image.open(published["uri"].removeprefix("file://")) as opened:
        assert (opened.format, opened.size) == ("WEBP", (published["width"], published["height"]))
    assert emulator.charged() == 1


def test_images_are_refused_by_name_where_there_are_none(connect: Callable[..., str], emulator: EmulatorProcess) -> None:
    hook = HappyHorseHook(connect("happyhorse.app"))
    assert hook.check({"prompt": "A kettle"}, kind="image") == ["happyhorse.app generates no images; happy-horse.ai does"]
    assert emulator.requests() == []


@pytest.mark.parametrize(
    ("request_fields", "says"),
    [
        ({}, "`prompt` is missing"),
        ({"prompt": "x", "output_format": "gif"}, "`output_format` must be png, jpg or webp"),
        ({"prompt": "x", "images": ["kettle.png"]}, "`images` must hold http(s) URLs"),
        ({"prompt": "x", "duration": 5}, "`duration` is a field of a video"),
    ],
)
def test_mistakes_in_an_image_cost_no_request(
    connect: Callable[..., str], emulator: EmulatorProcess, request_fields: dict[str, str], says: str
) -> None:
    problems = HappyHorseHook(connect()).check(request_fields, kind="image")
    assert len(problems) == 1
    assert says in problems[0]
    assert emulator.requests() == []


def test_type_mistakes_and_broken_limits_come_in_one_list(connect: Callable[..., str]) -> None:
    row = {"duration": "20", "mode": "ultra", "cfg_scale": "much", "resolution": "720p", "sku": "A"}
    problems = HappyHorseHook(connect("happyhorse.app")).check(row)
    for says in ("`cfg_scale` must be a number", "`sku` is not a field", "`mode` must be", "`duration` must be 3 to 15", "no `resolution`"):
        assert sum(says in problem for problem in problems) == 1, (says, problems)
    assert sum("`prompt` is missing" in problem for problem in problems) == 1


@pytest.mark.parametrize(
    ("service", "prices", "request_fields", "credits_estimated"),
    [
        ("happy-horse.ai", {"doubao-seedance-2-0": "8.5"}, {"prompt": "x", "model": "doubao-seedance-2-0"}, 43),
        ("happy-horse.ai", '{"brand-new": 3}', {"prompt": "x", "model": "brand-new"}, 15),
        ("happyhorse.app", {"pro+sound": 90}, {"prompt": "x", "mode": "pro"}, 450),
        ("happyhorse.app", {"pro+sound": 90}, {"prompt": "x", "mode": "pro", "sound": False}, 270),
        ("happyhorse.app", {}, {"prompt": "x", "mode": "pro"}, 400),
    ],
)
def test_the_connections_prices_win(
    connect: Callable[..., str], service: str, prices: object, request_fields: dict[str, object], credits_estimated: int
) -> None:
    hook = HappyHorseHook(connect(service, prices=prices))
    assert hook.estimate_credits(request_fields) == credits_estimated


@pytest.mark.parametrize("prices", ["not json", "[1]", {"std": "cheap"}, {"std": -1}])
def test_prices_that_cannot_be_read_are_refused(connect: Callable[..., str], prices: object) -> None:
    hook = HappyHorseHook(connect(prices=prices))
    with pytest.raises(ValueError, match="`prices`"):
        hook.estimate_credits({"prompt": "x"})
