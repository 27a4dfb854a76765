"""What a stranger found by trying every documented field: each of these was paid for wrongly, or said of the wrong thing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pendulum
import pytest
from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_happyhorse.api.errors import NotFound, Unsupported
from airflow_provider_happyhorse.exceptions import InvalidArguments
from airflow_provider_happyhorse.hooks.happyhorse import HappyHorseHook
from airflow_provider_happyhorse.operators import HappyHorseGenerateImageOperator, HappyHorseGenerateVideoOperator
from tests.dag_runs import run_dag
from tests.emulator_process import EmulatorProcess

START = pendulum.datetime(2026, 1, 1, tz="UTC")


@pytest.mark.usefixtures("airflow_database")
def test_an_edited_image_is_published_without_its_reference(connect: Callable[..., str], emulator: EmulatorProcess, tmp_path: Path) -> None:
    connect()
    request = {"prompt": "Make it blue", "images": ["https://example.com/a.png"], "output_format": "png"}
    with DAG("edits", schedule=None, start_date=START) as dag:
        HappyHorseGenerateImageOperator(task_id="edit", request=request, destination=f"{tmp_path}/")
    run = run_dag(dag)
    assert run.state == "success"
    assert len(run.xcom("edit")["result_urls"]) == 1
    assert len(list(tmp_path.glob("**/*.png"))) == 1


@pytest.mark.parametrize(
    "cell", ["https://e.com/a.png,https://e.com/b.png", "https://e.com/a.png;http://e.com/b.png", "https://e.com/a|https://e.com/b"]
)
def test_several_urls_in_one_cell_are_refused(connect: Callable[..., str], cell: str) -> None:
    problems = HappyHorseHook(connect("happyhorse.app")).check({"prompt": "x", "image_urls": cell})
    assert len(problems) == 1
    assert "`image_urls`" in problems[0]
    assert HappyHorseHook("happyhorse_default").check({"prompt": "x", "image_urls": ["https://e.com/a.png?u=https%3A%2F%2Fb"]}) == []


@pytest.mark.parametrize("key", ["seedance-1-5-pro", "doubao-seedance-1-5-pro"])
@pytest.mark.parametrize("model", [{}, {"model": "seedance-1-5-pro"}, {"model": "doubao-seedance-1-5-pro"}])
def test_a_price_holds_for_both_spellings_of_its_model(connect: Callable[..., str], key: str, model: dict[str, str]) -> None:
    hook = HappyHorseHook(connect(prices={key: "9.99"}))
    assert hook.estimate_credits({"prompt": "x", **model}) == 50


def test_a_misspelled_price_is_refused(connect: Callable[..., str]) -> None:
    hook = HappyHorseHook(connect("happyhorse.app", prices={"pro-sound": 90}))
    with pytest.raises(ValueError, match="'pro-sound' is not one of"):
        hook.estimate_credits({"prompt": "x"})


@pytest.mark.parametrize("service", ["happy-horse.ai", "happyhorse.app"])
def test_an_unknown_id_is_not_found_on_both_services(connect: Callable[..., str], service: str) -> None:
    hook = HappyHorseHook(connect(service))
    with pytest.raises(NotFound):
        hook.get_generation("n92nope")


@pytest.mark.parametrize(
    "arguments",
    [
        {"request": {"resolution": "720p"}},
        {"request": {"duration": 99}},
        {"destination": "file:///proc/nowhere/"},
    ],
)
@pytest.mark.usefixtures("airflow_database")
def test_a_function_is_not_called_for_what_will_not_be_submitted(
    connect: Callable[..., str], emulator: EmulatorProcess, arguments: dict[str, Any]
) -> None:
    connect("happyhorse.app")
    called: list[str] = []
    with DAG("uncalled", schedule=None, start_date=START) as dag:

        @task.happyhorse_video(**arguments)
        def asks_a_model() -> str:
            called.append("paid")
            return "A cat"

        asks_a_model()
    assert run_dag(dag).states("asks_a_model") == ["failed"]
    assert called == []
    assert emulator.requests() == []


def test_check_takes_a_row_as_the_operator_does(connect: Callable[..., str]) -> None:
    hook = HappyHorseHook(connect())
    row = {"name": "a", "take": "2", "max_credits": 30, "prompt": "x"}
    assert hook.check(row) == []
    assert hook.estimate_credits(row) == 25


@pytest.mark.parametrize("request_value", [None, "x", [1]])
def test_check_says_of_anything_else_that_it_is_no_mapping(connect: Callable[..., str], request_value: Any) -> None:
    assert "must be a mapping" in HappyHorseHook(connect()).check(request_value)[0]


@pytest.mark.parametrize(
    ("request_fields", "says", "is_silent_about"),
    [
        ({"prompt": "x", "duration": 99, "mode": "pro"}, "`duration` must be 3 to 15", "happy-horse.ai"),
        ({"prompt": "x" * 2501, "mode": "pro"}, "at most 2500", "happy-horse.ai"),
        ({"prompt": "x", "mode": "pro", "resolution": "720p"}, "for happyhorse.app: happyhorse.app has no `resolution`", ""),
    ],
)
def test_mistakes_at_parse_time_are_those_at_the_service_that_is_meant(
    request_fields: dict[str, Any], says: str, is_silent_about: str
) -> None:
    with DAG("meant", schedule=None), pytest.raises(InvalidArguments) as refused:
        HappyHorseGenerateVideoOperator(task_id="g", request=request_fields)
    assert says in str(refused.value)
    assert not is_silent_about or is_silent_about not in str(refused.value)


def test_a_typing_error_in_a_decorators_request_is_seen_at_parse_time() -> None:
    with DAG("typing_error", schedule=None):

        @task.happyhorse_video(request={"promt": "x"})
        def video() -> str:
            return "A cat"

        with pytest.raises(InvalidArguments, match="is `prompt` meant"):
            video()


@pytest.mark.parametrize(
    ("prompt", "names", "warned"),
    [
        ("@doghouse at night", ["dog"], ["the element `dog` is never mentioned", "@doghouse is mentioned"]),
        ("@element_dog\uac00 runs", ["element_dog"], []),
        ("@dog runs", ["dog", "dog"], ["two elements are named `dog`"]),
    ],
)
def test_mentions_of_elements(connect: Callable[..., str], prompt: str, names: list[str], warned: list[str]) -> None:
    from airflow_provider_happyhorse.api.models import VideoRequest

    urls = ["https://e.com/1.png", "https://e.com/2.png"]
    elements = [{"name": name, "description": "d", "element_input_urls": urls} for name in names]
    service = HappyHorseHook(connect("happyhorse.app")).service
    said = service.warnings(VideoRequest.model_validate({"prompt": prompt, "happyhorse_elements": elements}))
    assert len(said) == len(warned)
    assert all(part in sentence for part, sentence in zip(warned, said, strict=True))


def test_what_a_service_lacks_is_said_whatever_the_arguments(connect: Callable[..., str], emulator: EmulatorProcess) -> None:
    hook = HappyHorseHook(connect("happyhorse.app"))
    with pytest.raises(Unsupported):
        hook.list_generations(limit=51)
    with pytest.raises(Unsupported):
        hook.upload_image("/nowhere.png")
    with pytest.raises(ValueError, match="without an id"):
        hook.get_generation("")
    assert emulator.requests() == []


def test_an_unreadable_shot_hides_no_mistake_of_the_others_nor_its_own(connect: Callable[..., str]) -> None:
    shots = [
        {"prompt": "a" * 501, "duration": 13},
        {"prompt": "b" * 501},
        {"prompt": "c", "duration": "long"},
        {"prompt": "d", "duration": 0},
    ]
    problems = HappyHorseHook(connect("happyhorse.app")).check({"multi_shots": True, "multi_prompt": shots, "mode": "ultra"})
    for says in (
        "`multi_prompt[0].prompt` has 501",
        "`multi_prompt[0].duration` must be 1 to 12",
        "`multi_prompt[1].prompt` has 501",
        "`multi_prompt[1].duration` is missing",
        "`multi_prompt[2].duration` must be a number",
        "`multi_prompt[3].duration` must be 1 to 12",
        "`mode` must be",
    ):
        assert sum(says in problem for problem in problems) == 1, (says, problems)
    assert len(problems) == 7
