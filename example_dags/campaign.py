"""A campaign: every product in every aspect ratio, and a report at the end that names what is missing and what it has cost.

A last task with ``trigger_rule="all_done"`` makes a run green whatever failed before it; this one fails when a clip is missing, and
says which.
"""

from __future__ import annotations

import logging
from typing import Any

import pendulum
from airflow.providers.common.compat.sdk import DAG, AirflowFailException, Asset, Param, conf, task

from airflow_provider_happyhorse.operators import HappyHorseGenerateVideoOperator

# [START campaign]
CAMPAIGN = Asset("x-campaign://finished")
RATIOS = ("16:9", "9:16", "1:1")

with DAG(
    dag_id="campaign",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    params={
        "products": Param(["A blue kettle, steam rising", "A clay teapot, tea pouring"], type="array", description="Prompts"),
        "destination": Param("file:///tmp/campaign/", type="string", description="A folder, ending in /"),
    },
    tags=["happyhorse", "example"],
) as dag:

    @task
    def rows(**context: Any) -> list[dict[str, Any]]:
        """Return a row per clip, or say in words why there are too many."""
        products = context["params"]["products"]
        clips = [
            {"name": f"product-{number}_{ratio.replace(':', 'x')}", "prompt": product, "duration": 3, "aspect_ratio": ratio}
            for number, product in enumerate(products, start=1)
            for ratio in RATIOS
        ]
        most = conf.getint("core", "max_map_length")
        if len(clips) > most:
            why = f"{len(products)} products are {len(clips)} clips, and Airflow maps at most {most} ([core] max_map_length)"
            raise AirflowFailException(f"{why}; split the campaign into runs. Nothing was submitted")
        return clips

    clips = HappyHorseGenerateVideoOperator.partial(task_id="clips", destination="{{ params.destination }}", max_credits=50).expand(
        request=rows()
    )

    @task(trigger_rule="all_done", outlets=[CAMPAIGN])
    def report(**context: Any) -> dict[str, Any]:
        """Return what the campaign has cost, and fail if a clip is missing; the XCom `happyhorse` is there when a clip fails, too."""
        ti = context["ti"]
        wanted = [row["name"] for row in ti.xcom_pull(task_ids="rows") or []]
        pulled = ti.xcom_pull(task_ids="clips", key="happyhorse") or []
        # Of a single clip, Airflow 3 gives no list.
        results = {result["name"]: result for result in ([pulled] if isinstance(pulled, dict) else pulled)}
        missing = {name: results.get(name, {}) for name in wanted if not results.get(name, {}).get("uri")}
        paid = [result for result in results.values() if result["generation_id"]]
        credits_spent = sum(result["credits"] or result["credits_estimated"] or 0 for result in paid)
        for name, result in missing.items():
            logging.getLogger(__name__).error("%s: %s %s", name, result.get("state", "nothing known"), result.get("generation_id") or "")
        if missing or not wanted:
            raise AirflowFailException(
                f"{len(missing)} of {len(wanted)} clips are missing ({', '.join(missing)}); {credits_spent} credits. Clear them to retry"
            )
        return {"clips": len(wanted), "credits": credits_spent}

    clips >> report()
# [END campaign]
