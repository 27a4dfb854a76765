"""Whatever is finished in the account is brought home, whoever has asked for it. Needs Airflow 3, and happy-horse.ai, which lists.

An asset watcher looks at the account's list, and starts a run for what is new: made by another deployment, a script, or a person on the
service's web page. It is paused until you switch it on.
"""

from __future__ import annotations

import os
from typing import Any

import pendulum
from airflow.sdk import DAG, Asset, AssetWatcher, task

from airflow_provider_happyhorse.operators import HappyHorsePublishOperator
from airflow_provider_happyhorse.triggers.new_videos import HappyHorseNewVideosTrigger

# [START new_videos]
ARCHIVE = os.environ.get("ARCHIVE", "file:///tmp/archive/")

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
        """Return the videos of this run's events, each once."""
        events = context["triggering_asset_events"][NEW_VIDEOS]
        videos = [video for event in events for video in event.extra["payload"]["videos"]]
        return list({video["generation_id"]: video for video in videos}.values())

    HappyHorsePublishOperator.partial(task_id="publish", destination=ARCHIVE, retries=3).expand(generation=new_videos())
# [END new_videos]
