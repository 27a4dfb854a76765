"""What a reader copies from the documentation works: DAGs, connections, included examples."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG

from airflow_provider_happyhorse.hooks.happyhorse import HappyHorseHook
from tests.conftest import DAGS_FOLDER
from tests.dag_runs import run_dag
from tests.documentation import EVERYTHING, PAGES, README, REPOSITORY, blocks
from tests.emulator_process import EmulatorProcess

PYTHON = [
    pytest.param(code, id=f"{name}-{number}") for name, text in EVERYTHING.items() for number, code in enumerate(blocks(text, "python"))
]
WHOLE_DAGS = [parameter for parameter in PYTHON if "with DAG(" in str(parameter.values[0])]


def dags_in(code: str, folder: Path) -> list[DAG]:
    # A file, because Airflow 2.11 stores its text; dedicated globals, as a DAG file has them.
    file = folder / "documented_dag.py"
    file.write_text(code)
    names: dict[str, Any] = {"__name__": "documented_dag"}
    exec(compile(code, file, "exec"), names)
    return [value for value in names.values() if isinstance(value, DAG)]


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


def test_included_examples_have_their_markers() -> None:
    include = re.compile(r"```\{literalinclude\} (\S+)\n:language: python\n:start-after: \"(.*?)\"\n:end-before: \"(.*?)\"\n```")
    included = [found for text in PAGES.values() for found in include.findall(text)]
    assert {Path(path).name for path, _, _ in included} == {path.name for path in DAGS_FOLDER.glob("*.py")}
    for path, begin, end in included:
        source = (REPOSITORY / "docs" / path).read_text()
        assert source.count(begin) == source.count(end) == 1
        assert source.index(begin) < source.index(end)


@pytest.mark.parametrize("code", PYTHON)
def test_a_python_block_can_be_parsed(code: str) -> None:
    assert ast.parse(code).body


@pytest.mark.airflow
@pytest.mark.parametrize("code", WHOLE_DAGS)
def test_a_documented_dag_can_be_imported(code: str, tmp_path: Path) -> None:
    (dag,) = dags_in(code, tmp_path)
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
    run = run_dag(dags_in(code.replace("file:///tmp/", f"file://{tmp_path}/"), tmp_path)[0])

    assert run.state == "success"
    assert emulator.charged() == 1
    assert len(list(tmp_path.glob("**/*.mp4"))) == len(list(tmp_path.glob("**/*.json"))) == 1
