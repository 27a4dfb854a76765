"""What an author of a campaign runs into at its edges: too many rows, runs without a date, a report at the end of a half-failed run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pendulum
import pytest
from airflow.providers.common.compat.sdk import DAG, task
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_0_PLUS

from airflow_provider_happyhorse.operators import HappyHorseGenerateVideoOperator
from tests.dag_runs import run_dag
from tests.emulator_process import EmulatorProcess
from tests.test_example_dags import load

pytestmark = [pytest.mark.airflow, pytest.mark.usefixtures("airflow_database")]


def dag(name: str) -> Any:
    return DAG(dag_id=name, schedule=None, start_date=pendulum.datetime(2026, 1, 1, tz="UTC"), catchup=False)


@pytest.fixture
def said(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> Callable[[], str]:
    """Return what the tasks have logged, wherever this Airflow's tasks do."""
    return lambda: "".join([*capfd.readouterr(), caplog.text])


class TestTooManyRows:
    """Row 17: Airflow maps at most ``[core] max_map_length`` rows, 1024."""

    def test_airflow_refuses_them_before_anything_is_sent(
        self, connect: Callable[..., str], emulator: EmulatorProcess, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        connect()
        monkeypatch.setenv("AIRFLOW__CORE__MAX_MAP_LENGTH", "2")
        with dag("too_many_rows") as made:

            @task
            def rows() -> list[dict[str, Any]]:
                return [{"prompt": "a kettle", "name": str(number)} for number in range(3)]

            HappyHorseGenerateVideoOperator.partial(task_id="clips").expand(request=rows())
        run = run_dag(made)

        assert run.states("rows") == ["failed"]
        assert emulator.requests() == []

    def test_the_recipe_says_so_in_words(
        self, connect: Callable[..., str], emulator: EmulatorProcess, monkeypatch: pytest.MonkeyPatch, said: Callable[[], str]
    ) -> None:
        connect()
        monkeypatch.setenv("AIRFLOW__CORE__MAX_MAP_LENGTH", "5")
        run = run_dag(load("campaign"), {"products": ["a kettle", "a teapot"]})

        assert run.state == "failed"
        assert emulator.requests() == []
        assert "2 products are 6 clips, and Airflow maps at most 5" in said()


class TestRunsWithoutADate:
    """Row 18: runs that an asset or a person starts have no logical date on Airflow 3, and no ``ds``."""

    @pytest.mark.parametrize("below", ["", "{{ run_id }}/", "{{ dag_run.run_after | ds }}/"])
    @pytest.mark.skipif(not AIRFLOW_V_3_0_PLUS, reason="every run of Airflow 2 has a date")
    def test_these_paths_need_none(self, connect: Callable[..., str], tmp_path: Path, below: str) -> None:
        connect()
        with dag("without_a_date") as made:
            HappyHorseGenerateVideoOperator(task_id="generate", name="clip", prompt="a kettle", destination=f"file://{tmp_path}/{below}")
        run = run_dag(made, logical_date=None)

        assert run.run.logical_date is None
        assert run.state == "success"
        assert len(list(tmp_path.rglob("clip--*.mp4"))) == 1

    @pytest.mark.skipif(not AIRFLOW_V_3_0_PLUS, reason="every run of Airflow 2 has a date")
    def test_ds_fails_before_anything_is_sent(self, connect: Callable[..., str], emulator: EmulatorProcess, tmp_path: Path) -> None:
        connect()
        with dag("ds_without_a_date") as made:
            HappyHorseGenerateVideoOperator(task_id="generate", prompt="a kettle", destination=f"file://{tmp_path}/{{{{ ds }}}}/")
        run = run_dag(made, logical_date=None)

        assert run.state == "failed"
        assert emulator.requests() == []


class TestAReportAtTheEnd:
    """Row 19: a report with ``all_done`` makes a half-failed run green and names nobody; the recipe does neither."""

    def test_a_whole_campaign_is_green_and_has_its_price(self, connect: Callable[..., str], tmp_path: Path) -> None:
        connect()
        run = run_dag(load("campaign"), {"destination": f"file://{tmp_path}/"})

        assert run.state == "success"
        assert run.xcom("report") == {"clips": 6, "credits": 6 * 15}
        assert [asset for asset, _, _ in run.asset_events()] == ["x-campaign://finished"]

    def test_a_campaign_with_holes_is_red_and_names_them_and_their_price(
        self, connect: Callable[..., str], tmp_path: Path, said: Callable[[], str]
    ) -> None:
        connect()
        products = ["a kettle", "a teapot [emulator: fail=moderated]"]
        run = run_dag(load("campaign"), {"destination": f"file://{tmp_path}/", "products": products})

        assert run.states("clips") == ["success"] * 3 + ["failed"] * 3
        assert run.states("report") == ["failed"]
        assert run.state == "failed"
        assert run.asset_events() == []
        names = "3 of 6 clips are missing (product-2_16x9, product-2_9x16, product-2_1x1); 90 credits."
        assert names in said()
