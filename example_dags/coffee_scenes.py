"""happyhorse.app: a story of three shots, and a scene that begins with your own picture.

The connection is ``happyhorse_app`` (host ``https://happyhorse.app``). The service has no upload: the picture must have a public URL.
"""

from __future__ import annotations

import pendulum
from airflow.providers.common.compat.sdk import DAG, Param

from airflow_provider_happyhorse.operators import HappyHorseGenerateVideoOperator

# [START coffee_scenes]
with DAG(
    dag_id="coffee_scenes",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args={"happyhorse_conn_id": "happyhorse_app"},
    params={
        "image_url": Param("https://example.com/cafe.jpg", type="string", description="First frame of the opening scene"),
        "destination": Param("file:///tmp/scenes/", type="string", description="A folder, ending in /"),
    },
    tags=["happyhorse", "example"],
) as dag:
    HappyHorseGenerateVideoOperator(
        task_id="story",
        name="coffee-story",
        request={
            "mode": "std",
            "sound": False,
            "aspect_ratio": "9:16",
            "multi_shots": True,
            "multi_prompt": [
                {"prompt": "A woman walks into a coffee shop", "duration": 2},
                {"prompt": "She orders a latte and sits by the window", "duration": 3},
                {"prompt": "She looks outside and smiles", "duration": 2},
            ],
        },
        destination="{{ params.destination }}",
        max_credits=300,
    )

    HappyHorseGenerateVideoOperator(
        task_id="opening",
        name="coffee-opening",
        request={
            "prompt": "Steam rises, the camera moves towards the counter",
            "image_urls": ["{{ params.image_url }}"],
            "mode": "pro",
            "sound": False,
            "duration": 4,
        },
        destination="{{ params.destination }}",
        max_credits=300,
    )
# [END coffee_scenes]
