"""What authors write that would have cost them twice: rows 8, 9 and 12 of the experiments with the interface."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pendulum
import pytest
from airflow.providers.common.compat.sdk import DAG, task
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS

from airflow_provider_happyhorse.exceptions import InvalidArguments
from airflow_provider_happyhorse.operators import HappyHorseGenerateVideoOperator
from tests.dag_runs import run_dag
from tests.emulator_process import EmulatorProcess
from tests.operators.task_instances import QUICK, Store, Task

LEDGERS = ["path", *(["store"] if AIRFLOW_V_3_3_PLUS else [])]
#: Longer than a try waits, so that it is retried.
LATE = "[emulator: render_seconds=4]"
RETRIED: dict[str, Any] = {
    "deferrable": False,
    "timeout": 1.5,
    "retries": 9,
    "retry_delay": pendulum.duration(seconds=0),
}


@pytest.fixture(params=LEDGERS)
def store(request: pytest.FixtureRequest, connect: Callable[..., str], tmp_path: Path) -> Callable[[], Store | None]:
    """Give what makes the record of a task instance: Airflow's own, or None where a ``ledger_path`` keeps it."""
    connect(**({"ledger_path": str(tmp_path)} if request.param == "path" else {}))
    return Store if request.param == "store" else lambda: None


def dag(dag_id: str) -> DAG:
    return DAG(dag_id=dag_id, schedule=None, start_date=pendulum.datetime(2026, 1, 1, tz="UTC"), catchup=False)


@pytest.mark.airflow
@pytest.mark.usefixtures("airflow_database", "store")
class TestARetryWhoseRequestRendersDifferently:
    """Row 8: the everyday route is a wait that timed out and was retried."""

    def test_of_a_decorated_function_calls_it_once_and_pays_once(self, emulator: EmulatorProcess) -> None:
        calls: list[int] = []
        with dag("authoring_another_text_every_time") as written:

            @task.happyhorse_video(**RETRIED)
            def clip() -> str:
                calls.append(1)
                return f"A cat, version {len(calls)} {LATE}"

            clip()
        run = run_dag(written)
        assert (run.state, run.task("clip").try_number > 1) == ("success", True)
        assert (len(calls), emulator.charged()) == (1, 1)

    def test_of_a_template_pays_once(self, emulator: EmulatorProcess) -> None:
        with dag("authoring_the_try_in_the_prompt") as written:
            HappyHorseGenerateVideoOperator(
                task_id="clip", prompt=f"A cat, try {{{{ ti.try_number }}}} {LATE}", take="{{ ti.try_number }}", **RETRIED
            )
        run = run_dag(written)
        assert (run.state, run.task("clip").try_number > 1) == ("success", True)
        assert [job["prompt"] for job in emulator.state()["jobs"]] == [f"A cat, try 1 {LATE}"]
        assert emulator.charged() == 1


def test_fixing_a_bad_row_and_clearing_the_reader_pays_for_that_row_alone(
    store: Callable[[], Store | None], emulator: EmulatorProcess
) -> None:
    """Row 9: three rows, one of them bad; fixed, everything is cleared. Three videos are paid for, not five."""
    rows: list[dict[str, Any]] = [{"name": name, "prompt": f"{name} {QUICK}"} for name in ("a", "b", "c")]
    rows[1]["duration"] = "five"
    clips = [Task(prompt=None, store=store(), map_index=index) for index in range(3)]
    before = {}
    for clip, row in zip(clips, rows, strict=True):
        if row is rows[1]:
            with pytest.raises(InvalidArguments, match=r"\[b\].*`duration`"):
                clip.run(request={"prompt": QUICK}, rendered={"request": row})
        else:
            before[row["name"]] = clip.run(request=row)["generation_id"]
    assert emulator.charged() == 2

    rows[1]["duration"] = "5"
    for clip in clips:
        clip.clear()
    after = {row["name"]: clip.run(request=row)["generation_id"] for clip, row in zip(clips, rows, strict=True)}

    assert emulator.charged() == 3
    assert {name: after[name] for name in before} == before


@pytest.mark.airflow
@pytest.mark.usefixtures("airflow_database", "store")
def test_a_mistake_in_map_index_template_costs_nothing(emulator: EmulatorProcess) -> None:
    """Row 12: Airflow 3.3 renders it again at the end, where the task would fail after it was paid for."""
    with dag("authoring_map_index_template") as written:
        HappyHorseGenerateVideoOperator.partial(task_id="clips", map_index_template="{{ task.no_such_name.at_all }}").expand(
            request=[{"prompt": "A cat"}, {"prompt": "A dog"}]
        )
    run = run_dag(written)
    assert run.states("clips") == ["failed", "failed"]
    assert emulator.charged() == 0
