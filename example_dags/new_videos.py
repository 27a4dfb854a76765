"""Whatever is finished in the account is brought home, whoever has asked for it. Needs Airflow 3, and happy-horse.ai, which lists.

An asset watcher looks at the account's list, and starts a run for what is new: made by another deployment, a script, or a person on the
service's web page. It is paused until you switch it on.
"""

from __future__ import annotations

import os
from typing import Any

import pendulum
from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import DAG, Asset, AssetWatcher, task

from airflow_provider_happyhorse.operators import HappyHorsePublishOperator
from airflow_provider_happyhorse.triggers.new_videos import HappyHorseNewVideosTrigger

# [START new_videos]
ARCHIVE = os.environ.get("ARCHIVE", "file:///tmp/archive/")
#: Videos of one run. One event may have 10 000, and Airflow maps at most 1024 ([core] max_map_length).
MOST = 500

NEW_VIDEOS = Asset(
    "x-happyhorse://default/videos",
    watchers=[AssetWatcher(name="happyhorse_default", trigger=HappyHorseNewVideosTrigger(poll_interval=30))],
)

with DAG(
    dag_id="archive_new_videos",
    schedule=[NEW_VIDEOS],
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=True,
    tags=["happyhorse", "example"],
) as dag:

    @task
    def new_videos(**context: Any) -> list[dict[str, Any]]:
        """Return the videos of this run's events, or those that the run before has left, each once."""
        left = context["dag_run"].conf
        payloads = [left] if left else [event.extra["payload"] for event in context["triggering_asset_events"][NEW_VIDEOS]]
        return list({video["generation_id"]: video for payload in payloads for video in payload["videos"]}.values())

    @task
    def first(videos: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return as many as one run publishes."""
        return videos[:MOST]

    @task.short_circuit
    def left_over(videos: list[dict[str, Any]]) -> dict[str, Any]:
        """Return the next run's conf; an empty one skips that run."""
        return {"videos": videos[MOST:]} if len(videos) > MOST else {}

    found = new_videos()
    HappyHorsePublishOperator.partial(
        task_id="publish",
        destination=ARCHIVE,
        retries=3,
        max_active_tis_per_dag=8,  # others need worker slots, too
    ).expand(generation=first(found))
    TriggerDagRunOperator(
        task_id="go_on",
        trigger_dag_id=dag.dag_id,
        trigger_run_id="{{ run_id }}.",  # so that a retry makes no second one
        skip_when_already_exists=True,
        conf=left_over(found),
    )
# [END new_videos]
