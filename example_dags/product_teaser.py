"""One product image becomes a five-second teaser in your own storage: upload, generate, publish.

Trigger it with the image and the folder of your choice. While the video renders, the task is deferred and holds no worker slot.
"""

from __future__ import annotations

import pendulum
from airflow.providers.common.compat.sdk import DAG, Param

from airflow_provider_happyhorse.operators import (
    HappyHorseGenerateVideoOperator,
    HappyHorsePublishOperator,
    HappyHorseUploadImageOperator,
)

# [START product_teaser]
with DAG(
    dag_id="product_teaser",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    params={
        "image": Param("/tmp/product.png", type="string", description="JPG, PNG or WebP, at most 10 MB"),  # noqa: S108
        "prompt": Param("A blue kettle on a wooden table, slow push-in, morning light", type="string"),
        "destination": Param("file:///tmp/teasers/", type="string", description="A folder, ending in /"),
    },
    tags=["happyhorse", "example"],
) as dag:
    upload = HappyHorseUploadImageOperator(task_id="upload", image="{{ params.image }}")

    generate = HappyHorseGenerateVideoOperator(
        task_id="generate",
        name="teaser",
        request={"prompt": "{{ params.prompt }}", "image_url": upload.output, "duration": 5, "aspect_ratio": "16:9"},
        max_credits=50,
        retries=2,
    )

    publish = HappyHorsePublishOperator(task_id="publish", generation=generate.output, destination="{{ params.destination }}")
# [END product_teaser]
