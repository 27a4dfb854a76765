"""Image-to-video over the rows of a table, on a whole Airflow without a scheduler: what a repair of the table pays for."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pendulum
import pytest
from airflow.providers.common.compat.sdk import DAG, task, task_group
from PIL import Image

from airflow_provider_happyhorse.operators import HappyHorseGenerateVideoOperator, HappyHorseUploadImageOperator
from tests.dag_runs import clear_and_run, run_dag
from tests.emulator_process import EmulatorProcess

pytestmark = [pytest.mark.airflow, pytest.mark.usefixtures("airflow_database")]


class Table:
    """Rows of image, prompt and name, in a file that the DAG reads each time."""

    def __init__(self, folder: Path) -> None:
        self.path, self._folder = folder / "rows.json", folder

    def write(self, *colours: str) -> None:
        for colour in colours:
            Image.new("RGB", (64, 36), colour).save(self._folder / f"{colour}.png")
        rows = [{"image": str(self._folder / f"{colour}.png"), "prompt": f"{colour} kettle", "name": colour} for colour in colours]
        self.path.write_text(json.dumps(rows))


@pytest.fixture
def table(tmp_path: Path) -> Table:
    return Table(tmp_path)


def campaign(dag_id: str, path: Path) -> DAG:
    with DAG(dag_id=dag_id, schedule=None, start_date=pendulum.datetime(2026, 1, 1, tz="UTC"), catchup=False) as dag:

        @task
        def rows() -> list[dict[str, Any]]:
            return json.loads(path.read_text())  # type: ignore[no-any-return]

        @task_group
        def clip(image: str, prompt: str, name: str) -> None:
            url = HappyHorseUploadImageOperator(task_id="upload", image=image).output
            request = {"prompt": prompt, "image_url": url}
            HappyHorseGenerateVideoOperator(task_id="generate", name=name, request=request, deferrable=False, retries=0)

        clip.expand_kwargs(rows())
    return dag


def prompts(emulator: EmulatorProcess) -> list[str]:
    return sorted(job["prompt"] for job in emulator.state()["jobs"])


def test_with_a_ledger_path_only_a_new_row_is_paid_for(
    connect: Callable[..., str], emulator: EmulatorProcess, table: Table, tmp_path: Path
) -> None:
    (tmp_path / "ledger").mkdir()
    connect(ledger_path=f"{tmp_path}/ledger")
    dag = campaign("uploaded_rows", table.path)
    table.write("red", "green")
    run = run_dag(dag)
    assert run.states("clip.generate") == ["success"] * 2

    run = clear_and_run(dag, run)
    assert run.states("clip.generate") == ["success"] * 2
    assert prompts(emulator) == ["green kettle", "red kettle"]

    table.write("white", "red", "green")
    run = clear_and_run(dag, run)
    assert run.states("clip.generate") == ["success"] * 3
    assert prompts(emulator) == ["green kettle", "red kettle", "white kettle"]
    assert emulator.charged() == 3
