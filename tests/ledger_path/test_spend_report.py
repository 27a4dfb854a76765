"""The example DAG that sums a month of the spend log with one SQL query."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_happyhorse.ledger.objects import ObjectStore
from tests.dag_runs import run_dag
from tests.ledger_path.test_spend import FACTS, spend_log
from tests.test_example_dags import load

pytestmark = [pytest.mark.airflow, pytest.mark.usefixtures("airflow_database")]


def spend(objects: ObjectStore, number: int, *, dag_id: str, day: str, ending: dict[str, Any] | None, **facts: Any) -> None:
    log, known = (
        spend_log(objects, dag_id=dag_id),
        {**FACTS, "generation_id": f"v-{number}", "submitted_at": f"{day}T12:00:00+00:00", **facts},
    )
    log.submitted(known)
    if ending:
        log.ended({**known, **ending}, at=f"{day}T12:03:00+00:00")


def test_it_sums_what_was_charged_and_else_what_was_estimated(objects: ObjectStore, ledger_path: str) -> None:
    spend(objects, 1, dag_id="campaign", day="2026-11-01", ending={"state": "succeeded", "credits": 24})
    spend(objects, 2, dag_id="campaign", day="2026-11-30", ending={"state": "failed", "credits": 0}, credits=25)
    spend(objects, 3, dag_id="campaign", day="2026-11-30", ending=None)
    spend(objects, 4, dag_id="teasers", day="2026-11-15", ending={"state": "succeeded", "credits": 100})
    spend(objects, 5, dag_id="campaign", day="2026-10-31", ending={"state": "succeeded", "credits": 1000})
    spend(objects, 6, dag_id="campaign", day="2026-12-01", ending={"state": "succeeded", "credits": 1000})

    run = run_dag(load("spend_report"), {"ledger_path": ledger_path, "month": "2026-11"})

    assert run.state == "success"
    common = {"service": "happy-horse.ai", "model": "happy-horse-1.0"}
    assert run.xcom("report") == [
        {**common, "dag_id": "teasers", "generations": 1, "failed": 0, "credits": 100, "only_estimated": 0},
        {**common, "dag_id": "campaign", "generations": 3, "failed": 1, "credits": 24 + 0 + 25, "only_estimated": 1},
    ]
