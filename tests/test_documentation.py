"""The documentation held against the code: names, defaults, tables and examples say what is there."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, Connection

import airflow_provider_happyhorse
from airflow_provider_happyhorse import exceptions
from airflow_provider_happyhorse.api import happy_horse_ai_answers, happy_horse_ai_limits, happyhorse_app_answers, happyhorse_app_limits
from airflow_provider_happyhorse.api.models import Element, ImageRequest, Shot, VideoRequest
from airflow_provider_happyhorse.api.pricing import Estimate
from airflow_provider_happyhorse.api.service import services
from airflow_provider_happyhorse.hooks.happyhorse import HappyHorseHook
from airflow_provider_happyhorse.hooks.settings import read_settings
from airflow_provider_happyhorse.ledger.decision import PAY_AGAIN_WORDS
from airflow_provider_happyhorse.operators import (
    HappyHorseGenerateImageOperator,
    HappyHorseGenerateVideoOperator,
    HappyHorsePublishOperator,
    HappyHorseUploadImageOperator,
)
from airflow_provider_happyhorse.provider_info import CONNECTION_FIELDS, get_provider_info
from airflow_provider_happyhorse.publishing.final_names import FinalNames
from airflow_provider_happyhorse.publishing.layout import Where, default_stem
from airflow_provider_happyhorse.results import new_result
from airflow_provider_happyhorse.sensors.generation import HappyHorseGenerationSensor
from airflow_provider_happyhorse.triggers.new_videos import HappyHorseNewVideosTrigger
from tests.conftest import DAGS_FOLDER
from tests.documentation import EVERYTHING, EXAMPLES_PAGE, PAGES, README, REPOSITORY, rows, section, table, words

OPERATORS = {
    "## Generate a video": HappyHorseGenerateVideoOperator,
    "## Upload an image": HappyHorseUploadImageOperator,
    "## Publish": HappyHorsePublishOperator,
    "## Wait": HappyHorseGenerationSensor,
}


# -- connection and configuration ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CONNECTION_FIELDS)
def test_the_connection_page_has_every_extra_with_its_default_and_range(name: str) -> None:
    _, _, schema = CONNECTION_FIELDS[name]
    _, kind, default, _ = table(PAGES["connection.md"])[name]

    expected = schema["default"]
    assert default == ("none" if expected is None else f"`{json.dumps(expected)}`")
    assert all(str(schema[limit]) in kind for limit in ("minimum", "maximum") if limit in schema)
    assert all(f"`{value}`" in kind for value in schema.get("enum", []) if value)


def test_the_connection_page_has_no_extra_that_does_not_exist() -> None:
    extras = PAGES["connection.md"].split("| extra |")[1].split("\n\n")[0]
    assert set(table(extras)) == set(CONNECTION_FIELDS)


def test_the_key_never_goes_over_http_to_another_machine() -> None:
    assert "`http` is accepted for `localhost` and loopback addresses only" in PAGES["connection.md"]
    with pytest.raises(ValueError, match="plain http"):
        read_settings("c", Connection(conn_id="c", conn_type="happyhorse", host="http://happy-horse.ai", password="k"), {})


def test_the_configuration_page_has_every_option_with_its_default() -> None:
    options = get_provider_info()["config"]["happyhorse"]["options"]
    documented = {name: (row[1].split(",")[0], row[2]) for name, row in table(PAGES["configuration.md"]).items()}
    assert documented == {name: (option["type"], f"`{option['default']}`") for name, option in options.items()}


# -- operators ---------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("heading", "operator"), OPERATORS.items(), ids=lambda value: getattr(value, "__name__", None))
def test_the_operators_page_has_every_argument_with_its_default(heading: str, operator: type) -> None:
    text = section(PAGES["operators.md"], heading).split("| argument |")[1].split("\n\n")[0]
    # Airflow wraps constructors; the signature stays reachable.
    parameters = {
        name: parameter
        for name, parameter in inspect.signature(operator.__init__).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    } or {
        name: parameter
        for base in operator.__mro__
        if "__init__" in vars(base) and base.__module__.startswith(airflow_provider_happyhorse.__name__)
        for name, parameter in inspect.signature(vars(base)["__init__"]).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }
    expected = {
        name: (
            "required" if parameter.default is inspect.Parameter.empty else f"`{parameter.default!r}`",
            "yes" if name in operator.template_fields else "no",  # type: ignore[attr-defined]
        )
        for name, parameter in parameters.items()
    }

    assert len(expected) > 1
    assert {name: (row[1], row[2]) for name, row in table(text).items()} == expected


def test_the_downstream_page_has_every_argument_of_the_watcher_s_trigger() -> None:
    parameters = inspect.signature(HappyHorseNewVideosTrigger.__init__).parameters
    expected = {name: f"`{parameter.default!r}`" for name, parameter in parameters.items() if name != "self"}
    text = section(PAGES["downstream.md"], "## New videos of an account").split("\n\nThe event's")[0]
    assert {name: row[1] for name, row in table(text).items()} == expected


def test_the_operators_page_has_every_key_of_the_result() -> None:
    keys = set(new_result(name="", kind="", service="", happyhorse_conn_id=""))
    assert set(table(section(PAGES["operators.md"], "### The result"))) == keys


def test_the_operators_page_has_every_key_of_a_published_result() -> None:
    store = SimpleNamespace(uri=lambda path: f"file://{path}")
    names = FinalNames(store=store, stem="/a/b", extension=None, sidecar="/a/b.json")  # type: ignore[arg-type]
    file = dict.fromkeys(("bytes", "sha256", "content_type", "seconds", "width", "height")) | {"file": "b.mp4"}
    keys = {"happyhorse_conn_id", *names.result({"files": [file]}, already_there=False)}
    assert set(table(section(PAGES["operators.md"], "## Publish").split("It returns:")[1])) == keys


def test_the_operators_page_says_where_below_a_folder_a_result_goes() -> None:
    where = Where(dag_id="d", run_id="r", task_id="t")
    path = default_stem(where, name="n", generation_id="g")
    assert f"`{path}.mp4`" == "`d/r/n--g.mp4`"
    assert "`<dag_id>/<run id>/<name>--<generation_id>.mp4`" in PAGES["operators.md"]


def test_the_operators_page_has_every_word_that_lets_money_flow() -> None:
    text = section(PAGES["operators.md"], "## What a retry and a clear do")
    assert set(table(text)) == set(PAY_AGAIN_WORDS)


def test_the_operators_page_has_every_ending_and_says_what_retries_do() -> None:
    defined = {
        name: value for name, value in vars(exceptions).items() if inspect.isclass(value) and value.__module__ == exceptions.__name__
    }
    documented = {words(row[0])[0]: row[3] for row in rows(section(PAGES["operators.md"], "## Errors"))}
    assert documented == {name: "stop" if issubclass(value, AirflowFailException) else "may help" for name, value in defined.items()}


def test_the_operators_page_has_methods_the_hook_has() -> None:
    for documented in table(section(PAGES["operators.md"], "## The hook")):
        name, arguments = documented.rstrip(")").split("(")
        signature = inspect.signature(getattr(HappyHorseHook, name)).replace(return_annotation=inspect.Signature.empty)
        given = [
            str(parameter.replace(annotation=inspect.Parameter.empty))
            for parameter in signature.parameters.values()
            if parameter.name != "self"
        ]
        assert arguments == ", ".join(given).replace("'", '"')


# -- services ----------------------------------------------------------------------------------------------------------------------------


def test_the_services_page_has_every_field_of_each_service() -> None:
    text = section(PAGES["services.md"], "## Request fields")
    ours, theirs = text.split("\nhappyhorse.app:\n")
    assert set(table(ours)) == set(happy_horse_ai_limits.FIELDS)
    assert set(table(theirs)) == set(happyhorse_app_limits.FIELDS)
    assert set(VideoRequest.model_fields) == set(happy_horse_ai_limits.FIELDS) | set(happyhorse_app_limits.FIELDS)
    assert {*Shot.model_fields, *Element.model_fields} <= set(words(theirs))


def test_the_services_page_has_the_limits_that_are_enforced() -> None:
    theirs = table(section(PAGES["services.md"], "## Request fields").split("\nhappyhorse.app:\n")[1])
    assert words(theirs["mode"][1]) == list(happyhorse_app_limits.MODES)
    assert words(theirs["aspect_ratio"][1]) == list(happyhorse_app_limits.ASPECT_RATIOS)
    assert f"at most {happyhorse_app_limits.LONGEST_PROMPT} characters" in theirs["prompt"][1]
    assert f"at most {happyhorse_app_limits.LONGEST_SHOT_PROMPT} characters" in theirs["multi_prompt"][1]
    assert f"1 to {happyhorse_app_limits.MOST_SHOTS} shots" in theirs["multi_prompt"][1]
    assert f"at most {happyhorse_app_limits.MOST_ELEMENTS} " in theirs["happyhorse_elements"][1]
    service = services()["happyhorse.app"]
    for least, most, field in ((3, 15, "duration"), (0, 1, "cfg_scale")):
        assert f"{least} to {most}" in theirs[field][1]
        for value, allowed in ((least, True), (most, True), (least - 0.1, False), (most + 0.1, False)):
            request = VideoRequest.model_validate({"prompt": "x", field: value})
            assert (service.check(request) == []) is allowed, (field, value)


def test_the_services_page_has_the_prices_that_are_estimated_with_their_day() -> None:
    ours, theirs = section(PAGES["services.md"], "## Prices").split("\nhappyhorse.app, as of ")
    seconds = 10  # 7.5 a second would be rounded up after one

    def estimated(service: str, **fields: Any) -> Estimate:
        return services()[service].estimate(VideoRequest.model_validate({"prompt": "x", "duration": seconds, **fields}))

    assert f"happy-horse.ai, as of {estimated('happy-horse.ai').prices_of}:" in ours
    assert theirs.startswith(f"{estimated('happyhorse.app').prices_of}:")
    models = {model: row[1] for model, row in table(ours).items()}
    assert len(models) > 3
    assert {model: estimated("happy-horse.ai", model=model).credits for model in models} == {
        model: float(price) * seconds for model, price in models.items()
    }
    modes = {mode: row for mode, row in table(theirs).items() if mode != "mode"}
    assert set(modes) == set(happyhorse_app_limits.MODES)
    for mode, (_, silent, loud) in modes.items():
        assert estimated("happyhorse.app", mode=mode, sound=False).credits == int(silent) * seconds
        assert estimated("happyhorse.app", mode=mode).credits == int(loud) * seconds


def test_the_services_page_has_the_fields_and_the_price_of_an_image() -> None:
    text = section(PAGES["services.md"], "## Images")
    assert set(table(text)) == set(ImageRequest.model_fields)
    estimate = services()["happy-horse.ai"].estimate(ImageRequest.model_validate({"prompt": "x"}))
    assert f"for {estimate.credits} credits each (as of {estimate.prices_of})" in text
    assert estimate.assumed == (f"model={words(table(text)['model'][2])[0]}",)
    assert words(table(text)["output_format"][1]) == list(happy_horse_ai_limits.OUTPUT_FORMATS)
    assert words(table(text)["resolution"][1]) == list(happy_horse_ai_limits.IMAGE_RESOLUTIONS)


def test_the_image_operator_has_the_arguments_of_the_video_operator() -> None:
    assert "the same arguments, result, record and errors" in section(PAGES["operators.md"], "## Generate an image")
    assert inspect.signature(HappyHorseGenerateImageOperator) == inspect.signature(HappyHorseGenerateVideoOperator)
    assert HappyHorseGenerateImageOperator.template_fields == HappyHorseGenerateVideoOperator.template_fields


def test_the_services_page_has_every_documented_error_code() -> None:
    documented = set(words(section(PAGES["services.md"], "## Errors")))
    assert {*happy_horse_ai_answers.REFUSALS, *happy_horse_ai_answers.FAULTS, happy_horse_ai_answers.RATE_LIMIT} <= documented
    assert set(happyhorse_app_answers.WORDS) <= documented


def test_the_services_page_names_only_capabilities_the_services_have() -> None:
    capabilities = {
        "upload of images": "upload",
        "images": "images",
        "list of generations, balance": "list",
    }
    for line, capability in capabilities.items():
        ours, theirs = re.findall(rf"^\| {line} \| (\w+)[^|]*\| (\w+)", PAGES["services.md"], re.MULTILINE)[0]
        assert (ours != "no", theirs != "no") == tuple(
            capability in services()[name].capabilities for name in ("happy-horse.ai", "happyhorse.app")
        )


# -- architecture, commands, links, examples ---------------------------------------------------------------------------------------------


def test_every_module_the_architecture_page_names_exists() -> None:
    page = PAGES["architecture.md"]
    named = {word for word in re.findall(r"[\w/]+\.py|\b[a-z_]+/(?=\s)", page) if word != "airflow_provider_happyhorse/"}
    package = Path(airflow_provider_happyhorse.__file__).parent
    homes = [package, *(folder for folder in package.iterdir() if folder.is_dir())]
    assert len(named) > 20
    assert [name for name in named if not any((home / name).exists() for home in homes)] == []


def test_every_make_target_the_pages_name_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    named = {target for text in EVERYTHING.values() for target in re.findall(r"(?:`|^\$ )make ([a-z]+)", text, re.MULTILINE)}
    assert {"demo", "test", "docs"} <= named <= targets


def test_the_first_screen_of_the_readme_has_the_two_commands() -> None:
    first_screen = README.splitlines()[:15]
    assert any(line.startswith("$ make demo") for line in first_screen)
    assert any(line.startswith("$ make test") for line in first_screen)


def test_every_relative_link_leads_somewhere() -> None:
    for page, text in EVERYTHING.items():
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
            assert ((REPOSITORY / page).parent / target).exists(), f"{page} links to {target}"


def test_every_page_is_in_the_table_of_contents() -> None:
    listed = PAGES["index.md"].split("```{toctree}\n")[1].split("```")[0].split()
    assert {name.removesuffix(".md") for name in PAGES} - {"index"} == set(listed) - {":hidden:"}


def test_the_example_dags_page_lists_every_example() -> None:
    assert set(re.findall(r"^\| \[(\w+\.py)\]", EXAMPLES_PAGE, re.MULTILINE)) == {path.name for path in DAGS_FOLDER.glob("*.py")}
