"""Three table rows become three clips, mapped in both of the ways that lose no clip to another's mistake.

``clips``: one mapped task per clip, which publishes too (``destination``). ``clip``: a mapped task group, generate and then publish. A row
is a request; the grid shows the clips' names, also while they are deferred.
"""

from __future__ import annotations

from typing import Any

import pendulum
from airflow.providers.common.compat.sdk import DAG, Param, task, task_group

from airflow_provider_happyhorse.operators import HappyHorseGenerateVideoOperator, HappyHorsePublishOperator

# [START product_clips]
with DAG(
    dag_id="product_clips",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    params={"destination": Param("file:///tmp/clips/", type="string", description="A folder, ending in /")},
    tags=["happyhorse", "example"],
) as dag:

    @task
    def rows() -> list[dict[str, Any]]:
        """Return the rows; read your CSV file or query your catalogue here."""
        return [
            {"name": "kettle_16x9", "prompt": "A blue kettle, steam rising", "duration": "3", "aspect_ratio": "16:9"},
            {"name": "kettle_9x16", "prompt": "A blue kettle, steam rising", "duration": "3", "aspect_ratio": "9:16"},
            {"name": "teapot_1x1", "prompt": "A clay teapot, tea pouring", "duration": "3", "aspect_ratio": "1:1"},
        ]

    HappyHorseGenerateVideoOperator.partial(task_id="clips", destination="{{ params.destination }}", max_credits=50).expand(request=rows())

    @task_group
    def clip(row: dict[str, Any]) -> None:
        """Generate one clip and publish it; a failed clip stops only its own publish."""
        generate = HappyHorseGenerateVideoOperator(task_id="generate", request=row, max_credits=50)
        HappyHorsePublishOperator(task_id="publish", generation=generate.output, destination="{{ params.destination }}")

    clip.expand(row=rows.override(task_id="group_rows")())
# [END product_clips]
