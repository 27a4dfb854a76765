"""What a month has cost, by service, DAG and model: the spend log loaded into SQLite, and one SQL query. It sends nothing to a service.

The spend log is written where there is a ``ledger_path``; ``file:///…`` and ``s3://connection_id@bucket/…`` are read alike.
"""

from __future__ import annotations

import logging
import sqlite3
from datetime import date
from typing import Any

import pendulum
from airflow.providers.common.compat.sdk import DAG, Param, task

from airflow_provider_happyhorse.ledger.objects import open_objects
from airflow_provider_happyhorse.ledger.spend import read_spend

# [START spend_report]
COST = """
WITH generation AS (
    SELECT
        service, generation_id, MAX(dag_id) AS dag_id, MAX(model) AS model, MAX(state = 'failed') AS failed,
        COALESCE(MAX(CASE event WHEN 'ended' THEN credits END), MAX(credits)) AS charged, MAX(credits_estimated) AS estimated
    FROM event GROUP BY service, generation_id
)
SELECT
    service, dag_id, model, COUNT(*) AS generations, SUM(failed) AS failed,
    SUM(COALESCE(charged, estimated, 0)) AS credits, SUM(charged IS NULL) AS only_estimated
FROM generation GROUP BY service, dag_id, model ORDER BY credits DESC, dag_id, model
"""


@task
def report(ledger_path: str, month: str) -> list[dict[str, Any]]:
    """Return a row per service, DAG and model; ``month`` is 2026-11, the month before this one when empty."""
    first = pendulum.parse(f"{month}-01") if month else pendulum.now("UTC").subtract(months=1).start_of("month")
    since, until = (date(day.year, day.month, 1) for day in (first, first.add(months=1)))
    database = sqlite3.connect(":memory:")
    database.row_factory = sqlite3.Row
    database.execute("CREATE TABLE event (event, service, generation_id, dag_id, model, state, credits, credits_estimated)")
    database.executemany(
        "INSERT INTO event VALUES (:event, :service, :generation_id, :dag_id, :model, :state, :credits, :credits_estimated)",
        read_spend(open_objects(ledger_path), since, until),
    )
    rows = [dict(row) for row in database.execute(COST)]
    for row in rows:
        logging.getLogger(__name__).info("%s", row)
    return rows


with DAG(
    dag_id="spend_report",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    params={
        "ledger_path": Param("file:///var/lib/happyhorse", type="string", description="As in the connection or [happyhorse] ledger_path"),
        "month": Param("", type="string", pattern=r"^(\d{4}-\d{2})?$", description="2026-11; empty for the month before this one"),
    },
    tags=["happyhorse", "example"],
) as dag:
    report(ledger_path="{{ params.ledger_path }}", month="{{ params.month }}")
# [END spend_report]
