"""Generate an image."""

from __future__ import annotations

from typing import ClassVar

from airflow_provider_happyhorse.api.generation import Kind
from airflow_provider_happyhorse.operators.base import HappyHorseGenerateOperator


class HappyHorseGenerateImageOperator(HappyHorseGenerateOperator):
    """Submit an image, wait for it without a worker slot, and return what downstream tasks need; pay for it once.

    **Experimental**: happy-horse.ai documents the request (POST /generate-image, paid access required) and neither the shape of its
    answer nor where an image's status is read. Both are read as a video's are (``data.video_id``, GET /videos/:id), and an answer of
    another shape stops the task as an ambiguous submission. happyhorse.app generates no images.

    The arguments are those of :class:`~airflow_provider_happyhorse.operators.video.HappyHorseGenerateVideoOperator`; the fields of
    ``request`` are those of :class:`~airflow_provider_happyhorse.api.models.ImageRequest`: ``prompt``, ``model``, ``resolution``,
    ``aspect_ratio``, ``output_format``, ``images``.

    :return: the flat result, with ``kind`` ``image``.
    """

    kind: ClassVar[Kind] = "image"
