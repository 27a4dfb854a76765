"""The documentation held against the code: names, defaults, tables and examples say what is there."""

from __future__ import annotations

import ast
import inspect
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowFailException, Connection

import airflow_provider_happyhorse
from airflow_provider_happyhorse import exceptions, publishing
from airflow_provider_happyhorse.api import happy_horse_ai, happy_horse_ai_limits, happyhorse_app, happyhorse_app_limits, pricing
from airflow_provider_happyhorse.api.models import Element, Shot, VideoRequest
from airflow_provider_happyhorse.api.service import services
from airflow_provider_happyhorse.final_names import FinalNames
from airflow_provider_happyhorse.hooks.happyhorse import HappyHorseHook
from airflow_provider_happyhorse.hooks.settings import read_settings
from airflow_provider_happyhorse.ledger.decision import PAY_AGAIN_WORDS, Attach, Decision, Situation, Stop, Submit, decide
from airflow_provider_happyhorse.ledger.record import Record, RecordState
from airflow_provider_happyhorse.operators import (
    HappyHorseGenerateVideoOperator,
    HappyHorsePublishOperator,
    HappyHorseUploadImageOperator,
)
from airflow_provider_happyhorse.provider_info import CONNECTION_FIELDS, get_provider_info
from airflow_provider_happyhorse.results import new_result
from airflow_provider_happyhorse.sensors.generation import HappyHorseGenerationSensor
from tests.conftest import DAGS_FOLDER
from tests.dag_runs import run_dag
from tests.emulator_process import EmulatorProcess

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGE = Path(airflow_provider_happyhorse.__file__).parent
PAGES = {path.name: path.read_text(encoding="utf-8") for path in sorted((REPOSITORY / "docs").glob("*.md"))}
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
EXAMPLES_PAGE = (REPOSITORY / "example_dags" / "README.md").read_text(encoding="utf-8")
EVERYTHING = {"README.md": README, "example_dags/README.md": EXAMPLES_PAGE, **{f"docs/{name}": text for name, text in PAGES.items()}}

OPERATORS = {
    "## Generate a video": HappyHorseGenerateVideoOperator,
    "## Upload an image": HappyHorseUploadImageOperator,
    "## Publish": HappyHorsePublishOperator,
    "## Wait": HappyHorseGenerationSensor,
}


def section(page: str, heading: str) -> str:
    """Return a section's text, up to the next heading of its level or above."""
    level = heading.split(" ")[0]
    begin = page.index(f"\n{heading}\n") + len(heading) + 2
    end = re.compile(rf"^#{{1,{len(level)}}} ", re.MULTILINE).search(page, begin)
    return page[begin : end.start() if end else None]


