"""Rows without names, one of which failed, on a real Airflow: whoever removes it or puts a row on top pays for none again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pendulum
import pytest
from airflow.providers.common.compat.sdk import DAG, task
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS

from airflow_provider_happyhorse.operators import HappyHorseGenerateVideoOperator
from airflow_provider_happyhorse.operators.base import HappyHorseGenerateOperator
from tests.dag_runs import clear_and_run, run_dag
from tests.emulator_process import EmulatorProcess
from tests.operators.task_instances import QUICK, TEAPOT

pytestmark = [pytest.mark.airflow, pytest.mark.usefixtures("airflow_database")]

FAILS, CUP = "a cup [emulator: fail=moderation]", QUICK.replace("kettle", "cup")


@pytest.mark.parametrize("on_path", [True, False], ids=["on a path", "in Airflow's store"])
@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param([FAILS, QUICK], [QUICK], id="the one that failed is removed"),
        pytest.param([QUICK, FAILS], [TEAPOT, QUICK, CUP], id="a row on top, and the one that failed is repaired"),
        pytest.param([QUICK, CUP], [TEAPOT, QUICK, CUP], id="a row on top"),
    ],
)
def test_no_row_is_paid_for_again(
    connect: Callable[..., str],
    emulator: EmulatorProcess,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    before: list[str],
    after: list[str],
    on_path: bool,
) -> None:
    if not on_path and not AIRFLOW_V_3_3_PLUS:
        pytest.skip("the task state store came with Airflow 3.3")
    monkeypatch.setattr(HappyHorseGenerateOperator, "_sleep_before_looking", lambda _self, _seconds: None)
    (tmp_path / "ledger").mkdir()
    connect(**({"ledger_path": f"{tmp_path}/ledger"} if on_path else {}))
    table = tmp_path / "rows.json"
    with DAG(dag_id="rows_without_names", schedule=None, start_date=pendulum.datetime(2026, 1, 1, tz="UTC"), catchup=False) as dag:

        @task
        def rows() -> list[dict[str, str]]:
            return [{"prompt": prompt} for prompt in json.loads(table.read_text())]

        one_by_one = {"deferrable": False, "retries": 0, "max_active_tis_per_dagrun": 1}
        HappyHorseGenerateVideoOperator.partial(task_id="clip", **one_by_one).expand(request=rows())

    table.write_text(json.dumps(before))
    run = run_dag(dag)
    paid = emulator.charged()
    table.write_text(json.dumps(after))
    run = clear_and_run(dag, run)
    prompts = [job["prompt"] for job in emulator.state()["jobs"]]
    assert len(prompts) == len(set(prompts))
    for place, prompt in enumerate(after):
        if prompt in before:
            assert run.states("clip")[place] == "failed", "nothing but its map index tells which clip it is"
    assert paid == 2
