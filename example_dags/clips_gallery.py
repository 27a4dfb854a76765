"""One DAG makes a clip, another runs by itself whenever there is a new one: the asset event carries what it needs to know.

``gallery_clip`` publishes a clip and declares an asset as the outlet of the task that publishes. ``gallery`` is scheduled by that asset:
it gets the event, whose ``extra`` has the facts of the new video, and adds it to a page beside the clips.
"""

from __future__ import annotations

import html
import os
from pathlib import Path
from typing import Any

import pendulum
from airflow.providers.common.compat.sdk import DAG, Asset, Param, task

from airflow_provider_happyhorse.operators import HappyHorseGenerateVideoOperator

# [START clips_gallery]
GALLERY = Path(os.environ.get("GALLERY", "/tmp/gallery"))  # noqa: S108
NEW_CLIPS = Asset("x-gallery://clips")

with DAG(
    dag_id="gallery_clip",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    params={"prompt": Param("A blue kettle, steam rising", type="string"), "name": Param("kettle", type="string")},
    tags=["happyhorse", "example"],
) as clip_dag:
    HappyHorseGenerateVideoOperator(
        task_id="clip",
        name="{{ params.name }}",
        request={"prompt": "{{ params.prompt }}", "duration": 3},
        destination=f"file://{GALLERY}/",
        max_credits=50,
        outlets=[NEW_CLIPS],
    )

with DAG(
    dag_id="gallery",
    schedule=[NEW_CLIPS],
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    tags=["happyhorse", "example"],
) as gallery_dag:

    @task
    def add_to_page(**context: Any) -> list[str]:
        """Add a line per new clip, and return their names; one run may get several events."""
        events_by_asset = context.get("triggering_asset_events") or context.get("triggering_dataset_events") or {}  # the latter on 2.11
        clips = [event.extra for events in events_by_asset.values() for event in events]
        with (GALLERY / "index.html").open("a", encoding="utf-8") as page:
            for clip in clips:
                caption = f"{clip['name']}: {clip['seconds']:.1f} s, {clip['width']}x{clip['height']}, AI-generated"
                page.write(f'<figure><video src="{html.escape(clip["uri"])}" controls></video>{html.escape(caption)}</figure>\n')
        return sorted(clip["name"] for clip in clips)

    add_to_page()
# [END clips_gallery]