def rows(text: str) -> list[list[str]]:
    """Return the cells of every table row whose first cell begins with a code word."""
    lines = [line for line in text.splitlines() if line.startswith("| `")]
    return [[cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def words(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def table(text: str) -> dict[str, list[str]]:
    """Return the rows by each code word of their first cell."""
    return {word: row for row in rows(text) for word in words(row[0])}


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


PYTHON = [
    pytest.param(code, id=f"{name}-{number}") for name, text in EVERYTHING.items() for number, code in enumerate(blocks(text, "python"))
]
WHOLE_DAGS = [parameter for parameter in PYTHON if "with DAG(" in str(parameter.values[0])]


def dags_in(code: str) -> list[DAG]:
    # Dedicated globals, as a DAG file has them.
    names: dict[str, Any] = {"__name__": "documented_dag"}
    exec(compile(code, "documented_dag.py", "exec"), names)
    return [value for value in names.values() if isinstance(value, DAG)]


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


def documented_connections() -> list[Any]:
    found = [
        pytest.param(name, value, id=f"{page}-{number}")
        for page, text in EVERYTHING.items()
        for number, (name, value) in enumerate(re.findall(r"^\$ export AIRFLOW_CONN_(\w+)='(.*)'$", text, re.MULTILINE))
    ]
    assert len(found) > 8
    return found


@pytest.mark.parametrize(("name", "value"), documented_connections())
def test_a_documented_connection_can_be_used(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"AIRFLOW_CONN_{name}", value)
    settings = HappyHorseHook(name.lower()).settings

    assert settings.service.name == ("happyhorse.app" if "happyhorse.app" in value else "happy-horse.ai")
    path = "/api/v1" if settings.service.name == "happy-horse.ai" else ""
    host = "http://127.0.0.1:8731" if "127.0.0.1" in value else f"https://{settings.service.name}"
    assert settings.endpoint.base_url.rstrip("/") == host + path
    for key, documented in re.findall(r'(max_credits|request_timeout)(?:=|": )(\d+)', value):
        read = settings.max_credits if key == "max_credits" else settings.endpoint.request_timeout
        assert read == int(documented)


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


def test_the_operators_page_has_every_key_of_the_result() -> None:
    keys = set(new_result(name="", kind="", service="", happyhorse_conn_id=""))
    assert set(table(section(PAGES["operators.md"], "### The result"))) == keys


def test_the_operators_page_has_every_key_of_a_published_result() -> None:
    store = SimpleNamespace(uri=lambda path: f"file://{path}")
    names = FinalNames(store=store, stem="/a/b", extension=None, sidecar="/a/b.json")  # type: ignore[arg-type]
    keys = set(names.result({"files": [{"file": "b.mp4"}]}, already_there=False))
    assert set(table(section(PAGES["operators.md"], "## Publish").split("It returns:")[1])) == keys


def test_the_operators_page_has_every_word_that_lets_money_flow() -> None:
    text = section(PAGES["operators.md"], "## What a retry and a clear do")
    assert set(table(text)) == set(PAY_AGAIN_WORDS)


def record(state: RecordState, **changes: Any) -> Record:
    values: dict[str, Any] = {"fingerprint": "same", "name": "clip", "map_index": -1, "try_number": 1, "max_tries": 2, "at": "then"}
    return Record(**{**values, "state": state, "facts": {"generation_id": "n92abc"}, **changes})


def situation(then: Record | None, **changes: Any) -> Situation:
    values: dict[str, Any] = {"protected": True, "fingerprint": "same", "name": "clip", "named": True, "map_index": -1, "try_number": 2}
    return Situation(**{**values, "record": then, "max_tries": 2, "pay_again_on": frozenset({"changed_request"}), **changes})


#: How the decision table begins a row -> the situations it speaks of.
SITUATIONS = {
    "nothing, or an earlier": [situation(None), situation(record(RecordState.NOT_SENT))],
    "a submission was about to be sent": [situation(record(RecordState.INTENT)), situation(record(RecordState.AMBIGUOUS))],
    "submitted or delivered, the same": [situation(record(RecordState.SUBMITTED)), situation(record(RecordState.DELIVERED))],
    "submitted or delivered, the request": [situation(record(RecordState.DELIVERED), fingerprint="other")],
    "the same, and a mapped clip": [
        situation(record(RecordState.DELIVERED, map_index=3), fingerprint="other", map_index=3, named=False),
        situation(record(RecordState.DELIVERED, map_index=3), fingerprint="other", map_index=3, name="neighbour"),
    ],
    "the service ended it as failed": [situation(record(RecordState.FAILED))],
    "there is no store": [situation(None, protected=False)],
}
STOPS = {"ambiguous": "AmbiguousSubmission", "failed": "GenerationFailed"}


def in_the_words_of_the_page(decision: Decision) -> str:
    match decision:
        case Submit():
            return "submits"
        case Attach():
            return "goes on with"
        case Stop(kind=kind):
            return f"stops (`{STOPS.get(kind, 'SubmissionStopped')}`)"


@pytest.mark.parametrize("beginning", SITUATIONS)
def test_the_table_of_retries_and_clears_is_what_is_decided(beginning: str) -> None:
    text = section(PAGES["operators.md"], "## What a retry and a clear do")
    line = next(line for line in text.splitlines() if line.startswith(f"| {beginning}"))
    _, on_a_retry, after_a_clear = (cell.strip() for cell in line.strip("|").split("|"))
    if after_a_clear == "the same":
        after_a_clear = on_a_retry
    for now in SITUATIONS[beginning]:
        cleared = replace(now, max_tries=5)
        assert on_a_retry.startswith(in_the_words_of_the_page(decide(now)))
        assert after_a_clear.startswith(in_the_words_of_the_page(decide(cleared)))
        for cell, then in ((on_a_retry, now), (after_a_clear, cleared)):
            for word in re.findall(r"; submits with `(\w+)`", cell):
                assert isinstance(decide(replace(then, pay_again_on=frozenset({word}))), Submit)  # type: ignore[arg-type]
            for word in re.findall(r"; stops without `(\w+)`", cell):
                stopped = decide(replace(then, pay_again_on=then.pay_again_on - {word}))  # type: ignore[operator]
                assert f"({words(in_the_words_of_the_page(stopped))[0]!r})".replace("'", "`") in cell


def test_the_operators_page_has_every_ending_and_says_what_retries_do() -> None:
    defined = {
        name: value for name, value in vars(exceptions).items() if inspect.isclass(value) and value.__module__ == exceptions.__name__
    }
    defined |= {"ResultUnavailable": publishing.ResultUnavailable, "StorageUnavailable": publishing.StorageUnavailable}
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
        assert arguments == ", ".join(given)


# -- services ----------------------------------------------------------------------------------------------------------------------------


def test_the_services_page_has_every_field_of_each_service() -> None:
    text = section(PAGES["services.md"], "## Request fields")
    ours, theirs = text.split("happyhorse.app:\n")
    assert set(table(ours)) == set(happy_horse_ai_limits.FIELDS)
    assert set(table(theirs)) == set(happyhorse_app_limits.FIELDS)
    assert set(VideoRequest.model_fields) == set(happy_horse_ai_limits.FIELDS) | set(happyhorse_app_limits.FIELDS)
    assert {*Shot.model_fields, *Element.model_fields} <= set(words(theirs))


def test_the_services_page_has_the_limits_that_are_enforced() -> None:
    theirs = table(section(PAGES["services.md"], "## Request fields").split("happyhorse.app:\n")[1])
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


def test_the_services_page_has_the_prices_of_the_tables_with_their_day() -> None:
    ours, theirs = section(PAGES["services.md"], "## Prices").split("\nhappyhorse.app, as of ")
    assert f"happy-horse.ai, as of {pricing.HAPPY_HORSE_AI_PRICES_OF}:" in ours
    assert theirs.startswith(f"{pricing.HAPPYHORSE_APP_PRICES_OF}:")
    documented = {name: row[1] for name, row in table(ours).items() if name != pricing.HAPPY_HORSE_AI_DEFAULT_MODEL}
    assert documented == {name: str(price) for name, price in pricing.HAPPY_HORSE_AI_CREDITS_PER_SECOND.items()}
    modes = {mode: row for mode, row in table(theirs).items() if mode != "mode"}
    assert {(mode, sound): row[2 if sound else 1] for mode, row in modes.items() for sound in (True, False)} == {
        key: str(price) for key, price in pricing.HAPPYHORSE_APP_CREDITS_PER_SECOND.items()
    }


def test_the_services_page_has_every_documented_error_code() -> None:
    documented = set(words(section(PAGES["services.md"], "## Errors")))
    assert {*happy_horse_ai.REFUSALS, *happy_horse_ai.FAULTS, happy_horse_ai.RATE_LIMIT} <= documented
    assert set(happyhorse_app.WORDS) <= documented


def test_the_services_page_names_only_capabilities_the_services_have() -> None:
    capabilities = {
        "upload of images": "upload",
        "list of generations, balance": "list",
    }
    for line, capability in capabilities.items():
        ours, theirs = re.findall(rf"^\| {line} \| (\w+)[^|]*\| (\w+)", PAGES["services.md"], re.MULTILINE)[0]
        assert (ours == "yes", theirs == "yes") == tuple(
            capability in services()[name].capabilities for name in ("happy-horse.ai", "happyhorse.app")
        )


# -- architecture, commands, links, examples ---------------------------------------------------------------------------------------------


def test_every_module_the_architecture_page_names_exists() -> None:
    page = PAGES["architecture.md"]
    named = {word for word in re.findall(r"[\w/]+\.py|\b[a-z_]+/(?=\s)", page) if word != "airflow_provider_happyhorse/"}
    homes = [PACKAGE, *(folder for folder in PACKAGE.iterdir() if folder.is_dir())]
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


def test_included_examples_have_their_markers() -> None:
    included = re.findall(
        r"```\{literalinclude\} (\S+)\n.*?:start-after: \"(.*?)\"\n:end-before: \"(.*?)\"", PAGES["operators.md"], re.DOTALL
    )
    assert {Path(path).name for path, _, _ in included} == {"product_teaser.py", "product_clips.py"}
    for path, begin, end in included:
        source = (REPOSITORY / "docs" / path).read_text()
        assert source.count(begin) == source.count(end) == 1
        assert source.index(begin) < source.index(end)


def test_the_example_dags_page_lists_every_example() -> None:
    assert set(re.findall(r"^\| \[(\w+\.py)\]", EXAMPLES_PAGE, re.MULTILINE)) == {path.name for path in DAGS_FOLDER.glob("*.py")}


@pytest.mark.parametrize("code", PYTHON)
def test_a_python_block_can_be_parsed(code: str) -> None:
    assert ast.parse(code).body


@pytest.mark.airflow
@pytest.mark.parametrize("code", WHOLE_DAGS)
def test_a_documented_dag_can_be_imported(code: str) -> None:
    (dag,) = dags_in(code)
    assert dag.tasks
    assert dag.catchup is False


def test_there_are_documented_dags() -> None:
    assert len(WHOLE_DAGS) >= 4


def test_the_dag_of_the_quickstart_is_the_one_of_the_readme() -> None:
    assert blocks(README, "python") == blocks(PAGES["quickstart.md"], "python")


@pytest.mark.airflow
@pytest.mark.usefixtures("airflow_database")
@pytest.mark.parametrize("code", [parameter for parameter in WHOLE_DAGS if not str(parameter.id).startswith("docs/quickstart")])
def test_a_documented_dag_publishes_one_video(code: str, connect: Callable[..., str], emulator: EmulatorProcess, tmp_path: Path) -> None:
    connect()
    assert "file:///tmp/" in code
    run = run_dag(dags_in(code.replace("file:///tmp/", f"file://{tmp_path}/"))[0])

    assert run.state == "success"
    assert emulator.charged() == 1
    assert len(list(tmp_path.glob("**/*.mp4"))) == len(list(tmp_path.glob("**/*.json"))) == 1
