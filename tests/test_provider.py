"""What Airflow itself finds of this provider, and what importing it in a DAG file costs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable

import pytest
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_0_PLUS, AIRFLOW_V_3_2_PLUS

from airflow_provider_happyhorse.exceptions import InvalidArguments
from airflow_provider_happyhorse.provider_info import CONNECTION_FIELDS, get_provider_info
from airflow_provider_happyhorse.triggers.new_videos import HappyHorseNewVideosTrigger

pytestmark = [pytest.mark.airflow]
PACKAGE = "airflow-provider-happyhorse"


@pytest.fixture(scope="module")
def airflow() -> Callable[[str], str]:
    """Give the function that returns what ``airflow providers <command>`` prints; one process runs them all, as starting it takes long."""
    commands = {"get": [PACKAGE], "hooks": [], "links": []}
    if not AIRFLOW_V_3_0_PLUS or AIRFLOW_V_3_2_PLUS:
        commands |= {"behaviours": [], "widgets": []}
    lines = ["from airflow.cli import cli_parser", "parser = cli_parser.get_parser()"]
    for name, arguments in commands.items():
        lines.append(f"asked = parser.parse_args({['providers', name, *arguments, '--output', 'json']!r})")
        lines.append(f"print('{MARK}{name}'); asked.func(asked)")
    said = run_python("\n".join(lines)).split(MARK)[1:]
    # Airflow may log to standard output before it answers.
    answers = {part.split("\n", 1)[0]: part.strip().splitlines()[-1] for part in said}
    return answers.__getitem__


MARK = "=== providers "


def test_airflow_gets_the_provider(airflow: Callable[[str], str]) -> None:
    assert json.loads(airflow("get"))[0]["Provider"] == PACKAGE


def test_airflow_lists_the_hook_of_the_connection_type(airflow: Callable[[str], str]) -> None:
    hooks = json.loads(airflow("hooks"))
    hook = next(hook for hook in hooks if hook["connection_type"] == "happyhorse")
    assert hook["class"] == "airflow_provider_happyhorse.hooks.happyhorse.HappyHorseHook"


fab_on_the_command_line = pytest.mark.skipif(
    AIRFLOW_V_3_0_PLUS and not AIRFLOW_V_3_2_PLUS,
    reason="Airflow 3.0 and 3.1 mock Flask-AppBuilder for the form only",
)


@fab_on_the_command_line
def test_airflow_knows_how_the_connection_form_behaves(airflow: Callable[[str], str]) -> None:
    assert {"field_behaviours": "happyhorse"} in json.loads(airflow("behaviours"))


@fab_on_the_command_line
def test_the_command_line_lists_our_fields(airflow: Callable[[str], str]) -> None:
    widgets = airflow("widgets")
    for name in CONNECTION_FIELDS:
        assert name in widgets


@pytest.mark.skipif(not AIRFLOW_V_3_0_PLUS, reason="Airflow 2 builds the form in its webserver, from what `providers widgets` lists")
def test_the_connection_form_has_our_fields_and_names() -> None:
    shown = run_python(
        "import json\n"
        "from airflow.api_fastapi.core_api.services.ui.connections import HookMetaService\n"
        "form = next(hook for hook in HookMetaService.hook_meta_data() if hook.connection_type == 'happyhorse')\n"
        "print(json.dumps(form.model_dump(), default=str))\n"
    )
    form = json.loads(shown.strip().splitlines()[-1])
    assert form["extra_fields"].keys() == CONNECTION_FIELDS.keys()
    assert form["standard_fields"]["password"]["title"] == "API key"
    assert form["standard_fields"]["host"]["title"] == "Base URL"
    assert form["standard_fields"]["login"]["hidden"]


def test_the_link_is_registered(airflow: Callable[[str], str]) -> None:
    assert "HappyHorseVideoLink" in airflow("links")


def test_every_named_class_and_module_can_be_imported() -> None:
    info = get_provider_info()
    modules = [name for part in ("operators", "sensors", "hooks", "triggers") for entry in info[part] for name in entry["python-modules"]]
    members = info["extra-links"] + [entry["class-name"] for entry in info["task-decorators"]]
    members += [entry["hook-class-name"] for entry in info["connection-types"]]
    lines = [
        "from importlib import import_module",
        *(f"import_module({name!r})" for name in modules),
        *(f"getattr(import_module({name.rpartition('.')[0]!r}), {name.rpartition('.')[2]!r})" for name in members),
        "from airflow.providers.common.compat.sdk import task",
        "assert callable(task.happyhorse_video)",
    ]
    run_python("\n".join(lines))


HEAVY = ("requests", "aiohttp", "urllib3", "fsspec", "airflow.io", "airflow.sdk.io", "av", "PIL", "fastapi", "uvicorn", "s3fs", "boto3")


@pytest.mark.skipif(not AIRFLOW_V_3_0_PLUS, reason="airflow 2 loads requests itself")
def test_importing_the_operators_in_a_dag_file_loads_no_http_and_no_storage_library() -> None:
    """They load when a task runs; a DAG file is parsed every 30 seconds."""
    shown = run_python(
        "import sys, json\n"
        "import airflow.sdk\n"
        "from airflow.sdk import DAG, task, BaseOperator, BaseSensorOperator, Param\n"
        "from airflow.providers.common.compat.sdk import BaseOperatorLink, PokeReturnValue, XCom, conf\n"
        "with DAG('empty', schedule=None):\n"
        "    BaseOperator(task_id='t').output\n"
        "before = set(sys.modules)\n"
        "from airflow_provider_happyhorse.operators import HappyHorseGenerateVideoOperator, HappyHorsePublishOperator\n"
        "from airflow_provider_happyhorse.operators import HappyHorseUploadImageOperator\n"
        "from airflow_provider_happyhorse.sensors.generation import HappyHorseGenerationSensor\n"
        "at_import = sorted(set(sys.modules) - before)\n"
        "with DAG('d', schedule=None):\n"
        "    u = HappyHorseUploadImageOperator(task_id='u', image='/x.png')\n"
        "    g = HappyHorseGenerateVideoOperator(task_id='g', request={'prompt': 'x', 'image_url': u.output})\n"
        "    HappyHorsePublishOperator(task_id='p', generation=g.output, destination='/tmp/x/')\n"
        "    HappyHorseGenerationSensor(task_id='s', generation=g.output)\n"
        "print(json.dumps([at_import, sorted(set(sys.modules) - before)]))\n"
    )
    at_import, loaded = json.loads(shown.strip().splitlines()[-1])
    ours = [name for name in at_import if name.startswith("airflow_provider_happyhorse")]
    assert "pydantic" not in at_import  # it costs more than all of ours, and is needed when there is a request to check
    assert not [name for name in loaded if name in HEAVY or name.startswith(tuple(f"{heavy}." for heavy in HEAVY))]
    assert not [
        name for name in ours if name.startswith(("airflow_provider_happyhorse.transports", "airflow_provider_happyhorse.emulator"))
    ]
    assert set(at_import) - set(ours) <= {"difflib", "decimal", "_decimal"}
    assert len(ours) < 60, ours  # a sixtieth file is a reason to look at what a DAG file has to load


def run_python(code: str) -> str:
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120, env=environment)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.mark.skipif(AIRFLOW_V_3_0_PLUS, reason="Airflow 3 has asset watchers")
def test_a_trigger_for_watchers_is_refused_where_airflow_has_none() -> None:
    with pytest.raises(InvalidArguments, match=r"Airflow 3\.0"):
        HappyHorseNewVideosTrigger()
